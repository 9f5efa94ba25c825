package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// erase records customer.erased and, in the same transaction, destroys the customer's data key
// and takes what is personal out of everything else that the store has: the projections of the
// customer and its proposals, what waits to be sent, what receivers answered, what providers told,
// and what documents are called.
//
// The order of the locks is that of all appends: the key, the proposals, the customer, the
// company's turn, deliveries. With the key it keeps new proposals out; with a proposal's row, those
// who are about to append to it, who then see that it is erased.
func (s *Store) erase(ctx context.Context, e pipeline.Event, idem pipeline.Idempotency) (pipeline.Appended, error) {
	out, err := pastConflicts(func() (out pipeline.Appended, err error) {
		err = s.inTx(ctx, "erase customer", func(tx transaction) error {
			out, err = eraseIn(ctx, tx, e, idem)
			return err
		})
		return out, err
	})
	s.dataKeys.Remove(customerOf(e))
	out.RecordedAt = out.RecordedAt.UTC()
	return out, err
}

func eraseIn(ctx context.Context, tx transaction, e pipeline.Event, idem pipeline.Idempotency) (pipeline.Appended, error) {
	var none pipeline.Appended
	of := customerOf(e)
	res, err := tx.ExecContext(ctx, destroyDataKey, of.CompanyID, of.CustomerID)
	if err != nil {
		return none, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return none, errors.Join(err, notAt(e)) // it is erased already, or not there
	}
	erased, err := eraseProposals(ctx, tx, of)
	if err != nil {
		return none, err
	}
	if err := eraseAll(ctx, tx, of, erased); err != nil {
		return none, err
	}
	args, err := appendArgs(e, idem, dataKey{}, false)
	if err != nil {
		return none, err
	}
	var out pipeline.Appended
	if err := tx.GetContext(ctx, &out, appendSQL(e), args...); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = notAt(e)
		}
		return none, err
	}
	_, err = tx.ExecContext(ctx, blankDeliveries, of.CompanyID, pq.Array(erased.streams), out.Position)
	return out, err
}

func notAt(e pipeline.Event) error {
	return pipeline.Errorf(pipeline.CodeConflict, "%s is not at version %d", e.Stream, e.Version-1)
}

// destroyDataKey leaves a row without a key: that is how everybody sees that there was one. A
// customer from before there were keys gets such a row too.
const destroyDataKey = `INSERT INTO data_keys AS k (company_id, customer_id, erased_at)
	SELECT company_id, id, now() FROM customers WHERE company_id = $1 AND id = $2
	ON CONFLICT (company_id, customer_id) DO UPDATE SET sealed = NULL, erased_at = now() WHERE k.sealed IS NOT NULL`

// erasedEntities are a customer and its proposals.
type erasedEntities struct {
	streams   []string
	proposals []int64
	uuids     []string // of the proposals
}

// eraseProposals takes what is personal out of the proposals of a customer, and marks them.
func eraseProposals(ctx context.Context, tx transaction, of customerRef) (erasedEntities, error) {
	out := erasedEntities{streams: []string{string(pipeline.StreamOf(pipeline.KindCustomer, of.CustomerID))}}
	var rows []struct {
		ID    int64  `db:"id"`
		UUID  string `db:"uuid"`
		State []byte `db:"state"`
	}
	err := tx.SelectContext(ctx, &rows, `SELECT id, uuid, state FROM proposals
		WHERE company_id = $1 AND customer_id = $2 ORDER BY id FOR NO KEY UPDATE`, of.CompanyID, of.CustomerID)
	if err != nil {
		return out, err
	}
	states := make([]string, len(rows))
	for i, r := range rows {
		var bare json.RawMessage
		if bare, err = pipeline.WithoutPersonal(pipeline.KindProposal, r.State); err != nil {
			return out, err
		}
		states[i] = string(bare)
		out.streams = append(out.streams, string(pipeline.StreamOf(pipeline.KindProposal, r.ID)))
		out.proposals, out.uuids = append(out.proposals, r.ID), append(out.uuids, r.UUID)
	}
	_, err = tx.ExecContext(ctx, `UPDATE proposals p SET state = n.state::jsonb FROM unnest($2::bigint[], $3::text[]) AS n (id, state)
		WHERE p.company_id = $1 AND p.id = n.id`, of.CompanyID, pq.Array(out.proposals), pq.Array(states))
	return out, err
}

