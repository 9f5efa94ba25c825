package api_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
)

func TestRotateSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	before := r.store.webhooks[0].Signing.Secret
	until := func(overlap time.Duration) string { return r.store.now.Add(overlap).Format(time.RFC3339Nano) }

	got := r.post(webhook+"/rotate-secret", nil).must(http.StatusOK)
	require.Len(t, got, 2)
	require.Equal(t, until(24*time.Hour), got["previous_valid_until"])
	require.Equal(t, r.store.webhooks[0].Signing.Secret, got["secret"])
	require.NotEqual(t, before, got["secret"])

	own := "whsec_" + base64.StdEncoding.EncodeToString([]byte("24 bytes, hardly random."))
	got = r.post(webhook+"/rotate-secret", object{"overlap": "90m", "secret": own}).must(http.StatusOK)
	require.Equal(t, object{"secret": own, "previous_valid_until": until(90 * time.Minute)}, got)

	got = r.post(webhook+"/rotate-secret", object{"overlap": 0}).must(http.StatusOK)
	require.Nil(t, got["previous_valid_until"])
	require.Empty(t, r.engine.woken, "nothing is due because of it")
}

func TestOwnSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	secret := func(key []byte) object {
		return object{
			"url": "https://partner.example/", "events": []string{"*"}, "secret": "whsec_" + base64.StdEncoding.EncodeToString(key),
		}
	}
	for _, weak := range [][]byte{
		make([]byte, 32), bytes.Repeat([]byte("a"), 64), bytes.Repeat([]byte("1234567"), 8)[:32],
	} {
		r.post("/v1/webhooks", secret(weak)).invalid("/secret")
	}
	strong := secret(bytes.Repeat([]byte("12345678"), 4))
	require.Equal(t, strong["secret"], r.post("/v1/webhooks", strong).must(http.StatusCreated)["secret"])
}

func TestPublicKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	require.Equal(t, object{
		"public_key": pipeline.PublicKey(bytes.Repeat([]byte{7}, 32)), "algorithm": "ed25519",
	}, r.get(webhook+"/public-key", as(app)).must(http.StatusOK))
	require.True(t, strings.HasPrefix(pipeline.PublicKey(bytes.Repeat([]byte{7}, 32)), "whpk_"))
}

// credential is what allSettings and the test below plant, a secret of our making, and the seed
// of the fake store in base64.
var credential = regexp.MustCompile(`planted[- ]|PRIVATE KEY|CERTIFICATE|whsec_[A-Za-z0-9+/]{24}|BwcHBwcH`)

// Whatever is asked of a webhook, and whatever comes of it, no answer and no line of the log
// has its credentials.
func TestNoAnswerShowsACredential(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := allSettings(r)
	body["url"], body["events"] = "https://partner.example/hook", []string{"*"}
	shown := r.post("/v1/webhooks", body).must(http.StatusCreated)
	require.Regexp(t, credential, shown["secret"], "this once")
	webhook := path("/v1/webhooks/", shown)
	replay := r.replay(webhook)
	delivery := path("/v1/deliveries/", r.delivered(webhook))
	r.engine.answer = workflows.TestResult{Attempt: pipeline.Attempt{At: r.store.now, Status: 401, Error: "the partner answered 401"}}

	hide := func(a reply) {
		t.Helper()
		require.NotRegexp(t, credential, string(a.body))
	}
	for _, auth := range []object{
		{"type": "bearer", "token": "planted-token"},
		{"type": "api_key", "name": "X-Key", "value": "planted-value", "in": "header"},
		{"type": "oauth2", "token_url": "https://login.example/", "client_id": "id", "client_secret": "planted-secret", "scope": "s"},
		{"type": "bearer", "token": "planted token"}, // refused
		{"type": "none", "token": "planted-token"},   // refused
	} {
		hide(r.call(http.MethodPatch, webhook, object{"auth": auth}))
		hide(r.get(webhook))
	}
	hide(r.call(http.MethodPatch, webhook, object{"headers": object{"X-A": "planted-\u007f", "Host": "planted-host"}}))
	hide(r.call(http.MethodPatch, webhook, object{"client_certificate": object{"certificate": "planted-", "key": "planted-"}}))
	hide(r.post("/v1/webhooks", object{"url": "https://a.example/", "events": []string{"*"}, "secret": "planted-secret"}))

	for _, route := range r.server.Routes() {
		if !strings.HasPrefix(route.Path, "/v1/webhooks") && !strings.HasPrefix(route.Path, "/v1/deliveries") {
			continue
		}
		at := strings.NewReplacer("/v1/webhooks/:id/replays/:rid", replay, "/v1/webhooks/:id", webhook, "/v1/deliveries/:id", delivery).
			Replace(route.Path)
		if route.Method == http.MethodDelete || at == "/v1/webhooks" && route.Method == http.MethodPost {
			continue
		}
		for _, sent := range []any{nil, object{}, object{"type": "sms.sent"}, object{"since": "2026-11-20T00:00:00Z"}, object{"overlap": 0}} {
			a := r.call(route.Method, at, sent)
			if strings.HasSuffix(at, "/rotate-secret") && a.status == http.StatusOK {
				continue // which shows the new secret, and has nothing else to show
			}
			hide(a)
		}
	}
	require.NotRegexp(t, credential, r.logged.String())
	require.Equal(t, "planted-secret", r.store.webhooks[0].Auth.ClientSecret, "they were there to be shown")
	require.Contains(t, r.store.webhooks[0].ClientCertificate.Key, "PRIVATE KEY")
}
