package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestGaps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	id := r.store.webhooks[0].ID
	r.store.gaps = pipeline.Gaps{Next: 42, Gaps: []pipeline.Gap{
		{
			EventID: "evt_0", EventType: pipeline.TypeSMSSent, Position: 7, Stream: "customer-1", Version: 3, Timestamp: r.store.now,
			Status: "exhausted", Delivery: 9,
		},
		{EventID: "evt_1", EventType: pipeline.TypeSMSSent, Position: 8, Stream: "customer-1", Version: 4, Timestamp: r.store.now},
	}}
	first := r.get(webhook+"/gaps?after=5&until=100&limit=2", as(app))
	require.Equal(t, pipeline.GapQuery{CompanyID: 1, WebhookID: id, After: 5, Until: 100, Limit: 2}, r.store.lastAsk())
	require.Equal(t, []object{
		{
			"event_id": "evt_0", "event_type": "sms.sent", "position": 7.0, "stream": "customer-1", "seq": 3.0,
			"timestamp": "2026-11-21T09:00:00.123456789Z", "delivery_status": "exhausted", "delivery_id": 9.0,
		},
		{
			"event_id": "evt_1", "event_type": "sms.sent", "position": 8.0, "stream": "customer-1", "seq": 4.0,
			"timestamp": "2026-11-21T09:00:00.123456789Z", "delivery_status": nil, "delivery_id": nil,
		},
	}, first.rows())

	// Enough was looked at and nothing found: the page is empty, and there is another.
	cursor, more := first.must(http.StatusOK)["next_cursor"].(string)
	require.True(t, more)
	r.store.gaps = pipeline.Gaps{Next: 99}
	empty := r.get(webhook + "/gaps?after=5&until=100&limit=2&cursor=" + cursor)
	require.Equal(t, pipeline.GapQuery{CompanyID: 1, WebhookID: id, After: 42, Until: 100, Limit: 2}, r.store.lastAsk())
	require.Empty(t, empty.rows())
	cursor, more = empty.must(http.StatusOK)["next_cursor"].(string)
	require.True(t, more)

	r.store.gaps = pipeline.Gaps{}
	last := r.get(webhook + "/gaps?cursor=" + cursor)
	require.Equal(t, pipeline.GapQuery{CompanyID: 1, WebhookID: id, After: 99, Limit: 100}, r.store.lastAsk())
	require.Empty(t, last.rows())
	require.Nil(t, last.must(http.StatusOK)["next_cursor"])
}

func TestStats(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	hour := time.Date(2026, time.November, 21, 9, 0, 0, 0, time.UTC)

	nothing := r.get(webhook + "/stats").must(http.StatusOK)
	require.Equal(t, hour.Add(-23*time.Hour), r.store.lastAsk())
	require.Equal(t, object{"attempts": 0.0, "succeeded": 0.0, "success_rate": nil}, nothing["total"])
	require.Equal(t, []any{}, nothing["hours"])

	r.store.webhooks[0].Health = pipeline.Health{Failures: 2, FailingSince: pipeline.Instant(hour), Probes: 3, Told: true}
	r.store.stats = []pipeline.StatsHour{
		{Hour: hour.Add(-time.Hour), Attempts: 6, Succeeded: 6, SuccessRate: 1, P50MS: 12, P95MS: 80.5},
		{Hour: hour, Attempts: 2, Succeeded: 0, P50MS: 5000, P95MS: 5000},
	}
	require.Equal(t, object{
		"webhook_id": float64(r.store.webhooks[0].ID), "from": "2026-11-21T08:00:00Z", "to": "2026-11-21T09:00:00.123Z",
		"total": object{"attempts": 8.0, "succeeded": 6.0, "success_rate": 0.75},
		"hours": []any{
			object{
				"hour": "2026-11-21T08:00:00Z", "attempts": 6.0, "succeeded": 6.0, "success_rate": 1.0, "p50_ms": 12.0, "p95_ms": 80.5,
			},
			object{
				"hour": "2026-11-21T09:00:00Z", "attempts": 2.0, "succeeded": 0.0, "success_rate": 0.0, "p50_ms": 5000.0, "p95_ms": 5000.0,
			},
		},
		"health": object{"failures": 2.0, "failing_since": "2026-11-21T09:00:00Z", "rest_until": nil, "slow": false},
	}, r.get(webhook+"/stats?hours=2", as(app)).must(http.StatusOK))
	require.Equal(t, hour.Add(-time.Hour), r.store.lastAsk())
}
