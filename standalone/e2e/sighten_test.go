package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// What Sighten's own sample says.
const (
	sampleQuote    = "7cf8d5db-bb05-4a39-a40b-c83e17988c37"
	sampleSite     = "b0c16879-5c5f-4dd9-8442-65cc594372ed"
	sampleDocument = "e24f5a7a-1d6d-4417-8af2-22da3d67d4cc" // the one that is UPLOADED
)

func sightenSample(t *testing.T) object {
	t.Helper()
	text, err := os.ReadFile("../../pipeline/testdata/sighten_contract.json")
	require.NoError(t, err)
	var sample object
	require.NoError(t, json.Unmarshal(text, &sample))
	return sample
}

// sighten is a provider of contracts, whose documents are where it keeps its files.
type sighten struct {
	*httptest.Server

	content []byte
	refuses atomic.Bool
	asked   atomic.Int64
	served  atomic.Int64
}

func newSighten(t *testing.T) *sighten {
	t.Helper()
	s := &sighten{content: bytes.Repeat([]byte("%PDF-1.7 signed\n"), 100_000)}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /sighten/api/v1/document/{uuid}/download/", func(w http.ResponseWriter, r *http.Request) {
		asked := s.asked.Add(1)
		switch {
		case s.refuses.Load():
			w.WriteHeader(http.StatusForbidden)
		case r.Header.Get("Authorization") != "Token "+confidential:
			w.WriteHeader(http.StatusUnauthorized)
		case asked == 1: // the webhook is faster than the file
			w.WriteHeader(http.StatusNotFound)
		default:
			http.Redirect(w, r, "/files/"+r.PathValue("uuid"), http.StatusFound)
		}
	})
	routes.HandleFunc("GET /files/", func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		w.Header().Set("Content-Type", "application/pdf")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
	})
	s.Server = httptest.NewServer(routes)
	t.Cleanup(s.Close)
	return s
}

// connect makes a connection and gives what sends to its inbound_url.
func (c company) connect(t *testing.T, provider *sighten, more object) caller {
	t.Helper()
	body := object{
		"provider": "sighten", "base_url": provider.URL + "/sighten/",
		"auth": object{"type": "api_key", "in": "header", "name": "Authorization", "value": "Token " + confidential},
	}
	maps.Copy(body, more)
	a := c.post(t, "/v1/connections", body)
	require.NotContains(t, string(a.body), confidential)
	made := want[struct {
		InboundURL string `json:"inbound_url"`
	}](t, a, http.StatusCreated)
	return caller{api: made.InboundURL}
}

type receipt struct {
	ID       int64
	Status   pipeline.InboundStatus
	Note     string
	Repeated bool
}

func (c company) inbound(t *testing.T, id int64) receipt {
	t.Helper()
	return want[receipt](t, c.get(t, fmt.Sprintf("/v1/inbound/%d", id)), http.StatusOK)
}

func (c company) becomes(t *testing.T, id int64, status pipeline.InboundStatus) {
	t.Helper()
	eventually(t, "what the provider said is "+string(status), func() bool { return c.inbound(t, id).Status == status })
}

