package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"

	"github.com/dealwright/dealwright/api"
	"github.com/dealwright/dealwright/pipeline"
)

// The keys that every rig knows. All but stranger belong to company 1.
const (
	admin    = "dw_admin"
	app      = "dw_app"
	partner  = "dw_partner"
	partner2 = "dw_partner2"
	stranger = "dw_stranger" // admin of company 2
)

// uiOrigin is where the Temporal UI is.
const uiOrigin = "https://temporal.example"

// rig is an API on fakes.
type rig struct {
	t      testing.TB
	server *api.Server
	store  *fakeStore
	engine *fakeEngine
	logged *logBuffer
}

func newRig(tb testing.TB, changes ...func(*api.Config)) *rig {
	tb.Helper()
	now := time.Date(2026, time.November, 21, 9, 0, 0, 123456789, time.UTC)
	store := &fakeStore{now: now, nextID: 100, remembered: map[string]*remembered{}, secrets: map[string]pipeline.Key{
		admin:    {ID: 1, CompanyID: 1, Role: pipeline.RoleAdmin, Name: "admin"},
		app:      {ID: 2, CompanyID: 1, Role: pipeline.RoleApp, Name: "app"},
		partner:  {ID: 3, CompanyID: 1, Role: pipeline.RolePartner, Name: "partner"},
		partner2: {ID: 4, CompanyID: 1, Role: pipeline.RolePartner, Name: "partner 2"},
		stranger: {ID: 5, CompanyID: 2, Role: pipeline.RoleAdmin, Name: "stranger"},
	}}
	r := &rig{t: tb, store: store, engine: &fakeEngine{store: store}, logged: &logBuffer{}}
	config := api.Config{
		Store: store, Engine: r.engine, Targets: fakeTargets{}, Documents: fakeBucket{}, Version: "v1.2.3",
		Payloads: converter.NewZlibCodec(converter.ZlibCodecOptions{AlwaysEncode: true}), UIOrigins: []string{uiOrigin},
		Logger: slog.New(slog.NewJSONHandler(r.logged, nil)), Now: func() time.Time { return now },
	}
	for _, change := range changes {
		change(&config)
	}
	server, err := api.New(config)
	require.NoError(tb, err)
	r.server = server
	return r
}

// logBuffer is written by requests and read by tests.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// listening is how long a stream is listened to.
const listening = 50 * time.Millisecond

// option changes a request before it is sent.
type option func(*http.Request)

func as(key string) option { return header("Authorization", "Bearer "+key) }

func header(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func without(name string) option {
	return func(r *http.Request) { r.Header.Del(name) }
}

func idempotencyKey(key string) option { return header("Idempotency-Key", key) }

// reply is what a request was answered.
type reply struct {
	t      testing.TB
	asked  *http.Request
	status int
	header http.Header
	body   []byte
}

// call sends a request as company 1's admin, and holds the answer against the OpenAPI document. A
// body that is not a string is sent as its JSON.
func (r *rig) call(method, path string, body any, options ...option) reply {
	r.t.Helper()
	a := r.serve(method, path, body, options...)
	r.promises().hold(r.t, a)
	return a
}

func (r *rig) serve(method, path string, body any, options ...option) reply {
	r.t.Helper()
	var content io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(body)
	default:
		b, err := json.Marshal(body)
		require.NoError(r.t, err)
		content = bytes.NewReader(b)
	}
	request := httptest.NewRequest(method, path, content)
	request.Header.Set("Authorization", "Bearer "+admin)
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, change := range options {
		change(request)
	}
	if strings.HasSuffix(request.URL.Path, "/stream") { // it ends when its reader has gone
		ctx, leave := context.WithTimeout(request.Context(), listening)
		defer leave()
		request = request.WithContext(ctx)
	}
	recorder := httptest.NewRecorder()
	r.server.ServeHTTP(recorder, request)
	return reply{t: r.t, asked: request, status: recorder.Code, header: recorder.Header(), body: recorder.Body.Bytes()}
}

func (r *rig) get(path string, options ...option) reply {
	r.t.Helper()
	return r.call(http.MethodGet, path, nil, options...)
}

func (r *rig) post(path string, body any, options ...option) reply {
	r.t.Helper()
	return r.call(http.MethodPost, path, body, options...)
}

type object = map[string]any

// must checks the status and gives the body.
func (a reply) must(status int) object {
	a.t.Helper()
	require.Equal(a.t, status, a.status, string(a.body))
	var out object
	mustDecode(a.body, &out)
	return out
}

// problem checks that the answer is a problem with this status and code, and gives it.
func (a reply) problem(status int, code pipeline.Code) object {
	a.t.Helper()
	out := a.must(status)
	require.Equal(a.t, "application/problem+json", a.header.Get("Content-Type"))
	require.Equal(a.t, string(code), out["code"], string(a.body))
	return out
}

// invalid checks that the answer is a 422 that points there.
func (a reply) invalid(pointers ...string) object {
	a.t.Helper()
	out := a.problem(http.StatusUnprocessableEntity, pipeline.CodeInvalid)
	require.Equal(a.t, pointers, pointersOf(a.t, out), string(a.body))
	return out
}

func pointersOf(tb testing.TB, problem object) []string {
	tb.Helper()
	faults, ok := problem["errors"].([]any)
	require.True(tb, ok, problem)
	out := make([]string, 0, len(faults))
	for _, f := range faults {
		fault, ok := f.(object)
		require.True(tb, ok, f)
		require.NotEmpty(tb, fault["detail"])
		out = append(out, fmt.Sprint(fault["pointer"]))
	}
	return out
}

// rows gives the data of a list.
func (a reply) rows() []object {
	a.t.Helper()
	var out struct {
		Data []object `json:"data"`
	}
	a.must(http.StatusOK)
	mustDecode(a.body, &out)
	require.NotNil(a.t, out.Data, string(a.body))
	return out.Data
}

// customer makes a customer and gives its path.
func (r *rig) customer(options ...option) string {
	r.t.Helper()
	body := object{"name": "John Doe", "email": "john@example.com"}
	return path("/v1/customers/", r.post("/v1/customers", body, options...).must(http.StatusCreated))
}

// proposal makes a proposal of a customer and gives its path.
func (r *rig) proposal(customer string) string {
	r.t.Helper()
	return path("/v1/proposals/", r.post(customer+"/proposals", object{"nickname": "Roof"}).must(http.StatusCreated))
}

// webhook makes a webhook and gives its path.
func (r *rig) webhook(options ...option) string {
	r.t.Helper()
	body := object{"url": "https://partner.example/hook", "events": []string{"*"}}
	return path("/v1/webhooks/", r.post("/v1/webhooks", body, options...).must(http.StatusCreated))
}

// replay starts one of a webhook and gives its path.
func (r *rig) replay(webhook string, options ...option) string {
	r.t.Helper()
	return path(webhook+"/replays/", r.post(webhook+"/replay", nil, options...).must(http.StatusAccepted))
}

// delivered makes something happen and gives a delivery of it to a webhook.
func (r *rig) delivered(webhook string) object {
	r.t.Helper()
	r.customer()
	id := webhook[strings.LastIndex(webhook, "/")+1:]
	return r.get("/v1/deliveries?webhook_id=" + id).rows()[0]
}

func path(prefix string, thing object) string { return prefix + fmt.Sprint(thing["id"]) }

func mustDecode(b []byte, into any) {
	if len(b) == 0 {
		return
	}
	if err := json.Unmarshal(b, into); err != nil {
		panic(fmt.Sprintf("%v: %s", err, b)) //nolint:forbidigo // a test that cannot go on
	}
}
