package api_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/api"
	"github.com/dealwright/dealwright/pipeline"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	nobody := without("Authorization")
	require.Equal(t, object{"name": "dealwright"}, r.get("/", nobody).must(http.StatusOK))
	require.Equal(t, object{"name": "dealwright", "version": "v1.2.3"}, r.get("/").must(http.StatusOK))
	require.Equal(t, object{"name": "dealwright"}, r.get("/", as("dw_unknown")).must(http.StatusOK))
	r.get("/healthz", nobody).must(http.StatusOK)
	r.get("/readyz?verbose", nobody).must(http.StatusOK)

	r.store.broken = errors.New("dial tcp 10.0.0.7: refused")
	a := r.get("/readyz", nobody)
	require.Equal(t, "not ready: Postgres cannot be reached", a.problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)["detail"])
	require.NotContains(t, string(a.body), "10.0.0.7")
	r.get("/healthz", nobody).must(http.StatusOK)

	r.engine.broken = pipeline.Errorf(pipeline.CodeInternal, "away")
	a = r.get("/readyz", nobody)
	require.Equal(t, "not ready: Postgres and Temporal cannot be reached",
		a.problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)["detail"])

	r.store.broken, r.engine.broken = nil, nil
	r.get("/readyz", nobody).must(http.StatusOK)
	r.server.Drain()
	r.get("/readyz", nobody).problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)
	r.get("/v1/customers").must(http.StatusOK)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.get(r.customer())
	r.get("/v1/customers/424242")
	r.get("/secret-path")
	r.call("BREW", "/v1/customers", nil)
	shown := string(r.get("/metrics", without("Authorization")).body)
	for _, line := range []string{
		`dealwright_http_requests_total{method="POST",route="/v1/customers",status="2xx"} 1`,
		`dealwright_http_requests_total{method="GET",route="/v1/customers/:id",status="2xx"} 1`,
		`dealwright_http_requests_total{method="GET",route="/v1/customers/:id",status="4xx"} 1`,
		`dealwright_http_requests_total{method="GET",route="unmatched",status="4xx"} 1`,
		`dealwright_http_requests_total{method="OTHER",route="unmatched",status="4xx"} 1`,
		`dealwright_http_request_duration_seconds_count{method="POST",route="/v1/customers",status="2xx"} 1`,
	} {
		require.Contains(t, shown, line)
	}
	require.NotContains(t, shown, "secret-path")
}

func TestOneRegistryOneServer(t *testing.T) {
	t.Parallel()
	cfg := api.Config{Store: &fakeStore{}, Engine: &fakeEngine{}, Targets: fakeTargets{}, Registry: prometheus.NewRegistry()}
	_, err := api.New(cfg)
	require.NoError(t, err)
	_, err = api.New(cfg)
	require.ErrorContains(t, err, "register metrics")
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.post("/v1/customers", object{"name": "Jane Roe", "email": "jane@example.com"}, header("X-Request-ID", "req-1"))
	r.get("/v1/customers?q=hunter2", as("dw_hunter2"))
	logged := strings.Split(strings.TrimSpace(r.logged.String()), "\n")
	require.Len(t, logged, 2, "one line for each request")

	var line object
	require.NoError(t, json.Unmarshal([]byte(logged[0]), &line))
	require.GreaterOrEqual(t, line["duration_ms"], 0.0)
	for name, want := range map[string]any{
		"msg": "request", "level": "INFO", "method": "POST", "route": "/v1/customers", "status": 201.0,
		"request_id": "req-1", "company_id": 1.0, "key_id": 1.0,
	} {
		require.Equal(t, want, line[name], name)
	}
	for _, private := range []string{"hunter2", "Jane", "jane@", "Bearer", admin} {
		require.NotContains(t, r.logged.String(), private)
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.Equal(t, "a.B_c-9", r.get("/healthz", header("X-Request-ID", "a.B_c-9")).header.Get("X-Request-ID"))
	for _, odd := range []string{"", "two words", strings.Repeat("x", 65), "a\nb", `"`} {
		given := r.get("/healthz", header("X-Request-ID", odd)).header.Get("X-Request-ID")
		require.Regexp(t, `^[0-9a-f-]{36}$`, given)
	}
}
