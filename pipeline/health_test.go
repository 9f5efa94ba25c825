package pipeline_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

var healthNow = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func failed(at time.Time) pipeline.Result {
	return pipeline.Result{Status: pipeline.DeliveryPending, Attempt: pipeline.Attempt{At: at}}
}

func delivered() pipeline.Result { return pipeline.Result{Status: pipeline.DeliveryDelivered} }

func repeat(r pipeline.Result, n int) []pipeline.Result {
	out := make([]pipeline.Result, n)
	for i := range out {
		out[i] = r
	}
	return out
}

func TestHealthAfterAttempts(t *testing.T) {
	t.Parallel()
	policy := pipeline.HealthPolicy{DisableAfter: 5 * 24 * time.Hour}
	since := pipeline.Instant(healthNow.Add(-time.Minute))
	gone := failed(healthNow)
	gone.Gone = true
	tests := map[string]struct {
		before  pipeline.Health
		results []pipeline.Result
		after   pipeline.Health
		verdict pipeline.Verdict
	}{
		"a success where all is well leaves nothing to remember": {
			results: []pipeline.Result{delivered()},
		},
		"a failure is counted from when it was made": {
			results: []pipeline.Result{failed(healthNow)},
			after:   pipeline.Health{Failures: 1, FailingSince: pipeline.Instant(healthNow)},
		},
		"failures before a success do not count": {
			before:  pipeline.Health{Failures: 8, FailingSince: since},
			results: []pipeline.Result{failed(healthNow), delivered(), failed(healthNow)},
			after:   pipeline.Health{Failures: 1, FailingSince: pipeline.Instant(healthNow)},
		},
		"what was not sent shows nothing": {
			before:  pipeline.Health{Failures: 8, FailingSince: since},
			results: []pipeline.Result{{Status: pipeline.DeliveryDiscarded}},
			after:   pipeline.Health{Failures: 8, FailingSince: since},
		},
		"the tenth in a row opens the circuit and is told": {
			before:  pipeline.Health{Failures: 8, FailingSince: since},
			results: repeat(failed(healthNow), 2),
			after: pipeline.Health{
				Failures: 10, FailingSince: since, Probes: 1, Told: true, RestUntil: pipeline.Instant(healthNow.Add(time.Second)),
			},
			verdict: pipeline.Verdict{Notices: []pipeline.EventType{pipeline.TypeWebhookFailing}},
		},
		"what was under way when it opened makes the rest no longer": {
			before: pipeline.Health{
				Failures: 10, FailingSince: since, Probes: 1, Told: true, RestUntil: pipeline.Instant(healthNow.Add(time.Second)),
			},
			results: repeat(failed(healthNow), 5),
			after: pipeline.Health{
				Failures: 15, FailingSince: since, Probes: 1, Told: true, RestUntil: pipeline.Instant(healthNow.Add(time.Second)),
			},
		},
		"a probe that fails doubles the rest": {
			before: pipeline.Health{
				Failures: 15, FailingSince: since, Probes: 2, Told: true, RestUntil: pipeline.Instant(healthNow),
			},
			results: []pipeline.Result{failed(healthNow)},
			after: pipeline.Health{
				Failures: 16, FailingSince: since, Probes: 3, Told: true, RestUntil: pipeline.Instant(healthNow.Add(4 * time.Second)),
			},
		},
		"the rest has an end": {
			before:  pipeline.Health{Failures: 500, FailingSince: since, Probes: 400, Told: true},
			results: []pipeline.Result{failed(healthNow)},
			after: pipeline.Health{
				Failures: 501, FailingSince: since, Probes: 401, Told: true, RestUntil: pipeline.Instant(healthNow.Add(30 * time.Second)),
			},
		},
		"a probe that succeeds closes the circuit, and that is told": {
			before: pipeline.Health{
				Failures: 15, FailingSince: since, Probes: 2, Told: true, RestUntil: pipeline.Instant(healthNow),
			},
			results: []pipeline.Result{delivered()},
			verdict: pipeline.Verdict{Notices: []pipeline.EventType{pipeline.TypeWebhookRecovered}},
		},
		"few failures over a day are told too": {
			before:  pipeline.Health{Failures: 3, FailingSince: pipeline.Instant(healthNow.Add(-24 * time.Hour))},
			results: []pipeline.Result{failed(healthNow)},
			after:   pipeline.Health{Failures: 4, FailingSince: pipeline.Instant(healthNow.Add(-24 * time.Hour)), Told: true},
			verdict: pipeline.Verdict{Notices: []pipeline.EventType{pipeline.TypeWebhookFailing}},
		},
		"five days of failures disable": {
			before:  pipeline.Health{Failures: 7, FailingSince: pipeline.Instant(healthNow.Add(-5 * 24 * time.Hour)), Told: true},
			results: []pipeline.Result{failed(healthNow)},
			after:   pipeline.Health{Failures: 8, FailingSince: pipeline.Instant(healthNow.Add(-5 * 24 * time.Hour)), Told: true},
			verdict: pipeline.Verdict{
				Notices: []pipeline.EventType{pipeline.TypeWebhookDisabled}, Disable: pipeline.DisabledFailed,
			},
		},
		"410 disables at once": {
			results: []pipeline.Result{gone},
			after:   pipeline.Health{Failures: 1, FailingSince: pipeline.Instant(healthNow)},
			verdict: pipeline.Verdict{Notices: []pipeline.EventType{pipeline.TypeWebhookDisabled}, Disable: pipeline.DisabledGone},
		},
		"410 disables, whatever else was answered at the same time": {
			results: []pipeline.Result{gone, delivered()},
			verdict: pipeline.Verdict{Notices: []pipeline.EventType{pipeline.TypeWebhookDisabled}, Disable: pipeline.DisabledGone},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after, verdict := tt.before.After(tt.results, false, policy, healthNow)
			require.Equal(t, tt.after, after)
			require.Equal(t, tt.verdict, verdict)
		})
	}
}

func TestHealthRemembersThatTheLastAnswerWasSlow(t *testing.T) {
	t.Parallel()
	policy := pipeline.HealthPolicy{DisableAfter: time.Hour}

	slow, verdict := pipeline.Health{}.After([]pipeline.Result{delivered()}, true, policy, healthNow)
	require.Equal(t, pipeline.Health{Slow: true}, slow)
	require.Empty(t, verdict)
	require.False(t, slow.Healthy())

	fast, _ := slow.After([]pipeline.Result{delivered()}, false, policy, healthNow)
	require.True(t, fast.Healthy())
}
