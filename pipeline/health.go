package pipeline

import "time"

// Health is how a webhook's endpoint has been answering. It is what decides whether it is sent
// to at all, and by whom.
type Health struct {
	Failures     int     `json:"failures"`      // in a row
	FailingSince Instant `json:"failing_since"` // the first of them
	RestUntil    Instant `json:"rest_until"`    // the circuit is open: nothing is sent before
	Slow         bool    `json:"slow"`          // its last answer took long
	Probes       int     `json:"-"`             // how often in a row a probe found it failing still
	Told         bool    `json:"-"`             // webhook.failing was recorded
}

// The circuit breaker: after so many failures in a row an endpoint is probed with one delivery
// at a time, the first probe after firstRest, each later one after twice the time before, up
// to longestRest.
const (
	BreakerLimit = 10
	firstRest    = time.Second
	longestRest  = 30 * time.Second
)

// Probing reports that the endpoint gets one delivery at a time, to see whether it is back.
func (h Health) Probing() bool { return h.Failures >= BreakerLimit }

// Healthy reports that there is nothing to remember.
func (h Health) Healthy() bool { return h == Health{} }

// HealthPolicy says when a failing webhook is disabled: after so long without a success.
type HealthPolicy struct {
	DisableAfter time.Duration
}

// DefaultDisableAfter is how long every attempt has to fail before a webhook is disabled.
const DefaultDisableAfter = 5 * 24 * time.Hour

// warnAfter is the part of DisableAfter after which webhook.failing is recorded, where the
// circuit breaker has not led to that before.
const warnAfter = 5

// Verdict is what follows from attempts for the webhook as a whole.
type Verdict struct {
	Notices []EventType // what is to be recorded, in this order
	Disable string      // why the webhook is to be disabled, a Disabled… value; empty: it is not
}

// After gives the health after attempts at one webhook, in the order in which they were made,
// and what follows.
func (h Health) After(results []Result, slow bool, p HealthPolicy, now time.Time) (Health, Verdict) {
	next := h
	next.Slow = slow
	failed, gone := 0, false
	for _, r := range results {
		if r.Status == DeliveryDiscarded { // it was not asked, so it showed nothing
			continue
		}
		if r.OK() {
			next.Failures, next.FailingSince = 0, Instant{}
			continue
		}
		failed++
		gone = gone || r.Gone
		if next.Failures == 0 {
			next.FailingSince = Instant(r.Attempt.At)
		}
		next.Failures++
	}
	if next.Failures == 0 && !gone {
		return next.recovered()
	}
	// What fails while the endpoint rests was under way before, and is no probe.
	if failed > 0 && next.Probing() && !now.Before(time.Time(next.RestUntil)) {
		next.RestUntil = Instant(now.Add(rest(next.Probes)))
		next.Probes++
	}
	return next.failing(gone, p, now)
}

func (h Health) recovered() (Health, Verdict) {
	told := h.Told
	h = Health{Slow: h.Slow}
	if told {
		return h, Verdict{Notices: []EventType{TypeWebhookRecovered}}
	}
	return h, Verdict{}
}

func (h Health) failing(gone bool, p HealthPolicy, now time.Time) (Health, Verdict) {
	var v Verdict
	var lasted time.Duration
	if h.Failures > 0 {
		lasted = now.Sub(time.Time(h.FailingSince))
	}
	if !h.Told && (h.Probing() || lasted >= p.DisableAfter/warnAfter) {
		h.Told = true
		v.Notices = append(v.Notices, TypeWebhookFailing)
	}
	switch {
	case gone:
		v.Disable = DisabledGone
	case h.Failures > 0 && lasted >= p.DisableAfter:
		v.Disable = DisabledFailed
	}
	if v.Disable != "" {
		v.Notices = append(v.Notices, TypeWebhookDisabled)
	}
	return h, v
}

// rest is how long the endpoint is left alone after so many probes.
func rest(probes int) time.Duration {
	d := firstRest
	for range probes {
		if d *= 2; d >= longestRest {
			return longestRest
		}
	}
	return d
}
