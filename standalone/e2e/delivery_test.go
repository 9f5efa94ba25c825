package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"

	"github.com/dealwright/dealwright/pipeline"
)

func TestAFailedDeliveryIsTriedAgainUntilItIsTaken(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/", inTurn(500, 500, 200))
	h := c.webhook(t, partner.URL+"/", nil)
	customer := c.customer(t)

	c.allAre(t, h, pipeline.DeliveryDelivered, 1)
	require.Equal(t, []pipeline.ID{500, 500, 200}, attempts(c.deliveries(t, h)[0]))
	event := c.events(t, customer.Ref().Stream())[0]
	got := partner.at("/")
	require.Len(t, got, 3)
	for _, d := range got {
		require.Equal(t, event.ID, d.header.Get("Webhook-Id"))
		d.requireSigned(t, h.Secret)
	}

	// The webhook's own workflow took over, and is gone now that nothing is due.
	e.ended(t, fmt.Sprintf("webhook-%d", h.ID))
	require.NotContains(t, typesOf(e.history(t, string(customer.Ref().Stream()), "")), enums.EVENT_TYPE_TIMER_STARTED,
		"the entity's workflow does not wait for a partner")
}

// attempts are what the attempts of a delivery were answered.
func attempts(d pipeline.Delivery) []pipeline.ID {
	statuses := make([]pipeline.ID, len(d.Attempts))
	for i, a := range d.Attempts {
		statuses[i] = a.Status
	}
	return statuses
}

func TestADeliveryThatNobodyTakesIsExhausted(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/", inTurn(503))
	h := c.webhook(t, partner.URL+"/", nil)
	refusing := c.webhook(t, "http://127.0.0.1:1/", nil)
	c.customer(t)

	c.allAre(t, h, pipeline.DeliveryExhausted, 1)
	c.allAre(t, refusing, pipeline.DeliveryExhausted, 1)
	require.Equal(t, []pipeline.ID{503, 503, 503, 503}, attempts(c.deliveries(t, h)[0]))
	require.Equal(t, attemptsInAll, partner.count("/"))
	unreachable := c.deliveries(t, refusing)[0]
	require.Equal(t, []pipeline.ID{0, 0, 0, 0}, attempts(unreachable))
	for _, a := range unreachable.Attempts {
		require.NotEmpty(t, a.Error)
	}
	e.ended(t, fmt.Sprintf("webhook-%d", h.ID))
	e.ended(t, fmt.Sprintf("webhook-%d", refusing.ID))
}

func TestAHangingEndpointDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	released := make(chan struct{})
	partner.on("/hangs", hang(released))
	c.webhook(t, partner.URL+"/hangs", nil)
	quick := c.webhook(t, partner.URL+"/quick", nil)

	// While the entity itself waits for the endpoint, which it does once, other webhooks and
	// other entities have their events.
	slow := c.customer(t).Ref().Stream()
	eventually(t, "the endpoint hangs", func() bool { return partner.open("/hangs") > 0 })
	first := partner.at("/hangs")[0]
	other := c.customer(t)
	c.moved(t, other.Ref().Stream(), pipeline.TypeEmailSent, nil)
	eventually(t, "the other webhook has the other entity's events", func() bool {
		return slices.Equal(partner.firstOf("/quick", other.Ref().Stream()), upTo(2))
	})
	require.Equal(t, slow, first.envelope.Data.Stream)
	require.Equal(t, upTo(1), partner.firstOf("/quick", slow))

	// From then on it leaves that endpoint to the webhook's own workflow: two more events reach
	// the other webhook while one and the same request hangs. An entity that waited would send
	// the second only after that request has ended. (The request may run into its time limit
	// just then, so there is more than one try.)
	eventually(t, "the entity does not wait for the endpoint again", func() bool {
		hanging := partner.at("/hangs")
		last := hanging[len(hanging)-1]
		for range 2 {
			event := c.moved(t, slow, pipeline.TypeEmailSent, nil)
			eventually(t, "the other webhook has the event", func() bool { return partner.has("/quick", event) })
		}
		now := partner.at("/hangs")
		return len(now) > 1 && now[len(now)-1] == last && partner.open("/hangs") > 0
	})
	eventually(t, "the other webhook has no other attempts on record than those", func() bool {
		return !slices.ContainsFunc(c.deliveries(t, quick), func(d pipeline.Delivery) bool {
			return !slices.Equal(attempts(d), []pipeline.ID{http.StatusOK})
		})
	})
	close(released)
	eventually(t, "nothing hangs any more", func() bool { return partner.open("/hangs") == 0 })
}

