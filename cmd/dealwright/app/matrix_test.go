package app_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/api"
	"github.com/dealwright/dealwright/cmd/dealwright/app"
	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
	"github.com/dealwright/dealwright/workflows"
)

// Names that stand in what somebody may not see, and so in no answer to them.
const (
	foreignMark = "foreign.example"  // in all that another company has
	otherMark   = "otherkey.example" // in what another key of the company has
	unseenMark  = "unseen.example"   // in a customer of which no webhook of the partner was told
)

var (
	adminOnly = []pipeline.Role{pipeline.RoleAdmin}
	driving   = []pipeline.Role{pipeline.RoleAdmin, pipeline.RoleApp}
	subs      = []pipeline.Role{pipeline.RoleAdmin, pipeline.RolePartner}
	all       = []pipeline.Role{pipeline.RoleAdmin, pipeline.RoleApp, pipeline.RolePartner}
)

// expectation says of a route who may call it and what they get with what is theirs.
type expectation struct {
	roles []pipeline.Role // none: everybody, without a key
	of    string          // what the id in the path is of; empty: there is none
	body  any
	own   []int // the statuses for one's own; none: 200
	// narrowed are queries with the ids of what one may not see: they find nothing.
	narrowed []string
	optional bool // a route that is not in every build
}

func is(statuses ...int) []int { return statuses }

