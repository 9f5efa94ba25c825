package webhook_test

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
	"github.com/dealwright/dealwright/webhook"
)

func TestTimeoutIsTheWebhooks(t *testing.T) {
	t.Parallel()
	url := rawPartner(t, func(_ int, c net.Conn) { hang(c) })
	d := dispatchTo(t, url+privatePath)
	d.Webhook.Timeout = pipeline.Duration(1200 * time.Millisecond)
	r := newSender(t, ample).Deliver(t.Context(), d)
	require.Equal(t, pipeline.DeliveryPending, r.Status)
	requireSentence(t, r, "no answer within 1.2s")
	require.GreaterOrEqual(t, r.Attempt.LatencyMS, int64(1200))
}

func TestTimeoutIsBounded(t *testing.T) {
	t.Parallel()
	s := webhook.NewSender(webhook.SenderConfig{Targets: newTargets(t, "")})
	for given, want := range map[time.Duration]time.Duration{
		0: 5 * time.Second, time.Millisecond: time.Second, -time.Second: time.Second, time.Second: time.Second,
		12 * time.Second: 12 * time.Second, 30 * time.Second: 30 * time.Second, time.Hour: 30 * time.Second,
	} {
		require.Equal(t, want, s.TimeoutOf(pipeline.Webhook{Timeout: pipeline.Duration(given)}), given)
	}
}

// What was dialled for an attempt ends with it: a hanging endpoint keeps nothing of ours.
func TestNothingIsLeftOfAnAttempt(t *testing.T) {
	t.Parallel()
	for name, scheme := range map[string]func(string) string{
		"within the answer":    func(u string) string { return u },
		"within the handshake": secure,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := make(chan struct{})
			url := rawPartner(t, func(_ int, c net.Conn) {
				hang(c)
				close(left)
			})
			requireSentence(t, newSender(t, patience).Deliver(t.Context(), dispatchTo(t, scheme(url)+privatePath)), lateness)
			select {
			case <-left:
			case <-time.After(ample / 2):
				require.Fail(t, "the connection is still there")
			}
		})
	}
}

func TestScheduleIsTheWebhooks(t *testing.T) {
	t.Parallel()
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s := newSender(t, ample) // with two retries, after a minute and an hour
	day := pipeline.Duration(24 * time.Hour)
	for name, c := range map[string]struct {
		schedule []pipeline.Duration
		before   int
		delay    time.Duration // 0: exhausted
	}{
		"its first":              {[]pipeline.Duration{day, day / 2}, 0, 24 * time.Hour},
		"its second":             {[]pipeline.Duration{day, day / 2}, 1, 12 * time.Hour},
		"used up":                {[]pipeline.Duration{day, day / 2}, 2, 0},
		"no retries":             {[]pipeline.Duration{}, 0, 0},
		"the engine's":           {nil, 1, time.Hour},
		"the engine's, used up":  {nil, 2, 0},
		"longer than the engine": {[]pipeline.Duration{day, day, day, day}, 3, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := dispatchTo(t, p.URL)
			d.Webhook.RetrySchedule, d.Attempts = c.schedule, c.before
			from := time.Now()
			r := s.Deliver(t.Context(), d)
			until := time.Now()
			if c.delay == 0 {
				require.Equal(t, pipeline.DeliveryExhausted, r.Status)
				require.Zero(t, r.NextAttemptAt)
				return
			}
			require.Equal(t, pipeline.DeliveryPending, r.Status)
			require.WithinRange(t, r.NextAttemptAt, from.Add(c.delay*8/10), until.Add(c.delay*12/10))
		})
	}
}

