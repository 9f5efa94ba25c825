package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestNoKeyNoAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, route := range ownRoutes(r) {
		path := strings.Replace(route.Path, ":id", "1", 1)
		for _, wrong := range []option{
			without("Authorization"), as("dw_wrong"), as(""), header("Authorization", "Basic ZHdfYWRtaW46"),
			header("Authorization", admin), as(strings.Repeat("x", 600)), as("dw_\x00admin"),
		} {
			a := r.call(route.Method, path, "not even JSON", wrong, header("Content-Type", "text/plain"))
			if len(route.Roles) == 0 {
				require.NotEqual(t, http.StatusUnauthorized, a.status, path)
				continue
			}
			a.problem(http.StatusUnauthorized, pipeline.CodeUnauthenticated)
			scheme := map[bool]string{true: "Basic", false: "Bearer"}[path == "/v1/codec/login"]
			require.Contains(t, a.header.Get("WWW-Authenticate"), scheme)
		}
	}
	r.get("/v1/customers", header("Authorization", "bearer  "+admin)).must(http.StatusOK)
}

func TestOnlyOperationsAreOpen(t *testing.T) {
	t.Parallel()
	for _, route := range ownRoutes(newRig(t)) {
		require.Equal(t, strings.HasPrefix(route.Path, "/v1/"), len(route.Roles) > 0, route.Path)
	}
}

// reach is who may call what, said a second time and by the words of the contract.
func reach(route string) []pipeline.Role {
	_, path, _ := strings.Cut(route, " ")
	switch {
	case strings.HasPrefix(path, "/v1/keys"), strings.HasPrefix(path, "/v1/connections"), strings.HasPrefix(path, "/v1/codec"),
		strings.HasSuffix(path, "/erase"):
		return []pipeline.Role{pipeline.RoleAdmin}
	case strings.HasPrefix(path, "/v1/customers"), strings.HasPrefix(path, "/v1/proposals"), strings.HasPrefix(path, "/v1/inbound"),
		strings.HasPrefix(route, "POST /v1/documents"):
		return []pipeline.Role{pipeline.RoleAdmin, pipeline.RoleApp}
	case (strings.HasPrefix(path, "/v1/webhooks") || strings.HasPrefix(path, "/v1/deliveries")) && !strings.HasPrefix(route, http.MethodGet):
		return []pipeline.Role{pipeline.RoleAdmin, pipeline.RolePartner}
	default: // reading webhooks and deliveries, the feed, the catalogue
		return []pipeline.Role{pipeline.RoleAdmin, pipeline.RoleApp, pipeline.RolePartner}
	}
}

func TestEveryRouteForEveryRole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, route := range ownRoutes(r) {
		if len(route.Roles) == 0 {
			continue
		}
		for key, role := range map[string]pipeline.Role{admin: pipeline.RoleAdmin, app: pipeline.RoleApp, partner: pipeline.RolePartner} {
			name := route.Method + " " + route.Path
			a := r.call(route.Method, strings.Replace(route.Path, ":id", "424242", 1), "{}", as(key))
			if slices.Contains(reach(name), role) {
				require.NotEqual(t, http.StatusForbidden, a.status, "%s as %s", name, role)
				require.NotEqual(t, http.StatusUnauthorized, a.status, "%s as %s", name, role)
			} else {
				a.problem(http.StatusForbidden, pipeline.CodeForbidden)
			}
		}
	}
}

func TestACompanySeesItsOwnOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	customer := r.customer()
	r.webhook()
	proposal := r.proposal(customer)
	webhook := r.webhook()
	r.post(proposal+"/transitions", object{"type": "proposal.sent"}).must(http.StatusCreated)
	delivery := path("/v1/deliveries/", r.get("/v1/deliveries").rows()[0])
	replay := r.replay(webhook)

	for _, thing := range []string{
		customer, customer + "/events", customer + "/timeline", proposal, proposal + "/events", proposal + "/timeline",
		proposal + "/documents", webhook, delivery, webhook + "/public-key", webhook + "/replays", replay, webhook + "/gaps",
		webhook + "/stats",
	} {
		r.get(thing).must(http.StatusOK)
		r.get(thing, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	}
	for _, list := range []string{"/v1/customers", "/v1/proposals", "/v1/events", "/v1/webhooks", "/v1/deliveries"} {
		require.NotEmpty(t, r.get(list).rows(), list)
		require.Empty(t, r.get(list, as(stranger)).rows(), list)
	}
	require.Len(t, r.get("/v1/keys", as(stranger)).rows(), 1)
	r.call(http.MethodPatch, webhook, object{"active": false}, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	r.call(http.MethodDelete, webhook, nil, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	for _, operation := range operations(webhook, replay, delivery) {
		r.post(operation.path, operation.body, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	}
	r.call(http.MethodDelete, "/v1/keys/2", nil, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	r.get(webhook).must(http.StatusOK)
}

// operations are all that can be done to a webhook, a replay and a delivery, each with a body
// that the route takes.
func operations(webhook, replay, delivery string) []struct {
	path string
	body any
} {
	return []struct {
		path string
		body any
	}{
		{webhook + "/test", object{"type": "sms.sent"}},
		{webhook + "/rotate-secret", nil},
		{webhook + "/disable", nil},
		{webhook + "/enable", nil},
		{replay + "/pause", nil},
		{replay + "/resume", nil},
		{replay + "/cancel", nil},
		{webhook + "/replay", nil},
		{webhook + "/recover", object{"since": "2026-11-20T00:00:00Z"}},
		{delivery + "/resend", nil},
	}
}

func TestAPartnerSeesItsOwnOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	mine := r.webhook(as(partner))
	theirs := path("/v1/webhooks/", r.post("/v1/webhooks",
		object{"url": "https://two.example/", "events": []string{"sms.sent"}}, as(partner2)).must(http.StatusCreated))
	customer := r.customer()
	r.post(customer+"/transitions", object{"type": "sms.sent"}).must(http.StatusCreated)

	require.Len(t, r.get("/v1/webhooks", as(partner)).rows(), 1)
	require.Len(t, r.get("/v1/webhooks", as(app)).rows(), 2)
	require.Len(t, r.get("/v1/deliveries", as(partner)).rows(), 2)
	require.Len(t, r.get("/v1/events", as(partner)).rows(), 2)
	require.Len(t, r.get("/v1/events", as(partner2)).rows(), 1)

	r.get(mine, as(partner)).must(http.StatusOK)
	r.get(theirs, as(partner)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	r.call(http.MethodPatch, theirs, object{"active": false}, as(partner)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	r.call(http.MethodDelete, theirs, nil, as(partner)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	delivery := path("/v1/deliveries/", r.get("/v1/deliveries", as(partner2)).rows()[0])
	r.get(delivery, as(partner2)).must(http.StatusOK)
	r.get(delivery, as(partner)).problem(http.StatusNotFound, pipeline.CodeNotFound)

	replay := r.replay(theirs, as(partner2))
	for _, read := range []string{theirs + "/public-key", theirs + "/replays", replay, theirs + "/gaps", theirs + "/stats"} {
		r.get(read, as(partner2)).must(http.StatusOK)
		r.get(read, as(partner)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	}
	for _, operation := range operations(theirs, replay, delivery) {
		r.post(operation.path, operation.body, as(partner)).problem(http.StatusNotFound, pipeline.CodeNotFound)
		if a := r.post(operation.path, operation.body, as(partner2)); a.status != http.StatusConflict { // the recover, beside the replay
			require.Less(t, a.status, 300, string(a.body))
		}
	}
}
