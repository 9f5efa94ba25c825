package e2e_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// patience with an endpoint for as long as a test lasts.
func often(wait string) []any { return slices.Repeat([]any{wait}, 50) }

// failing refuses the events of one stream until it is told otherwise.
type failing struct {
	partner *receiver
	path    string
	stream  atomic.Value // of pipeline.Stream
}

func (f *failing) answer(w http.ResponseWriter, _ *http.Request, nth int) {
	if f.partner.at(f.path)[nth-1].envelope.Data.Stream == f.stream.Load() {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// It takes more events than a run of the entity's workflow lasts for, so that the order has to
// hold across runs as well.
func TestInAnOrderedWebhookOnlyTheEntityWaitsWhoseEventFails(t *testing.T) {
	t.Parallel()
	const commands = 25
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	endpoint := &failing{partner: partner, path: "/"}
	endpoint.stream.Store(pipeline.Stream(""))
	partner.on("/", endpoint.answer)
	h := c.webhook(t, partner.URL+"/", object{"ordered": true, "retry_schedule": often("300ms")})
	waits, goesOn := c.customer(t).Ref().Stream(), c.customer(t).Ref().Stream()
	c.allAre(t, h, pipeline.DeliveryDelivered, 2)

	endpoint.stream.Store(waits)
	for range commands {
		c.moved(t, waits, pipeline.TypeEmailSent, nil)
	}
	require.Greater(t, len(e.runs(t, waits)), 1, "its workflow has continued as new")
	for range commands {
		c.moved(t, goesOn, pipeline.TypeEmailSent, nil)
	}
	eventually(t, "the other entity's events arrive", func() bool {
		return slices.Equal(partner.firstOf("/", goesOn), upTo(commands+1))
	})
	require.Equal(t, upTo(2), partner.firstOf("/", waits), "only the head is tried")

	endpoint.stream.Store(pipeline.Stream(""))
	c.allAre(t, h, pipeline.DeliveryDelivered, 2*(commands+1))
	require.Equal(t, upTo(commands+1), partner.firstOf("/", waits))
	requireStrictOrder(t, partner, "/", waits)
	requireStrictOrder(t, partner, "/", goesOn)
}

func TestInAnOrderedWebhookTheNextComesWhenOneIsGivenUp(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/", func(w http.ResponseWriter, _ *http.Request, nth int) {
		if partner.at("/")[nth-1].envelope.Data.Seq == 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	h := c.webhook(t, partner.URL+"/", object{"ordered": true})
	stream := c.customer(t).Ref().Stream()
	for range 3 {
		c.moved(t, stream, pipeline.TypeEmailSent, nil)
	}
	eventually(t, "one is given up and the rest delivered", func() bool {
		got := c.statuses(t, h)
		return got[pipeline.DeliveryExhausted] == 1 && got[pipeline.DeliveryDelivered] == 3
	})
	seen := make([]int64, 0, attemptsInAll+3)
	for _, d := range partner.at("/") {
		seen = append(seen, d.envelope.Data.Seq)
	}
	require.Equal(t, []int64{1, 2, 2, 2, 2, 3, 4}, seen)
}

func TestALatestOnlyWebhookGetsTheNewestOfWhatWaits(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	var endpoint light
	partner.on("/", endpoint.answer)
	h := c.webhook(t, partner.URL+"/", object{"latest_only": true, "retry_schedule": often("300ms")})
	stream, other := c.customer(t).Ref().Stream(), c.customer(t).Ref().Stream()
	for range 3 {
		c.moved(t, stream, pipeline.TypeEmailSent, nil)
	}
	for range 2 {
		c.moved(t, stream, pipeline.TypeSMSSent, nil)
	}
	c.moved(t, other, pipeline.TypeEmailSent, nil)

	eventually(t, "what is old news is dropped", func() bool { return c.statuses(t, h)[pipeline.DeliverySuperseded] == 3 })
	endpoint.well.Store(true)
	eventually(t, "the newest of each type is delivered", func() bool {
		got := c.statuses(t, h)
		return got[pipeline.DeliveryDelivered] == 5 && got[pipeline.DeliverySuperseded] == 3 && len(got) == 2
	})
	taken := map[pipeline.Stream][]int64{}
	for _, d := range c.deliveries(t, h) {
		if d.Status == pipeline.DeliveryDelivered {
			taken[d.Stream] = append(taken[d.Stream], d.Version)
		}
	}
	for _, versions := range taken {
		slices.Sort(versions)
	}
	require.Equal(t, map[pipeline.Stream][]int64{stream: {1, 4, 6}, other: {1, 2}}, taken)
}

func TestWhatIsHeldIsSentInOrderOrDiscarded(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	sent := c.webhook(t, partner.URL+"/sent", nil)
	skipped := c.webhook(t, partner.URL+"/skipped", nil)
	for _, h := range []hook{sent, skipped} {
		shown := want[settings](t, c.post(t, h.path()+"/disable", nil), http.StatusOK)
		require.False(t, shown.Active)
		require.Equal(t, pipeline.DisabledByHand, *shown.DisabledReason)
		want[settings](t, c.post(t, h.path()+"/disable", nil), http.StatusOK) // again makes no difference
	}
	streams := []pipeline.Stream{c.customer(t).Ref().Stream(), c.customer(t).Ref().Stream()}
	for range 4 {
		for _, s := range streams {
			c.moved(t, s, pipeline.TypeEmailSent, nil)
		}
	}
	c.allAre(t, sent, pipeline.DeliveryHeld, 10)
	c.allAre(t, skipped, pipeline.DeliveryHeld, 10)

	c.enable(t, sent, nil)
	c.enable(t, skipped, object{"skip_held": true})
	c.allAre(t, sent, pipeline.DeliveryDelivered, 10)
	c.allAre(t, skipped, pipeline.DeliveryDiscarded, 10)
	for _, s := range streams {
		require.Equal(t, upTo(5), partner.firstOf("/sent", s))
		event := c.moved(t, s, pipeline.TypeEmailSent, nil)
		eventually(t, "both have what happens from now on", func() bool {
			return partner.has("/sent", event) && partner.has("/skipped", event)
		})
	}
	require.Equal(t, 12, partner.count("/sent"))
	require.Equal(t, 2, partner.count("/skipped"))
}