// matrix is the whole contract of who may do what. A route that is not in here fails the test.
var matrix = map[string]expectation{
	"POST /v1/customers":                 {roles: driving, body: m{"name": "Jo", "email": "jo@own.example"}, own: is(201)},
	"GET /v1/customers":                  {roles: driving, narrowed: []string{"q=foreign", "owner_id=4242"}},
	"GET /v1/customers/:id":              {roles: driving, of: "customer"},
	"GET /v1/customers/:id/events":       {roles: driving, of: "customer"},
	"GET /v1/customers/:id/timeline":     {roles: driving, of: "customer"},
	"POST /v1/customers/:id/transitions": {roles: driving, of: "customer", body: m{"type": "sms.sent"}, own: is(201)},
	"POST /v1/customers/:id/proposals":   {roles: driving, of: "customer", body: m{"nickname": "Roof"}, own: is(201)},
	"POST /v1/customers/:id/erase":       {roles: adminOnly, of: "customer", own: is(200, 201, 202), optional: true},

	"GET /v1/proposals":                  {roles: driving, narrowed: []string{"customer_id={customer}"}},
	"GET /v1/proposals/:id":              {roles: driving, of: "proposal"},
	"GET /v1/proposals/:id/events":       {roles: driving, of: "proposal"},
	"GET /v1/proposals/:id/timeline":     {roles: driving, of: "proposal"},
	"GET /v1/proposals/:id/documents":    {roles: driving, of: "proposal"},
	"POST /v1/proposals/:id/transitions": {roles: driving, of: "proposal", body: m{"type": "sms.sent"}, own: is(201)},

	"GET /v1/events":        {roles: all},
	"GET /v1/events/stream": {roles: all},
	"GET /v1/event-types":   {roles: all},

	"POST /v1/webhooks":                         {roles: subs, body: hookBody("own.example", "*"), own: is(201)},
	"GET /v1/webhooks":                          {roles: all},
	"GET /v1/webhooks/:id":                      {roles: all, of: "webhook"},
	"PATCH /v1/webhooks/:id":                    {roles: subs, of: "webhook", body: m{"description": "mine"}},
	"DELETE /v1/webhooks/:id":                   {roles: subs, of: "webhook", own: is(204)},
	"POST /v1/webhooks/:id/enable":              {roles: subs, of: "webhook"},
	"POST /v1/webhooks/:id/disable":             {roles: subs, of: "webhook"},
	"POST /v1/webhooks/:id/test":                {roles: subs, of: "webhook", body: m{"type": "sms.sent"}},
	"POST /v1/webhooks/:id/rotate-secret":       {roles: subs, of: "webhook"},
	"GET /v1/webhooks/:id/public-key":           {roles: all, of: "webhook"},
	"POST /v1/webhooks/:id/replay":              {roles: subs, of: "webhook", own: is(202, 409)}, // 409: there is one
	"POST /v1/webhooks/:id/recover":             {roles: subs, of: "webhook", body: m{"since": "2020-01-01T00:00:00Z"}, own: is(202, 409)},
	"GET /v1/webhooks/:id/replays":              {roles: all, of: "webhook"},
	"GET /v1/webhooks/:id/replays/:rid":         {roles: all, of: "replay"},
	"POST /v1/webhooks/:id/replays/:rid/pause":  {roles: subs, of: "replay"},
	"POST /v1/webhooks/:id/replays/:rid/resume": {roles: subs, of: "replay"},
	"POST /v1/webhooks/:id/replays/:rid/cancel": {roles: subs, of: "replay"},
	"GET /v1/webhooks/:id/gaps":                 {roles: all, of: "webhook"},
	"GET /v1/webhooks/:id/stats":                {roles: all, of: "webhook"},

	"GET /v1/deliveries":             {roles: all, narrowed: []string{"webhook_id={webhook}", "event_id={event}"}},
	"GET /v1/deliveries/:id":         {roles: all, of: "delivery"},
	"POST /v1/deliveries/:id/resend": {roles: subs, of: "delivery", own: is(202, 409)}, // 409: its webhook is off

	"POST /v1/keys":       {roles: adminOnly, body: m{"name": "new", "role": "app"}, own: is(201)},
	"GET /v1/keys":        {roles: adminOnly},
	"DELETE /v1/keys/:id": {roles: adminOnly, of: "key", own: is(204)},

	"POST /v1/connections": {
		roles: adminOnly, body: m{"provider": "sighten", "base_url": "https://own.example"}, own: is(201),
	},
	"GET /v1/connections":                  {roles: adminOnly},
	"GET /v1/connections/:id":              {roles: adminOnly, of: "connection"},
	"DELETE /v1/connections/:id":           {roles: adminOnly, of: "connection", own: is(204)},
	"GET /v1/inbound":                      {roles: driving, narrowed: []string{"connection_id={connection}"}},
	"GET /v1/inbound/:id":                  {roles: driving, of: "inbound"},
	"POST /v1/inbound/:id/retry":           {roles: driving, of: "inbound", own: is(202)},
	"GET /v1/documents/:uuid/download":     {roles: all, of: "document"},
	"POST /v1/documents/:uuid/retry":       {roles: driving, of: "document", own: is(409)}, // it is there already
	"GET /api/v1/document/:uuid/download":  {roles: all, of: "document"},
	"GET /api/v1/document/:uuid/download/": {roles: all, of: "document"},
	"GET /api/v1/document/:uuid/preview":   {roles: all, of: "document"},
	"GET /api/v1/document/:uuid/preview/":  {roles: all, of: "document"},

	"POST /hooks":                     {roles: subs, body: solve360Body},
	"GET /hooks":                      {roles: subs},
	"GET /hooks/:id":                  {roles: subs, of: "hook"},
	"PUT /hooks/:id":                  {roles: subs, of: "hook", body: m{"title": "mine"}},
	"DELETE /hooks/:id":               {roles: subs, of: "hook"},
	"POST /hooks/":                    {roles: subs, body: solve360Body},
	"GET /hooks/":                     {roles: subs},
	"GET /hooks/:id/":                 {roles: subs, of: "hook"},
	"PUT /hooks/:id/":                 {roles: subs, of: "hook", body: m{"title": "mine"}},
	"DELETE /hooks/:id/":              {roles: subs, of: "hook"},
	"POST /api_trigger_events":        {roles: subs, body: soloBody, own: is(201)},
	"GET /api_trigger_events":         {roles: subs},
	"GET /api_trigger_events/:id":     {roles: subs, of: "trigger"},
	"PUT /api_trigger_events/:id":     {roles: subs, of: "trigger", body: m{"event": "credit_ran"}},
	"DELETE /api_trigger_events/:id":  {roles: subs, of: "trigger", own: is(200, 204)},
	"POST /api_trigger_events/":       {roles: subs, body: soloBody, own: is(201)},
	"GET /api_trigger_events/":        {roles: subs},
	"GET /api_trigger_events/:id/":    {roles: subs, of: "trigger"},
	"PUT /api_trigger_events/:id/":    {roles: subs, of: "trigger", body: m{"event": "credit_ran"}},
	"DELETE /api_trigger_events/:id/": {roles: subs, of: "trigger", own: is(200, 204)},
	"POST /apidata.php":               {roles: subs, body: m{"hookUrl": "https://own.example/sp", "type_request": "customer_created"}},
	"DELETE /apidata.php":             {roles: subs, body: m{"hookUrl": "https://own.example/sp"}, own: is(200, 400)}, // 400: none there

	// Only for the admins of company 1, who operate the engine; see the end of the test.
	"POST /v1/codec/decode": {roles: adminOnly, body: m{"payloads": []m{}}},
	"POST /v1/codec/encode": {roles: adminOnly, body: m{"payloads": []m{}}},
	"GET /v1/codec/login":   {roles: adminOnly},

	// Open: whoever has the token of an inbound address gets in by it, and all others get a 404.
	"POST /inbound/:token": {}, "PUT /inbound/:token": {}, "PATCH /inbound/:token": {},
	"GET /": {}, "GET /healthz": {}, "HEAD /healthz": {}, "GET /readyz": {}, "HEAD /readyz": {}, "GET /metrics": {},
	"GET /openapi.json": {}, "GET /docs": {}, "GET /docs/:file": {},
}

