package worker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/worker"
)

// attic is where things are left lying, and the alarm that wakes whoever left them.
type attic struct {
	mu       sync.Mutex
	entities []pipeline.Ref
	webhooks []int64
	fails    error
	deaf     error

	looks  []time.Duration
	grace  time.Duration
	woken  []pipeline.Stream
	rung   []int64
	opened time.Time
}

func (a *attic) Strays(_ context.Context, grace time.Duration, _ int) ([]pipeline.Ref, []int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looks, a.grace = append(a.looks, time.Since(a.opened)), grace
	return a.entities, a.webhooks, a.fails
}

func (a *attic) WakeEntity(_ context.Context, ref pipeline.Ref) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.woken = append(a.woken, ref.Stream())
	return a.deaf
}

func (a *attic) WakeWebhook(_ context.Context, id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rung = append(a.rung, id)
	return a.deaf
}

func TestAWorkerWakesWhoLeavesThingsLying(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("away")
		a := &attic{opened: time.Now(), fails: away}
		w := worker.NewWatch(a, a, quiet)
		w.Start(t.Context())
		time.Sleep(4 * time.Second)
		a.mu.Lock()
		a.fails, a.deaf = nil, away
		a.entities, a.webhooks = []pipeline.Ref{{Kind: pipeline.KindProposal, ID: 5}, {Kind: pipeline.KindCustomer, ID: 6}}, []int64{7, 8}
		a.mu.Unlock()
		time.Sleep(3 * time.Second)
		w.Stop()
		time.Sleep(time.Minute)
		require.Equal(t, []time.Duration{3 * time.Second, 6 * time.Second}, a.looks, "what fails is done again, and not after the end")
		require.Equal(t, []pipeline.Stream{"proposal-5", "customer-6"}, a.woken)
		require.Equal(t, []int64{7, 8}, a.rung, "one that cannot be woken does not keep others asleep")
		require.Greater(t, a.grace, time.Duration(pipeline.DefaultTimeout), "an attempt that lasts is not left lying")
	})
}

// A partner that is slow is no reason to fill histories with signals.
func TestAWorkerWakesWhoGoesOnLeavingThingsLyingMoreAndMoreSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attic{opened: time.Now(), webhooks: []int64{7}}
		w := worker.NewWatch(a, a, quiet)
		w.Start(t.Context())
		defer w.Stop()
		time.Sleep(time.Second) // never at the moment of a look
		wakes := func(after time.Duration) int {
			time.Sleep(after)
			a.mu.Lock()
			defer a.mu.Unlock()
			return len(a.rung)
		}
		require.Equal(t, 4, wakes(time.Minute), "after 3, 9, 21 and 45 s")
		require.Equal(t, 6, wakes(time.Minute), "every 30 s from there on")

		a.mu.Lock()
		a.webhooks = nil
		a.mu.Unlock()
		require.Equal(t, 6, wakes(3*time.Second))
		a.mu.Lock()
		a.webhooks = []int64{7}
		a.mu.Unlock()
		require.Equal(t, 8, wakes(9*time.Second), "it had done something: this is a new case")
	})
}
