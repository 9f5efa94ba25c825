package postgres

import (
	"context"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// What follows finds what has to be under way, for an orchestrator that has forgotten it all.
// It goes through everything once, page by page, in the order of ids.

// CompaniesFrom lists companies by id, from one on.
func (s *Store) CompaniesFrom(ctx context.Context, id int64, limit int) ([]int64, error) {
	var ids []int64
	err := s.page(ctx, &ids, "companies", `SELECT id FROM companies WHERE id >= $1 ORDER BY id LIMIT $2`, id, limit)
	return ids, err
}

// BusyWebhooks lists those that have something left to do, by id after one: deliveries that
// wait, a replay that runs, or a drain that the store believes will come by itself.
func (s *Store) BusyWebhooks(ctx context.Context, after int64, limit int) ([]int64, error) {
	var ids []int64
	err := s.page(ctx, &ids, "webhooks", `SELECT w.id FROM webhooks w LEFT JOIN webhook_health h ON h.webhook_id = w.id
		WHERE w.id > $1 AND w.deleted_at IS NULL AND (h.wakes_at IS NOT NULL
			OR EXISTS (SELECT FROM deliveries d WHERE d.webhook_id = w.id AND d.status = 'pending')
			OR EXISTS (SELECT FROM replays r WHERE r.webhook_id = w.id AND r.status = 'running'))
		ORDER BY w.id LIMIT $2`, after, limit)
	return ids, err
}

// OpenInbound lists what providers told us that nothing has come of yet, by id after one.
func (s *Store) OpenInbound(ctx context.Context, after int64, limit int) ([]int64, error) {
	var ids []int64
	err := s.page(ctx, &ids, "inbox", `SELECT id FROM inbox WHERE status = 'received' AND id > $1 ORDER BY id LIMIT $2`, after, limit)
	return ids, err
}

// WaitingDocument names a document that is to be fetched.
type WaitingDocument struct {
	ID        int64  `db:"id"`
	CompanyID int64  `db:"company_id"`
	UUID      string `db:"uuid"`
}

// WaitingDocuments lists those that are to be fetched, after one of them.
func (s *Store) WaitingDocuments(ctx context.Context, after WaitingDocument, limit int) ([]WaitingDocument, error) {
	var found []WaitingDocument
	err := s.page(ctx, &found, "documents", `SELECT id, company_id, uuid FROM documents
		WHERE status = 'waiting' AND id > $1 ORDER BY id LIMIT $2`, after.ID, limit)
	return found, err
}

// Undelivered picks the streams that have deliveries which their entity is to send.
func (s *Store) Undelivered(ctx context.Context, streams []pipeline.Stream) ([]pipeline.Stream, error) {
	var found []pipeline.Stream
	err := s.page(ctx, &found, "fresh deliveries", `SELECT DISTINCT stream FROM deliveries
		WHERE stream = ANY ($1) AND status = 'pending' AND next_attempt_at IS NULL`, pq.Array(streams))
	return found, err
}

// Signature is the latest of a proposal. Stored says that a document of it has been stored.
type Signature struct {
	EventID string `db:"id"`
	Stored  bool   `db:"stored"`
}

// Signatures finds the latest signature of each of these streams.
func (s *Store) Signatures(ctx context.Context, streams []pipeline.Stream) ([]Signature, error) {
	var found []Signature
	err := s.page(ctx, &found, "signatures", `SELECT DISTINCT ON (e.stream) e.id, EXISTS (SELECT FROM events d
			WHERE d.stream = e.stream AND d.version > e.version AND d.type = 'contract.document_stored') AS stored
		FROM events e WHERE e.stream = ANY ($1) AND e.type = 'contract.signed' ORDER BY e.stream, e.version DESC`, pq.Array(streams))
	return found, err
}
