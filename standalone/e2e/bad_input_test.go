package e2e_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// junk are bodies that no route takes.
var junk = map[string]string{
	"nothing":              "",
	"not JSON":             `{not json`,
	"half of JSON":         `{"name": "John`,
	"two values":           `{} {}`,
	"null":                 `null`,
	"an array":             `[]`,
	"a text":               `"text"`,
	"a number":             `1e999`,
	"wrong types":          `{"name": 5, "email": {}, "type": [], "url": 7, "events": "all", "role": 1, "data": 3, "price": "1"}`,
	"unknown fields":       `{"colour": "green"}`,
	"an unknown event":     `{"type": "no.such_event"}`,
	"a key twice":          `{"type": "email.sent", "type": "sms.sent", "name": "a", "name": "b"}`,
	"NUL":                  `{"name": "a\u0000b", "type": "email.sent\u0000", "nickname": "\u0000", "description": "\u0000"}`,
	"half a surrogate":     `{"name": "\ud800", "email": "a@example.com", "nickname": "\ud800", "type": "\ud800"}`,
	"broken UTF-8":         "{\"name\": \"\xff\xfe\", \"nickname\": \"\xff\", \"type\": \"\xff\"}",
	"deeply nested":        strings.Repeat("[", 100_000),
	"a field of no end":    `{"name": "` + strings.Repeat("a", 900_000) + `"}`,
	"more than a megabyte": `{"name": "` + strings.Repeat("a", 2<<20) + `"}`,
}

// stableCode is the form of a code that programs can rely on.
var stableCode = regexp.MustCompile(`^[a-z_]+$`)

// requireClientError: the caller is told, in a form that a program can read, that it is their mistake.
func requireClientError(t *testing.T, a answer, what string) {
	t.Helper()
	require.GreaterOrEqual(t, a.status, 400, "%s: %s", what, a.body)
	require.Less(t, a.status, 500, "%s: %s", what, a.body)
	require.Regexp(t, stableCode, string(want[problem](t, a, a.status).Code), what)
}

func TestBadInputIsRefusedOnEveryRouteAndChangesNothing(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	customer := c.customer(t)
	proposal := c.proposal(t, customer.ID)
	h := c.webhook(t, newReceiver(t).URL+"/", object{"active": false})
	routes := map[string]string{ // what takes a body, and the method
		"/v1/customers": http.MethodPost,
		fmt.Sprintf("/v1/customers/%d/transitions", customer.ID): http.MethodPost,
		fmt.Sprintf("/v1/customers/%d/proposals", customer.ID):   http.MethodPost,
		fmt.Sprintf("/v1/proposals/%d/transitions", proposal.ID): http.MethodPost,
		"/v1/webhooks": http.MethodPost,
		h.path():       http.MethodPatch,
		"/v1/keys":     http.MethodPost,
	}
	for path, method := range routes {
		for name, body := range junk {
			requireClientError(t, c.raw(t, method, path, "application/json", body), fmt.Sprintf("%s %s with %s", method, path, name))
		}
		for _, kind := range []string{
			"", ";", "text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data",
			"application/json; charset=utf-16",
		} {
			a := c.raw(t, method, path, kind, `{"type": "email.sent"}`)
			refused(t, a, http.StatusUnsupportedMediaType, pipeline.CodeUnsupportedMediaType)
		}
		for _, wrong := range []string{http.MethodPut, "BREW"} {
			refused(t, c.raw(t, wrong, path, "application/json", `{}`), http.StatusMethodNotAllowed, pipeline.CodeMethodNotAllowed)
		}
		large := c.raw(t, method, path, "application/json", junk["more than a megabyte"])
		refused(t, large, http.StatusRequestEntityTooLarge, pipeline.CodeTooLarge)
		nobody := company{caller: caller{api: c.api, key: "dw_nobody"}}
		refused(t, nobody.raw(t, method, path, "application/json", `{}`), http.StatusUnauthorized, pipeline.CodeUnauthenticated)
	}
	for _, key := range []string{"", "a b", strings.Repeat("k", 256), "ключ"} {
		a := c.post(t, "/v1/customers", newCustomer(), http.Header{"Idempotency-Key": {key}})
		refused(t, a, http.StatusUnprocessableEntity, pipeline.CodeInvalid)
	}

	feed := want[list[pipeline.Event]](t, c.get(t, "/v1/events?after=0"), http.StatusOK).Data
	require.Len(t, feed, 2, "only what was made on purpose has happened")
	require.Len(t, want[list[hook]](t, c.get(t, "/v1/webhooks"), http.StatusOK).Data, 1)
	require.Len(t, want[list[object]](t, c.get(t, "/v1/keys"), http.StatusOK).Data, 1)
}

// raw sends a body as it is.
func (c caller) raw(t *testing.T, method, path, contentType, body string) answer {
	t.Helper()
	request, err := http.NewRequest(method, c.api+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("Content-Type", contentType)
	a, err := send(request)
	require.NoError(t, err)
	return a
}

func TestBadPathsAndParametersAreRefused(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)

	for _, kind := range []string{"customers", "proposals", "webhooks", "deliveries"} {
		for _, id := range []string{
			"0", "-1", "1.5", "01", "abc", "999999999", "9007199254740992", "99999999999999999999999", "%00", "%ff", "1%20",
		} {
			for _, rest := range []string{"", "/events"} {
				refused(t, c.get(t, "/v1/"+kind+"/"+id+rest), http.StatusNotFound, pipeline.CodeNotFound)
			}
		}
	}
	for _, path := range []string{
		"/v1/customers?limit=0", "/v1/customers?limit=501", "/v1/customers?limit=many", "/v1/customers?cursor=%00",
		"/v1/customers?status=new", "/v1/customers?owner_id=-1", "/v1/customers?colour=green", "/v1/customers?limit=1&limit=2",
		"/v1/customers?q=%00", "/v1/customers?q=%ff", "/v1/customers?%zz",
		"/v1/proposals?customer_id=x", "/v1/proposals?status=%00", "/v1/events?after=-1", "/v1/events?after=x",
		"/v1/events?types=no.such_event", "/v1/events?wait=forever", "/v1/deliveries?status=lost",
		"/v1/deliveries?webhook_id=x", "/v1/webhooks?cursor=x", "/v1/keys?limit=-1",
	} {
		requireClientError(t, c.get(t, path), path)
	}
	for _, path := range []string{"/v1", "/v1/", "/v1/customers/", "/v2/customers", "/nonsense", "/v1/customers/1/nonsense"} {
		refused(t, c.get(t, path), http.StatusNotFound, pipeline.CodeNotFound)
	}
}
