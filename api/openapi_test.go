package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/api"
)

// TestTheOpenAPIDocumentIsValid holds the document against OpenAPI itself, its examples included.
func TestTheOpenAPIDocumentIsValid(t *testing.T) {
	t.Parallel()
	a := newRig(t).get("/openapi.json", without("Authorization"))
	a.must(http.StatusOK)
	doc, err := openapi3.NewLoader().LoadFromData(a.body)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
}

// TestEveryRouteIsInTheOpenAPIDocument walks the router, so that a new route without a line fails.
func TestEveryRouteIsInTheOpenAPIDocument(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	doc := document(t, r)
	known := map[string]bool{}
	for _, route := range r.server.Routes() {
		path := templated(route.Path)
		known[route.Method+" "+path] = true
		if foreign(route.Path) {
			require.NotContains(t, doc.Paths, path)
			continue
		}
		operation := doc.Paths[path][strings.ToLower(route.Method)]
		require.NotEmpty(t, operation.OperationID, "%s %s", route.Method, path)
		require.NotEmpty(t, operation.Summary, "%s %s", route.Method, path)
		require.Equal(t, len(route.Roles) == 0, operation.Security != nil, "%s %s", route.Method, path)
	}
	ids := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, operation := range operations {
			require.True(t, known[strings.ToUpper(method)+" "+path], "%s %s is no route", method, path)
			require.False(t, ids[operation.OperationID], "%s is there twice", operation.OperationID)
			ids[operation.OperationID] = true
			for _, p := range operation.Parameters {
				require.True(t, p.In == "path" || p.Description != "", "%s of %s %s", p.Name, method, path)
			}
		}
	}
}

// TestTheClientIsMadeFromThisDocument compares the document with the copy that package client is
// generated from.
func TestTheClientIsMadeFromThisDocument(t *testing.T) {
	t.Parallel()
	const kept = "../client/openapi.json"
	body := newRig(t).get("/openapi.json").body
	if *update {
		require.NoError(t, os.WriteFile(kept, body, 0o644))
	}
	want, err := os.ReadFile(kept)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, body), "the API's document has changed: run make client")
}

func TestTheDocumentationIsServedFromTheBinary(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	page := r.get("/docs", without("Authorization"))
	page.status200(t)
	policy := page.header.Get("Content-Security-Policy")
	require.Contains(t, policy, "script-src 'self' 'sha256-")
	require.NotContains(t, policy, "unsafe-eval")
	for _, link := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllSubmatch(page.body, -1) {
		require.NotContains(t, string(link[1]), "//", "nothing comes from elsewhere")
		r.get(string(link[1]), without("Authorization")).status200(t)
	}
	require.Equal(t, http.StatusNotFound, r.get("/docs/nothing.js").status)
}

func (a reply) status200(tb testing.TB) {
	tb.Helper()
	require.Equal(tb, http.StatusOK, a.status, string(a.body))
	require.NotEmpty(tb, a.body)
}

// openAPIDocument is as much of the document as the tests look at.
type openAPIDocument struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Security    *[]any
		Parameters  []struct{ Name, In, Description string }
		Responses   map[string]struct {
			Ref     string `json:"$ref"`
			Content map[string]any
		}
	}
}

func document(tb testing.TB, r *rig) openAPIDocument {
	tb.Helper()
	var doc openAPIDocument
	mustDecode(r.get("/openapi.json").body, &doc)
	return doc
}

var parameter = regexp.MustCompile(`:(\w+)`)

func templated(path string) string { return parameter.ReplaceAllString(path, "{$1}") }

// foreign reports a route of another system.
func foreign(path string) bool {
	return slices.ContainsFunc([]string{
		"/hooks", "/api_trigger_events", "/apidata.php", "/api/v1/document/", "/v1/codec/",
	}, func(root string) bool {
		return strings.HasPrefix(path, root)
	})
}

