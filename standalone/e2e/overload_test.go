package e2e_test

import (
	"net/http"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/standalone/stack"
)

// limitedEngine takes few commands at a time.
func limitedEngine(t *testing.T) *engine {
	t.Helper()
	e, err := startEngine(t.Context(), func(o *stack.Options) { o.App.MaxCommands = 2 })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.stop()) })
	return e
}

// Of a burst of more than can be answered, a part is turned away at once. What was taken is
// recorded once and delivered once, and of what was turned away there is no trace until it is
// sent again.
func TestABurstIsTurnedAwayOrTakenForGood(t *testing.T) {
	t.Parallel()
	const burst = 200
	e := limitedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	key := func(i int) http.Header { return idempotent("burst-" + strconv.Itoa(i)) }
	answers := atOnce(t, burst, func(i int) (answer, error) {
		return c.try(http.MethodPost, "/v1/customers", newCustomer(), key(i))
	})
	acked := map[int]pipeline.Customer{}
	for i, a := range answers {
		if a.status == http.StatusCreated {
			acked[i] = want[pipeline.Customer](t, a, http.StatusCreated)
			continue
		}
		refused(t, a, http.StatusServiceUnavailable, pipeline.CodeUnavailable)
		require.Contains(t, []string{"1", "2", "3"}, a.header.Get("Retry-After"))
	}
	require.NotEmpty(t, acked)
	require.Less(t, len(acked), burst, "a burst of %d at a limit of 2 is turned away in part", burst)
	c.allAre(t, h, pipeline.DeliveryDelivered, len(acked))
	require.Equal(t, len(acked), partner.count("/"), "what was turned away told nobody")

	// All of them come again, as they were told to.
	again := atOnce(t, burst, func(i int) (answer, error) {
		a, _, err := c.insist("/v1/customers", newCustomer(), key(i)["Idempotency-Key"][0])
		return a, err
	})
	seen := map[int64]bool{}
	for i, a := range again {
		made := want[pipeline.Customer](t, a, http.StatusCreated)
		require.False(t, seen[made.ID], "two requests made one customer")
		seen[made.ID] = true
		if first, ok := acked[i]; ok {
			require.Equal(t, first.ID, made.ID)
		}
	}
	c.allAre(t, h, pipeline.DeliveryDelivered, burst)
	require.Equal(t, burst, partner.count("/"))
	require.NoError(t, e.audit(t.Context()))
}

// A Postgres that stands still, its connections open and nothing coming from them: everybody is
// told so, and when it goes on so does everything.
func TestWhilePostgresStandsStillEverybodyIsAnswered(t *testing.T) {
	t.Parallel()
	e := ownEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	stream := c.customer(t).Ref().Stream()
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)

	all := family(t, postmaster(t, e.dir))
	signal := func(s syscall.Signal) {
		for _, pid := range all {
			_ = syscall.Kill(pid, s) // one may have ended meanwhile
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	const reads = 40 // twice as many as there are connections
	for i, a := range atOnce(t, reads, func(i int) (answer, error) {
		switch {
		case i == 0:
			return c.try(http.MethodGet, "/readyz", nil)
		case i%4 == 0:
			return c.try(http.MethodPost, pathOf(stream)+"/transitions", note(i), idempotent(strconv.Itoa(i)))
		default:
			return c.try(http.MethodGet, pathOf(stream), nil)
		}
	}) {
		refused(t, a, http.StatusServiceUnavailable, pipeline.CodeUnavailable)
		require.NotEmpty(t, a.header.Get("Retry-After"), i)
	}
	require.Equal(t, http.StatusOK, c.get(t, "/healthz").status, "a restart would not help")

	signal(syscall.SIGCONT)
	a, _, err := c.insist(pathOf(stream)+"/transitions", note(1), "afterwards")
	require.NoError(t, err)
	want[transition](t, a, http.StatusCreated)
	e.sweepUntilDelivered(t, c, h, len(c.events(t, stream)))
}