// listening is how long a stream is listened to.
const listening = 200 * time.Millisecond

type m = map[string]any

func hookBody(host string, events ...string) m {
	return m{"url": "https://" + host + "/hook", "events": events, "description": host}
}

var (
	solve360Body = m{
		"type": "web", "title": "t", "active": 1, "event": "activities.update", "constrainttype": "file",
		"url": "https://own.example/solve", "contenttype": "json",
	}
	soloBody = m{"event": "contract.signed", "url": "https://own.example/solo"}
)

// engine does what Temporal's workflows do for a command, without Temporal.
type engine struct{ store *postgres.Store }

func (e engine) Submit(ctx context.Context, s workflows.Submission) (workflows.Outcome, error) {
	if s.Stream.Kind() == pipeline.KindCustomer {
		state := pipeline.NewCustomer(s.CompanyID, s.ID)
		if s.StoreVersion > 0 {
			var err error
			if state, err = e.store.Customer(ctx, s.CompanyID, s.ID); err != nil {
				return workflows.Outcome{}, err
			}
		}
		return submit(ctx, e.store, state, s)
	}
	state := pipeline.NewProposal(s.CompanyID, s.CustomerID, s.ID)
	if s.StoreVersion > 0 {
		var err error
		if state, err = e.store.Proposal(ctx, s.CompanyID, s.ID); err != nil {
			return workflows.Outcome{}, err
		}
	}
	return submit(ctx, e.store, state, s)
}

func submit[S pipeline.State[S]](ctx context.Context, store *postgres.Store, state S, s workflows.Submission) (workflows.Outcome, error) {
	event, next, err := pipeline.Next(state, s.Command, s.CommandID)
	if err != nil {
		return workflows.Outcome{}, err
	}
	if event.State, err = json.Marshal(next); err != nil {
		return workflows.Outcome{}, err
	}
	if _, err = store.Append(ctx, event, s.Idempotency); err != nil {
		return workflows.Outcome{}, err
	}
	if event, err = store.Event(ctx, s.CompanyID, event.ID); err != nil {
		return workflows.Outcome{}, err
	}
	return workflows.Outcome{Event: event, Allowed: next.Allowed()}, nil
}

func (engine) WakeWebhook(context.Context, int64) error          { return nil }
func (engine) HandleInbound(context.Context, int64) error        { return nil }
func (engine) KeepDocument(context.Context, int64, string) error { return nil }
func (engine) Ping(context.Context) error                        { return nil }
func (engine) SendTest(context.Context, workflows.TestInput) (workflows.TestResult, error) {
	return workflows.TestResult{Delivered: true}, nil
}

type anyTarget struct{}

func (anyTarget) VetURL(context.Context, string) error        { return nil }
func (anyTarget) VetAt(context.Context, string, string) error { return nil }

type bucket struct{}

func (bucket) Read(context.Context, string) (io.ReadSeekCloser, error) {
	return struct {
		io.ReadSeeker
		io.Closer
	}{strings.NewReader("%PDF"), io.NopCloser(nil)}, nil
}

