package api_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// newCertificate makes a certificate for the hour around a time, and its key, as PEM.
func newCertificate(tb testing.TB, around time.Time) (certificate, key string) {
	tb.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dealwright"},
		NotBefore: around.Add(-time.Hour), NotAfter: around.Add(time.Hour).Truncate(time.Second),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	require.NoError(tb, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(tb, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// allSettings are every setting that a request may have, each other than its default.
func allSettings(r *rig) object {
	r.t.Helper()
	certificate, key := newCertificate(r.t, r.store.now)
	return object{
		"auth":    object{"type": "basic", "username": "dealwright", "password": "planted-password"},
		"headers": object{"X-Tenant": "planted-tenant", "Authorization-Extra": "planted-extra"},
		"client_certificate": object{
			"certificate": certificate, "key": key,
		},
		"filter":  object{"data.state.type": "COMMERCIAL", "data.payload.price.amount": object{"$gte": 10000}},
		"ordered": true, "latest_only": true,
		"retry_schedule": []any{"10s", 300, "1h30m", 0.5}, "timeout": "2500ms", "rate_limit": 0.5, "max_concurrency": 3,
	}
}

// shownSettings are allSettings as answers show them.
func shownSettings(r *rig) object {
	return object{
		"auth":    object{"type": "basic", "username": "dealwright"},
		"headers": []any{"Authorization-Extra", "X-Tenant"},
		"client_certificate": object{
			"subject": "CN=dealwright", "not_after": r.store.now.Add(time.Hour).Truncate(time.Second).Format(time.RFC3339),
		},
		"filter":  object{"data.state.type": "COMMERCIAL", "data.payload.price.amount": object{"$gte": 10000.0}},
		"ordered": true, "latest_only": true,
		"retry_schedule": []any{"10s", "5m", "1h30m", "500ms"}, "timeout": "2.5s", "rate_limit": 0.5, "max_concurrency": 3.0,
	}
}

func TestCreateWebhookWithAllSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := allSettings(r)
	body["url"], body["events"] = "https://partner.example/hook", []string{"proposal.*", "webhook.*", "delivery.exhausted"}
	got := r.post("/v1/webhooks", body).must(http.StatusCreated)
	for field, want := range shownSettings(r) {
		require.Equal(t, want, got[field], field)
	}
	require.Equal(t, []any{"proposal.*", "webhook.*", "delivery.exhausted"}, got["events"])

	kept := r.store.webhooks[0]
	require.Equal(t, pipeline.Auth{Type: pipeline.AuthBasic, Username: "dealwright", Password: "planted-password"}, kept.Auth)
	require.Equal(t, pipeline.Headers{"X-Tenant": "planted-tenant", "Authorization-Extra": "planted-extra"}, kept.Headers)
	require.Contains(t, kept.ClientCertificate.Key, "PRIVATE KEY")
	require.Equal(t, pipeline.Start{}, r.store.lastAsk())
	require.Empty(t, r.engine.woken)
}

func TestPatchWebhookSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	before := r.get(webhook).must(http.StatusOK)

	// One by one: what is left out stays as it was.
	shown := shownSettings(r)
	want := before
	certificate := r.store.now.Add(time.Hour).Truncate(time.Second)
	for field, value := range allSettings(r) {
		got := r.call(http.MethodPatch, webhook, object{field: value}).must(http.StatusOK)
		want[field] = shown[field]
		require.Equal(t, want, got, field)
	}
	require.Equal(t, certificate, r.store.webhooks[0].ClientCertificate.NotAfter)
	require.Equal(t, want, r.get(webhook).must(http.StatusOK))
}

func TestNullTakesASettingAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	before := r.get(webhook).must(http.StatusOK)
	settings := allSettings(r)
	r.call(http.MethodPatch, webhook, settings).must(http.StatusOK)
	r.call(http.MethodPatch, webhook, object{"description": "d"}).must(http.StatusOK)

	nulls := object{"description": nil}
	for field := range settings {
		nulls[field] = nil
	}
	nulls["ordered"], nulls["latest_only"] = false, false // which are said, not taken away
	require.Equal(t, before, r.call(http.MethodPatch, webhook, nulls).must(http.StatusOK))
	require.Empty(t, r.store.webhooks[0].Auth)
	require.Empty(t, r.store.webhooks[0].Headers)
	require.Empty(t, r.store.webhooks[0].ClientCertificate)
}