func TestFirstAttemptsGoInOrder(t *testing.T) {
	t.Parallel()
	const commands, entities = 12, 4
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	flaky := func(w http.ResponseWriter, _ *http.Request, nth int) {
		if nth%3 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	partner.on("/flaky", flaky)
	partner.on("/strict", flaky)
	well := c.webhook(t, partner.URL+"/well", nil)
	shaky := c.webhook(t, partner.URL+"/flaky", nil)
	strict := c.webhook(t, partner.URL+"/strict", object{"ordered": true})

	streams := make([]pipeline.Stream, entities)
	for i := range streams {
		streams[i] = c.customer(t).Ref().Stream()
	}
	atOnce(t, entities, func(i int) (answer, error) {
		for n := range commands {
			if a, _, err := c.insist(pathOf(streams[i])+"/transitions", note(n), fmt.Sprintf("%d-%d", i, n)); err != nil {
				return a, err
			}
		}
		return answer{}, nil
	})

	const total = entities * (commands + 1)
	c.allAre(t, well, pipeline.DeliveryDelivered, total)
	for _, h := range []hook{shaky, strict} {
		eventually(t, "all are done with", func() bool {
			got := c.statuses(t, h)
			return got[pipeline.DeliveryDelivered]+got[pipeline.DeliveryExhausted] == total
		})
	}
	for _, stream := range streams {
		require.Equal(t, upTo(commands+1), partner.firstOf("/well", stream))
		require.Equal(t, upTo(commands+1), partner.firstOf("/flaky", stream))
		requireStrictOrder(t, partner, "/strict", stream)
	}
}

// requireStrictOrder: once the next event of a stream was seen, an earlier one never comes again.
func requireStrictOrder(t *testing.T, partner *receiver, path string, s pipeline.Stream) {
	t.Helper()
	requireStrictOrderFrom(t, partner, path, s, 1)
}

// requireStrictOrderFrom is for who has not subscribed to the first events.
func requireStrictOrderFrom(t *testing.T, partner *receiver, path string, s pipeline.Stream, first int64) {
	t.Helper()
	last := first - 1
	for _, d := range partner.at(path) {
		if d.envelope.Data.Stream != s {
			continue
		}
		seq := d.envelope.Data.Seq
		require.True(t, seq == last || seq == last+1, "%s: %d came after %d", s, seq, last)
		last = seq
	}
}

func TestADisabledWebhookKeepsWhatHappensUntilItIsEnabled(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", object{"active": false})
	customer, other := c.customer(t).Ref().Stream(), c.customer(t).Ref().Stream()
	for range 3 {
		c.moved(t, customer, pipeline.TypeEmailSent, nil)
		c.moved(t, other, pipeline.TypeSMSSent, nil)
	}
	c.allAre(t, h, pipeline.DeliveryHeld, 8)
	e.settled(t, string(customer))
	e.settled(t, string(other))
	require.Zero(t, partner.count("/"))

	want[hook](t, c.do(t, http.MethodPatch, h.path(), object{"active": true}), http.StatusOK)
	c.allAre(t, h, pipeline.DeliveryDelivered, 8)
	require.Equal(t, upTo(4), partner.firstOf("/", customer))
	require.Equal(t, upTo(4), partner.firstOf("/", other))
	require.Equal(t, 8, partner.count("/"))
}

func TestWhatIsPendingIsHeldWhenAWebhookIsDisabledAndDiscardedWhenItIsDeleted(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/", inTurn(500))
	h := c.webhook(t, partner.URL+"/", nil)
	stream := c.customer(t).Ref().Stream()
	eventually(t, "the first attempt has failed", func() bool { return partner.count("/") > 0 })

	want[hook](t, c.do(t, http.MethodPatch, h.path(), object{"active": false}), http.StatusOK)
	c.moved(t, stream, pipeline.TypeEmailSent, nil)
	c.allAre(t, h, pipeline.DeliveryHeld, 2)

	require.Equal(t, http.StatusNoContent, c.do(t, http.MethodDelete, h.path(), nil).status)
	c.moved(t, stream, pipeline.TypeEmailSent, nil)
	c.allAre(t, h, pipeline.DeliveryDiscarded, 2)
	refused(t, c.get(t, h.path()), http.StatusNotFound, pipeline.CodeNotFound)
}