// encryptionKey is 32 bytes in base64.
const encryptionKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// house is the API on Postgres in the API's role, with two companies in it.
type house struct {
	t      *testing.T
	server *api.Server
	owner  *postgres.Store
	db     *sqlx.DB
}

// ids of one of each thing that somebody has.
type ids map[string]string

func newHouse(t *testing.T) *house {
	t.Helper()
	at := newDatabase(t)
	ring, err := keyring.New(encryptionKey)
	require.NoError(t, err)
	owner, err := postgres.Open(postgres.Config{URL: at, Sealer: ring})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, owner.Close()) })
	walled, err := postgres.Open(postgres.Config{URL: at, Sealer: ring, Role: postgres.RoleAPI, MaxConns: 3})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, walled.Close()) })
	db, err := sqlx.Open("postgres", at)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	payloads, err := app.PayloadCodec(app.Config{EncryptionKey: encryptionKey})
	require.NoError(t, err)
	server, err := api.New(api.Config{
		Store: walled, Payloads: payloads, Engine: engine{owner}, Targets: anyTarget{}, Documents: bucket{}, AuthFailures: 1_000_000,
	})
	require.NoError(t, err)
	return &house{t: t, server: server, owner: owner, db: db}
}

// newDatabase makes a migrated database that is gone after the test.
func newDatabase(t *testing.T) string {
	t.Helper()
	const variable = "DEALWRIGHT_TEST_DATABASE_URL"
	require.NotEmpty(t, os.Getenv(variable), "this test needs a Postgres server: run make test, or set "+variable+" to a superuser's URL")
	admin, err := sqlx.Open("postgres", os.Getenv(variable))
	require.NoError(t, err)
	name := fmt.Sprintf("matrix_%d_%d", os.Getpid(), time.Now().UnixNano())
	_, err = admin.Exec(`CREATE DATABASE ` + name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(`DROP DATABASE ` + name + ` WITH (FORCE)`)
		require.NoError(t, err)
		require.NoError(t, admin.Close())
	})
	u, err := url.Parse(os.Getenv(variable))
	require.NoError(t, err)
	u.Path = "/" + name
	require.NoError(t, postgres.MigrateUp(u.String()))
	return u.String()
}

func (h *house) key(company int64, role pipeline.Role, name string) string {
	h.t.Helper()
	key, _, err := h.owner.CreateKey(h.t.Context(), pipeline.Key{CompanyID: company, Name: name, Role: role}, pipeline.Idempotency{})
	require.NoError(h.t, err)
	return key.Secret
}

