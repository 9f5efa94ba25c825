package api_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// answered checks what holds for whatever is sent: it is taken, or refused with a problem
// that says why; nothing of ours breaks, and what is refused is not recorded.
func answered(t *testing.T, r *rig, a reply, recordedBefore int) {
	t.Helper()
	if a.status < http.StatusMultipleChoices {
		a.must(a.status)
		return
	}
	require.GreaterOrEqual(t, a.status, http.StatusBadRequest)
	require.Less(t, a.status, http.StatusInternalServerError, string(a.body))
	require.NotEmpty(t, a.must(a.status)["code"])
	require.Len(t, r.store.events, recordedBefore)
}

// FuzzBodies sends anything to every route that takes a body.
func FuzzBodies(f *testing.F) {
	for _, route := range bodies(newRig(f)) {
		f.Add([]byte(route.good))
	}
	for _, entry := range pipeline.Catalogue() {
		f.Add([]byte(`{"type":"` + string(entry.Type) + `","data":{},"actor":{"user_id":1},"occurred_at":"2026-11-21T08:00:00Z"}`))
	}
	for _, entry := range pipeline.Notices() {
		f.Add([]byte(`{"type":"` + string(entry.Type) + `"}`))
	}
	for _, seed := range []string{
		`{"url":"https://a.example/","events":["webhook.*"],"auth":{"type":"api_key","name":"k\u0000","value":"v","in":"query"},` +
			`"headers":{"X-A":"\r\n","x-a":""},"filter":{"":{"$in":[]}},"retry_schedule":["9999h999999m999999.999s999999999ms",1e-300],` +
			`"timeout":1e300,"rate_limit":0.01,"max_concurrency":100,"start":"beginning"}`,
		`{"auth":null,"headers":null,"filter":null,"client_certificate":null,"retry_schedule":null,"timeout":null,"rate_limit":null,` +
			`"max_concurrency":null,"description":null}`,
		`{"auth":{"type":"oauth2","token_url":"http://[::1]:0/%zz","client_id":"c","client_secret":"s","scope":"\\"}}`,
		`{"client_certificate":{"certificate":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----","key":""}}`,
		`{"after":9007199254740991,"until":"2999-12-31T23:59:59Z","types":","}`, `{"after":"0000-01-01T00:00:00Z","until":1}`,
		`{"since":"1900-01-01T00:00:00+23:59"}`, `{"overlap":"168h","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`,
		`{"start":"\u0062eginning","url":"https://a.example/","events":["*"]}`, `{"skip_held":true}`,
		"", "{", "null", "[[[[", `{"type":"customer.updated","data":{"owner_id":9007199254740993}}`,
		`{"type":"customer.status_changed","data":{"status":2e0}}`, `{"type":"credit.ran","data":{"outcome":"approved","score":1e400}}`,
		`{"name":"\ud800","email":"a@b.co"}`, "{\"name\":\"\xff\",\"email\":\"a@b.co\"}",
		`{"name":"A","email":"a@b.co","attributes":{"\u0000":1}}`,
		`{"type":"appointment.set","data":{"starts_at":"9999-12-31T23:59:60Z"}}`, `{"type":"proposal.sent","occurred_at":"0000-01-01T00:00:00Z"}`,
		`{"uuid":"urn:uuid:7cf8d5db-bb05-4a39-a40b-c83e17988c37"}`, `{"uuid":"{7cf8d5db-bb05-4a39-a40b-c83e17988c37}"}`,
		`{"price":{"amount":"-0.0001","currency":"AUD"},"system":{}}`, `{"events":["*","*"],"url":"http://[::1]:0/%zz"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newRig(t)
		for _, route := range bodies(r) {
			before := len(r.store.events)
			answered(t, r, r.call(route.method, route.path, string(body), idempotencyKey("k:"+route.path)), before)
		}
	})
}

// FuzzRequests sends anything as path, query and headers.
func FuzzRequests(f *testing.F) {
	f.Add("/v1/customers", "limit=1&cursor=MQ", "k", "r")
	f.Add("/v1/customers/101/events", "cursor=AA", "\x7f", "")
	f.Add("/v1/events", "after=9007199254740991&types=*&wait=0s&limit=500", "", "\r\n")
	f.Add("/v1/deliveries", "status=held&event_id=evt_%00", "two words", "x")
	f.Add("/v1/webhooks/103/gaps", "after=0&until=9007199254740991&cursor=MQ&limit=1", "k", "r")
	f.Add("/v1/webhooks/103/stats", "hours=168", "k", "r")
	f.Add("/v1/webhooks/103/replays/00", "limit=500&cursor=AA", "k", "r")
	f.Add("/v1/webhooks/103/rotate-secret", "overlap=24h", "\x00", "r")
	f.Add("/hooks/1/", "limit=%zz;", "k", "r")
	f.Add("/apidata.php", "action=subscribe_customer&api_key=%ff&api_key=x", "k", "r")
	f.Add("/api_trigger_events/0x1", "", "k", "r")
	f.Add("/v1/customers/%2e%2e/x", "q=%ff&q=;", "ü", "..")
	f.Add("/v1/proposals//documents", "status=sold&contract_status=voided&customer_id=1e3", "k", "r")
	f.Fuzz(func(t *testing.T, path, query, key, id string) {
		r := newRig(t)
		r.proposal(r.customer())
		r.webhook()
		target := func(q *http.Request) { q.URL = &url.URL{Path: path, RawQuery: query} }
		if q, err := url.ParseQuery(query); err == nil && q.Has("wait") {
			r.server.Drain() // nobody has to wait for it
		}
		before := len(r.store.events)
		if isCompat(path) {
			if a := r.get("/", target, header("X-Request-ID", id)); a.status >= http.StatusBadRequest {
				a.refused(path, a.status)
			}
			return
		}
		answered(t, r, r.get("/", target, idempotencyKey(key), header("X-Request-ID", id)), before)
		answered(t, r, r.post("/", `{"type":"email.sent"}`, target, idempotencyKey(key)), before)
	})
}