// eraseAll takes what is personal out of what hangs off a customer and its proposals.
func eraseAll(ctx context.Context, tx transaction, of customerRef, e erasedEntities) error {
	var inClear bool
	err := tx.GetContext(ctx, &inClear, `SELECT EXISTS (SELECT FROM events WHERE stream = ANY($1) AND personal IS NULL)`, pq.Array(e.streams))
	if err != nil {
		return err
	}
	if inClear {
		return pipeline.Errorf(pipeline.CodeInvalid, "the customer has events from before personal data was sealed: they cannot be erased")
	}
	_, err = tx.ExecContext(ctx, `UPDATE inbox SET body = NULL,
			note       = CASE WHEN status IN ('handled', 'ignored') THEN note ELSE 'the customer was erased' END,
			status     = CASE WHEN status IN ('handled', 'ignored') THEN status ELSE 'ignored' END,
			handled_at = coalesce(handled_at, now())
		WHERE company_id = $1 AND (proposal_id = ANY($2) OR quote = ANY($3::uuid[])
			OR site = (SELECT uuid FROM customers WHERE company_id = $1 AND id = $4))`,
		of.CompanyID, pq.Array(e.proposals), pq.Array(e.uuids), of.CustomerID)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE documents SET status = 'erased', name = '', note = '', url = NULL, updated_at = now()
		WHERE company_id = $1 AND proposal_id = ANY($2)`, of.CompanyID, pq.Array(e.proposals))
	return err
}

// blankDeliveries of the events of some streams, $2: what receivers answered is not kept, and what
// was to be sent before the event at $3 is not sent.
const blankDeliveries = `WITH past AS MATERIALIZED (
		SELECT d.id FROM events e
		CROSS JOIN webhooks w
		JOIN deliveries d ON d.webhook_id = w.id AND d.event_position = e.position
		WHERE e.stream = ANY($2) AND e.company_id = $1 AND w.company_id = $1 AND e.position < $3
	), blanked AS (
		UPDATE attempts a SET response_body = '' FROM past WHERE a.delivery_id = past.id AND a.response_body <> ''
	)
	UPDATE deliveries d SET status = 'discarded', next_attempt_at = NULL FROM past
	WHERE d.id = past.id AND d.status IN ('pending', 'held')`

// ErasedTraces reads what is left of an erased customer outside of the tables: CodeNotFound where
// it is not erased.
func (s *Store) ErasedTraces(ctx context.Context, companyID, customerID int64) (pipeline.ErasedTraces, error) {
	var row struct {
		Sending   bool           `db:"sending"`
		Proposals pq.Int64Array  `db:"proposals"`
		Inbound   pq.Int64Array  `db:"inbound"`
		Documents pq.StringArray `db:"documents"`
		Contents  pq.StringArray `db:"contents"`
	}
	stream := pipeline.StreamOf(pipeline.KindCustomer, customerID)
	err := s.get(ctx, &row, "erased customer", erasedTraces, companyID, customerID, string(stream))
	return pipeline.ErasedTraces{
		Sending: row.Sending, Proposals: row.Proposals, Inbound: row.Inbound, Documents: row.Documents, Contents: row.Contents,
	}, err
}

// erasedTraces: documents are named by uuid, and by their content where nobody else has the same.
const erasedTraces = `WITH p AS MATERIALIZED (SELECT id, uuid FROM proposals WHERE company_id = $1 AND customer_id = $2),
	d AS MATERIALIZED (
		SELECT uuid, sha256 FROM documents WHERE company_id = $1 AND proposal_id IN (SELECT id FROM p) AND status = 'erased')
	SELECT ARRAY(SELECT id FROM p ORDER BY id) AS proposals,
		ARRAY(SELECT id FROM inbox WHERE company_id = $1 AND proposal_id IN (SELECT id FROM p)
			UNION SELECT id FROM inbox WHERE company_id = $1 AND quote IN (SELECT uuid FROM p)
			UNION SELECT id FROM inbox WHERE company_id = $1 AND site = c.uuid) AS inbound,
		ARRAY(SELECT uuid::text FROM d ORDER BY uuid) AS documents,
		ARRAY(SELECT DISTINCT sha256 FROM d WHERE sha256 <> ''
			AND NOT EXISTS (SELECT FROM documents o WHERE o.sha256 = d.sha256 AND o.status <> 'erased')) AS contents,
		(SELECT id FROM deliveries WHERE stream = $3 AND status = 'pending' AND next_attempt_at IS NULL LIMIT 1) IS NOT NULL AS sending
	FROM data_keys k JOIN customers c ON c.company_id = k.company_id AND c.id = k.customer_id
	WHERE k.company_id = $1 AND k.customer_id = $2 AND k.erased_at IS NOT NULL`

// BlankErased takes the answers out that receivers gave to what was on its way when a customer
// was erased.
func (s *Store) BlankErased(ctx context.Context, companyID int64, streams []pipeline.Stream) error {
	_, err := s.exec(ctx, "blank answers", `UPDATE attempts a SET response_body = ''
		FROM events e CROSS JOIN webhooks w JOIN deliveries d ON d.webhook_id = w.id AND d.event_position = e.position
		WHERE e.stream = ANY($2) AND e.company_id = $1 AND w.company_id = $1 AND e.type <> 'customer.erased'
		  AND a.delivery_id = d.id AND a.response_body <> ''`, companyID, pq.Array(streams))
	return err
}

// ErasureDone says that nothing is left of an erased customer outside of the tables; contents are
// what was deleted of its documents. Where a document came at the last moment, whose content is not
// among them, it is not done, and LeftErasures finds the customer again.
func (s *Store) ErasureDone(ctx context.Context, of pipeline.ErasedCustomer, contents []string) error {
	return s.inTx(ctx, "end erasure", func(tx transaction) error {
		// Before anything is looked at: DocumentStored waits here, or has been and is seen.
		_, err := tx.ExecContext(ctx, `SELECT FROM data_keys WHERE company_id = $1 AND customer_id = $2 FOR NO KEY UPDATE`,
			of.CompanyID, of.CustomerID)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, endErasure, of.CompanyID, of.CustomerID, pq.Array(contents))
		return err
	})
}

// endErasure: a content that somebody else has too is not deleted, only forgotten.
const endErasure = `WITH d AS MATERIALIZED (
		SELECT uuid, sha256 FROM documents WHERE company_id = $1 AND status = 'erased' AND sha256 <> ''
		  AND proposal_id IN (SELECT id FROM proposals WHERE company_id = $1 AND customer_id = $2)
	), over AS (
		SELECT uuid FROM d WHERE sha256 = ANY($3)
			OR EXISTS (SELECT FROM documents o WHERE o.sha256 = d.sha256 AND o.sha256 <> '' AND o.status <> 'erased')
	), forgotten AS (
		UPDATE documents SET sha256 = '' WHERE company_id = $1 AND uuid IN (SELECT uuid FROM over)
	)
	UPDATE data_keys SET cleaned_at = now() WHERE company_id = $1 AND customer_id = $2 AND erased_at IS NOT NULL
	  AND (SELECT count(*) FROM d) = (SELECT count(*) FROM over)`

// LeftErasures finds erased customers that nobody has cleaned up after for a while.
func (s *Store) LeftErasures(ctx context.Context, grace time.Duration, limit int) ([]pipeline.ErasedCustomer, error) {
	var rows []struct {
		CompanyID  int64 `db:"company_id"`
		CustomerID int64 `db:"customer_id"`
	}
	err := s.page(ctx, &rows, "erased customers", `SELECT company_id, customer_id FROM data_keys
		WHERE erased_at IS NOT NULL AND cleaned_at IS NULL AND erased_at < now() - make_interval(secs => $1)
		ORDER BY erased_at LIMIT $2`, grace.Seconds(), limit)
	out := make([]pipeline.ErasedCustomer, len(rows))
	for i, r := range rows {
		out[i] = pipeline.ErasedCustomer{CompanyID: r.CompanyID, CustomerID: r.CustomerID}
	}
	return out, err
}
