package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

const documentColumns = `d.company_id, d.uuid, d.proposal_id, d.connection_id, d.url, d.event_id, d.status, d.note, d.name,
	d.content_type, d.size, d.sha256, d.created_at, d.stored_at`

type documentRow struct {
	CompanyID    int64         `db:"company_id"`
	UUID         string        `db:"uuid"`
	ProposalID   int64         `db:"proposal_id"`
	ConnectionID sql.NullInt64 `db:"connection_id"`
	URL          []byte        `db:"url"`
	EventID      string        `db:"event_id"`
	Status       string        `db:"status"`
	Note         string        `db:"note"`
	Name         string        `db:"name"`
	ContentType  string        `db:"content_type"`
	Size         int64         `db:"size"`
	SHA256       string        `db:"sha256"`
	CreatedAt    time.Time     `db:"created_at"`
	StoredAt     sql.NullTime  `db:"stored_at"`
}

func (s *Store) document(r documentRow) (pipeline.KeptDocument, error) {
	d := pipeline.KeptDocument{
		CompanyID: r.CompanyID, UUID: r.UUID, ProposalID: r.ProposalID, ConnectionID: r.ConnectionID.Int64, EventID: r.EventID,
		Status: pipeline.KeptStatus(r.Status), Note: r.Note, CreatedAt: r.CreatedAt.UTC(), StoredAt: instant(r.StoredAt),
		File: pipeline.File{Name: r.Name, ContentType: r.ContentType, Size: r.Size, SHA256: r.SHA256},
	}
	if r.URL == nil {
		return d, nil
	}
	var err error
	if d.URL, err = s.sealer.Open(r.URL); err != nil {
		return pipeline.KeptDocument{}, fmt.Errorf("url of document %s: %w", r.UUID, err)
	}
	return d, nil
}

// AddDocument records that a document is to be fetched. One that is there already stays, and is
// fetched once; where that had failed there is new hope. It belongs to the proposal that named
// it last: a contract that is signed again may have the same document. Where the customer was
// erased nothing is recorded: the proposal is locked, so that who erases it sees the document, or is
// seen.
func (s *Store) AddDocument(ctx context.Context, d pipeline.KeptDocument) error {
	var url []byte
	if d.URL != "" {
		url = s.sealer.Seal(d.URL)
	}
	_, err := s.exec(ctx, "add document", `INSERT INTO documents AS d (company_id, uuid, proposal_id, connection_id, url, event_id, name)
		SELECT $1::bigint, $2::uuid, $3::bigint, $4::bigint, $5::bytea, $6, $7
		WHERE (SELECT state ? 'erased' FROM proposals WHERE company_id = $1::bigint AND id = $3::bigint FOR SHARE) IS NOT TRUE
		ON CONFLICT (company_id, uuid) DO UPDATE SET
			proposal_id = excluded.proposal_id,
			connection_id = CASE WHEN d.status = 'stored' THEN d.connection_id ELSE excluded.connection_id END,
			url = CASE WHEN d.status = 'stored' THEN d.url ELSE excluded.url END,
			event_id = CASE WHEN d.status = 'stored' THEN d.event_id ELSE excluded.event_id END,
			status = CASE WHEN d.status = 'stored' THEN d.status ELSE 'waiting' END
		WHERE d.status <> 'erased'`,
		d.CompanyID, d.UUID, d.ProposalID, nullInt(d.ConnectionID), url, d.EventID, d.File.Name)
	return err
}

// Document reads a company's. Those with a partner's key (partnerKey not 0) find only documents
// of which one of the key's webhooks was told, by the signature or by the news that it is kept.
func (s *Store) Document(ctx context.Context, companyID, partnerKey int64, uuid string) (pipeline.KeptDocument, error) {
	query := `SELECT ` + documentColumns + ` FROM documents d WHERE d.company_id = $1 AND d.uuid = $2 AND d.status <> 'erased'`
	args := []any{companyID, uuid}
	if partnerKey != 0 {
		query += ` AND EXISTS (
			SELECT FROM events e
			JOIN webhooks w ON w.company_id = $1 AND w.key_id = $3
			JOIN deliveries x ON x.webhook_id = w.id AND x.event_position = e.position
			WHERE e.stream = 'proposal-' || d.proposal_id AND e.company_id = $1 AND (
				e.type = 'contract.document_stored' AND lower(e.payload ->> 'uuid') = d.uuid::text
				OR e.type = 'contract.signed' AND (e.id = d.event_id
					OR lower(e.payload::text)::jsonb @> jsonb_build_object('documents', jsonb_build_array(jsonb_build_object('uuid', d.uuid::text))))))`
		args = append(args, partnerKey)
	}
	var row documentRow
	if err := s.get(ctx, &row, "document", query, args...); err != nil {
		return pipeline.KeptDocument{}, err
	}
	return s.document(row)
}