func TestASignatureAtSightenReachesTheProposalAndItsDocumentUs(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	provider, partner := newSighten(t), newReceiver(t)
	native := c.webhook(t, partner.URL+"/native", object{"events": []string{"contract.*", "proposal.*"}})
	installer := c.newKey(t, pipeline.RolePartner)
	want[object](t, installer.post(t, "/v1/webhooks", object{
		"url": partner.URL + "/sighten", "events": []string{"contract.*"}, "format": "sighten",
	}), http.StatusCreated)
	from := c.connect(t, provider, nil)
	customer := c.customer(t)
	body := newProposal()
	body["uuid"] = sampleQuote
	proposal := want[pipeline.Proposal](t, c.post(t, fmt.Sprintf("/v1/customers/%d/proposals", customer.ID), body), http.StatusCreated)
	stream := proposal.Ref().Stream()
	stranger := c.newKey(t, pipeline.RolePartner)

	sample := sightenSample(t)
	first := want[receipt](t, from.post(t, "", sample), http.StatusAccepted)
	again := want[receipt](t, from.post(t, "", sample), http.StatusAccepted)
	require.Equal(t, first.ID, again.ID)
	require.True(t, again.Repeated)
	c.becomes(t, first.ID, pipeline.InboundHandled)

	download := "/v1/documents/" + sampleDocument + "/download"
	eventually(t, "the document is there", func() bool { return c.get(t, download).status == http.StatusOK })
	eventually(t, "it is recorded", func() bool {
		p := want[pipeline.Proposal](t, c.get(t, pathOf(stream)), http.StatusOK)
		listed, _ := p.Listed(sampleDocument)
		return listed.Stored
	})
	events := c.requireStream(t, stream, pipeline.TypeProposalRequested, pipeline.TypeProposalSent, pipeline.TypeProposalSelected,
		pipeline.TypeContractRequested, pipeline.TypeContractSent, pipeline.TypeContractSigned, pipeline.TypeContractDocumentStored)
	for i, implied := range []bool{false, true, true, true, true, false, false} {
		require.Equal(t, implied, events[i].Implied, events[i].Type)
	}
	sum := sha256.Sum256(provider.content)
	var stored pipeline.ContractDocumentStored
	require.NoError(t, json.Unmarshal(events[6].Payload, &stored))
	require.Equal(t, pipeline.ContractDocumentStored{
		UUID: sampleDocument, Name: "Cash Installation Agreement (2).pdf", ContentType: "application/pdf",
		Size: int64(len(provider.content)), SHA256: hex.EncodeToString(sum[:]),
	}, stored)
	require.GreaterOrEqual(t, provider.asked.Load(), int64(2), "it was not there at first")

	c.allAre(t, native, pipeline.DeliveryDelivered, 7)
	require.Contains(t, string(partner.at("/native")[1].body), `"implied":true`)
	eventually(t, "the installer is told in Sighten's words", func() bool { return partner.count("/sighten") == 3 })
	signed := string(partner.at("/sighten")[2].body)
	for _, word := range []string{`"document_status":"SIGN"`, sampleQuote, sampleDocument} {
		require.Contains(t, signed, word)
	}
	for _, path := range []string{
		download, "/api/v1/document/" + sampleDocument + "/download/", "/api/v1/document/" + sampleDocument + "/preview/",
	} {
		a := installer.get(t, path)
		require.Equal(t, http.StatusOK, a.status, "%s: %s", path, a.body)
		require.Equal(t, provider.content, a.body)
		require.Equal(t, "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":", a.header.Get("Repr-Digest"))
		require.Equal(t, http.StatusNotFound, stranger.get(t, path).status, "its webhooks were told nothing of it")
	}

	theirs := e.newCompany(t)
	for _, request := range []struct{ method, path string }{
		{http.MethodGet, download},
		{http.MethodPost, "/v1/documents/" + sampleDocument + "/retry"},
		{http.MethodGet, "/api/v1/document/" + sampleDocument + "/download/"},
		{http.MethodGet, fmt.Sprintf("/v1/inbound/%d", first.ID)},
		{http.MethodPost, fmt.Sprintf("/v1/inbound/%d/retry", first.ID)},
		{http.MethodPost, native.path() + "/replay"},
		{http.MethodPost, native.path() + "/test"},
	} {
		var nothing any
		if strings.HasSuffix(request.path, "/test") {
			nothing = object{"type": "sms.sent"}
		}
		require.Equal(t, http.StatusNotFound, theirs.do(t, request.method, request.path, nothing).status, "%s of another company", request.path)
	}

	// Said once more with another comment, it is no news: one signature, one document.
	sample["comments"], sample["date_updated"] = []any{}, "2019-11-27T00:00:00Z"
	second := want[receipt](t, from.post(t, "", sample), http.StatusAccepted)
	require.NotEqual(t, first.ID, second.ID)
	c.becomes(t, second.ID, pipeline.InboundIgnored)
	require.EqualValues(t, 1, provider.served.Load())
	late := sightenSample(t)
	late["sub_tasks"] = []object{{"category": "DOCUMENT", "document_status": "SENT"}}
	late["date_updated"] = "2019-11-25T00:00:00Z"
	third := want[receipt](t, from.post(t, "", late), http.StatusAccepted)
	c.becomes(t, third.ID, pipeline.InboundIgnored)
	require.Contains(t, c.inbound(t, third.ID).Note, "older")
}

func TestWhatSightenTellsOfNobodyWeKnow(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	provider := newSighten(t)
	from := c.connect(t, provider, nil)
	unknown := want[receipt](t, from.post(t, "", sightenSample(t)), http.StatusAccepted)
	c.becomes(t, unknown.ID, pipeline.InboundUnmatched)
	require.Len(t, want[list[receipt]](t, c.get(t, "/v1/inbound?status=unmatched"), http.StatusOK).Data, 1)

	making := c.connect(t, provider, object{"create_missing": true})
	made := want[receipt](t, making.post(t, "", sightenSample(t)), http.StatusAccepted)
	c.becomes(t, made.ID, pipeline.InboundHandled)
	proposals := want[list[pipeline.Proposal]](t, c.get(t, "/v1/proposals"), http.StatusOK).Data
	require.Len(t, proposals, 1)
	require.Equal(t, sampleQuote, proposals[0].UUID)
	require.Equal(t, sampleSite, proposals[0].CustomerUUID)
	require.Equal(t, "signed", proposals[0].ContractStatus)
	customers := want[list[pipeline.Customer]](t, c.get(t, "/v1/customers"), http.StatusOK).Data
	require.Len(t, customers, 1)
	require.True(t, strings.HasSuffix(customers[0].Email, ".invalid"), customers[0].Email)

	// By now there is a proposal for what was parked; it says nothing new.
	want[receipt](t, c.post(t, fmt.Sprintf("/v1/inbound/%d/retry", unknown.ID), nil), http.StatusAccepted)
	c.becomes(t, unknown.ID, pipeline.InboundIgnored)
	eventually(t, "the document is there", func() bool {
		return c.get(t, "/v1/documents/"+sampleDocument+"/download").status == http.StatusOK
	})
}

func TestADocumentThatIsRefused(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	provider := newSighten(t)
	provider.refuses.Store(true)
	from := c.connect(t, provider, object{"create_missing": true})
	operators := newReceiver(t)
	c.webhook(t, operators.URL+"/operators", object{"events": []string{"document.failed"}})
	installer := c.newKey(t, pipeline.RolePartner)
	want[object](t, installer.post(t, "/v1/webhooks", object{
		"url": operators.URL + "/installer", "events": []string{"document.*", "contract.signed"},
	}), http.StatusCreated)
	made := want[receipt](t, from.post(t, "", sightenSample(t)), http.StatusAccepted)
	c.becomes(t, made.ID, pipeline.InboundHandled)
	download := "/v1/documents/" + sampleDocument
	eventually(t, "it is given up", func() bool {
		a := c.get(t, download+"/download")
		return a.status == http.StatusNotFound && strings.Contains(string(a.body), "403")
	})
	require.EqualValues(t, 1, provider.asked.Load(), "it is not tried again")
	eventually(t, "the operators hear of it", func() bool { return operators.count("/operators") == 1 })
	told := operators.at("/operators")[0].envelope
	require.Equal(t, pipeline.TypeDocumentFailed, told.Type)
	require.EqualValues(t, 1, told.Data.Seq)
	var notice pipeline.DocumentNotice
	require.NoError(t, json.Unmarshal(told.Data.Payload, &notice))
	require.Equal(t, sampleDocument, notice.UUID)
	require.Equal(t, pipeline.FailureRefused, notice.Reason)
	require.Contains(t, string(notice.Note), "answered 403")
	require.NotZero(t, notice.ConnectionID)
	eventually(t, "the installer hears of the signature", func() bool { return operators.count("/installer") == 1 })
	provider.refuses.Store(false)
	require.Equal(t, http.StatusAccepted, c.post(t, download+"/retry", nil).status)
	eventually(t, "the document is there", func() bool { return c.get(t, download+"/download").status == http.StatusOK })
	require.Equal(t, 1, operators.count("/operators"), "it is told once")
	require.Equal(t, 1, operators.count("/installer"), "a partner's key is told nothing of it")
}

func TestADocumentAtAURL(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	provider := newSighten(t)
	proposal := c.proposal(t, c.customer(t).ID)
	stream := proposal.Ref().Stream()
	c.walk(t, stream, step{pipeline.TypeProposalSent, nil}, step{pipeline.TypeProposalSelected, nil},
		step{pipeline.TypeContractRequested, nil}, step{pipeline.TypeContractSent, nil},
		step{pipeline.TypeContractSigned, object{"document_url": provider.URL + "/files/agreement.pdf"}})
	eventually(t, "the document is recorded", func() bool {
		p := want[pipeline.Proposal](t, c.get(t, pathOf(stream)), http.StatusOK)
		return len(p.Documents) == 1 && p.Documents[0].Stored && p.Documents[0].Name == "agreement.pdf"
	})
}

// filing is a place for one large file that hands it out as far as a gate, until that is opened.
type filing struct {
	*httptest.Server

	served atomic.Int64
	gate   chan struct{}
}

// Two parts of a document and a half.
const (
	largeFile = 20 << 20
	gateAt    = 18 << 20
)

func newFiling(t *testing.T) *filing {
	t.Helper()
	f := &filing{gate: make(chan struct{})}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(&metered{ResponseWriter: w, f: f, gone: r.Context().Done()}, r, "", time.Time{},
			bytes.NewReader(bytes.Repeat([]byte("signed on every page\n"), largeFile/21+1)[:largeFile]))
	}))
	t.Cleanup(f.Close)
	return f
}

