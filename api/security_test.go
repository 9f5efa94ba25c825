package api_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/api"
	"github.com/dealwright/dealwright/pipeline"
)

// Every kind of answer, also those that nobody wrote a handler for.
func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	nobody := without("Authorization")
	answers := map[string]reply{
		"200": r.get("/v1/customers"), "201": r.post("/v1/customers", object{"name": "A", "email": "a@example.com"}),
		"401": r.get("/v1/customers", nobody), "404": r.get("/v1/customers/424242"), "no route": r.get("/nothing"),
		"no route in v1": r.get("/v1/nothing"), "405": r.call(http.MethodPut, "/v1/customers", nil),
		"415": r.post("/v1/customers", `{}`, header("Content-Type", "text/html")), "422": r.post("/v1/customers", `{`),
		"health": r.get("/healthz", nobody), "metrics": r.get("/metrics", nobody), "root": r.get("/", nobody),
		"Solve360": r.get("/hooks/", knownAs(partner)), "Solve360, 401": r.get("/hooks/", nobody),
		"Solar Proof": r.post("/apidata.php", `{}`), "Solo": r.get("/api_trigger_events/424242"),
		"Sighten":    r.get("/api/v1/document/x/download/"),
		"a provider": r.post("/inbound/nobody", `{}`), "a forgery": r.post("/hooks/", "", nobody, header("Sec-Fetch-Site", "cross-site")),
	}
	r.store.broken = errors.New("gone")
	answers["500"] = r.get("/v1/customers")
	r.store.broken, r.store.panics = nil, true
	answers["a panic"] = r.get("/v1/customers/1")
	for what, a := range answers {
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		} {
			require.Equal(t, []string{value}, a.header.Values(name), "%s: %s", what, name)
		}
		require.Contains(t, a.header.Get("Permissions-Policy"), "camera=()", what)
		for name := range a.header {
			require.NotContains(t, []string{"Server", "X-Powered-By", "Via", "Access-Control-Allow-Origin"}, name, what)
		}
		require.NotContains(t, string(a.body), "v1.2.3", "%s: our version is nobody's business", what)
	}
}

func TestForgeries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	good := object{"name": "A", "email": "a@example.com"}
	form := header("Content-Type", "application/x-www-form-urlencoded")
	const hook = "event=items.update&url=https%3A%2F%2Fpartner.example%2F&active=1"
	for name, a := range map[string]reply{
		"basic authentication, another site": r.post("/hooks/", hook, knownAs(partner), form, header("Sec-Fetch-Site", "cross-site")),
		"a neighbour":                        r.post("/hooks/", hook, knownAs(partner), form, header("Sec-Fetch-Site", "same-site")),
		"an old browser":                     r.post("/hooks/", hook, knownAs(partner), form, header("Origin", "https://evil.example")),
		"a deletion": r.call(http.MethodDelete, "/hooks/1", nil, knownAs(partner),
			header("Sec-Fetch-Site", "cross-site")),
	} {
		require.Equal(t, http.StatusForbidden, a.status, "%s: %s", name, a.body)
	}
	r.post("/v1/customers", good, without("Authorization"), header("Cookie", "session=1"), header("Sec-Fetch-Site", "cross-site")).
		problem(http.StatusForbidden, pipeline.CodeForbidden)
	require.Empty(t, r.store.webhooks)

	// No browser adds a key by itself; programs say nothing of where they are; reading is no harm.
	r.post("/v1/customers", good, header("Sec-Fetch-Site", "cross-site")).must(http.StatusCreated)
	require.Equal(t, http.StatusOK, r.post("/hooks/", hook, knownAs(partner), form).status)
	require.Equal(t, http.StatusOK, r.get("/hooks/", knownAs(partner), header("Sec-Fetch-Site", "cross-site")).status)
}

func TestPages(t *testing.T) {
	t.Parallel()
	pages := api.SecurePages(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	ask := func(method string, options ...option) *httptest.ResponseRecorder {
		request := httptest.NewRequest(method, "https://console.example/", http.NoBody)
		for _, change := range options {
			change(request)
		}
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, request)
		return w
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"a link from elsewhere": ask(http.MethodGet, header("Sec-Fetch-Site", "cross-site")),
		"our own form":          ask(http.MethodPost, header("Sec-Fetch-Site", "same-origin"), header("Cookie", "session=1")),
	} {
		require.Equal(t, http.StatusAccepted, w.Code, name)
		policy := w.Header().Get("Content-Security-Policy")
		require.True(t, strings.HasPrefix(policy, "default-src 'none'; script-src 'self';"), policy)
		require.Contains(t, policy, "frame-ancestors 'none'")
		require.NotContains(t, policy, "unsafe")
		require.Equal(t, "DENY", w.Header().Get("X-Frame-Options"))
	}
	forged := ask(http.MethodPost, header("Sec-Fetch-Site", "cross-site"), header("Cookie", "session=1"))
	require.Equal(t, http.StatusForbidden, forged.Code)
}
