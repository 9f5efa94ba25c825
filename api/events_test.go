package api_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestFeed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	proposal := r.proposal(customer)
	r.customer(as(stranger))
	r.post(proposal+"/transitions", object{"type": "proposal.sent"}).must(http.StatusCreated)

	all := r.get("/v1/events?after=0").must(http.StatusOK)
	require.Len(t, all["data"], 3)
	require.Nil(t, all["next_cursor"])
	require.InDelta(t, 4, all["position"], 0)

	first := r.get("/v1/events?limit=1").must(http.StatusOK)
	require.InDelta(t, 1, first["position"], 0)
	require.Len(t, r.get("/v1/events?after=1").rows(), 2)
	nothing := r.get("/v1/events?after=99").must(http.StatusOK)
	require.Empty(t, nothing["data"])
	require.InDelta(t, 99, nothing["position"], 0, "ask on from where you were")

	require.Len(t, r.get("/v1/events?types=proposal.*").rows(), 2)
	require.Len(t, r.get("/v1/events?types=proposal.sent,customer.created").rows(), 2)
	require.Len(t, r.get("/v1/events?types=*").rows(), 3)
}

// What happens to webhooks and documents has to be named; "*" is what happens to deals.
func TestFeedOfOperationalEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.customer()
	stream := pipeline.StreamOf(pipeline.KindWebhook, 7)
	for _, entry := range pipeline.Notices() {
		r.store.append(pipeline.Event{
			ID: string(entry.Type), Type: entry.Type, CompanyID: 1, Stream: stream, State: []byte(`{}`), Payload: []byte(`{}`),
		}, pipeline.Idempotency{})
	}
	rows := r.get("/v1/events?types=webhook.*,delivery.exhausted,document.failed").rows()
	require.Len(t, rows, len(pipeline.Notices()))
	require.Nil(t, rows[0]["customer_id"])
	require.Equal(t, "webhook-7", rows[0]["stream"])
	require.Len(t, r.get("/v1/events?types=webhook.failing").rows(), 1)
	require.Len(t, r.get("/v1/events?types=delivery.*").rows(), 1)
	require.Len(t, r.get("/v1/events?types=document.*").rows(), 1)
	require.Len(t, r.get("/v1/events?types=*").rows(), 1)
	require.Len(t, r.get("/v1/events?types=*,webhook.*,document.*").rows(), len(pipeline.Notices()))
}

func TestFeedWaitsForNews(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	waiting := make(chan reply, 3)
	for range cap(waiting) {
		go func() { waiting <- r.get("/v1/events?after=0&wait=30s") }()
	}
	require.Eventually(t, func() bool {
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		return r.store.asked > 0
	}, 10*time.Second, time.Millisecond)
	r.customer()
	for range cap(waiting) {
		require.Len(t, (<-waiting).rows(), 1)
	}
}

func TestFeedAnswersAtOnceWhereThereIsSomething(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.customer()
	require.Len(t, r.get("/v1/events?after=0&wait=30s").rows(), 1)
	require.Zero(t, r.store.asked, "nobody waited")
}

func TestFeedStopsWaiting(t *testing.T) {
	t.Parallel()
	t.Run("when the time is up", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, newRig(t).get("/v1/events?wait=10ms").rows())
	})
	t.Run("when the caller hangs up", func(t *testing.T) {
		t.Parallel()
		ctx, hangUp := context.WithCancel(t.Context())
		hangUp()
		gone := func(q *http.Request) { *q = *q.WithContext(ctx) }
		require.Empty(t, newRig(t).get("/v1/events?wait=30s", gone).rows())
	})
	t.Run("when the server is to end", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.server.Drain()
		r.server.Drain() // twice does no harm
		require.Empty(t, r.get("/v1/events?wait=30s").rows())
	})
}

func TestStreamEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	for range 4 {
		r.post(customer+"/transitions", object{"type": "sms.sent"}).must(http.StatusCreated)
	}
	var seqs []any
	next := customer + "/events?limit=2"
	for next != "" {
		a := r.get(next)
		for _, e := range a.rows() {
			seqs = append(seqs, e["seq"])
		}
		cursor, more := a.must(http.StatusOK)["next_cursor"].(string)
		next = ""
		if more {
			next = customer + "/events?limit=2&cursor=" + cursor
		}
	}
	require.Equal(t, []any{1.0, 2.0, 3.0, 4.0, 5.0}, seqs)
	r.get("/v1/customers/424242/events").problem(http.StatusNotFound, pipeline.CodeNotFound)
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.webhook()
	customer := r.customer()
	proposal := r.proposal(customer)
	r.store.deliveries[0].Attempts = []pipeline.Attempt{
		{At: r.store.now.Add(time.Second), Status: 500, LatencyMS: 12, ResponseBody: "no"},
		{At: r.store.now.Add(2 * time.Second), LatencyMS: 5000, Error: "timeout"},
	}

	kinds := func(rows []object) []string {
		out := make([]string, 0, len(rows))
		for _, row := range rows {
			kind, ok := row["kind"].(string)
			require.True(t, ok)
			require.Contains(t, row, kind)
			require.NotEmpty(t, row["at"])
			out = append(out, kind)
		}
		return out
	}
	rows := r.get(customer + "/timeline").rows()
	require.Equal(t, []string{"event", "delivery", "event", "delivery", "attempt", "attempt"}, kinds(rows),
		"a customer's story has its proposals' too")
	delivery := r.store.deliveries[0]
	require.Equal(t, object{
		"delivery_id": float64(delivery.ID), "webhook_id": float64(delivery.WebhookID),
		"event_id": delivery.EventID, "at": "2026-11-21T09:00:02.123456789Z",
		"status": nil, "latency_ms": 5000.0, "error": "timeout", "response_body": nil,
	}, rows[5]["attempt"])
	require.Equal(t, []string{"event", "delivery"}, kinds(r.get(proposal+"/timeline").rows()))

	first := r.get(customer + "/timeline?limit=1")
	require.Equal(t, []string{"event", "delivery", "attempt", "attempt"}, kinds(first.rows()),
		"a page has all that was delivered of its events")
	cursor, more := first.must(http.StatusOK)["next_cursor"].(string)
	require.True(t, more)
	require.Equal(t, []string{"event", "delivery"}, kinds(r.get(customer+"/timeline?cursor="+cursor).rows()))
}
