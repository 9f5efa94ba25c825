package webhook_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

func TestOnly2xxIsSuccess(t *testing.T) {
	t.Parallel()
	s := newSender(t, ample)
	for status, sentence := range map[int]string{
		200: "", 201: "", 202: "", 204: "", 299: "",
		300: "answered 300: redirects are not followed", 304: "answered 304: redirects are not followed",
		400: "answered 400", 401: "answered 401", 404: "answered 404", 410: "answered 410", 429: "answered 429",
		500: "answered 500", 503: "answered 503", 599: "answered 599", 999: "answered 999",
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = w.Write([]byte("noted")) // 204 and 304 have no body
			})
			r := s.Deliver(t.Context(), dispatchTo(t, p.URL))
			require.Equal(t, sentence == "", r.OK())
			require.Equal(t, pipeline.Text(sentence), r.Attempt.Error)
			require.Equal(t, pipeline.ID(status), r.Attempt.Status)
			if status != http.StatusNoContent && status != http.StatusNotModified {
				require.Equal(t, pipeline.Text("noted"), r.Attempt.ResponseBody)
			}
			require.Len(t, p.got(), 1)
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := newPartner(t, answerOK)
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, location := range map[string]string{
			"elsewhere": elsewhere.URL + "/stolen", "nowhere": "", "unreadable": "http://[%zz",
		} {
			t.Run(http.StatusText(status)+" "+name, func(t *testing.T) {
				t.Parallel()
				p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", location)
					w.WriteHeader(status)
				})
				r := newSender(t, ample).Deliver(t.Context(), dispatchTo(t, p.URL))
				require.Equal(t, pipeline.DeliveryPending, r.Status)
				require.Equal(t, pipeline.ID(status), r.Attempt.Status)
				require.Contains(t, r.Attempt.Error, "redirects are not followed")
				require.Len(t, p.got(), 1)
				require.Empty(t, elsewhere.got())
			})
		}
	}
}

func TestStatusAfterEachAttempt(t *testing.T) {
	t.Parallel()
	bad := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	good := newPartner(t, answerOK)
	schedule := webhook.Schedule{time.Minute, time.Hour}
	s := newSender(t, ample)
	for before, status := range []pipeline.DeliveryStatus{
		pipeline.DeliveryPending, pipeline.DeliveryPending, pipeline.DeliveryExhausted, pipeline.DeliveryExhausted,
	} {
		d := dispatchTo(t, bad.URL)
		d.Attempts = before
		from := time.Now()
		r := s.Deliver(t.Context(), d)
		until := time.Now()
		require.Equal(t, status, r.Status, "after attempt %d", before+1)
		require.EqualValues(t, 7, r.DeliveryID)
		require.EqualValues(t, 3, r.WebhookID)
		require.Equal(t, time.UTC, r.Attempt.At.Location())
		if status == pipeline.DeliveryExhausted {
			require.Zero(t, r.NextAttemptAt)
			continue
		}
		delay := schedule[before]
		require.WithinRange(t, r.NextAttemptAt, from.Add(delay*8/10), until.Add(delay*12/10))

		d.Webhook.URL = good.URL
		r = s.Deliver(t.Context(), d)
		require.Equal(t, pipeline.DeliveryDelivered, r.Status)
		require.Zero(t, r.NextAttemptAt)
	}
}

func TestNoRetriesAtAll(t *testing.T) {
	t.Parallel()
	s := webhook.NewSender(webhook.SenderConfig{Targets: newTargets(t, ""), Schedule: webhook.Schedule{}})
	require.Equal(t, pipeline.DeliveryExhausted, s.Deliver(t.Context(), dispatchTo(t, "http://127.0.0.1:1")).Status)
}

func TestAnAttemptIsCarriedThroughWhenWeStop(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) {
		stop()
		w.WriteHeader(http.StatusOK)
	})
	s := newSender(t, ample)
	require.True(t, s.Deliver(ctx, dispatchTo(t, p.URL)).OK(), "stopped during the attempt")
	require.True(t, s.Deliver(ctx, dispatchTo(t, p.URL)).OK(), "stopped before it")
}

func TestAnswerIsMadeStorable(t *testing.T) {
	t.Parallel()
	const most = 16 << 10
	for name, c := range map[string]struct{ body, kept string }{
		"short":                   {"thanks", "thanks"},
		"empty":                   {"", ""},
		"invalid UTF-8":           {"a\xff\xfeb", "a\uFFFDb"},
		"NUL":                     {"a\x00b", "a\uFFFDb"},
		"as much as is kept":      {strings.Repeat("x", most), strings.Repeat("x", most)},
		"more than is kept":       {strings.Repeat("x", most+1), strings.Repeat("x", most)},
		"cut through a character": {strings.Repeat("x", most-1) + "ü", strings.Repeat("x", most-1)},
		"NULs only":               {strings.Repeat("\x00", most), strings.Repeat("\uFFFD", most/3)},
		"invalid bytes apart":     {strings.Repeat("\xffa", most/2), strings.Repeat("\uFFFDa", most/4)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.body)) })
			r := newSender(t, ample).Deliver(t.Context(), dispatchTo(t, p.URL))
			kept := string(r.Attempt.ResponseBody)
			require.Equal(t, c.kept, kept)
			require.True(t, utf8.ValidString(kept))
			require.NotContains(t, kept, "\x00")
			require.LessOrEqual(t, len(kept), most)
		})
	}
}

// What a receiver answers to the events of an erased customer is not kept: it may repeat what it
// knew of them.
func TestAnswersAboutErasedCustomersAreNotKept(t *testing.T) {
	t.Parallel()
	answers := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("thanks, Zoe")) })
	sender := newSender(t, ample)
	d := dispatchTo(t, answers.URL)
	require.NotEmpty(t, sender.Deliver(t.Context(), d).Attempt.ResponseBody)
	d.Event.Erased = true
	require.Empty(t, sender.Deliver(t.Context(), d).Attempt.ResponseBody)
	d.Event = deal(t, "customer.erased").event
	r := sender.Deliver(t.Context(), d)
	require.True(t, r.OK())
	require.Empty(t, r.Attempt.ResponseBody)
}
