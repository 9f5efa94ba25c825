package api_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/api"
	"github.com/dealwright/dealwright/pipeline"
)

// The roots of other systems' routes.
const (
	solarProof = "/apidata.php"
	solve360   = "/hooks"
	solo       = "/api_trigger_events"
)

// isCompat reports that a path is one of another system's.
func isCompat(path string) bool {
	return slices.ContainsFunc([]string{solarProof, solve360, solo}, func(root string) bool {
		return path == root || strings.HasPrefix(path, root+"/")
	})
}

// ownRoutes are those that speak as we do, to those who have a key or need none.
func ownRoutes(r *rig) []api.Route {
	return slices.DeleteFunc(r.server.Routes(), func(route api.Route) bool { return isCompat(route.Path) || isSightens(route) })
}

// isSightens: what Sighten sends, and where its clients fetch documents.
func isSightens(route api.Route) bool {
	return strings.HasPrefix(route.Path, "/inbound/") || strings.HasPrefix(route.Path, "/api/v1/document/")
}

func compatRoutes(r *rig) []api.Route {
	return slices.DeleteFunc(r.server.Routes(), func(route api.Route) bool { return !isCompat(route.Path) })
}

// knownAs gives a key in the way of the system whose path it is.
func knownAs(key string) option {
	return func(q *http.Request) {
		q.Header.Del("Authorization")
		switch {
		case key == "":
		case strings.HasPrefix(q.URL.Path, solarProof):
			query := q.URL.Query()
			query.Set("api_key", key)
			q.URL.RawQuery = query.Encode()
		case strings.HasPrefix(q.URL.Path, solve360):
			q.SetBasicAuth("someone@example.com", key)
		default:
			as(key)(q)
		}
	}
}

// good is a body that a route takes.
func good(route api.Route) string {
	switch {
	case strings.HasPrefix(route.Path, solarProof):
		return `{"hookUrl":"https://partner.example/solarproof","type_request":"customer_created"}`
	case strings.HasPrefix(route.Path, solve360):
		return `{"event":"items.update","url":"https://partner.example/solve360"}`
	default:
		return `{"event":"Contract Signed","url":"https://partner.example/solo"}`
	}
}

// at is the path of a route for a webhook.
func at(route api.Route, id int64) string {
	path := strings.Replace(route.Path, ":id", strconv.FormatInt(id, 10), 1)
	switch {
	case path != solarProof:
		return path
	case route.Method == http.MethodDelete:
		return path + "?action=unsubscribe_customer"
	default:
		return path + "?action=subscribe_customer"
	}
}

// refused checks that the answer is an error in the shape of the system whose path it is, and
// gives what it says.
func (a reply) refused(path string, status int) string {
	a.t.Helper()
	require.Equal(a.t, status, a.status, string(a.body))
	require.NotContains(a.t, string(a.body), "urn:dealwright:problem")
	require.Equal(a.t, "nosniff", a.header.Get("X-Content-Type-Options"))
	require.Equal(a.t, "no-store", a.header.Get("Cache-Control"))
	switch {
	case strings.HasPrefix(path, solarProof):
		require.Equal(a.t, "application/json", a.header.Get("Content-Type"))
		var said struct {
			Success *bool  `json:"success"`
			Message string `json:"message"`
		}
		exactly(a.t, a.body, &said)
		require.False(a.t, *said.Success)
		require.NotEmpty(a.t, said.Message)
		return said.Message
	case strings.HasPrefix(path, solve360):
		return a.solve360Errors()
	default:
		require.Equal(a.t, "application/json", a.header.Get("Content-Type"))
		var said struct {
			Error string `json:"error"`
		}
		exactly(a.t, a.body, &said)
		require.NotEmpty(a.t, said.Error)
		return said.Error
	}
}

