package e2e_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/dealwright/dealwright/pipeline"
)

// confidential is a part of every credential in these tests, so that one look finds where any
// of them got to.
const confidential = "c0nf1dent1al"

// echo repeats in its answer what it was sent, as a careless partner does.
func echo(status int) script {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		w.WriteHeader(status)
		_ = r.Header.Write(w) // the answer is kept as far as it gets
		_, _ = io.WriteString(w, r.URL.String())
	}
}

func TestEachKindOfAuthenticationLetsUsIn(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/none", echo(200))
	for name, test := range map[string]struct {
		auth  object
		given func(d *delivery) string
		want  string
	}{
		"none": {object{"type": "none"}, func(d *delivery) string { return d.header.Get("Authorization") }, ""},
		"basic": {
			object{"type": "basic", "username": "dealwright", "password": confidential},
			func(d *delivery) string { return d.header.Get("Authorization") },
			"Basic " + base64.StdEncoding.EncodeToString([]byte("dealwright:"+confidential)),
		},
		"bearer": {
			object{"type": "bearer", "token": confidential},
			func(d *delivery) string { return d.header.Get("Authorization") }, "Bearer " + confidential,
		},
		"an API key in a header": {
			object{"type": "api_key", "name": "X-Api-Key", "value": confidential, "in": "header"},
			func(d *delivery) string { return d.header.Get("X-Api-Key") }, confidential,
		},
		"an API key in the query": {
			object{"type": "api_key", "name": "key", "value": confidential + " &=?", "in": "query"},
			func(d *delivery) string { return d.query.Get("key") }, confidential + " &=?",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "/" + strings.ReplaceAll(name, " ", "")
			partner.on(path, echo(200))
			h := c.webhook(t, partner.URL+path+"?kept=yes", object{"auth": test.auth})
			event := c.events(t, c.customer(t).Ref().Stream())[0]
			eventually(t, "the event arrives", func() bool { return partner.has(path, event) })
			d := partner.at(path)[0]
			require.Equal(t, test.want, test.given(d))
			require.Equal(t, "yes", d.query.Get("kept"))
			d.requireSigned(t, h.Secret)
			shown := want[struct{ Auth map[string]string }](t, c.get(t, h.path()), http.StatusOK).Auth
			require.Equal(t, test.auth["type"], shown["type"])
			e.requireNowhere(t, c, confidential)
		})
	}
}

// tokens is a token endpoint for one client. What it gave out it can also take back.
type tokens struct {
	*httptest.Server

	secret  string
	expires int // seconds

	mu    sync.Mutex
	asked int
	good  []string
}

