package webhook_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

const previous = "whsec_cHJldmlvdXMgc2VjcmV0IHdpdGggMzIgYnl0ZXMuLi4="

// signed delivers with the keys and gives what came.
func signed(t *testing.T, keys pipeline.Signing) received {
	t.Helper()
	p := newPartner(t, answerOK)
	d := dispatchTo(t, p.URL)
	d.Webhook.Signing = keys
	r := newSender(t, ample).Deliver(t.Context(), d)
	require.True(t, r.OK(), r.Attempt.Error)
	return p.got()[0]
}

// versions of the signatures, in their order.
func versions(got received) []string {
	var out []string
	for s := range strings.SplitSeq(got.header.Get("Webhook-Signature"), " ") {
		version, _, _ := strings.Cut(s, ",")
		out = append(out, version)
	}
	return out
}

func requireVerified(t *testing.T, got received, with string) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(with)
	require.NoError(t, err)
	require.NoError(t, verifier.Verify(got.body, got.header))
}

func TestSignaturesWhileASecretIsRotated(t *testing.T) {
	t.Parallel()
	t.Run("during the overlap", func(t *testing.T) {
		t.Parallel()
		got := signed(t, pipeline.Signing{Secret: secret, PreviousSecret: previous, PreviousUntil: time.Now().Add(time.Hour)})
		require.Equal(t, []string{"v1", "v1"}, versions(got))
		requireVerified(t, got, secret)
		requireVerified(t, got, previous)
		current, _, _ := strings.Cut(got.header.Get("Webhook-Signature"), " ")
		got.header.Set("Webhook-Signature", current)
		requireVerified(t, got, secret)
	})
	for name, until := range map[string]time.Time{"over": time.Now().Add(-time.Second), "never": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := signed(t, pipeline.Signing{Secret: secret, PreviousSecret: previous, PreviousUntil: until})
			require.Equal(t, []string{"v1"}, versions(got))
			requireVerified(t, got, secret)
			verifier, err := standardwebhooks.NewWebhook(previous)
			require.NoError(t, err)
			require.Error(t, verifier.Verify(got.body, got.header))
		})
	}
}

func TestSignatureV1a(t *testing.T) {
	t.Parallel()
	got := signed(t, pipeline.Signing{
		Secret: secret, PreviousSecret: previous, PreviousUntil: time.Now().Add(time.Hour), Seed: seed(),
	})
	require.Equal(t, []string{"v1", "v1", "v1a"}, versions(got))
	requireVerified(t, got, secret)
	requireVerified(t, got, previous)

	public, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(pipeline.PublicKey(seed()), "whpk_"))
	require.NoError(t, err)
	_, encoded, ok := strings.Cut(got.header.Get("Webhook-Signature"), "v1a,")
	require.True(t, ok)
	signature, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	content := got.header.Get("Webhook-Id") + "." + got.header.Get("Webhook-Timestamp") + "." + string(got.body)
	require.True(t, ed25519.Verify(public, []byte(content), signature))
	require.False(t, ed25519.Verify(public, []byte(content+" "), signature))
}

// One sender signs for many webhooks: each with its own key.
func TestEachWebhookHasItsOwnKeys(t *testing.T) {
	t.Parallel()
	p := newPartner(t, answerOK)
	s := newSender(t, ample)
	other := seed()
	other[0]++
	seeds := [][]byte{seed(), other, seed()}
	for _, own := range seeds {
		d := dispatchTo(t, p.URL)
		d.Webhook.Signing.Seed = own
		require.True(t, s.Deliver(t.Context(), d).OK())
	}
	for i, got := range p.got() {
		public, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(pipeline.PublicKey(seeds[i]), "whpk_"))
		require.NoError(t, err)
		_, encoded, _ := strings.Cut(got.header.Get("Webhook-Signature"), "v1a,")
		signature, err := base64.StdEncoding.DecodeString(encoded)
		require.NoError(t, err)
		content := got.header.Get("Webhook-Id") + "." + got.header.Get("Webhook-Timestamp") + "." + string(got.body)
		require.True(t, ed25519.Verify(public, []byte(content), signature))
	}
}

func TestUnusableKeysFailTheAttempt(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour)
	for name, keys := range map[string]pipeline.Signing{
		"nothing but a prefix":    {Secret: "whsec_"},
		"previous is not base64":  {Secret: secret, PreviousSecret: "whsec_topsecret!", PreviousUntil: soon},
		"seed is too short":       {Secret: secret, Seed: []byte("topsecret")},
		"seed, but not the other": {Seed: seed()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartner(t, func(http.ResponseWriter, *http.Request) {})
			d := dispatchTo(t, p.URL)
			d.Webhook.Signing = keys
			r := newSender(t, ample).Deliver(t.Context(), d)
			require.Equal(t, pipeline.DeliveryPending, r.Status)
			require.Contains(t, r.Attempt.Error, "the webhook")
			require.NotContains(t, r.Attempt.Error, "topsecret")
			require.Empty(t, p.got(), "half signed, nothing goes out")
		})
	}
}