func (a reply) solve360Errors() string {
	a.t.Helper()
	var said struct {
		XMLName xml.Name `json:"-"      xml:"response"`
		Errors  []string `json:"errors" xml:"errors>error"`
		Status  string   `json:"status" xml:"status"`
	}
	if a.header.Get("Content-Type") == "application/json" {
		exactly(a.t, a.body, &said)
	} else {
		require.Equal(a.t, "application/xml; charset=utf-8", a.header.Get("Content-Type"))
		require.NoError(a.t, xml.Unmarshal(a.body, &said), string(a.body))
	}
	require.Equal(a.t, "failed", said.Status)
	require.NotEmpty(a.t, said.Errors)
	return strings.Join(said.Errors, "; ")
}

func exactly(tb testing.TB, body []byte, into any) {
	tb.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	require.NoError(tb, dec.Decode(into), string(body))
}

// trigger makes a webhook of each system that has ids, and gives the id.
func (r *rig) trigger(root, key string) int64 {
	r.t.Helper()
	a := r.call(http.MethodPost, root, good(api.Route{Path: root}), knownAs(key), header("Accept", "application/json"))
	require.Less(r.t, a.status, 300, string(a.body))
	var made struct {
		ID int64 `json:"id"`
	}
	mustDecode(a.body, &made)
	require.NotZero(r.t, made.ID)
	return made.ID
}

func TestCompatRoutesForEveryRole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, route := range compatRoutes(r) {
		require.Equal(t, []pipeline.Role{pipeline.RoleAdmin, pipeline.RolePartner}, route.Roles)
		for _, key := range []string{admin, partner} {
			id := int64(424242)
			if root := strings.TrimSuffix(strings.TrimSuffix(route.Path, "/"), "/:id"); strings.Contains(route.Path, ":id") {
				id = r.trigger(root, key)
			}
			a := r.call(route.Method, at(route, id), good(route), knownAs(key))
			require.Less(t, a.status, 300, "%s %s: %s", route.Method, route.Path, a.body)
		}
		path := at(route, 424242)
		a := r.call(route.Method, path, good(route), knownAs(app))
		if strings.HasPrefix(path, solarProof) {
			require.Equal(t, "Invalid API key", a.refused(path, http.StatusBadRequest))
		} else {
			require.Equal(t, "a key with the role app may not do this", a.refused(path, http.StatusForbidden))
		}
	}
}

func TestCompatRoutesWantAKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, route := range compatRoutes(r) {
		path := at(route, 1)
		for name, wrong := range map[string]option{
			"none": knownAs(""), "unknown": knownAs("dw_wrong"), "long": knownAs(strings.Repeat("x", 600)), "odd": knownAs("dw_\u00e4"),
			"another scheme": func(q *http.Request) { q.Header.Set("Authorization", "Digest "+admin) },
		} {
			body, options := "<not even", []option{wrong, header("Content-Type", "text/plain")}
			if strings.HasPrefix(path, solarProof) {
				a := r.call(route.Method, path, good(route), options...) // where the key comes last
				require.Equal(t, "Invalid API key", a.refused(path, http.StatusBadRequest), name)
				continue
			}
			a := r.call(route.Method, path, body, options...)
			a.refused(path, http.StatusUnauthorized)
			scheme := map[bool]string{true: "Basic ", false: "Bearer "}[strings.HasPrefix(path, solve360)]
			require.Contains(t, a.header.Get("WWW-Authenticate"), scheme, "%s: %s", path, name)
		}
	}
	require.Empty(t, r.store.webhooks)
}

func TestCompatErrorsAreTheSystemsOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, route := range compatRoutes(r) {
		path := at(route, 424242)
		writes := route.Method == http.MethodPost || (route.Method == http.MethodPut)
		if strings.Contains(route.Path, ":id") {
			r.call(route.Method, path, good(route), knownAs(partner)).refused(path, http.StatusNotFound)
			for _, id := range noIDs {
				odd := strings.Replace(route.Path, ":id", id, 1)
				r.call(route.Method, odd, good(route), knownAs(partner)).refused(path, http.StatusNotFound)
			}
		}
		if writes && !strings.Contains(route.Path, ":id") {
			r.call(route.Method, path, strings.Repeat(" ", 2<<20), knownAs(partner)).refused(path, http.StatusRequestEntityTooLarge)
			zipped := header("Content-Encoding", "gzip")
			r.call(route.Method, path, good(route), knownAs(partner), zipped).refused(path, http.StatusUnsupportedMediaType)
		}
		a := r.call(http.MethodPatch, path, good(route), knownAs(partner))
		a.refused(path, http.StatusMethodNotAllowed)
		require.Contains(t, a.header.Get("Allow"), route.Method)
	}
	for _, path := range []string{solarProof + "/", solarProof + "/x", solve360 + "/1/2", solve360 + "//", solo + "/1/logs"} {
		r.get(path, knownAs(partner)).refused(path, http.StatusNotFound)
	}
	r.get("/hooksandmore").problem(http.StatusNotFound, pipeline.CodeNotFound)
}

func TestCompatRoutesWhenThingsBreak(t *testing.T) {
	t.Parallel()
	for failure, status := range map[error]int{
		pipeline.Errorf(pipeline.CodeUnavailable, "the store cannot be reached"): http.StatusServiceUnavailable,
		errors.New("planted detail"): http.StatusInternalServerError,
	} {
		r := newRig(t)
		r.store.broken = failure
		for _, route := range compatRoutes(r) {
			path := at(route, 1)
			a := r.call(route.Method, path, good(route), knownAs(partner))
			require.NotContains(t, a.refused(path, status), "planted")
			require.Equal(t, status == http.StatusServiceUnavailable, a.header.Get("Retry-After") != "")
		}
	}
}

func TestCompatRoutesShowAPartnerItsOwnOnly(t *testing.T) {
	t.Parallel()
	for _, root := range []string{solve360, solo} {
		r := newRig(t)
		mine, theirs := r.trigger(root, partner), r.trigger(root, partner2)
		several := r.webhook(as(partner)) // which is native
		format := map[string]string{solve360: pipeline.FormatSolve360, solo: pipeline.FormatSolo}[root]
		r.post("/v1/webhooks", object{"url": "https://p.example/", "events": []string{"*"}, "format": format}).must(http.StatusCreated)

		require.Equal(t, []int64{mine}, r.listed(root, partner))
		require.Equal(t, []int64{mine, theirs}, r.listed(root, admin), "oldest first, and what is for one event only")
		require.Empty(t, r.listed(root, stranger))
		for _, id := range []string{strconv.FormatInt(theirs, 10), several[strings.LastIndex(several, "/")+1:]} {
			path := root + "/" + id
			r.get(path, knownAs(partner)).refused(path, http.StatusNotFound)
			r.call(http.MethodPut, path, `{"url":"https://evil.example/"}`, knownAs(partner)).refused(path, http.StatusNotFound)
			r.call(http.MethodDelete, path, nil, knownAs(partner)).refused(path, http.StatusNotFound)
		}
		path := fmt.Sprint(root, "/", mine)
		r.get(path, knownAs(stranger)).refused(path, http.StatusNotFound)
		require.Less(t, r.call(http.MethodDelete, path, nil, knownAs(partner)).status, 300)
		require.Empty(t, r.listed(root, partner))
		require.Contains(t, r.engine.woken, mine)
		require.Len(t, r.get("/v1/webhooks").rows(), 3)
	}
}

