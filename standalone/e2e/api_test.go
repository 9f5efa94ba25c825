package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// caller sends requests with one API key.
type caller struct {
	api string
	key string
}

// connections is shared by all callers; no request of theirs takes a minute.
var connections = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64},
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// object is a JSON object to send.
type object = map[string]any

// idempotent names a request.
func idempotent(key string) http.Header { return http.Header{"Idempotency-Key": {key}} }

// try sends a request whose body is JSON, if there is one, and fails as the network does.
func (c caller) try(method, path string, body any, headers ...http.Header) (answer, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		content = bytes.NewReader(b)
	}
	request, err := http.NewRequest(method, c.api+path, content)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		maps.Copy(request.Header, h)
	}
	return send(request)
}

func send(request *http.Request) (answer, error) {
	response, err := connections.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: body}, err
}

func (c caller) do(t *testing.T, method, path string, body any, headers ...http.Header) answer {
	t.Helper()
	a, err := c.try(method, path, body, headers...)
	require.NoError(t, err)
	return a
}

func (c caller) get(t *testing.T, path string) answer {
	t.Helper()
	return c.do(t, http.MethodGet, path, nil)
}

func (c caller) post(t *testing.T, path string, body any, headers ...http.Header) answer {
	t.Helper()
	return c.do(t, http.MethodPost, path, body, headers...)
}

// insist repeats a request with its key for as long as the answer is 503, and counts how
// often that was. Any other answer is the result. It may run beside the test's goroutine.
func (c caller) insist(path string, body any, key string) (a answer, refused int, err error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		a, err = c.try(http.MethodPost, path, body, idempotent(key))
		if err != nil || a.status != http.StatusServiceUnavailable {
			return a, refused, err
		}
		if a.header.Get("Retry-After") == "" {
			return a, refused, fmt.Errorf("503 without Retry-After: %s", a.body)
		}
		refused++
		time.Sleep(10 * tick)
	}
	return a, refused, fmt.Errorf("still 503 after %s: %s", patience, a.body)
}

// want decodes an answer that has to have a status.
func want[T any](t *testing.T, a answer, status int) T {
	t.Helper()
	require.Equal(t, status, a.status, "%s", a.body)
	var v T
	require.NoError(t, json.Unmarshal(a.body, &v), "%s", a.body)
	return v
}

// problem is an RFC 9457 answer.
type problem struct {
	Code    pipeline.Code
	Allowed []pipeline.EventType
	Errors  []struct{ Pointer, Parameter, Detail string }
}

// refused decodes a problem that has to have a status and a code.
func refused(t *testing.T, a answer, status int, code pipeline.Code) problem {
	t.Helper()
	p := want[problem](t, a, status)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	require.Equal(t, code, p.Code, "%s", a.body)
	return p
}

// list is a page of something.
type list[T any] struct {
	Data       []T
	NextCursor json.RawMessage `json:"next_cursor"`
}

// transition is the answer to one.
type transition struct {
	Event   pipeline.Event
	State   json.RawMessage
	Allowed []pipeline.EventType
}

// company is a company of a test's own, with an admin's key.
type company struct {
	caller

	engine *engine
	id     int64
}

func (e *engine) newCompany(t *testing.T) company {
	t.Helper()
	id, err := e.store.CreateCompany(t.Context(), t.Name())
	require.NoError(t, err)
	c := company{engine: e, id: id}
	c.caller = c.newKey(t, pipeline.RoleAdmin)
	return c
}

// newKey makes another key of the company.
func (c company) newKey(t *testing.T, role pipeline.Role) caller {
	t.Helper()
	key, _, err := c.engine.store.CreateKey(t.Context(), pipeline.Key{CompanyID: c.id, Name: t.Name(), Role: role}, pipeline.Idempotency{})
	require.NoError(t, err)
	return caller{api: c.engine.Ready().API, key: key.Secret}
}

func newCustomer() object {
	return object{"name": "John Doe", "email": "john.doe@example.com", "owner_id": 67890}
}

func newProposal() object {
	return object{"nickname": "Smith Residence Solar", "site_address": "123 Main St, Sydney NSW 2000"}
}

func (c company) customer(t *testing.T) pipeline.Customer {
	t.Helper()
	return want[pipeline.Customer](t, c.post(t, "/v1/customers", newCustomer()), http.StatusCreated)
}

func (c company) proposal(t *testing.T, customerID int64) pipeline.Proposal {
	t.Helper()
	path := fmt.Sprintf("/v1/customers/%d/proposals", customerID)
	return want[pipeline.Proposal](t, c.post(t, path, newProposal()), http.StatusCreated)
}

// pathOf is the route of an entity.
func pathOf(s pipeline.Stream) string {
	_, id, _ := bytes.Cut([]byte(s), []byte("-"))
	return "/v1/" + string(s.Kind()) + "s/" + string(id)
}

