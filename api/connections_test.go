package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/api"
	"github.com/dealwright/dealwright/pipeline"
)

func (r *rig) connection(body object, options ...option) object {
	r.t.Helper()
	whole := object{"provider": "sighten", "base_url": "https://engine.sighten.example/"}
	maps.Copy(whole, body)
	return r.post("/v1/connections", whole, options...).must(http.StatusCreated)
}

// inbound is the path of a connection's inbound_url.
func inbound(connection object) string {
	_, path, _ := strings.Cut(fmt.Sprint(connection["inbound_url"]), "example.com")
	return path
}

func TestConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	made := r.connection(object{"auth": object{"type": "bearer", "token": "very-secret"}, "create_missing": true}, idempotencyKey("k"))
	require.Equal(t, "https://engine.sighten.example", made["base_url"])
	require.Equal(t, object{"type": "bearer"}, made["auth"])
	require.Equal(t, true, made["create_missing"])
	require.Regexp(t, `^http://example\.com/inbound/[A-Za-z0-9_-]{43}$`, made["inbound_url"])
	require.Equal(t, made, r.connection(
		object{"auth": object{"type": "bearer", "token": "very-secret"}, "create_missing": true}, idempotencyKey("k")))

	where := path("/v1/connections/", made)
	require.Equal(t, made, r.get(where).must(http.StatusOK))
	require.Equal(t, []object{made}, r.get("/v1/connections").rows())
	behind := r.get(where, header("X-Forwarded-Proto", "https")).must(http.StatusOK)
	require.Regexp(t, `^https://example\.com/inbound/`, behind["inbound_url"])

	r.get(where, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	require.Empty(t, r.get("/v1/connections", as(stranger)).rows())
	r.call(http.MethodDelete, where, nil, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	r.call(http.MethodDelete, where, nil).must(http.StatusNoContent)
	r.get(where).problem(http.StatusNotFound, pipeline.CodeNotFound)
	require.NotContains(t, r.logged.String(), "very-secret")
}

func TestConnectionsThatCannotBe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		body    object
		pointer string
	}{
		{object{"provider": "sighten", "base_url": "https://forbidden.example"}, "/base_url"},
		{object{"provider": "sighten", "base_url": "https://a.example/?tenant=1"}, "/base_url"},
		{object{"provider": "sighten", "base_url": "https://a.example", "auth": object{
			"type": "oauth2", "token_url": "https://forbidden.example/token", "client_id": "c", "client_secret": "s",
		}}, "/auth/token_url"},
		{object{"provider": "sighten", "base_url": "https://a.example", "auth": object{"type": "none", "token": "t"}}, "/auth/token"},
		{object{"provider": "docusign", "base_url": "https://a.example"}, "/provider"},
	} {
		r.post("/v1/connections", c.body).invalid(c.pointer)
	}
}

func contractSample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../pipeline/testdata/sighten_contract.json")
	require.NoError(t, err)
	return string(text)
}

func TestInboundIsKeptOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	to := inbound(r.connection(nil))
	sample := contractSample(t)
	provider := without("Authorization")

	first := r.post(to, sample, provider).must(http.StatusAccepted)
	require.Equal(t, "received", first["status"])
	require.Equal(t, false, first["repeated"])
	var value any
	require.NoError(t, json.Unmarshal([]byte(sample), &value))
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch} { // spaced otherwise
		again := r.call(method, to, value, provider).must(http.StatusAccepted)
		require.Equal(t, first["id"], again["id"])
		require.Equal(t, true, again["repeated"])
	}
	require.Len(t, r.store.contracts.inbox, 1)
	require.Contains(t, r.engine.begun, path("inbox-", first))

	read := r.get(path("/v1/inbound/", first)).must(http.StatusOK)
	require.Equal(t, value, read["body"])
	require.Equal(t, "SIGN", read["document_status"])
	require.Equal(t, "7cf8d5db-bb05-4a39-a40b-c83e17988c37", read["quote"])
	require.Equal(t, "2019-11-26T20:24:59.613449Z", read["date_updated"])
	r.get(path("/v1/inbound/", first), as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	require.NotContains(t, r.logged.String(), strings.TrimPrefix(to, "/inbound/"), "who has the address gets in")
}

func TestInboundThatIsNoneLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	to := inbound(r.connection(nil))
	sample := contractSample(t)
	for _, c := range []struct {
		body    string
		status  int
		options []option
	}{
		{"", 422, nil},
		{"{'status':'INPROG'}", 422, nil},
		{`{}`, 422, nil},
		{`[` + sample + `]`, 422, nil},
		{`{"quote":"7cf8d5db-bb05-4a39-a40b-c83e17988c37","sub_tasks":[{"category":"FORM"}]}`, 422, nil},
		{`{"quote":"7","sub_tasks":[{"category":"DOCUMENT"}]}`, 422, nil},
		{`{"sub_tasks":"` + strings.Repeat("x", 1<<20) + `"}`, 413, nil},
		{sample, 415, []option{header("Content-Type", "text/plain")}},
	} {
		a := r.post(to, c.body, c.options...)
		require.Equal(t, c.status, a.status, string(a.body))
	}
	for _, other := range []string{"/inbound/", "/inbound/x", to + "x", "/inbound/" + strings.Repeat("x", 2000)} {
		r.post(other, sample).problem(http.StatusNotFound, pipeline.CodeNotFound)
	}
	require.Empty(t, r.store.contracts.inbox)
	require.Empty(t, r.engine.begun)
}

func TestInboundIsKeptThoughTemporalIsDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	to := inbound(r.connection(nil))
	r.engine.broken = pipeline.Errorf(pipeline.CodeUnavailable, "down")
	r.post(to, contractSample(t)).must(http.StatusAccepted)
	r.store.broken = pipeline.Errorf(pipeline.CodeUnavailable, "down")
	r.post(to, contractSample(t)).problem(http.StatusServiceUnavailable, pipeline.CodeUnavailable)
}

func TestUnmatchedInbound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	to := inbound(r.connection(nil))
	sample := contractSample(t)
	in := path("/v1/inbound/", r.post(to, sample).must(http.StatusAccepted))
	r.store.contracts.inbox[0].Status = pipeline.InboundUnmatched
	rows := r.get("/v1/inbound?status=unmatched", as(app)).rows()
	require.Len(t, rows, 1)
	require.NotContains(t, rows[0], "body")
	require.Empty(t, r.get("/v1/inbound?status=handled").rows())
	require.Empty(t, r.get("/v1/inbound", as(stranger)).rows())

	require.Equal(t, "received", r.post(in+"/retry", nil).must(http.StatusAccepted)["status"])
	require.Len(t, r.engine.begun, 2)
	r.store.contracts.inbox[0].Status = pipeline.InboundUnmatched
	require.Equal(t, "received", r.post(to, sample).must(http.StatusAccepted)["status"], "sent again, it is tried again")
	require.Len(t, r.engine.begun, 3)
	r.store.contracts.inbox[0].Status = pipeline.InboundHandled
	r.post(to, sample).must(http.StatusAccepted)
	require.Len(t, r.engine.begun, 3)
	r.post(in+"/retry", nil).problem(http.StatusConflict, pipeline.CodeConflict)
	r.post(in+"/retry", nil, as(stranger)).problem(http.StatusNotFound, pipeline.CodeNotFound)
	r.get("/v1/inbound?status=lost").problem(http.StatusUnprocessableEntity, pipeline.CodeInvalid)
}

const documentID = "e24f5a7a-1d6d-4417-8af2-22da3d67d4cc"

func (r *rig) document(status pipeline.KeptStatus) {
	r.store.contracts.told = map[string]int64{documentID: 3}
	r.store.contracts.documents = []pipeline.KeptDocument{{
		CompanyID: 1, UUID: documentID, Status: status, Note: "answered 401", StoredAt: pipeline.Instant(r.store.now),
		File: pipeline.File{
			Name: "Cash Agreement (2).pdf", ContentType: "application/pdf", Size: int64(len(signedContract)), SHA256: signedSHA256,
		},
	}}
}