// DocumentStored says that a document is in our keeping.
func (s *Store) DocumentStored(ctx context.Context, companyID int64, uuid string, f pipeline.File) error {
	n, err := s.exec(ctx, "keep document", `UPDATE documents SET status = 'stored', note = '',
			name = $3, content_type = $4, size = $5, sha256 = $6, stored_at = now(), updated_at = now()
		WHERE company_id = $1 AND uuid = $2 AND status NOT IN ('stored', 'erased')`,
		companyID, uuid, f.Name, f.ContentType, f.Size, f.SHA256)
	if err != nil || n > 0 {
		return err
	}
	// Its customer was erased while it came: it is cleaned up after once more.
	_, err = s.exec(ctx, "note document", `WITH late AS (
			UPDATE documents SET sha256 = $3 WHERE company_id = $1 AND uuid = $2 AND status = 'erased' RETURNING proposal_id)
		UPDATE data_keys k SET cleaned_at = NULL FROM late JOIN proposals p ON p.company_id = $1 AND p.id = late.proposal_id
		WHERE k.company_id = $1 AND k.customer_id = p.customer_id`, companyID, uuid, f.SHA256)
	return err
}

// DocumentMissing says why a document is not there yet.
func (s *Store) DocumentMissing(ctx context.Context, companyID int64, uuid, note string) error {
	_, err := s.exec(ctx, "note document", `UPDATE documents SET note = $3, updated_at = now()
		WHERE company_id = $1 AND uuid = $2 AND status = 'waiting'`, companyID, uuid, note)
	return err
}

// failedDocument is a document that has just been given up.
type failedDocument struct {
	ID           int64         `db:"id"`
	Failures     int64         `db:"failures"`
	ProposalID   int64         `db:"proposal_id"`
	ConnectionID sql.NullInt64 `db:"connection_id"`
	CreatedAt    time.Time     `db:"created_at"`
}

// FailDocument says that a document is not tried any more, and records document.failed: once for
// each token, which names who gives it up, however often it is called. It answers the webhooks whose
// workflow has to be woken.
func (s *Store) FailDocument(
	ctx context.Context, companyID int64, uuid, token string, reason pipeline.FailureReason, note string,
) (wake []int64, err error) {
	err = s.inTx(ctx, "fail document", func(tx transaction) error {
		var failed failedDocument
		err := tx.GetContext(ctx, &failed, `UPDATE documents SET status = 'failed', note = $3, given_up = $4, failures = failures + 1,
				updated_at = now()
			WHERE company_id = $1 AND uuid = $2 AND status = 'waiting' AND given_up IS DISTINCT FROM $4
			RETURNING id, failures, proposal_id, connection_id, created_at`, companyID, uuid, note, token)
		if errors.Is(err, sql.ErrNoRows) { // it is known, or the document is there after all
			return nil
		}
		if err != nil {
			return err
		}
		proposal, connection := pipeline.ID(failed.ProposalID), pipeline.ID(failed.ConnectionID.Int64)
		b := noticeBatch{stream: pipeline.StreamOf(pipeline.KindDocument, failed.ID)}
		err = b.add(failed.Failures, pipeline.DocumentState{
			ID: failed.ID, UUID: uuid, CompanyID: companyID, ProposalID: proposal, ConnectionID: connection,
			Status: pipeline.KeptFailed, Version: failed.Failures,
		}, pipeline.DocumentNotice{
			UUID: uuid, ProposalID: proposal, ConnectionID: connection,
			Reason: reason, Note: pipeline.Text(note), Since: pipeline.Instant(failed.CreatedAt.UTC()),
		})
		if err != nil {
			return fmt.Errorf("encode %s: %w", pipeline.TypeDocumentFailed, err)
		}
		wake, err = b.record(ctx, tx, companyID, 0, pipeline.TypeDocumentFailed)
		return err
	})
	return wake, err
}

// RetryDocument gives a document that could not be had new hope; CodeConflict where it is there.
func (s *Store) RetryDocument(ctx context.Context, companyID int64, uuid string) (pipeline.KeptDocument, error) {
	n, err := s.exec(ctx, "retry document", `UPDATE documents SET status = 'waiting', updated_at = now()
		WHERE company_id = $1 AND uuid = $2 AND status NOT IN ('stored', 'erased')`, companyID, uuid)
	if err != nil {
		return pipeline.KeptDocument{}, err
	}
	d, err := s.Document(ctx, companyID, 0, uuid)
	if err == nil && n == 0 {
		err = pipeline.Errorf(pipeline.CodeConflict, "the document is stored already")
	}
	return d, err
}

// LeftDocuments finds those that nobody has tried to fetch for a while.
func (s *Store) LeftDocuments(ctx context.Context, grace time.Duration, limit int) ([]pipeline.KeptDocument, error) {
	var rows []documentRow
	err := s.page(ctx, &rows, "documents", `SELECT `+documentColumns+` FROM documents d
		WHERE d.status = 'waiting' AND d.updated_at < now() - make_interval(secs => $1) ORDER BY d.updated_at LIMIT $2`, grace.Seconds(), limit)
	if err != nil {
		return nil, err
	}
	out := make([]pipeline.KeptDocument, len(rows))
	for i, r := range rows {
		if out[i], err = s.document(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}