func body(typ pipeline.EventType, data object) object {
	if data == nil {
		return object{"type": typ}
	}
	return object{"type": typ, "data": data}
}

// move asks for a transition, which may be refused.
func (c company) move(t *testing.T, s pipeline.Stream, typ pipeline.EventType, data object, headers ...http.Header) answer {
	t.Helper()
	return c.post(t, pathOf(s)+"/transitions", body(typ, data), headers...)
}

// moved is a transition that has to succeed.
func (c company) moved(t *testing.T, s pipeline.Stream, typ pipeline.EventType, data object) pipeline.Event {
	t.Helper()
	return want[transition](t, c.move(t, s, typ, data), http.StatusCreated).Event
}

// step is a transition with its data.
type step struct {
	typ  pipeline.EventType
	data object
}

func (c company) walk(t *testing.T, s pipeline.Stream, steps ...step) {
	t.Helper()
	for _, next := range steps {
		c.moved(t, s, next.typ, next.data)
	}
}

// note is a transition that is always legal and moves nothing.
func note(n int) object { return body(pipeline.TypeEmailSent, object{"subject": strconv.Itoa(n)}) }

func (c company) events(t *testing.T, s pipeline.Stream) []pipeline.Event {
	t.Helper()
	return want[list[pipeline.Event]](t, c.get(t, pathOf(s)+"/events?limit=500"), http.StatusOK).Data
}

// requireStream holds a stream to be these events in this order, with the versions 1, 2, 3….
func (c company) requireStream(t *testing.T, s pipeline.Stream, types ...pipeline.EventType) []pipeline.Event {
	t.Helper()
	events := c.events(t, s)
	got := make([]pipeline.EventType, len(events))
	for i, e := range events {
		got[i] = e.Type
		require.Equal(t, int64(i+1), e.Version)
	}
	require.Equal(t, types, got)
	return events
}

// hook is a webhook with its secret.
type hook struct {
	ID     int64
	Secret string
}

// settings are what the API shows of a webhook.
type settings struct {
	Active         bool
	DisabledReason *string `json:"disabled_reason"`
	CatchingUp     bool    `json:"catching_up"`
	Health         pipeline.Health
}

func (c caller) settings(t *testing.T, h hook) settings {
	t.Helper()
	return want[settings](t, c.get(t, h.path()), http.StatusOK)
}

// patch changes settings of a webhook.
func (c caller) patch(t *testing.T, h hook, change object) {
	t.Helper()
	want[settings](t, c.do(t, http.MethodPatch, h.path(), change), http.StatusOK)
}

// enable sends what was held, or discards it.
func (c caller) enable(t *testing.T, h hook, request any) {
	t.Helper()
	require.True(t, want[settings](t, c.post(t, h.path()+"/enable", request), http.StatusOK).Active)
}

func (h hook) path() string { return fmt.Sprintf("/v1/webhooks/%d", h.ID) }

// webhook subscribes to everything; more adds to the request or replaces parts of it.
func (c caller) webhook(t *testing.T, url string, more object) hook {
	t.Helper()
	request := object{"url": url, "events": []string{"*"}}
	maps.Copy(request, more)
	return want[hook](t, c.post(t, "/v1/webhooks", request), http.StatusCreated)
}

func (c caller) deliveries(t *testing.T, h hook) []pipeline.Delivery {
	t.Helper()
	path := fmt.Sprintf("/v1/deliveries?webhook_id=%d&limit=500", h.ID)
	return want[list[pipeline.Delivery]](t, c.get(t, path), http.StatusOK).Data
}

// delivery reads one with all its attempts.
func (c caller) delivery(t *testing.T, id int64) pipeline.Delivery {
	t.Helper()
	return want[pipeline.Delivery](t, c.get(t, fmt.Sprintf("/v1/deliveries/%d", id)), http.StatusOK)
}

// only reads the one delivery that a webhook has.
func (c caller) only(t *testing.T, h hook) pipeline.Delivery {
	t.Helper()
	all := c.deliveries(t, h)
	require.Len(t, all, 1)
	return c.delivery(t, all[0].ID)
}

// statuses counts a webhook's deliveries by where they stand.
func (c caller) statuses(t *testing.T, h hook) map[pipeline.DeliveryStatus]int {
	t.Helper()
	count := map[pipeline.DeliveryStatus]int{}
	for _, d := range c.deliveries(t, h) {
		count[d.Status]++
	}
	return count
}

// allAre waits until a webhook has so many deliveries, all of them with one status.
func (c caller) allAre(t *testing.T, h hook, status pipeline.DeliveryStatus, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d deliveries of webhook %d are %s", n, h.ID, status), func() bool {
		got := c.statuses(t, h)
		return got[status] == n && len(got) == 1
	})
}