func TestDownloadDocument(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.document(pipeline.KeptStored)
	const own, download, preview = "/v1/documents/" + documentID + "/download",
		"/api/v1/document/" + documentID + "/download/", "/api/v1/document/" + documentID + "/preview/"
	for _, c := range []struct {
		path string
		as   option
	}{
		{own, as(admin)},
		{own, as(app)},
		{own, as(partner)},
		{strings.ToUpper(documentID), nil},
		{download, as(partner)},
		{strings.TrimSuffix(download, "/"), header("Authorization", "Token "+partner)},
		{preview, func(q *http.Request) { q.SetBasicAuth("installer", partner) }},
		{preview, func(q *http.Request) { q.SetBasicAuth(partner, "") }},
	} {
		if c.as == nil {
			c.path, c.as = "/v1/documents/"+c.path+"/download", as(admin)
		}
		a := r.get(c.path, c.as)
		require.Equal(t, http.StatusOK, a.status, "%s: %s", c.path, a.body)
		require.Equal(t, signedContract, string(a.body))
		require.Equal(t, "application/pdf", a.header.Get("Content-Type"))
		require.Equal(t, "15", a.header.Get("Content-Length"))
		require.Equal(t, `"`+signedSHA256+`"`, a.header.Get("ETag"))
		require.Regexp(t, `^sha-256=:[A-Za-z0-9+/]{43}=:$`, a.header.Get("Repr-Digest"))
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		want := "attachment"
		if strings.Contains(c.path, "preview") {
			want = "inline"
		}
		require.Equal(t, want+`; filename="Cash Agreement (2).pdf"`, a.header.Get("Content-Disposition"))
	}
	part := r.get(own, header("Range", "bytes=5-7"))
	require.Equal(t, http.StatusPartialContent, part.status)
	require.Equal(t, "1.7", string(part.body))
	for _, path := range []string{download, preview} {
		for _, wrong := range []option{without("Authorization"), as("dw_wrong"), header("Authorization", "Digest "+partner), as("")} {
			a := r.get(path, wrong)
			require.Equal(t, http.StatusUnauthorized, a.status)
			require.Contains(t, a.must(http.StatusUnauthorized), "detail")
		}
	}
	r.store.contracts.documents[0].File.ContentType = "text/html"
	require.Contains(t, r.get(preview).header.Get("Content-Disposition"), "attachment", "it would run in our name")
}

func TestDocumentsThatAreNotThere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const own = "/v1/documents/" + documentID + "/download"
	missing := func(hope bool, path string, options ...option) string {
		a := r.get(path, options...)
		require.Equal(t, http.StatusNotFound, a.status)
		require.Equal(t, hope, a.header.Get("Retry-After") != "", path)
		return string(a.body)
	}
	missing(true, own)
	missing(false, "/v1/documents/7/download")
	r.document(pipeline.KeptWaiting)
	missing(true, own, as(partner))
	missing(true, "/api/v1/document/"+documentID+"/preview/", as(partner))
	r.document(pipeline.KeptFailed)
	require.Contains(t, missing(false, own), "answered 401")
	require.Equal(t, "waiting", r.post("/v1/documents/"+documentID+"/retry", nil).must(http.StatusAccepted)["status"])
	require.Equal(t, []string{"document-1-" + documentID}, r.engine.begun)

	r.document(pipeline.KeptStored)
	missing(true, own, as(partner2))
	missing(true, own, as(stranger))
	r.post("/v1/documents/"+documentID+"/retry", nil).problem(http.StatusConflict, pipeline.CodeConflict)
	r.store.contracts.documents[0].File.SHA256 = strings.Repeat("0", 64)
	r.get(own).problem(http.StatusInternalServerError, pipeline.CodeInternal)
}

var _ api.Store = (*fakeStore)(nil)