func TestRetryAfterIsRead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, " 120 ": 2 * time.Minute, "86399": day - time.Second, "86400": day, "86401": day,
		"31536000": day, "18446744073709551615": day, "99999999999999999999999": day,
		"-1": 0, "+5": 0, "1.5": 0, "1e3": 0, "0x10": 0, "soon": 0, "5 seconds": 0, "1,2": 0,
		"Sat, 21 Nov 2026 09:05:00 GMT":    5 * time.Minute,
		"Saturday, 21-Nov-26 09:05:00 GMT": 5 * time.Minute, // RFC 850
		"Sat Nov 21 09:05:00 2026":         5 * time.Minute, // asctime
		"Sat, 21 Nov 2026 08:59:59 GMT":    0,
		"Thu, 01 Jan 1970 00:00:00 GMT":    0,
		"Sun, 22 Nov 2026 09:00:01 GMT":    day,
		"Fri, 31 Dec 9999 23:59:59 GMT":    day,
		"Sat, 31 Nov 2026 09:05:00 GMT":    0,
		"2026-11-21T09:05:00Z":             0,
	} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, want, webhook.RetryAfter(http.Header{"Retry-After": {value}}, now))
		})
	}
	require.Zero(t, webhook.RetryAfter(nil, now))
}

// The next attempt is at the later of what the schedule says (after a minute, spread by 20 %)
// and what the endpoint asks for.
func TestRetryAfterMovesTheNextAttempt(t *testing.T) {
	t.Parallel()
	s := newSender(t, ample)
	for name, c := range map[string]struct {
		status     int
		retryAfter string
		least      time.Duration
		most       time.Duration
	}{
		"none":             {429, "", 48 * time.Second, 72 * time.Second},
		"later":            {429, "600", 10 * time.Minute, 10 * time.Minute},
		"sooner":           {429, "5", 48 * time.Second, 72 * time.Second},
		"unreadable":       {429, "later", 48 * time.Second, 72 * time.Second},
		"too long":         {503, "999999999", 24 * time.Hour, 24 * time.Hour},
		"another failure":  {404, "600", 10 * time.Minute, 10 * time.Minute},
		"server's failure": {500, "600", 10 * time.Minute, 10 * time.Minute},
		"redirect":         {302, "600", 10 * time.Minute, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", c.retryAfter)
				w.WriteHeader(c.status)
			})
			d := dispatchTo(t, p.URL)
			from := time.Now()
			r := s.Deliver(t.Context(), d)
			until := time.Now()
			require.Equal(t, pipeline.DeliveryPending, r.Status)
			require.WithinRange(t, r.NextAttemptAt, from.Add(c.least), until.Add(c.most))

			d.Attempts = 2
			r = s.Deliver(t.Context(), d)
			require.Equal(t, pipeline.DeliveryExhausted, r.Status, "the schedule is used up all the same")
			require.Zero(t, r.NextAttemptAt)
		})
	}
}

func TestRetryAfterADate(t *testing.T) {
	t.Parallel()
	date := time.Now().Add(3 * time.Hour).UTC().Truncate(time.Second)
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", date.Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	r := newSender(t, ample).Deliver(t.Context(), dispatchTo(t, p.URL))
	// Between reading the header and reckoning from now there may pass a moment.
	require.WithinDuration(t, date, r.NextAttemptAt, time.Second)
}

func TestRetryAfterWithASuccessMeansNothing(t *testing.T) {
	t.Parallel()
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "600") })
	r := newSender(t, ample).Deliver(t.Context(), dispatchTo(t, p.URL))
	require.Equal(t, pipeline.DeliveryDelivered, r.Status)
	require.Zero(t, r.NextAttemptAt)
}

func TestGone(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400, 404, 409, 410, 411, 451, 500} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			s := newSender(t, ample)
			r := s.Deliver(t.Context(), dispatchTo(t, p.URL))
			require.Equal(t, status == http.StatusGone, r.Gone)
			require.Equal(t, status == http.StatusOK, r.NextAttemptAt.IsZero(), "where it is enabled again, it goes on")
			if r.Gone {
				require.Equal(t, pipeline.DeliveryPending, r.Status)
				require.Equal(t, pipeline.Text("answered 410"), r.Attempt.Error)
				last := dispatchTo(t, p.URL)
				last.Attempts = 2
				r = s.Deliver(t.Context(), last)
				require.Equal(t, pipeline.DeliveryExhausted, r.Status)
				require.True(t, r.Gone)
			}
		})
	}
}

