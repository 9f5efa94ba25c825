package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

func TestNativeEnvelope(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	d := dispatchTo(t, p.URL+"/hooks?key=1")

	r := newSender(t, ample).Deliver(t.Context(), d)

	require.Equal(t, pipeline.DeliveryDelivered, r.Status, r.Attempt.Error)
	require.Len(t, p.got(), 1)
	got := p.got()[0]
	require.Equal(t, http.MethodPost, got.method)
	require.Equal(t, "/hooks?key=1", got.url)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.Equal(t, "Dealwright/test", got.header.Get("User-Agent"))
	require.NotContains(t, got.header, "Idempotency-Key")
	require.NotContains(t, got.header, "Accept-Encoding")

	state, err := json.Marshal(d.Event.State)
	require.NoError(t, err)
	require.JSONEq(t, `{
		"type": "proposal.sent",
		"timestamp": "2026-11-21T09:00:00.123Z",
		"data": {
			"id": "`+d.Event.ID+`", "position": 1042, "company_id": 1, "stream": "proposal-54321", "seq": 3,
			"customer_id": 12345, "proposal_id": 54321, "actor": {"user_id": 67890}, "cause": null,
			"state": `+string(state)+`,
			"payload": {"channel": "email"}
		}
	}`, string(got.body))
	require.True(t, strings.HasPrefix(string(got.body), `{"type":"proposal.sent","timestamp":"2026-11-21T09:00:00.123Z","data":{"id":`),
		"in the order of the specification, without white space: %s", got.body)
	require.NoError(t, schemas.Validate(schemas.Envelope, got.body))
}

func TestNativeEnvelopeOfEveryKind(t *testing.T) {
	t.Parallel()
	created, err := json.Marshal(map[string]any{
		"uuid": "4f0c9a56-2f0e-4a1b-9d0b-6f6f2b1e7c11", "name": "Minh Nguyen", "email": "m@example.com",
		"type": "RESIDENTIAL", "status": 1, "status_name": "New Contacts",
	})
	require.NoError(t, err)
	event, customer, err := pipeline.Next(pipeline.NewCustomer(1, 12345),
		pipeline.Command{Type: pipeline.TypeCustomerCreated, Data: created, OccurredAt: time.Now().UTC()}, "c")
	require.NoError(t, err)
	moved, err := pipeline.NewCommand(pipeline.TypeCustomerStatusChanged,
		pipeline.CustomerStatusChanged{Status: pipeline.StatusSigned, StatusName: "Signed"}, pipeline.Actor{},
		pipeline.Cause{EventID: proposalSent(t).ID, Type: pipeline.TypeContractSigned, Stream: "proposal-54321"})
	require.NoError(t, err)
	moved.OccurredAt = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	caused, _, err := pipeline.Next(customer, moved, "m")
	require.NoError(t, err)

	for _, e := range []pipeline.Event{event, caused} {
		t.Run(string(e.Type), func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, answerOK)
			d := dispatchTo(t, p.URL)
			d.Event = e
			d.Event.Position = 9
			require.True(t, newSender(t, ample).Deliver(t.Context(), d).OK())
			body := p.got()[0].body
			require.NoError(t, schemas.Validate(schemas.Envelope, body), "%s", body)
			require.Contains(t, string(body), `"proposal_id":null`)
			require.Contains(t, string(body), `"actor":{"user_id":null}`)
		})
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	s := newSender(t, ample)
	d := dispatchTo(t, p.URL)
	d.Webhook.Signing.Secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("thirty-two bytes of another key."))
	const attempts = 3
	for d.Attempts = range attempts {
		require.False(t, s.Deliver(t.Context(), d).OK())
	}

	verifier, err := standardwebhooks.NewWebhook(d.Webhook.Signing.Secret)
	require.NoError(t, err)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(d.Webhook.Signing.Secret, "whsec_"))
	require.NoError(t, err)
	require.Len(t, p.got(), attempts)
	for _, got := range p.got() {
		require.NoError(t, verifier.Verify(got.body, got.header))

		require.Equal(t, d.Event.ID, got.header.Get("Webhook-Id"), "the same on every attempt")
		stamp := got.header.Get("Webhook-Timestamp")
		seconds, err := strconv.ParseInt(stamp, 10, 64)
		require.NoError(t, err)
		require.Positive(t, seconds)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(d.Event.ID + "." + stamp + "." + string(got.body)))
		require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), got.header.Get("Webhook-Signature"))

		require.Error(t, verifier.Verify(append(got.body, ' '), got.header), "a changed body")
	}
}

func TestUnusableSecretFailsTheAttempt(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	for name, bad := range map[string]string{"none": "", "not base64": "whsec_topsecret!"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := dispatchTo(t, p.URL)
			d.Webhook.Signing.Secret = bad
			r := newSender(t, ample).Deliver(t.Context(), d)
			require.Equal(t, pipeline.DeliveryPending, r.Status)
			require.Contains(t, r.Attempt.Error, "signing secret")
			require.NotContains(t, r.Attempt.Error, "topsecret")
			require.Empty(t, p.got(), "unsigned, nothing goes out")
		})
	}
}

func TestUnknownFormatFailsTheAttempt(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	d := dispatchTo(t, p.URL)
	d.Webhook.Format = "morse"
	r := newSender(t, ample).Deliver(t.Context(), d)
	require.Equal(t, pipeline.DeliveryPending, r.Status)
	require.Equal(t, pipeline.Text(`there is no format "morse"`), r.Attempt.Error)
	require.Empty(t, p.got())
}