// listed are the ids in a list, of more than one page's length or less.
func (r *rig) listed(root, key string) []int64 {
	r.t.Helper()
	a := r.get(root, knownAs(key), header("Accept", "application/json"))
	require.Equal(r.t, http.StatusOK, a.status, string(a.body))
	var rows []struct {
		ID int64 `json:"id"`
	}
	if root == solve360 {
		var list struct {
			Hooks json.RawMessage `json:"hooks"`
		}
		mustDecode(a.body, &list)
		a.body = list.Hooks
	}
	mustDecode(a.body, &rows)
	require.NotNil(r.t, rows, "an empty list is a list")
	ids := make([]int64, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	return ids
}

func TestCompatListsHaveNoPages(t *testing.T) {
	t.Parallel()
	const many = 1001 // more than two pages of the store
	r := newRig(t)
	want := make([]int64, 0, many)
	for range many {
		want = append(want, r.trigger(solo, partner))
	}
	require.Equal(t, want, r.listed(solo, partner))
}

func TestSolarProofMessages(t *testing.T) {
	t.Parallel()
	const (
		subscribe   = "/apidata.php?action=subscribe_customer"
		unsubscribe = "/apidata.php?action=unsubscribe_customer"
		hook        = `{"hookUrl":"https://partner.example/hook"`
		private     = `{"hookUrl":"https://forbidden.example/","type_request":"customer_created"}`
	)
	long := strings.Repeat("a", 2000)
	for name, c := range map[string]struct {
		path, body, want string
		key              string // of the partner unless it says another
	}{
		"nothing":                 {subscribe, "", "Empty request body", "dw_wrong"},
		"white space":             {subscribe, " \n", "Empty request body", ""},
		"no JSON":                 {subscribe, `{"hookUrl":`, "Invalid JSON", "dw_wrong"},
		"two values":              {subscribe, hook + `} {}`, "Invalid JSON", ""},
		"a list":                  {subscribe, `[]`, "Invalid JSON", ""},
		"null":                    {subscribe, `null`, "Invalid JSON", ""},
		"no URL":                  {subscribe, `{"type_request":"customer_created"}`, "hookUrl parameter is required", "dw_wrong"},
		"another case":            {subscribe, `{"HOOKURL":"https://a.example/"}`, "hookUrl parameter is required", ""},
		"an empty URL":            {subscribe, `{"hookUrl":""}`, "hookUrl parameter is required", ""},
		"a URL that is a number":  {subscribe, `{"hookUrl":7}`, "Invalid webhook URL format", ""},
		"a relative URL":          {subscribe, `{"hookUrl":"/hook"}`, "Invalid webhook URL format", "dw_wrong"},
		"another scheme":          {subscribe, `{"hookUrl":"ftp://partner.example/"}`, "Invalid webhook URL format", ""},
		"a blank":                 {subscribe, `{"hookUrl":"https://partner.example/a b"}`, "Invalid webhook URL format", ""},
		"NUL":                     {subscribe, `{"hookUrl":"https://partner.example/\u0000"}`, "Invalid webhook URL format", ""},
		"a long URL":              {subscribe, `{"hookUrl":"https://a.example/` + long + `"}`, "Invalid webhook URL format", ""},
		"a private address":       {subscribe, private, "Invalid webhook URL format", ""},
		"its key comes first":     {subscribe, private, "Invalid API key", "dw_wrong"},
		"no type":                 {subscribe, hook + `}`, "Invalid webhook type", "dw_wrong"},
		"a type of ours":          {subscribe, hook + `,"type_request":"customer.created"}`, "Invalid webhook type", ""},
		"a type that is a number": {subscribe, hook + `,"type_request":1}`, "Invalid webhook type", ""},
		"no key":                  {subscribe, hook + `,"type_request":"customer_created"}`, "Invalid API key", "dw_wrong"},
		"no action":               {"/apidata.php", hook + `}`, "Invalid action", ""},
		"another action":          {"/apidata.php?action=get_customer", hook + `}`, "Invalid action", ""},
		"no match":                {unsubscribe, hook + `}`, "No matching webhook found for this user", ""},
		"unsubscribe, no key":     {unsubscribe, hook + `}`, "Invalid API key", "dw_wrong"},
		"unsubscribe, no body":    {unsubscribe, "", "Empty request body", ""},
		"unsubscribe, no JSON":    {unsubscribe, "{", "Invalid JSON", ""},
		"unsubscribe, no URL":     {unsubscribe, "{}", "hookUrl parameter is required", ""},
		"unsubscribe, a bad URL":  {unsubscribe, `{"hookUrl":"partner"}`, "Invalid webhook URL format", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			key := partner
			if c.key != "" {
				key = c.key
			}
			a := r.post(c.path, c.body, knownAs(key), header("Content-Type", "text/plain"))
			require.JSONEq(t, fmt.Sprintf(`{"success":false,"message":%q}`, c.want), string(a.body))
			require.Equal(t, http.StatusBadRequest, a.status)
			require.Empty(t, r.store.webhooks)
		})
	}
}

