package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestProblemDocument(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()

	a := r.post(customer+"/transitions", object{"type": "customer.restored"}, header("X-Request-ID", "req-1"))
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	require.Equal(t, "req-1", a.header.Get("X-Request-ID"))
	require.JSONEq(t, `{
		"type": "urn:dealwright:problem:illegal_transition", "title": "This may not happen now", "status": 409,
		"detail": "customer.restored is not legal while the customer is active", "code": "illegal_transition", "request_id": "req-1",
		"allowed": ["customer.updated", "customer.status_changed", "appointment.set", "email.sent", "sms.sent", "customer.deleted"]
	}`, string(a.body))

	a = r.post("/v1/customers", object{"name": "", "email": "a@example.com"}, header("X-Request-ID", "req-2"))
	require.JSONEq(t, `{
		"type": "urn:dealwright:problem:invalid", "title": "The input is not valid", "status": 422,
		"detail": "the input is not valid", "code": "invalid", "request_id": "req-2",
		"errors": [{"pointer": "/name", "detail": "must not be empty"}]
	}`, string(a.body))

	a = r.get("/v1/customers?limit=0", header("X-Request-ID", "req-3"))
	require.JSONEq(t, `{
		"type": "urn:dealwright:problem:invalid", "title": "The input is not valid", "status": 422,
		"detail": "the input is not valid", "code": "invalid", "request_id": "req-3",
		"errors": [{"pointer": "", "parameter": "limit", "detail": "the parameter limit has to be a whole number from 1 to 500"}]
	}`, string(a.body))
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	t.Parallel()
	for code, status := range map[pipeline.Code]int{
		pipeline.CodeInvalid: 422, pipeline.CodeIdempotencyKeyReused: 422, pipeline.CodeIllegalTransition: 409,
		pipeline.CodeConflict: 409, pipeline.CodeNotFound: 404, pipeline.CodeUnauthenticated: 401, pipeline.CodeForbidden: 403,
		pipeline.CodeMethodNotAllowed: 405, pipeline.CodeTooLarge: 413, pipeline.CodeUnsupportedMediaType: 415,
		pipeline.CodeRequestTimeout: 408, pipeline.CodeRateLimited: 429, pipeline.CodeUnavailable: 503, pipeline.CodeInternal: 500,
	} {
		r := newRig(t)
		customer := r.customer()
		r.engine.broken = fmt.Errorf("submit: %w: %w", pipeline.Errorf(code, "said to the caller"), errors.New("kept from the caller"))
		a := r.post(customer+"/transitions", object{"type": "email.sent"})
		got := a.problem(status, code)
		require.NotContains(t, string(a.body), "kept from the caller")
		if code != pipeline.CodeInternal {
			require.Equal(t, "said to the caller", got["detail"])
		}
		_, named := got["allowed"]
		require.Equal(t, code == pipeline.CodeIllegalTransition, named)
		wantRetry := status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
		require.Equal(t, wantRetry, slices.Contains([]string{"1", "2", "3"}, a.header.Get("Retry-After")), code)
	}
}

func TestErrorsWithoutACodeAreOurs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.broken = errors.New("pq: password is hunter2")
	for _, route := range []string{"/v1/customers", "/v1/customers/1", "/v1/events", "/v1/webhooks", "/v1/deliveries", "/v1/keys"} {
		a := r.get(route)
		a.problem(http.StatusInternalServerError, pipeline.CodeInternal)
		require.NotContains(t, string(a.body), "hunter2")
	}
	require.Contains(t, r.logged.String(), "hunter2", "the log says what happened")
	r.store.broken = &pipeline.Error{Code: "unheard_of", Message: "secret"}
	a := r.get("/v1/customers")
	a.problem(http.StatusInternalServerError, pipeline.CodeInternal)
	require.NotContains(t, string(a.body), "secret")
}

func TestUnavailableStore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	r.store.broken = pipeline.Errorf(pipeline.CodeUnavailable, "the store cannot be reached; try again")
	for _, a := range []reply{
		r.get(customer), r.get("/v1/events"), r.get("/v1/events?wait=1s"), r.post(customer+"/transitions", object{"type": "email.sent"}),
		r.post("/v1/customers", object{"name": "A", "email": "a@example.com"}),
		r.post("/v1/webhooks", object{"url": "https://a.example/", "events": []string{"*"}}),
		r.post("/v1/keys", object{"name": "K", "role": "app"}),
	} {
		a.problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)
		require.Contains(t, []string{"1", "2", "3"}, a.header.Get("Retry-After"))
	}
}

// What could not be done is said, and wakes nobody.
func TestStoreThatGoesAwayMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	webhook := r.webhook()
	replay := r.replay(webhook)
	r.post(replay+"/cancel", nil).must(http.StatusOK)
	replay = r.replay(webhook)
	woken := len(r.engine.woken)
	r.store.lost = pipeline.Errorf(pipeline.CodeUnavailable, "the store cannot be reached; try again")
	for _, a := range []reply{
		r.call(http.MethodPatch, webhook, object{"active": false}), r.post(webhook+"/enable", nil), r.post(webhook+"/disable", nil),
		r.post(webhook+"/rotate-secret", nil), r.get(webhook + "/public-key"), r.post(webhook+"/replay", nil),
		r.post(webhook+"/recover", object{"since": "2026-11-20T00:00:00Z"}), r.get(webhook + "/replays"), r.post(replay+"/resume", nil),
		r.get(webhook + "/gaps"), r.get(webhook + "/stats"),
	} {
		a.problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)
	}
	require.Len(t, r.engine.woken, woken)
	r.store.lost, r.store.broken = nil, pipeline.Errorf(pipeline.CodeUnavailable, "the store cannot be reached; try again")
	r.post("/v1/webhooks", object{"url": "https://a.example/", "events": []string{"*"}, "start": 1}).
		problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)
}

func TestPanicsAreSurvived(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	r.store.panics = true
	a := r.get(customer)
	a.problem(http.StatusInternalServerError, pipeline.CodeInternal)
	require.NotContains(t, string(a.body), "the secret of the store")
	require.Contains(t, r.logged.String(), "fakes_test.go", "the log has the stack")
	r.get("/healthz").must(http.StatusOK)
}
