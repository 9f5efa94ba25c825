package e2e_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestAnEndpointThatIsDownIsProbedInsteadOfHammered(t *testing.T) {
	t.Parallel()
	const first, waiting = pipeline.BreakerLimit + 2, 60
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	var endpoint light
	var refusals atomic.Int64
	partner.on("/", func(w http.ResponseWriter, r *http.Request, nth int) {
		if !endpoint.well.Load() {
			refusals.Add(1)
		}
		endpoint.answer(w, r, nth)
	})
	h := c.webhook(t, partner.URL+"/", object{"retry_schedule": often("200ms")})
	streams := make([]pipeline.Stream, first)
	for i := range streams {
		streams[i] = c.customer(t).Ref().Stream()
	}
	eventually(t, "the circuit is open", func() bool { return c.settings(t, h).Health.Probing() && partner.open("/") == 0 })

	before := partner.count("/")
	for i := range waiting {
		c.moved(t, streams[i%first], pipeline.TypeEmailSent, nil)
	}
	c.allAre(t, h, pipeline.DeliveryPending, first+waiting)
	eventually(t, "it is probed", func() bool { return partner.count("/") > before })
	rests := c.settings(t, h).Health
	endpoint.well.Store(true)
	// Each probe is followed by a rest of at least a second: far fewer than there are deliveries.
	require.Less(t, partner.count("/")-before, waiting/4)
	require.GreaterOrEqual(t, rests.Failures, pipeline.BreakerLimit)
	require.False(t, time.Time(rests.RestUntil).IsZero())

	c.allAre(t, h, pipeline.DeliveryDelivered, first+waiting)
	failed := 0
	for _, d := range c.deliveries(t, h) {
		for _, status := range attempts(d) {
			if status != http.StatusOK {
				failed++
			}
		}
	}
	require.EqualValues(t, refusals.Load(), failed, "what waited used up no attempts")
	require.Equal(t, first+waiting+failed, partner.count("/"))
	require.True(t, c.settings(t, h).Health.Healthy())
	for _, s := range streams {
		require.Equal(t, upTo(1+waiting/first), partner.firstOf("/", s))
	}
}

// notice is what an operational event says of a webhook.
type notice struct {
	Type      pipeline.EventType `json:"-"`
	WebhookID int64              `json:"webhook_id"`
	Reason    string             `json:"reason"`
}

// notices lists the operational events that a path was told of, each once.
func (r *receiver) notices(t *testing.T, path string) []notice {
	t.Helper()
	var all []notice
	seen := map[string]bool{}
	for _, d := range r.at(path) {
		if seen[d.envelope.Data.ID] {
			continue
		}
		seen[d.envelope.Data.ID] = true
		if !d.envelope.Type.Operational() {
			continue
		}
		var n notice
		require.NoError(t, json.Unmarshal(d.envelope.Data.Payload, &n))
		n.Type = d.envelope.Type
		all = append(all, n)
	}
	return all
}

func (r *receiver) noticed(t *testing.T, path string, typ pipeline.EventType) bool {
	t.Helper()
	return slices.ContainsFunc(r.notices(t, path), func(n notice) bool { return n.Type == typ })
}

func TestAWebhookThatFailsForTooLongIsDisabledWithAWarningBefore(t *testing.T) {
	t.Parallel()
	e := coupleEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	var endpoint light
	partner.on("/ill", endpoint.answer)
	c.webhook(t, partner.URL+"/watch", object{"events": []string{"webhook.*"}})
	ill := c.webhook(t, partner.URL+"/ill", object{"retry_schedule": often("300ms")})
	stream := c.customer(t).Ref().Stream()
	c.moved(t, stream, pipeline.TypeEmailSent, nil)

	c.allAre(t, ill, pipeline.DeliveryHeld, 2)
	shown := c.settings(t, ill)
	require.False(t, shown.Active)
	require.Equal(t, pipeline.DisabledFailed, *shown.DisabledReason)
	eventually(t, "the watcher is told", func() bool { return len(partner.notices(t, "/watch")) == 2 })
	require.Equal(t, []notice{
		{Type: pipeline.TypeWebhookFailing, WebhookID: ill.ID},
		{Type: pipeline.TypeWebhookDisabled, WebhookID: ill.ID, Reason: pipeline.DisabledFailed},
	}, partner.notices(t, "/watch"))

	endpoint.well.Store(true)
	c.moved(t, stream, pipeline.TypeEmailSent, nil)
	c.enable(t, ill, nil)
	c.allAre(t, ill, pipeline.DeliveryDelivered, 3)
	require.Equal(t, upTo(3), partner.firstOf("/ill", stream))
}

func TestAnEndpointThatComesBackIsReportedAsRecovered(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	var endpoint light
	partner.on("/moody", endpoint.answer)
	c.webhook(t, partner.URL+"/watch", object{"events": []string{"webhook.failing", "webhook.recovered"}})
	moody := c.webhook(t, partner.URL+"/moody", object{"retry_schedule": often("200ms")})
	for range pipeline.BreakerLimit {
		c.customer(t)
	}
	eventually(t, "the warning", func() bool { return partner.noticed(t, "/watch", pipeline.TypeWebhookFailing) })
	endpoint.well.Store(true)
	c.allAre(t, moody, pipeline.DeliveryDelivered, pipeline.BreakerLimit)
	eventually(t, "the all-clear", func() bool { return partner.noticed(t, "/watch", pipeline.TypeWebhookRecovered) })
	require.Equal(t, []notice{
		{Type: pipeline.TypeWebhookFailing, WebhookID: moody.ID}, {Type: pipeline.TypeWebhookRecovered, WebhookID: moody.ID},
	}, partner.notices(t, "/watch"))
}