type metered struct {
	http.ResponseWriter

	f    *filing
	gone <-chan struct{}
}

func (m *metered) Write(b []byte) (int, error) {
	if m.f.served.Load() >= gateAt {
		select {
		case <-m.f.gate:
		case <-m.gone:
		}
	}
	n, err := m.ResponseWriter.Write(b)
	m.f.served.Add(int64(n))
	return n, err
}

func TestADocumentGoesOnWhereItWasWhenTheEngineIsKilled(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	provider := newFiling(t)
	running := startProcess(t, dir)
	c := running.company()
	stream := c.proposal(t, c.customer(t).ID).Ref().Stream()
	c.walk(t, stream, step{pipeline.TypeProposalSent, nil}, step{pipeline.TypeProposalSelected, nil},
		step{pipeline.TypeContractRequested, nil}, step{pipeline.TypeContractSent, nil},
		step{pipeline.TypeContractSigned, object{"document_url": provider.URL + "/agreement.pdf"}})
	parts := func() int {
		found, err := filepath.Glob(filepath.Join(dir, "documents", "incoming", "*.00000?"))
		require.NoError(t, err)
		return len(found)
	}
	eventually(t, "two parts are there", func() bool { return provider.served.Load() >= gateAt && parts() == 2 })
	running.kill()
	before := provider.served.Load()
	close(provider.gate)
	running = startProcess(t, dir)
	eventually(t, "it is asked for the rest", func() bool { return provider.served.Load() > before })
	eventually(t, "the document is recorded", func() bool {
		p := want[pipeline.Proposal](t, running.company().get(t, pathOf(stream)), http.StatusOK)
		return len(p.Documents) == 1 && p.Documents[0].Stored
	})
	require.EqualValues(t, largeFile-16<<20, provider.served.Load()-before, "what was there is not fetched again")
	require.Zero(t, parts())
}
