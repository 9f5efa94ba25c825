package api_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/dealwright/dealwright/pipeline"
)

// fakeContracts is what the fake store keeps of providers and documents.
type fakeContracts struct {
	connections []pipeline.Connection
	inbox       []pipeline.Inbound
	hashes      [][]byte
	documents   []pipeline.KeptDocument
	told        map[string]int64 // the partner's key whose webhook was told of a document
}

func (s *fakeStore) CreateConnection(
	_ context.Context, c pipeline.Connection, idem pipeline.Idempotency,
) (pipeline.Connection, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return c, false, s.broken
	}
	known, err := s.once(c.CompanyID, idem)
	if err != nil {
		return c, false, err
	}
	if known.done {
		made, err := s.findConnection(c.CompanyID, known.id)
		return made, true, err
	}
	c.ID, c.CreatedAt = s.id(), s.now
	known.id, known.done = c.ID, true
	s.contracts.connections = append(s.contracts.connections, c)
	return c, false, nil
}

func (s *fakeStore) findConnection(companyID, id int64) (pipeline.Connection, error) {
	for _, c := range s.contracts.connections {
		if c.ID == id && c.CompanyID == companyID {
			return c, s.broken
		}
	}
	return pipeline.Connection{}, cmp.Or(s.broken, notFound("connection"))
}

func (s *fakeStore) Connection(_ context.Context, companyID, id int64) (pipeline.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.findConnection(companyID, id)
}

func (s *fakeStore) ConnectionByToken(_ context.Context, token string) (pipeline.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.contracts.connections {
		if c.Token == token {
			return c, s.broken
		}
	}
	return pipeline.Connection{}, cmp.Or(s.broken, notFound("connection"))
}

func (s *fakeStore) Connections(_ context.Context, companyID int64, page pipeline.Page) ([]pipeline.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pipeline.Connection
	for _, c := range s.contracts.connections {
		if c.CompanyID == companyID {
			out = append(out, c)
		}
	}
	return newestFirst(out, page, func(c pipeline.Connection) int64 { return c.ID }), s.broken
}

func (s *fakeStore) DeleteConnection(_ context.Context, companyID, id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.findConnection(companyID, id); err != nil {
		return err
	}
	s.contracts.connections = slices.DeleteFunc(s.contracts.connections, func(c pipeline.Connection) bool { return c.ID == id })
	return nil
}

func (s *fakeStore) KeepInbound(_ context.Context, in pipeline.Inbound, hash []byte) (pipeline.Inbound, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return in, false, s.broken
	}
	for i, kept := range s.contracts.inbox {
		if kept.ConnectionID == in.ConnectionID && bytes.Equal(s.contracts.hashes[i], hash) {
			return kept, true, nil
		}
	}
	in.ID, in.ReceivedAt, in.Status = s.id(), s.now, pipeline.InboundReceived
	s.contracts.inbox, s.contracts.hashes = append(s.contracts.inbox, in), append(s.contracts.hashes, hash)
	return in, false, nil
}

func (s *fakeStore) findInbound(companyID, id int64) (*pipeline.Inbound, error) {
	for i, in := range s.contracts.inbox {
		if in.ID == id && in.CompanyID == companyID {
			return &s.contracts.inbox[i], s.broken
		}
	}
	return nil, cmp.Or(s.broken, notFound("inbound"))
}

func (s *fakeStore) Inbound(_ context.Context, companyID, id int64) (pipeline.Inbound, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, err := s.findInbound(companyID, id)
	if err != nil {
		return pipeline.Inbound{}, err
	}
	return *in, nil
}

func (s *fakeStore) Inbox(_ context.Context, q pipeline.InboundQuery) ([]pipeline.Inbound, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pipeline.Inbound
	for _, in := range s.contracts.inbox {
		if in.CompanyID == q.CompanyID && (q.Status == "" || q.Status == in.Status) &&
			(q.ConnectionID == 0 || q.ConnectionID == in.ConnectionID) {
			in.Body = ""
			out = append(out, in)
		}
	}
	return newestFirst(out, q.Page, func(in pipeline.Inbound) int64 { return in.ID }), s.broken
}

func (s *fakeStore) RetryInbound(_ context.Context, companyID, id int64) (pipeline.Inbound, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, err := s.findInbound(companyID, id)
	if err != nil {
		return pipeline.Inbound{}, err
	}
	if in.Status == pipeline.InboundHandled || in.Status == pipeline.InboundIgnored {
		return *in, pipeline.Errorf(pipeline.CodeConflict, "it is %s", in.Status)
	}
	in.Status, in.Note = pipeline.InboundReceived, ""
	return *in, nil
}

func (s *fakeStore) Document(_ context.Context, companyID, partnerKey int64, uuid string) (pipeline.KeptDocument, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.contracts.documents {
		if d.CompanyID == companyID && d.UUID == uuid && (partnerKey == 0 || s.contracts.told[uuid] == partnerKey) {
			return d, s.broken
		}
	}
	return pipeline.KeptDocument{}, cmp.Or(s.broken, notFound("document"))
}

func (s *fakeStore) RetryDocument(ctx context.Context, companyID int64, uuid string) (pipeline.KeptDocument, error) {
	d, err := s.Document(ctx, companyID, 0, uuid)
	if err == nil && d.Status == pipeline.KeptStored {
		err = pipeline.Errorf(pipeline.CodeConflict, "the document is stored already")
	}
	d.Status = pipeline.KeptWaiting
	return d, err
}

func (e *fakeEngine) HandleInbound(_ context.Context, id int64) error {
	return e.begin(fmt.Sprint("inbox-", id))
}

func (e *fakeEngine) KeepDocument(_ context.Context, companyID int64, uuid string) error {
	return e.begin(fmt.Sprintf("document-%d-%s", companyID, uuid))
}

func (e *fakeEngine) begin(workflow string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begun = append(e.begun, workflow)
	return e.broken
}

// fakeBucket has one document: the SHA-256 is that of its content.
type fakeBucket struct{}

const (
	signedContract = "%PDF-1.7 signed"
	signedSHA256   = "281a9b6b403e3fecbd92e4b0504bde1ddac566e0478eb038d63a85aed1a8b418"
)

func (fakeBucket) Read(_ context.Context, sha256 string) (io.ReadSeekCloser, error) {
	if sha256 != signedSHA256 {
		return nil, notFound("document")
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader([]byte(signedContract)), io.NopCloser(nil)}, nil
}