// promised holds every answer that any test gets against the document: its status, its media
// type, and its body, in which no field may be that the document does not have.
type promised struct {
	router   []routePattern
	compiler *jsonschema.Compiler
	doc      openAPIDocument

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

type routePattern struct {
	method, path string
	matches      *regexp.Regexp
}

const documentURL = "https://dealwright.test/openapi.json"

var (
	promisesOnce sync.Once
	promisesMade promised
)

// promises reads the document of the first rig that asks; they all have the same.
func (r *rig) promises() *promised {
	r.t.Helper()
	promisesOnce.Do(r.readPromises)
	return &promisesMade
}

func (r *rig) readPromises() {
	r.t.Helper()
	var whole any
	body := r.serve(http.MethodGet, "/openapi.json", nil).body
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	require.NoError(r.t, decoder.Decode(&whole))
	closeObjects(whole)
	p := &promisesMade
	p.compiler, p.compiled = jsonschema.NewCompiler(), map[string]*jsonschema.Schema{}
	p.compiler.DefaultDraft(jsonschema.Draft2020)
	require.NoError(r.t, p.compiler.AddResource(documentURL, whole))
	mustDecode(body, &p.doc)
	for _, route := range r.server.Routes() {
		if !foreign(route.Path) {
			p.router = append(p.router, patternOf(route))
		}
	}
}

func patternOf(route api.Route) routePattern {
	return routePattern{
		route.Method, templated(route.Path), regexp.MustCompile("^" + parameter.ReplaceAllString(route.Path, `[^/]+`) + "$"),
	}
}

// closeObjects lets objects have no fields beyond those that are named. The document itself leaves
// that open, so that an answer can have more one day.
func closeObjects(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			closeObjects(item)
		}
	case object:
		if _, ok := v["properties"].(object); ok && v["additionalProperties"] == nil && v["type"] != nil {
			v["additionalProperties"] = false
		}
		for _, item := range v {
			closeObjects(item)
		}
	}
}

// hold checks an answer to a request; requests of other systems' routes and of none are passed over.
func (p *promised) hold(tb testing.TB, a reply) {
	tb.Helper()
	method, path := a.asked.Method, a.asked.URL.Path
	if a.status == http.StatusMethodNotAllowed { // what is no operation is not described
		return
	}
	for _, route := range p.router {
		if route.method != method || !route.matches.MatchString(path) {
			continue
		}
		where := fmt.Sprintf("%s %s: %d", method, route.path, a.status)
		response, ok := p.doc.Paths[route.path][strings.ToLower(method)].Responses[strconv.Itoa(a.status)]
		require.True(tb, ok, "%s is not in the OpenAPI document: %s", where, a.body)
		if method == http.MethodHead { // the server that is in front drops what the recorder keeps
			return
		}
		if a.status == http.StatusNoContent {
			require.Empty(tb, a.body, where)
			return
		}
		media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
		if media != "application/json" && media != "application/problem+json" {
			return // bytes and texts have no schema
		}
		p.check(tb, where, p.location(route, method, a.status, response.Ref, media), a.body)
		return
	}
}

func (*promised) location(route routePattern, method string, status int, ref, media string) string {
	at := "#/paths/" + escaped(route.path) + "/" + strings.ToLower(method) + "/responses/" + strconv.Itoa(status)
	if ref != "" {
		at = ref
	}
	return documentURL + at + "/content/" + escaped(media) + "/schema"
}

func escaped(token string) string {
	token = strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
	return strings.NewReplacer("{", "%7B", "}", "%7D", "+", "%2B").Replace(token)
}

func (p *promised) check(tb testing.TB, where, location string, body []byte) {
	tb.Helper()
	p.mu.Lock()
	schema, ok := p.compiled[location]
	if !ok {
		var err error
		schema, err = p.compiler.Compile(location)
		if err != nil {
			p.mu.Unlock()
			require.NoError(tb, err, where)
		}
		p.compiled[location] = schema
	}
	p.mu.Unlock()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	require.NoError(tb, err, where)
	require.NoError(tb, schema.Validate(value), "%s is not as the OpenAPI document says: %s", where, body)
}