// call sends a request with a key in the way that the route's system has it.
func (h *house) call(method, path, secret string, body any) *httptest.ResponseRecorder {
	h.t.Helper()
	if strings.HasPrefix(path, "/apidata.php") {
		action := map[string]string{http.MethodPost: "subscribe_customer", http.MethodDelete: "unsubscribe_customer"}[method]
		path += "?action=" + action + "&api_key=" + url.QueryEscape(secret)
	}
	var content io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		require.NoError(h.t, err)
		content = bytes.NewReader(b)
	}
	r := httptest.NewRequest(method, path, content)
	r.Header.Set("X-Request-ID", "same")
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	switch {
	case secret == "":
	case strings.HasPrefix(path, "/hooks"):
		r.SetBasicAuth("jo@example.com", secret)
	default:
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	if strings.HasSuffix(path, "/stream") { // all that there is, and then its reader goes
		ctx, leave := context.WithTimeout(r.Context(), listening)
		defer leave()
		r = r.WithContext(ctx)
		r.Header.Set("Last-Event-ID", "0")
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	return w
}

// made sends a request that makes something, and gives its id.
func (h *house) made(path, secret string, body any) string {
	h.t.Helper()
	w := h.call(http.MethodPost, path, secret, body)
	require.Less(h.t, w.Code, 300, "%s: %s", path, w.Body)
	var out struct {
		ID json.Number `json:"id"`
	}
	require.NoError(h.t, json.Unmarshal(w.Body.Bytes(), &out), w.Body)
	return out.ID.String()
}

// lifecycle makes a customer with a signed proposal and its document; mark stands in all of it.
func (h *house) lifecycle(admin string, company int64, mark string, have ids) {
	h.t.Helper()
	have["customer"] = h.made("/v1/customers", admin, m{"name": mark, "email": "jo@" + mark})
	have["proposal"] = h.made("/v1/customers/"+have["customer"]+"/proposals", admin, m{"nickname": mark})
	sum := sha256.Sum256([]byte(mark))
	have["document"] = uuid.NewSHA1(uuid.NameSpaceDNS, []byte(mark)).String()
	for _, step := range []m{
		{"type": "proposal.sent"},
		{"type": "proposal.selected"},
		{"type": "contract.requested"},
		{"type": "contract.sent"},
		{"type": "contract.signed", "data": m{"documents": []m{{"uuid": have["document"], "name": mark, "creation_type": "GENERATED"}}}},
	} {
		w := h.call(http.MethodPost, "/v1/proposals/"+have["proposal"]+"/transitions", admin, step)
		require.Equal(h.t, http.StatusCreated, w.Code, "%s", w.Body)
	}
	var proposal int64
	_, err := fmt.Sscan(have["proposal"], &proposal)
	require.NoError(h.t, err)
	ctx := h.t.Context()
	require.NoError(h.t, h.owner.AddDocument(ctx, pipeline.KeptDocument{
		CompanyID: company, UUID: have["document"], ProposalID: proposal, URL: "https://" + mark, File: pipeline.File{Name: mark},
	}))
	require.NoError(h.t, h.owner.DocumentStored(ctx, company, have["document"], pipeline.File{
		Name: mark, ContentType: "application/pdf", Size: 4, SHA256: hex.EncodeToString(sum[:]),
	}))
}

// belongings of an admin: what no partner has.
func (h *house) belongings(admin string, company int64, mark string, have ids) {
	h.t.Helper()
	have["key"] = h.made("/v1/keys", admin, m{"name": mark, "role": "app"})
	have["connection"] = h.made("/v1/connections", admin, m{"provider": "sighten", "base_url": "https://" + mark})
	var connection int64
	_, err := fmt.Sscan(have["connection"], &connection)
	require.NoError(h.t, err)
	in, _, err := h.owner.KeepInbound(h.t.Context(), pipeline.Inbound{
		CompanyID: company, ConnectionID: connection, Body: pipeline.Object(`{"site":"` + mark + `"}`), DocumentStatus: pipeline.Text(mark),
	}, []byte(mark))
	require.NoError(h.t, err)
	have["inbound"] = strconv.FormatInt(in.ID, 10)
}

// subscriptions of a key, before what they are told of happens.
func (h *house) subscriptions(key, mark string, have ids) {
	h.t.Helper()
	have["webhook"] = h.made("/v1/webhooks", key, hookBody(mark, "*"))
	solve := maps.Clone(solve360Body)
	solve["url"] = "https://" + mark + "/solve"
	have["hook"] = h.made("/hooks", key, solve)
	have["trigger"] = h.made("/api_trigger_events", key, m{"event": "contract.signed", "url": "https://" + mark + "/solo"})
}

// consequences finds what came of the subscriptions.
func (h *house) consequences(key string, have ids) {
	h.t.Helper()
	require.NoError(h.t, h.db.QueryRow(`SELECT d.id, e.id FROM deliveries d JOIN events e ON e.position = d.event_position
		WHERE d.webhook_id = $1 ORDER BY d.id DESC LIMIT 1`, have["webhook"]).Scan(strings2(have, "delivery", "event")...))
	have["replay"] = have["webhook"] + "/replays/" + h.made("/v1/webhooks/"+have["webhook"]+"/replay", key, nil)
}

// strings2 scans into entries of a map.
func strings2(have ids, names ...string) []any {
	out := make([]any, len(names))
	for i, name := range names {
		out[i] = entry{have, name}
	}
	return out
}

type entry struct {
	of   ids
	name string
}

// Scan is for database/sql.
func (e entry) Scan(v any) error {
	e.of[e.name] = fmt.Sprint(v)
	if b, ok := v.([]byte); ok {
		e.of[e.name] = string(b)
	}
	return nil
}

var nowhere = ids{
	"customer": "999999999", "proposal": "999999999", "webhook": "999999999", "hook": "999999999", "trigger": "999999999",
	"delivery": "999999999", "replay": "999999999/replays/999999999", "key": "999999999", "connection": "999999999", "inbound": "999999999",
	"document": "99999999-9999-4999-8999-999999999999", "event": "evt_none",
}

// inPath puts an id where a route has it.
func inPath(pattern, id string) string {
	if _, rid, ok := strings.Cut(id, "/replays/"); ok {
		pattern = strings.Replace(pattern, ":rid", rid, 1)
		id, _, _ = strings.Cut(id, "/replays/")
	}
	return strings.NewReplacer(":id", id, ":uuid", id, ":token", "nobodys").Replace(pattern)
}

// Every route, with every kind of key, for what is one's own, another company's, another key's and
// nobody's.
//
//nolint:tparallel,paralleltest // each route is asked of the same house, one after the other
func TestTheMatrixOfRoutes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, e := range matrix {
		if !e.optional {
			require.True(t, slices.ContainsFunc(h.server.Routes(), func(r api.Route) bool { return r.Method+" "+r.Path == name }),
				"%s is in the matrix and is no route", name)
		}
	}
	foreignCompany, err := h.owner.CreateCompany(t.Context(), foreignMark)
	require.NoError(t, err)

	// What is not to be seen: another company's, another key's, and what happened before one subscribed.
	foreign, other := ids{}, ids{}
	stranger := h.key(foreignCompany, pipeline.RoleAdmin, foreignMark)
	h.subscriptions(stranger, foreignMark, foreign)
	h.lifecycle(stranger, foreignCompany, foreignMark, foreign)
	h.belongings(stranger, foreignCompany, foreignMark, foreign)
	h.consequences(stranger, foreign)

	admin := h.key(1, pipeline.RoleAdmin, "admin")
	otherPartner := h.key(1, pipeline.RolePartner, "other partner")
	h.subscriptions(otherPartner, otherMark, other)
	h.lifecycle(admin, 1, unseenMark, other)
	h.consequences(otherPartner, other)

	callers := map[pipeline.Role]string{
		pipeline.RoleAdmin: admin, pipeline.RoleApp: h.key(1, pipeline.RoleApp, "app"),
		pipeline.RolePartner: h.key(1, pipeline.RolePartner, "partner"),
	}
	revoked, expired := h.key(1, pipeline.RoleAdmin, "revoked"), h.key(1, pipeline.RoleAdmin, "expired")
	_, err = h.db.Exec(`UPDATE api_keys SET revoked_at = now() WHERE name = 'revoked';
		UPDATE api_keys SET expires_at = now() WHERE name = 'expired'`)
	require.NoError(t, err)

	own := map[pipeline.Role]ids{}
	renew := func(role pipeline.Role) {
		have := ids{}
		owner := callers[role]
		if role == pipeline.RoleApp {
			owner = admin
		}
		h.subscriptions(owner, "own.example", have)
		h.lifecycle(admin, 1, fmt.Sprintf("own%d.example", time.Now().UnixNano()), have)
		h.belongings(admin, 1, "own.example", have)
		h.consequences(owner, have)
		own[role] = have
	}
	for role := range callers {
		renew(role)
	}

	for _, route := range h.server.Routes() {
		name := route.Method + " " + route.Path
		t.Run(name, func(t *testing.T) {
			e, ok := matrix[name]
			require.True(t, ok, "a new route: say in the matrix who may call it, and what the id in its path is of")
			h := &house{t: t, server: h.server, owner: h.owner, db: h.db}
			hasID := strings.Contains(route.Path, ":") && strings.Contains(route.Path, "id") // :id, :rid and :uuid
			require.Equal(t, hasID, e.of != "", "what is the id of?")
			ask := func(secret, id string) *httptest.ResponseRecorder {
				return h.call(route.Method, inPath(route.Path, id), secret, e.body)
			}
			if len(e.roles) == 0 {
				for _, secret := range []string{"", revoked, admin} {
					w := ask(secret, "")
					require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, w.Code)
					require.NotContains(t, w.Body.String(), foreignMark)
				}
				return
			}
			missing := nowhere[e.of]
			for _, secret := range []string{"", revoked, expired, "dw_none"} {
				for _, id := range []string{own[pipeline.RoleAdmin][e.of], missing} {
					requireNoEntry(t, route.Path, ask(secret, id))
				}
			}
			for role, secret := range callers {
				if !slices.Contains(e.roles, role) {
					for _, id := range []string{own[role][e.of], foreign[e.of], missing} {
						w := ask(secret, id)
						if strings.HasPrefix(route.Path, "/apidata.php") {
							requireNoEntry(t, route.Path, w)
							continue
						}
						require.Equal(t, http.StatusForbidden, w.Code, "%s: %s", role, w.Body)
					}
					continue
				}
				hidden := []string{}
				if e.of != "" {
					hidden = append(hidden, foreign[e.of])
				}
				if _, there := other[e.of]; there && role == pipeline.RolePartner {
					hidden = append(hidden, other[e.of])
				}
				for _, id := range hidden {
					require.NotEmpty(t, id, "the test has no other %s", e.of)
					w, none := ask(secret, id), ask(secret, missing)
					require.Equal(t, http.StatusNotFound, w.Code, "%s: %s", role, w.Body)
					require.Equal(t, none.Body.String(), w.Body.String(), "as if it did not exist")
					require.Equal(t, none.Header(), w.Header(), "as if it did not exist")
				}
				if e.of == "replay" { // one's own webhook with somebody else's replay
					_, rid, _ := strings.Cut(foreign["replay"], "/replays/")
					require.Equal(t, http.StatusNotFound, ask(secret, own[role]["webhook"]+"/replays/"+rid).Code)
				}
				w := ask(secret, own[role][e.of])
				allowed := e.own
				if len(allowed) == 0 {
					allowed = is(http.StatusOK)
				}
				require.Contains(t, allowed, w.Code, "%s: %s", role, w.Body)
				requireNothingHidden(t, role, w.Body.String())
				for _, query := range e.narrowed {
					requireEmpty(t, h, secret, route.Path+"?"+query, foreign)
					if role == pipeline.RolePartner { // to the others of the company it is their company's
						requireEmpty(t, h, secret, route.Path+"?"+query, other)
					}
				}
				if route.Method == http.MethodDelete || strings.HasSuffix(name, "erase") || strings.HasSuffix(name, "cancel") {
					h.t = t
					renew(role)
				}
			}
		})
	}

	for name := range matrix {
		if method, path, _ := strings.Cut(name, " "); strings.HasPrefix(path, "/v1/codec/") {
			require.Equal(t, http.StatusForbidden, h.call(method, path, stranger, matrix[name].body).Code, name)
		}
	}

	// Whatever was tried, the others have what they had.
	require.Equal(t, http.StatusOK, h.call(http.MethodGet, "/v1/webhooks/"+foreign["webhook"], stranger, nil).Code)
	require.Equal(t, http.StatusOK, h.call(http.MethodGet, "/v1/webhooks/"+other["webhook"], otherPartner, nil).Code)
	var changed int
	require.NoError(t, h.db.Get(&changed, `SELECT count(*) FROM webhooks WHERE company_id = $1
		AND (deleted_at IS NOT NULL OR NOT active OR description = 'mine')`, foreignCompany))
	require.Zero(t, changed)
}

// requireEmpty asks a list for what belongs to somebody else.
func requireEmpty(t *testing.T, h *house, secret, path string, of ids) {
	t.Helper()
	for thing, id := range of {
		path = strings.ReplaceAll(path, "{"+thing+"}", id)
	}
	w := h.call(http.MethodGet, path, secret, nil)
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	require.Contains(t, w.Body.String(), `"data":[]`, path)
}

// requireNoEntry: who has no good key learns nothing else. Solar Proof says so with a 400.
func requireNoEntry(t *testing.T, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	if strings.HasPrefix(path, "/apidata.php") {
		require.Equal(t, http.StatusBadRequest, w.Code, "%s", w.Body)
		require.Contains(t, w.Body.String(), "Invalid API key")
		return
	}
	require.Equal(t, http.StatusUnauthorized, w.Code, "%s", w.Body)
}

func requireNothingHidden(t *testing.T, role pipeline.Role, body string) {
	t.Helper()
	require.NotContains(t, body, foreignMark)
	if role == pipeline.RolePartner {
		require.NotContains(t, body, otherMark)
		require.NotContains(t, body, unseenMark)
	}
}