func TestSolarProofUnsubscribesAllOfTheKeyAndTheURL(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodDelete, http.MethodPost} {
		r := newRig(t)
		subscribe := func(key, url, event string) {
			body := object{"hookUrl": url, "type_request": event}
			r.post("/apidata.php?action=subscribe_customer", body, knownAs(key)).must(http.StatusOK)
		}
		const url = "https://partner.example/hook"
		for _, event := range []string{"customer_created", "project_sms_sent", "customer_created"} {
			subscribe(partner, url, event)
		}
		subscribe(partner, url+"/", "customer_created")
		subscribe(partner2, url, "customer_created")
		subscribe(admin, url, "customer_created")
		r.post("/v1/webhooks", object{"url": url, "events": []string{"*"}}, as(partner)).must(http.StatusCreated)
		require.Len(t, r.store.webhooks, 7)

		a := r.call(method, "/apidata.php?action=unsubscribe_customer", object{"hookUrl": url}, knownAs(partner))
		a.must(http.StatusOK)
		require.JSONEq(t, `{"success":true,"message":"Webhook unsubscribed successfully"}`, string(a.body))
		require.Len(t, r.store.webhooks, 4)
		require.Len(t, r.engine.woken, 3)
		a = r.call(method, "/apidata.php?action=unsubscribe_customer", object{"hookUrl": url}, knownAs(admin))
		a.must(http.StatusOK)
		require.Len(t, r.store.webhooks, 3, "an admin's own alone, as an admin sees all of them")
	}
}

// What a compat route writes is a webhook as any other.
func TestCompatWebhooksAreWebhooks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	query := "?action=subscribe_customer&api_key=" + partner
	r.post(solarProof+query, `{"hookUrl":"https://partner.example/a","type_request":"recent_draft_project"}`).must(http.StatusOK)
	r.trigger(solve360, partner)
	r.trigger(solo, partner)
	rows := r.get("/v1/webhooks", as(partner)).rows()
	require.Len(t, rows, 3)
	for i, want := range []object{
		{"format": "solo", "event_name": "Contract Signed", "events": []any{"contract.signed"}, "url": "https://partner.example/solo"},
		{"format": "solve360", "event_name": "items.update", "events": []any{"customer.updated", "proposal.saved"}},
		{"format": "solarproof", "event_name": "recent_draft_project", "events": []any{"proposal.drafted", "proposal.saved"}},
	} {
		for field, value := range want {
			require.Equal(t, value, rows[i][field], field)
		}
		require.Equal(t, true, rows[i]["active"])
		require.Equal(t, "5s", rows[i]["timeout"])
	}
	for _, w := range r.store.webhooks {
		require.Equal(t, int64(3), w.KeyID)
		require.Empty(t, w.Signing.Secret)
	}
}