func newTokens(t *testing.T, secret string, expires int) *tokens {
	t.Helper()
	s := &tokens{secret: secret, expires: expires}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP answers a request of the client credentials flow (RFC 6749, section 4.4).
func (s *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, secret, ok := r.BasicAuth()
	if !ok {
		secret = r.PostFormValue("client_secret")
	}
	if r.PostFormValue("grant_type") != "client_credentials" || secret != s.secret {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"no client has %s"}`, secret)
		return
	}
	s.asked++
	token := fmt.Sprintf("%s-%d", confidential, s.asked)
	s.good = append(s.good, token)
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, s.expires)
}

func (s *tokens) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *tokens) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = nil
}

// guard answers 401 to who has no good token.
func (s *tokens) guard(w http.ResponseWriter, r *http.Request, _ int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.good, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (s *tokens) auth(secret string) object {
	return object{"type": "oauth2", "token_url": s.URL + "/token", "client_id": "dealwright", "client_secret": secret, "scope": "deals"}
}

func TestATokenIsKeptAndFetchedAnewWhenItIsRefused(t *testing.T) {
	t.Parallel()
	const secret = confidential + "-client"
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	server := newTokens(t, secret, 3600)
	partner.on("/", server.guard)
	h := c.webhook(t, partner.URL+"/", object{"auth": server.auth(secret)})
	stream := c.customer(t).Ref().Stream()
	for range 4 {
		c.moved(t, stream, pipeline.TypeEmailSent, nil)
	}
	c.allAre(t, h, pipeline.DeliveryDelivered, 5)
	require.Equal(t, 1, server.count(), "one token does for all")

	server.revoke()
	c.moved(t, stream, pipeline.TypeEmailSent, nil)
	c.allAre(t, h, pipeline.DeliveryDelivered, 6)
	require.Equal(t, 2, server.count())
	for _, d := range c.deliveries(t, h) {
		require.Equal(t, []pipeline.ID{http.StatusOK}, attempts(d), "the refusal of an old token is no failed attempt")
	}
	e.requireNowhere(t, c, confidential)
}

func TestATokenThatHasExpiredIsNotSent(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	server := newTokens(t, confidential, 1) // as good as expired when it arrives
	partner.on("/", server.guard)
	h := c.webhook(t, partner.URL+"/", object{"auth": server.auth(confidential)})
	stream := c.customer(t).Ref().Stream()
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)
	c.moved(t, stream, pipeline.TypeEmailSent, nil)
	c.allAre(t, h, pipeline.DeliveryDelivered, 2)
	require.Equal(t, 2, server.count())
}

func TestThatNoTokenCanBeGotIsVisible(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	server := newTokens(t, "another", 3600)
	h := c.webhook(t, partner.URL+"/", object{"auth": server.auth(confidential), "retry_schedule": often("200ms")})
	c.customer(t)
	eventually(t, "an attempt fails", func() bool {
		all := c.deliveries(t, h)
		return len(all) == 1 && len(all[0].Attempts) > 0
	})
	attempt := c.only(t, h).Attempts[0]
	require.Contains(t, string(attempt.Error), "token")
	require.Contains(t, string(attempt.Error), "invalid_client")
	require.NotContains(t, string(attempt.Error), confidential)
	require.Zero(t, partner.count("/"))

	c.patch(t, h, object{"auth": server.auth("another")})
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)
	e.requireNowhere(t, c, confidential)
}

func TestCustomHeadersAreSentAndReservedOnesRefused(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	partner.on("/", scripts(echo(500), echo(200)))
	h := c.webhook(t, partner.URL+"/", object{"headers": object{"X-Tenant": "north", "x-key": confidential}})
	c.customer(t)
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)
	for _, d := range partner.at("/") {
		require.Equal(t, "north", d.header.Get("X-Tenant"))
		require.Equal(t, confidential, d.header.Get("X-Key"))
	}
	shown := want[struct{ Headers []string }](t, c.get(t, h.path()), http.StatusOK).Headers
	require.Len(t, shown, 2)
	e.requireNowhere(t, c, confidential)

	for _, name := range []string{
		"Host", "Content-Length", "content-type", "Webhook-Id", "webhook-signature", "Webhook-Timestamp", "Connection",
		"Transfer-Encoding", "User-Agent", "bad name", "", "X-Ключ",
	} {
		a := c.do(t, http.MethodPatch, h.path(), object{"headers": object{name: "x"}})
		p := refused(t, a, http.StatusUnprocessableEntity, pipeline.CodeInvalid)
		require.True(t, strings.HasPrefix(p.Errors[0].Pointer, "/headers"), "%q: %v", name, p.Errors)
	}
	a := c.do(t, http.MethodPatch, h.path(), object{"headers": object{"X-Split": "a\r\nX-More: b"}})
	refused(t, a, http.StatusUnprocessableEntity, pipeline.CodeInvalid)
}

func TestAClientCertificateIsShownToWhoAsksForOne(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only there a test can have the engine trust its own authority")
	}
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newSecureReceiver(t, &tls.Config{
		Certificates: []tls.Certificate{issued(t, "partner").Certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool(authority),
	})
	client, wrong := issued(t, "dealwright at the partner's"), selfMade(t, "somebody")
	h := c.webhook(t, partner.URL+"/", object{"client_certificate": object{"certificate": client.certificate, "key": client.key}})
	stranger := c.webhook(t, partner.URL+"/", object{"retry_schedule": []any{}})
	c.customer(t)
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)
	c.allAre(t, stranger, pipeline.DeliveryExhausted, 1)
	require.Equal(t, 1, partner.count("/"))
	require.Equal(t, "dealwright at the partner's", partner.at("/")[0].peer)

	shown := c.get(t, h.path())
	require.Contains(t, string(shown.body), "dealwright at the partner's")
	key, _, _ := strings.Cut(strings.TrimPrefix(client.key, "-----BEGIN PRIVATE KEY-----\n"), "\n")
	e.requireNowhere(t, c, key)

	for _, pair := range []object{
		{"certificate": client.certificate, "key": wrong.key}, {"certificate": "none", "key": client.key},
	} {
		a := c.do(t, http.MethodPatch, h.path(), object{"client_certificate": pair})
		p := refused(t, a, http.StatusUnprocessableEntity, pipeline.CodeInvalid)
		require.True(t, strings.HasPrefix(p.Errors[0].Pointer, "/client_certificate"), "%v", p.Errors)
	}
}

// requireNowhere: a credential is in no answer of the API, in no table, in no history of
// Temporal's and in no line of the log.
func (e *engine) requireNowhere(t *testing.T, c company, secret string) {
	t.Helper()
	hooks := want[list[hook]](t, c.get(t, "/v1/webhooks?limit=500"), http.StatusOK).Data
	require.NotEmpty(t, hooks)
	paths := make([]string, 0, 4+5*len(hooks))
	paths = append(paths, "/v1/webhooks?limit=500", "/v1/events?after=0", "/v1/deliveries?limit=500", "/metrics")
	for _, h := range hooks {
		paths = append(paths, h.path(), h.path()+"/stats", h.path()+"/gaps", h.path()+"/replays", h.path()+"/public-key")
	}
	for _, path := range paths {
		a := c.get(t, path)
		require.Equal(t, http.StatusOK, a.status, "%s: %s", path, a.body)
		require.NotContains(t, string(a.body), secret, path)
	}
	for _, d := range want[list[pipeline.Delivery]](t, c.get(t, "/v1/deliveries?limit=500"), http.StatusOK).Data {
		require.NotContains(t, string(c.get(t, fmt.Sprintf("/v1/deliveries/%d", d.ID)).body), secret)
	}
	e.requireNotStored(t, secret)
	e.requireNoHistoryHas(t, c, hooks, secret)
	require.False(t, e.log.contains(secret), "the log has it")
}

func (e *engine) requireNotStored(t *testing.T, secret string) {
	t.Helper()
	var tables pq.StringArray
	err := e.db.QueryRowContext(t.Context(),
		`SELECT array_agg(table_name::text) FROM information_schema.tables WHERE table_schema = 'public'`).Scan(&tables)
	require.NoError(t, err)
	for _, name := range tables {
		var n int
		// Binary columns are hexadecimal in a row's text.
		err := e.db.QueryRowContext(t.Context(), fmt.Sprintf(
			`SELECT count(*) FROM %q AS x WHERE position($1 IN x::text) > 0 OR position($2 IN x::text) > 0`, name),
			secret, hex.EncodeToString([]byte(secret))).Scan(&n)
		require.NoError(t, err)
		require.Zero(t, n, "%d rows of %s have it", n, name)
	}
}

func (e *engine) requireNoHistoryHas(t *testing.T, c company, hooks []hook, secret string) {
	t.Helper()
	queries := make([]string, 0, 1+len(hooks))
	queries = append(queries, fmt.Sprintf("CompanyId = %d", c.id))
	for _, h := range hooks {
		queries = append(queries, fmt.Sprintf("WorkflowId STARTS_WITH 'webhook-%d'", h.ID))
	}
	for _, query := range queries {
		for _, w := range e.list(t, query) {
			id := w.GetExecution()
			for _, event := range e.history(t, id.GetWorkflowId(), id.GetRunId()) {
				b, err := proto.Marshal(event)
				require.NoError(t, err)
				require.NotContains(t, string(b), secret, "%s: %s", id.GetWorkflowId(), event.GetEventType())
			}
		}
	}
}