func TestOperationalEventsAreNeverAboutTheWebhookThatGetsThem(t *testing.T) {
	t.Parallel()
	everything := []string{"*", "webhook.*", "delivery.*"}
	e := sharedEngine(t)
	c := e.newCompany(t)
	partnerKey := c.newKey(t, pipeline.RolePartner)
	partner := newReceiver(t)
	for _, path := range []string{"/one", "/other"} {
		partner.on(path, inTurn(500))
	}
	// Both fail, so each has something to tell of the other, which fails as well.
	one := c.webhook(t, partner.URL+"/one", object{"events": everything, "retry_schedule": []any{}})
	other := c.webhook(t, partner.URL+"/other", object{"events": everything, "retry_schedule": []any{}})
	watching := c.webhook(t, partner.URL+"/watch", object{"events": []string{"delivery.*", "webhook.*"}})
	all := c.webhook(t, partner.URL+"/all", nil)
	partnerKey.webhook(t, partner.URL+"/partner", object{"events": everything})
	event := c.events(t, c.customer(t).Ref().Stream())[0]

	eventually(t, "both deliveries are reported as given up", func() bool { return len(partner.notices(t, "/watch")) == 2 })
	c.allAre(t, all, pipeline.DeliveryDelivered, 1)
	c.allAre(t, one, pipeline.DeliveryExhausted, 2) // the customer, and that the other has given up
	c.allAre(t, other, pipeline.DeliveryExhausted, 2)
	about := map[int64]int{}
	for _, n := range partner.notices(t, "/watch") {
		require.Equal(t, pipeline.TypeDeliveryExhausted, n.Type)
		about[n.WebhookID]++
	}
	require.Equal(t, map[int64]int{one.ID: 1, other.ID: 1}, about, "and nothing about notices that were given up")
	for path, others := range map[string]int64{"/one": other.ID, "/other": one.ID} {
		for _, n := range partner.notices(t, path) {
			require.Equal(t, others, n.WebhookID)
		}
	}
	require.Empty(t, partner.notices(t, "/all"), "* means what happens to deals")
	eventually(t, "the partner has the customer", func() bool { return partner.has("/partner", event) })
	require.Empty(t, partner.notices(t, "/partner"), "other keys' webhooks are none of its business")
	require.NotEqual(t, watching.ID, one.ID)

	feed := func(query string) []pipeline.EventType {
		events := want[list[pipeline.Event]](t, c.get(t, "/v1/events?after=0"+query), http.StatusOK).Data
		types := make([]pipeline.EventType, len(events))
		for i, e := range events {
			types[i] = e.Type
		}
		return types
	}
	require.Equal(t, []pipeline.EventType{pipeline.TypeCustomerCreated}, feed(""))
	require.Equal(t, []pipeline.EventType{pipeline.TypeDeliveryExhausted, pipeline.TypeDeliveryExhausted}, feed("&types=delivery.*"))
}

func TestARateLimitIsKeptWithoutUsingUpAttempts(t *testing.T) {
	t.Parallel()
	const (
		perSecond = 10
		entities  = 10
		each      = 3
	)
	e := coupleEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", object{"rate_limit": perSecond})
	streams := make([]pipeline.Stream, entities)
	for i := range streams {
		streams[i] = c.customer(t).Ref().Stream()
		for range each - 1 {
			c.moved(t, streams[i], pipeline.TypeEmailSent, nil)
		}
	}
	c.allAre(t, h, pipeline.DeliveryDelivered, entities*each)
	began := make([]time.Time, 0, entities*each)
	for _, d := range c.deliveries(t, h) {
		require.Equal(t, []pipeline.ID{http.StatusOK}, attempts(d))
		began = append(began, d.Attempts[0].At)
	}
	slices.SortFunc(began, time.Time.Compare)
	for i, from := range began {
		end := i
		for end < len(began) && began[end].Sub(from) < time.Second {
			end++
		}
		require.LessOrEqual(t, end-i, perSecond+1, "requests within a second")
	}
	for _, s := range streams {
		require.Equal(t, upTo(each), partner.firstOf("/", s))
	}
}

func TestAFloodFromManyEntitiesIsCappedOverAllWorkers(t *testing.T) {
	t.Parallel()
	const atMost, entities = 4, 60
	e := coupleEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/", slow(50*time.Millisecond))
	since := time.Now()
	eventually(t, "the workers know of each other", func() bool {
		var alive int
		err := e.db.QueryRowContext(t.Context(), `SELECT count(*) FROM workers WHERE seen_at > $1`, since).Scan(&alive)
		require.NoError(t, err)
		return alive == 2
	})
	h := c.webhook(t, partner.URL+"/", object{"max_concurrency": atMost})
	atOnce(t, entities, func(i int) (answer, error) {
		a, _, err := c.insist("/v1/customers", newCustomer(), strconv.Itoa(i))
		return a, err
	})
	c.allAre(t, h, pipeline.DeliveryDelivered, entities)
	require.LessOrEqual(t, partner.mostAtOnce("/"), atMost)
	require.Greater(t, partner.mostAtOnce("/"), 1)
	require.Equal(t, entities, partner.count("/"))
}
