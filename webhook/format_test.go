package webhook_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

func TestConduct(t *testing.T) {
	t.Parallel()
	want := map[string]webhook.Conduct{
		pipeline.FormatNative:     {Standard: true},
		pipeline.FormatSolo:       {},
		pipeline.FormatSolarProof: {OnlyOK: true, Timeout: 5 * time.Second},
		pipeline.FormatSolve360:   {Retries: 4},
		pipeline.FormatSighten:    {},
		"morse":                   {},
	}
	for _, format := range append(pipeline.Formats(), "morse") {
		require.Equal(t, want[format], webhook.ConductOf(pipeline.Webhook{Format: format}), format)
	}
}

func TestTimeoutOfAFormat(t *testing.T) {
	t.Parallel()
	s := newSender(t, ample)
	require.Equal(t, ample, s.TimeoutOf(pipeline.Webhook{Format: pipeline.FormatSolo}))
	require.Equal(t, 5*time.Second, s.TimeoutOf(toSolarProof))
	own := toSolarProof
	own.Timeout = pipeline.Duration(3 * time.Second)
	require.Equal(t, 3*time.Second, s.TimeoutOf(own))
}

// Other systems' receivers get what their systems send, and the webhook-id by which a repeat
// is known. No secret is needed for that.
func TestOtherFormatsAreNotSignedByStandardWebhooks(t *testing.T) {
	t.Parallel()
	for _, format := range pipeline.Formats() {
		if format == pipeline.FormatNative {
			continue
		}
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
			event := map[string]string{
				pipeline.FormatSolo: "proposal.sent", pipeline.FormatSolarProof: "proposal.drafted",
				pipeline.FormatSolve360: "proposal.sent", pipeline.FormatSighten: "contract.sent",
			}[format]
			s := newSender(t, ample)
			d := sending(t, event, p.URL, pipeline.Webhook{Format: format})
			require.Equal(t, pipeline.DeliveryDelivered, s.Deliver(t.Context(), d).Status)
			d.Test = true
			require.Equal(t, pipeline.DeliveryDelivered, s.Deliver(t.Context(), d).Status)

			first, second := p.got()[0], p.got()[1]
			require.Equal(t, d.Event.ID, first.header.Get("Webhook-Id"))
			require.NotContains(t, first.header, "Webhook-Signature")
			require.NotContains(t, first.header, "Webhook-Timestamp")
			require.NotContains(t, first.header, "Webhook-Test")
			require.Equal(t, "true", second.header.Get("Webhook-Test"))
			require.Equal(t, string(first.body), string(second.body), "a sample is no different")
		})
	}
}

// What was queued although there is nothing to say of it is done with: no request, no retry,
// and no failure of the endpoint.
func TestWhatAFormatHasNoNameForIsDiscarded(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	s := newSender(t, ample)
	for name, d := range map[string]pipeline.Dispatch{
		"no name":         sending(t, "contract.voided", p.URL, pipeline.Webhook{Format: pipeline.FormatSolo}),
		"not of its kind": sending(t, "email.sent.customer", p.URL, toSolarProof),
		"not any more":    sending(t, "proposal.saved.requested", p.URL, toSolarProof),
		"not subscribed":  sending(t, "customer.created", p.URL, toSolve360("items.delete", "all", "")),
	} {
		r := s.Deliver(t.Context(), d)
		require.Equal(t, pipeline.DeliveryDiscarded, r.Status, name)
		require.True(t, r.OK(), name)
		require.Zero(t, r.Attempt.Status)
		require.Zero(t, r.NextAttemptAt)
		require.Equal(t, "nothing was sent: the webhook's format has nothing to say of this event", string(r.Attempt.Error))
	}
	require.Empty(t, p.got())
}

func TestWhatIsNotAStateFailsTheAttempt(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	for _, c := range []struct{ event, format string }{
		{"proposal.sent", pipeline.FormatSolo},
		{"customer.created", pipeline.FormatSolarProof},
		{"customer.status_changed", pipeline.FormatSolarProof},
		{"proposal.saved.draft", pipeline.FormatSolarProof},
		{"proposal.drafted", pipeline.FormatSolarProof},
		{"contract.signed", pipeline.FormatSighten},
		{"proposal.sent", pipeline.FormatSolve360},
	} {
		d := sending(t, c.event, p.URL, pipeline.Webhook{Format: c.format})
		d.Event.State = []byte(`{`)
		require.Equal(t, pipeline.DeliveryPending, newSender(t, ample).Deliver(t.Context(), d).Status, c)
	}
	for _, c := range []struct{ event, format string }{
		{"customer.status_changed", pipeline.FormatSolarProof}, {"contract.signed.by_url", pipeline.FormatSighten},
	} {
		d := sending(t, c.event, p.URL, pipeline.Webhook{Format: c.format})
		d.Event.Payload = []byte(`{`)
		require.Equal(t, pipeline.DeliveryPending, newSender(t, ample).Deliver(t.Context(), d).Status, c)
	}
	require.Empty(t, p.got())
}
