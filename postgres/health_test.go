package postgres_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// A webhook's health is written only when it changes: success after success leaves its row be.
func TestWebhookHealth(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w, other := newWebhook(t, d.Store, 1, []string{"proposal.*"}), newWebhook(t, d.Store, 1, []string{"*"})
	p := backlog(t, d, 6)
	mine := fresh(t, d, p)[:6]
	untouched := rowVersion(t, d, other)
	requireHealth := func(failures int, slow bool) {
		t.Helper()
		got := health(t, d, w)
		require.Equal(t, failures, got.Failures)
		require.Equal(t, slow, got.Slow)
	}

	before := rowVersion(t, d, w)
	record(t, d, delivered(mine[0]))
	recordSlow(t, d, []int64{other.ID}, delivered(mine[1])) // slow is of no account for a webhook without results
	require.Equal(t, before, rowVersion(t, d, w))
	requireHealth(0, false)
	record(t, d, failed(mine[2], noon))
	record(t, d, failed(mine[2], noon))
	requireHealth(2, false)
	recordSlow(t, d, []int64{w.ID}, failed(mine[2], noon), delivered(mine[3]))
	requireHealth(0, true)
	record(t, d, delivered(mine[4]), failed(mine[5], noon))
	requireHealth(1, false)
	record(t, d, delivered(mine[5]))
	require.Equal(t, pipeline.Health{}, health(t, d, w))
	require.Equal(t, untouched, rowVersion(t, d, other))
}

// After ten failures in a row the endpoint rests, is then probed with one delivery at a time,
// and after a success gets everything again.
func TestCircuitBreaker(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	observer := newWebhook(t, d.Store, 1, []string{"webhook.*"}, ofAdmin(t, d))
	mine := fresh(t, d, backlog(t, d, pipeline.BreakerLimit+2))
	soon, since := time.Now(), justNow()
	for i := range pipeline.BreakerLimit - 1 {
		r := failed(mine[i], soon)
		r.Attempt.At = since
		record(t, d, r)
	}
	require.Len(t, due(t, d, w), pipeline.BreakerLimit-1)
	require.Empty(t, due(t, d, observer))
	wake := record(t, d, failed(mine[pipeline.BreakerLimit-1], soon))
	require.Equal(t, []int64{w.ID, observer.ID}, wake)

	require.Empty(t, due(t, d, w), "it rests")
	require.True(t, nextDue(t, d, w).After(time.Now()))
	require.Empty(t, record(t, d, failed(mine[pipeline.BreakerLimit], soon)), "its workflow looks when it has rested")
	told := due(t, d, observer)
	require.Equal(t, []string{"webhook.failing"}, typesOf(told))
	var notice pipeline.WebhookNotice
	require.NoError(t, json.Unmarshal(told[0].Event.Payload, &notice))
	require.Equal(t, pipeline.WebhookNotice{
		WebhookID: w.ID, URL: w.URL, Failures: pipeline.BreakerLimit, FailingSince: pipeline.Instant(since),
		DisableAt: pipeline.Instant(since.Add(pipeline.DefaultDisableAfter)),
	}, notice)

	adjustHealth(t, d, w, "rest_until = now()")
	probe := due(t, d, w)
	require.Len(t, probe, 1)
	require.Equal(t, []int64{observer.ID}, record(t, d, delivered(probe[0])), "its own workflow is about to look")
	require.Equal(t, pipeline.Health{}, health(t, d, w))
	require.Len(t, due(t, d, w), pipeline.BreakerLimit)
	require.Equal(t, []string{"webhook.failing", "webhook.recovered"}, typesOf(due(t, d, observer)))
}

func TestDisabledByItsAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		prior  string // health
		gone   bool
		reason string
		told   []string
	}{
		{"gone", "told = false", true, pipeline.DisabledGone, []string{"webhook.disabled"}},
		{
			"failing for too long", "failures = 3, told = true, failing_since = now() - interval '6 days'", false,
			pipeline.DisabledFailed,
			[]string{"webhook.disabled"},
		},
		{
			"failing for too long, rarely tried", "failures = 3, failing_since = now() - interval '6 days'", false,
			pipeline.DisabledFailed,
			[]string{"webhook.failing", "webhook.disabled"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
			observer := newWebhook(t, d.Store, 1, []string{"webhook.*"}, ofAdmin(t, d))
			mine := fresh(t, d, backlog(t, d, 3))
			handOver(t, d, mine[2].DeliveryID)
			adjustHealth(t, d, w, test.prior)
			r := failed(mine[0], time.Now())
			r.Attempt.At, r.Attempt.Error, r.Gone = time.Now(), "HTTP 410", test.gone
			require.Equal(t, []int64{observer.ID}, record(t, d, r), "the webhook itself has nothing to do any more")

			require.Equal(t, []string{"held", "held", "held"}, statuses(t, d, w))
			require.Empty(t, due(t, d, w))
			off, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
			require.NoError(t, err)
			require.False(t, off.Active)
			require.EqualValues(t, test.reason, off.DisabledReason)
			told := due(t, d, observer)
			require.Equal(t, test.told, typesOf(told))
			last := told[len(told)-1].Event
			var notice pipeline.WebhookNotice
			require.NoError(t, json.Unmarshal(last.Payload, &notice))
			require.EqualValues(t, test.reason, notice.Reason)
			require.EqualValues(t, "HTTP 410", notice.Error)
			var state pipeline.NoticeState
			require.NoError(t, json.Unmarshal(last.State, &state))
			require.Equal(t, pipeline.NoticeState{
				ID: w.ID, CompanyID: 1, URL: w.URL, DisabledReason: pipeline.Text(test.reason), Version: int64(len(told)),
			}, state)

			// What was under way meanwhile changes nothing more.
			require.Empty(t, record(t, d, r))
			require.Len(t, due(t, d, observer), len(told))
		})
	}
}

func health(t *testing.T, d database, w pipeline.Webhook) pipeline.Health {
	t.Helper()
	read, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	return read.Health
}

func ofAdmin(t *testing.T, d database) func(*pipeline.Webhook) {
	t.Helper()
	key := newKey(t, d.Store, 1, pipeline.RoleAdmin)
	return func(w *pipeline.Webhook) { w.KeyID = key.ID }
}

func typesOf(dispatches []pipeline.Dispatch) []string {
	out := make([]string, len(dispatches))
	for i, d := range dispatches {
		out[i] = string(d.Event.Type)
	}
	return out
}