func TestSolve360Bodies(t *testing.T) {
	t.Parallel()
	const bomb = `<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><request><event>&b;</event></request>`
	const (
		fields   = "event is missing; url has to be a whole http:// or https:// address"
		xmlType  = "application/xml"
		formType = "application/x-www-form-urlencoded"
		types    = "send XML, JSON or a form, in UTF-8: Content-Type: application/xml, application/json or application/x-www-form-urlencoded"
	)
	for name, c := range map[string]struct {
		contentType, body string
		status            int
		want              string
	}{
		"no body":        {xmlType, " ", 422, "the body is missing"},
		"an entity bomb": {xmlType, bomb, 422, "a document type is not allowed"},
		"an external entity": {
			"text/xml", `<!DOCTYPE r SYSTEM "file:///etc/passwd"><request/>`, 422, "a document type is not allowed",
		},
		"a document type inside": {
			"text/xml", `<request><title><!DOCTYPE x></title></request>`, 422, "a document type is not allowed",
		},
		"an unknown entity": {
			xmlType, `<request><title>&x;</title></request>`, 422, "the body is not well-formed XML (line 1)",
		},
		"elements in elements": {
			xmlType, `<request><title><b>x</b></title></request>`, 422, "title has to be text",
		},
		"deep": {
			xmlType, "<request>" + strings.Repeat("<url>", 10_000), 422, "url has to be text",
		},
		"cut off":      {xmlType, `<request><title>x`, 422, "the body is not well-formed XML (line 1)"},
		"another root": {xmlType, `<response/>`, 422, "the body has to be a <request>"},
		"a namespace":  {xmlType, `<request xmlns="urn:x"/>`, 422, "the body has to be a <request>"},
		"a prefix": {
			xmlType, `<request xmlns:x="urn:x"><x:url>a</x:url></request>`, 422, "url is not a field that is known here",
		},
		"an unknown element": {
			xmlType, `<request><color>red</color></request>`, 422, "color is not a field that is known here",
		},
		"twice":       {xmlType, `<request><url>a</url><url>b</url></request>`, 422, "url is there more than once"},
		"text around": {xmlType, `<request>web</request>`, 422, "there is text outside of the fields"},
		"two of them": {
			xmlType, `<request/><request/>`, 422, "the body has to be one <request> and nothing after it",
		},
		"another encoding": {
			xmlType, `<?xml version="1.0" encoding="ISO-8859-1"?><request/>`, 422, "the body is not XML in UTF-8",
		},
		"not UTF-8":           {xmlType, "<request><title>\xff</title></request>", 422, "the body is not UTF-8"},
		"no text":             {"application/json", `{"title":"a\u0000b"}`, 422, "title has characters that are not for text"},
		"nothing said, XML":   {xmlType, `<request/>`, 422, fields},
		"nothing said, JSON":  {"application/json", `{}`, 422, fields},
		"nothing said, form":  {formType, "title=", 422, fields},
		"no type, so XML":     {"", `<request/>`, 422, fields},
		"JSON, a list":        {"application/json", `[]`, 422, "the body has to be a JSON object"},
		"JSON, an object":     {"application/json", `{"url":{"a":1}}`, 422, "url has to be text"},
		"JSON, cut off":       {"application/json", `{"url":"a"`, 422, "the body is not well-formed JSON"},
		"JSON, two values":    {"application/json", `{} {}`, 422, "the body is not well-formed JSON"},
		"JSON, twice":         {"application/json", `{"url":"a","url":"b"}`, 422, "url is there more than once"},
		"a form that is none": {formType, "url=%zz", 422, "the body is not a well-formed form"},
		"another type":        {"text/plain", "x", 415, types},
		"another charset":     {"application/xml; charset=latin1", "<request/>", 415, types},
		"what cannot be": {
			"application/json",
			`{"id":7,"type":"mail","active":2,"event":"items.touch","url":"x","contenttype":"yaml","constrainttype":"task"}`,
			422,
			"id is not for you to choose; type has to be web; active has to be 0 or 1; url has to be a whole http:// or https:// address; " +
				"contenttype has to be xml, json or form; " +
				"event is not an event of this format; constrainttype is not a constraint of this event",
		},
		"a long title": {
			"application/json", `{"title":"` + strings.Repeat("a", 501) + `"}`, 422, "title is too long: at most 500 characters",
		},
		"a private address": {"application/json", `{"event":"items.update","url":"https://forbidden.example/"}`, 422, "url may not be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := r.post("/hooks/", c.body, knownAs(partner), header("Content-Type", c.contentType))
			require.Equal(t, c.want, a.refused("/hooks/", c.status))
			require.Empty(t, r.store.webhooks)
		})
	}
}