func TestPatchAuth(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	patch := func(body object) reply { return r.call(http.MethodPatch, webhook, body) }
	for _, auth := range []object{
		{"type": "none"},
		{"type": "bearer", "token": "t"},
		{"type": "api_key", "name": "key", "value": "v", "in": "query"},
		{"type": "oauth2", "token_url": "https://login.example/token", "client_id": "c", "client_secret": "s", "scope": "a b"},
	} {
		got, ok := patch(object{"auth": auth}).must(http.StatusOK)["auth"].(object)
		require.True(t, ok)
		require.Equal(t, auth["type"], got["type"])
		for _, secret := range []string{"token", "value", "client_secret", "password"} {
			require.NotContains(t, got, secret)
		}
	}
	// A header and the auth must not both set Authorization, whichever comes later.
	patch(object{"headers": object{"authorization": "x"}}).invalid("/headers/authorization")
	patch(object{"auth": nil, "headers": object{"authorization": "x"}}).must(http.StatusOK)
	patch(object{"auth": object{"type": "bearer", "token": "t"}}).invalid("/headers/authorization")
	patch(object{"auth": object{"type": "bearer", "token": "t"}, "headers": nil}).must(http.StatusOK)

	// An answer that is sent back must not empty what it does not show.
	r.call(http.MethodPatch, webhook, object{"auth": object{"type": "basic", "username": "u", "password": "p"}}).must(http.StatusOK)
	shown := r.get(webhook).must(http.StatusOK)
	patch(object{"auth": shown["auth"]}).invalid("/auth/password")
	patch(object{"headers": shown["headers"]}).invalid("/headers")
	require.Equal(t, "p", r.store.webhooks[0].Auth.Password)
}

// A partner's name that does not resolve today keeps nobody from changing something else.
func TestOnlyNewAddressesAreVetted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	kept := &r.store.webhooks[0]
	kept.URL = "https://forbidden.example/"
	kept.Auth = pipeline.Auth{Type: pipeline.AuthOAuth2, TokenURL: "https://forbidden.example/", ClientID: "c", ClientSecret: "s"}
	r.call(http.MethodPatch, webhook, object{"description": "d", "url": "https://forbidden.example/"}).must(http.StatusOK)
	r.call(http.MethodPatch, webhook, object{"url": "https://forbidden.example/other"}).invalid("/url")
}

// A refusal changes nothing, however much of the request was fine.
func TestWhatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	before := r.store.webhooks[0]
	r.call(http.MethodPatch, webhook, object{"ordered": true, "rate_limit": 5, "timeout": "60s"}).invalid("/timeout")
	r.call(http.MethodPatch, webhook, object{"events": []string{"sms.sent"}, "url": "https://forbidden.example/"}).invalid("/url")
	require.Equal(t, before, r.store.webhooks[0])
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	certificate, key := newCertificate(t, r.store.now)
	expired, expiredKey := newCertificate(t, r.store.now.AddDate(-1, 0, 0))
	for pointer, given := range map[string]object{
		"/client_certificate/key":         {"certificate": certificate, "key": expiredKey},
		"/client_certificate/certificate": {"certificate": expired, "key": expiredKey},
	} {
		a := r.call(http.MethodPatch, webhook, object{"client_certificate": given})
		a.invalid(pointer)
		require.NotContains(t, string(a.body), "PRIVATE")
	}
	r.call(http.MethodPatch, webhook, object{"client_certificate": object{"certificate": certificate, "key": key}}).must(http.StatusOK)
}

func TestEmptyFilterIsNone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	r.call(http.MethodPatch, webhook, object{"filter": object{"data.seq": 1}}).must(http.StatusOK)
	require.Nil(t, r.call(http.MethodPatch, webhook, object{"filter": object{}}).must(http.StatusOK)["filter"])
	require.Empty(t, r.store.webhooks[0].Filter)
}

func TestEmptyScheduleIsNotTheEnginesOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	require.Equal(t, []any{}, r.call(http.MethodPatch, webhook, object{"retry_schedule": []any{}}).must(http.StatusOK)["retry_schedule"])
	require.NotNil(t, r.store.webhooks[0].RetrySchedule)
	require.Nil(t, r.call(http.MethodPatch, webhook, object{"retry_schedule": nil}).must(http.StatusOK)["retry_schedule"])
	require.Nil(t, r.store.webhooks[0].RetrySchedule)
}

func TestStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		given any
		want  pipeline.Start
	}{
		{nil, pipeline.Start{}},
		{"beginning", pipeline.Start{Past: true}},
		{0, pipeline.Start{Past: true}},
		{2, pipeline.Start{Past: true, After: 2}},
		{"2026-11-21T10:00:00+10:00", pipeline.Start{Past: true, Since: time.Date(2026, time.November, 21, 0, 0, 0, 0, time.UTC)}},
	} {
		r := newRig(t)
		r.customer()
		r.customer()
		got := r.post("/v1/webhooks", object{
			"url": "https://partner.example/", "events": []string{"*"}, "start": tc.given,
		}).must(http.StatusCreated)
		start, ok := r.store.lastAsk().(pipeline.Start)
		require.True(t, ok)
		require.True(t, tc.want.Since.Equal(start.Since), tc.given)
		start.Since = tc.want.Since
		require.Equal(t, tc.want, start)
		require.Equal(t, tc.want.Past, got["catching_up"])
		if tc.want.Past {
			require.Equal(t, []int64{r.store.webhooks[0].ID}, r.engine.woken, "somebody has to send the past")
		} else {
			require.Empty(t, r.engine.woken)
		}
	}
	r := newRig(t)
	r.customer()
	r.post("/v1/webhooks", object{"url": "https://partner.example/", "events": []string{"*"}, "start": 2}).invalid("/start")
}
