package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestWhenPostgresDiesRequestsAreAnsweredOrRefusedForNow(t *testing.T) {
	t.Parallel()
	const (
		writers  = 6
		commands = 40 // of each
		outages  = 2
	)
	e := ownEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	streams := make([]pipeline.Stream, writers)
	for i := range streams {
		streams[i] = c.customer(t).Ref().Stream()
	}

	var done, turnedAway atomic.Int64
	answers := make([][]answer, writers)
	write := func(i int) (answer, error) {
		for n := range commands {
			a, refused, err := c.insist(pathOf(streams[i])+"/transitions", note(n), fmt.Sprintf("%d-%d", i, n))
			if err != nil {
				return a, err
			}
			answers[i] = append(answers[i], a)
			turnedAway.Add(int64(refused))
			done.Add(1)
			read, err := c.try(http.MethodGet, pathOf(streams[i]), nil)
			if err != nil {
				return read, err
			}
			if read.status != http.StatusOK && read.status != http.StatusServiceUnavailable {
				return read, fmt.Errorf("a read was answered %d: %s", read.status, read.body)
			}
		}
		return answer{}, nil
	}
	atOnce(t, writers+1, func(i int) (answer, error) {
		if i < writers {
			return write(i)
		}
		for n := range int64(outages) {
			err := await("a part of the commands is through", func() bool {
				return done.Load() >= (n+1)*writers*commands/(outages+1)
			})
			if err != nil {
				return answer{}, err
			}
			pid, err := postmasterOf(e.dir)
			if err != nil {
				return answer{}, err
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				return answer{}, err
			}
		}
		return answer{}, nil
	})
	t.Logf("%d requests had to be sent again", turnedAway.Load())

	for i, stream := range streams {
		recorded := c.events(t, stream)
		require.Len(t, recorded, commands+1)
		for n, a := range answers[i] {
			event := want[transition](t, a, http.StatusCreated).Event
			require.Equal(t, int64(n+2), event.Version)
			require.Equal(t, recorded[n+1].ID, event.ID)
		}
	}
	const total = writers * (commands + 1)
	e.sweepUntilDelivered(t, c, h, total)
	for _, stream := range streams {
		require.Equal(t, upTo(commands+1), slices.Sorted(slices.Values(partner.firstOf("/", stream))))
	}
}

// sweepUntilDelivered waits until a webhook has all that it is to get. What a lost connection
// left behind is the sweep's, which is asked to come at once and to be less patient.
func (e *engine) sweepUntilDelivered(t *testing.T, c company, h hook, n int) {
	t.Helper()
	_, err := e.db.ExecContext(t.Context(), `UPDATE deliveries SET created_at = created_at - interval '1 hour'`)
	require.NoError(t, err)
	e.sweepNow(t)
	eventually(t, fmt.Sprintf("%d deliveries are done", n), func() bool {
		return c.statuses(t, h)[pipeline.DeliveryDelivered] == n
	})
}