func TestSolve360SecretsAndSwitches(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	put := func(path, body string) {
		a := r.call(http.MethodPut, path, body, knownAs(partner))
		require.Equal(t, http.StatusOK, a.status, string(a.body))
		require.Equal(t, "<response>\n  <status>success</status>\n</response>\n", string(a.body))
	}
	a := r.post("/hooks/", `{"event":"items.update","url":"https://p.example/","secret":" planted & <raw> ","active":false}`, knownAs(partner))
	require.Contains(t, string(a.body), "<secret> planted &amp; &lt;raw&gt; </secret>")
	kept := func() pipeline.Webhook { return r.store.webhooks[0] }
	path := fmt.Sprint("/hooks/", kept().ID)
	require.Equal(t, " planted & <raw> ", kept().Signing.Secret)
	require.False(t, kept().Active)

	for _, read := range []string{"/hooks/", path} {
		a := r.get(read, knownAs(partner))
		require.Contains(t, string(a.body), "<secret> planted &amp; &lt;raw&gt; </secret>", "as Solve360 does")
	}
	put(path, `{"title":"T","active":true}`)
	require.Equal(t, " planted & <raw> ", kept().Signing.Secret)
	require.Equal(t, pipeline.Text("T"), kept().Description)
	require.True(t, kept().Active)
	put(path, `{"secret":"another"}`)
	require.Equal(t, "another", kept().Signing.Secret)
	before := kept()
	refused := r.call(http.MethodPut, path, `{"title":"U","secret":"third","event":""}`, knownAs(partner))
	refused.refused(path, http.StatusUnprocessableEntity)
	require.Equal(t, before, kept(), "either all of it is changed or nothing")
	put(path+"/", `{"title":"U","secret":""}`)
	require.Empty(t, kept().Signing.Secret)
	require.Equal(t, pipeline.Text("U"), kept().Description)

	put(path, fmt.Sprintf(`{"id":%d,"event":"activities.restore","constrainttype":"all"}`, kept().ID))
	require.Equal(t, []string{}, kept().Events, "which never happens here")
	put(path, `{"event":"items.create","constrainttype":"projectblog","contenttype":"form","url":"https://p.example/2"}`)
	require.Equal(t, []string{"proposal.drafted"}, kept().Events)
	require.Equal(t, "form", kept().ContentType)

	for body, want := range map[string]string{
		`{"constrainttype":"task"}`:           "constrainttype is not a constraint of this event",
		`{"event":""}`:                        "event is missing",
		`{"url":"https://forbidden.example"}`: "url may not be reached",
		`{"id":1}`:                            "id is not for you to choose",
	} {
		require.Equal(t, want, r.call(http.MethodPut, path, body, knownAs(partner)).refused(path, http.StatusUnprocessableEntity))
	}
	require.NotContains(t, r.logged.String(), "planted")
}

func TestSolve360AnswersInWhatIsPreferred(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for accept, asJSON := range map[string]bool{
		"": false, "*/*": false, "application/xml": false, "text/html": false, "Application/JSON": true,
		"application/json, text/plain, */*": true, "application/json;q=0.5, application/xml": false,
		"application/json, application/xml": true, "application/xml, application/json": false, "text/xml;q=0.1,application/json;q=0.2": true,
		"application/json;q=0": false, "application/json;q=x": false, ";;,": false,
	} {
		a := r.get("/hooks", knownAs(partner), header("Accept", accept))
		require.Equal(t, asJSON, a.header.Get("Content-Type") == "application/json", accept)
		require.Equal(t, "Accept", a.header.Get("Vary"))
	}
}