func TestHeadersAreSent(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	d := dispatchTo(t, p.URL)
	d.Webhook.Headers = pipeline.Headers{"X-Tenant": "acme", "x-lower": "a\tb", "Authorization": "Custom x", "X-Empty": ""}
	require.True(t, newSender(t, ample).Deliver(t.Context(), d).OK())
	got := p.got()[0].header
	for name, value := range d.Webhook.Headers {
		require.Equal(t, []string{value}, got.Values(name), name)
	}
}

// Saving refuses them, but they may have been saved before a name was reserved.
func TestReservedHeadersAreNotSent(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	s := newSender(t, ample)
	require.True(t, s.Deliver(t.Context(), dispatchTo(t, p.URL)).OK())
	d := dispatchTo(t, p.URL)
	d.Webhook.Headers = pipeline.Headers{
		"Host": "evil.example", "Content-Length": "1", "Content-Type": "text/plain", "Transfer-Encoding": "chunked", "Connection": "close",
		"Upgrade": "h2c", "TE": "trailers", "Trailer": "X", "Expect": "100-continue", "Accept-Encoding": "gzip", "User-Agent": "evil",
		"webhook-id": "1", "WEBHOOK-SIGNATURE": "v1,x", "webhook-test": "true", "idempotency-key": "1", "Proxy-Authorization": "x",
		"Traceparent": "x", "X-Solve360-Hmac-Sha256": "x", "Content-Encoding": "gzip",
	}
	r := s.Deliver(t.Context(), d)
	require.True(t, r.OK(), r.Attempt.Error)
	plain, got := p.got()[0], p.got()[1]
	for _, own := range []string{"Webhook-Timestamp", "Webhook-Signature"} {
		plain.header.Del(own)
		got.header.Del(own)
	}
	require.Equal(t, plain.header, got.header)
	require.Equal(t, plain.body, got.body)
	require.Equal(t, 1, p.connections())
}

func TestTestsAreFlagged(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	s := newSender(t, ample)
	for _, test := range []bool{false, true} {
		d := dispatchTo(t, p.URL)
		d.Test = test
		require.True(t, s.Deliver(t.Context(), d).OK())
	}
	flags := make([]struct {
		Data map[string]any `json:"data"`
	}, 2)
	for i, got := range p.got() {
		require.NoError(t, json.Unmarshal(got.body, &flags[i]))
	}
	require.NotContains(t, flags[0].Data, "test")
	require.NotContains(t, p.got()[0].header, "Webhook-Test")
	require.Equal(t, true, flags[1].Data["test"])
	require.Equal(t, "true", p.got()[1].header.Get("Webhook-Test"))
	require.Len(t, flags[1].Data, len(flags[0].Data)+1)
	require.NoError(t, schemas.Validate(schemas.Envelope, p.got()[1].body))
}

// An operational event has no customer, no proposal and a stream of its own.
func TestOperationalEventsGoOut(t *testing.T) {
	t.Parallel()
	stream := pipeline.Stream("webhook-12")
	state, err := json.Marshal(pipeline.NoticeState{ID: 12, CompanyID: 1, URL: "https://partner.example/", Active: true, Version: 3})
	require.NoError(t, err)
	payload, err := json.Marshal(pipeline.WebhookNotice{WebhookID: 12, URL: "https://partner.example/", Failures: 10, Error: "answered 500"})
	require.NoError(t, err)
	p := newPartner(t, answerOK)
	d := dispatchTo(t, p.URL)
	d.Event = pipeline.Event{
		ID: pipeline.NoticeID(stream, 3), Position: 5, CompanyID: 1, Stream: stream, Version: 3, Type: pipeline.TypeWebhookFailing,
		Timestamp: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), State: state, Payload: payload,
	}
	require.True(t, newSender(t, ample).Deliver(t.Context(), d).OK())
	require.JSONEq(t, `{
		"type": "webhook.failing", "timestamp": "2026-11-21T09:00:00Z",
		"data": {
			"id": "`+d.Event.ID+`", "position": 5, "company_id": 1, "stream": "webhook-12", "seq": 3, "customer_id": null,
			"proposal_id": null, "actor": {"user_id": null}, "cause": null, "state": `+string(state)+`, "payload": `+string(payload)+`
		}
	}`, string(p.got()[0].body))
	require.NoError(t, schemas.Validate(schemas.Envelope, p.got()[0].body))
}