func TestSoloTriggers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, spelling := range []string{
		"Customer Status Changed", "customer_status_changed", "customer.status_changed", "CUSTOMER status.changed",
	} {
		got := r.post(solo, object{"event": spelling, "url": "https://p.example/", "company_id": 1}, as(partner)).must(http.StatusCreated)
		delete(got, "id")
		require.Equal(t, object{
			"company_id": 1.0, "event": "Customer Status Changed", "url": "https://p.example/", "auth": object{"type": "none"},
		}, got)
	}
	const forbidden = `"auth":{"type":"oauth2","token_url":"https://forbidden.example/","client_id":"c","client_secret":"s"}`
	for more, want := range map[string]string{
		`"company_id":2`:           "company_id is not the company of this key",
		`"id":1`:                   "id is not for you to choose",
		`"active":true`:            "active is not a field that is known here",
		`"auth":{"type":"bearer"}`: "auth.token is missing",
		`"auth":{"type":"digest"}`: "auth.type has to be none, basic, bearer, api_key or oauth2",

		`"auth":{"type":"bearer","token":"********"}`: "auth.token is missing",
		forbidden: "auth.token_url may not be reached",
	} {
		a := r.post(solo, `{"event":"Credit Ran","url":"https://p.example/",`+more+`}`, as(partner))
		require.Equal(t, want, a.refused(solo, http.StatusUnprocessableEntity))
	}
	for body, want := range map[string]string{
		`{}`:                           "event is missing; url is missing",
		`{"event":"Customer Deleted"}`: "event has to be one of Customer Created, Customer Updated",
		`{"event":"Credit Ran","url":"https://forbidden.example/"}`: "url may not be reached",
		"{": "JSON",
	} {
		a := r.post(solo, body, as(partner))
		require.Contains(t, a.refused(solo, http.StatusUnprocessableEntity), want, body)
	}
	require.Len(t, r.store.webhooks, 4)
	r.post(solo, "{}", as(partner), header("Content-Type", "application/xml")).refused(solo, http.StatusUnsupportedMediaType)
}

func TestSoloAuthKeepsItsShapeAndItsSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, auth := range []object{
		{"type": "none"},
		{"type": "basic", "username": "u", "password": "planted-1"},
		{"type": "bearer", "token": "planted-2"},
		{"type": "api_key", "name": "X-Key", "value": "planted-3", "in": "header"},
		{"type": "api_key", "name": "key", "value": "planted-4", "in": "query"},
		{"type": "oauth2", "token_url": "https://login.example/", "client_id": "c", "client_secret": "planted-5", "scope": "s"},
	} {
		shown := object{}
		for field, value := range auth {
			shown[field] = value
			if strings.HasPrefix(fmt.Sprint(value), "planted") {
				shown[field] = "********"
			}
		}
		got := r.post(solo, object{"event": "credit_ran", "url": "https://p.example/", "auth": auth}, as(partner)).must(http.StatusCreated)
		require.Equal(t, shown, got["auth"])
		kept := r.store.webhooks[len(r.store.webhooks)-1].Auth

		path := fmt.Sprint(solo, "/", got["id"])
		got = r.get(path, as(partner)).must(http.StatusOK)
		require.Equal(t, shown, got["auth"])
		got["event"], got["url"] = "contract_sent", "https://p.example/2"
		got = r.call(http.MethodPut, path, got, as(partner)).must(http.StatusOK) // all of it back again
		require.Equal(t, "Contract Sent", got["event"])
		changed := r.store.webhooks[len(r.store.webhooks)-1]
		require.Equal(t, kept, changed.Auth)
		require.Equal(t, []string{"contract.sent"}, changed.Events)
		require.Equal(t, "https://p.example/2", changed.URL)

		r.call(http.MethodPut, path, object{"auth": object{"type": "bearer", "token": "planted-6"}}, as(partner)).must(http.StatusOK)
		require.Equal(t, "planted-6", r.store.webhooks[len(r.store.webhooks)-1].Auth.Token)
		r.call(http.MethodPut, path, `{"auth":null}`, as(partner)).must(http.StatusOK)
		require.Empty(t, r.store.webhooks[len(r.store.webhooks)-1].Auth)
	}
	require.NotContains(t, string(r.get(solo, as(partner)).body), "planted")
	require.NotContains(t, r.logged.String(), "planted")
}

// A key in a query gets into no log.
func TestTheKeyInTheQueryIsNotLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.post("/apidata.php?action=subscribe_customer&api_key="+partner, good(api.Route{Path: solarProof})).must(http.StatusOK)
	require.NotContains(t, r.logged.String(), partner)
	require.Contains(t, r.logged.String(), `"key_id":3`)
}
