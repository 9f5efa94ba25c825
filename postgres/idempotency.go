package postgres

import (
	"context"
	"database/sql"
	"strings"

	"github.com/dealwright/dealwright/pipeline"
)

func keyReused() *pipeline.Error {
	return pipeline.Errorf(pipeline.CodeIdempotencyKeyReused, "this Idempotency-Key was used for another request")
}

// Reserve gives the id that a new customer or proposal is to have. With an idempotency key
// the id is kept for that key, so that a retry makes the same entity; where the entity was
// made already, EventID names its first event.
func (s *Store) Reserve(ctx context.Context, companyID int64, kind pipeline.Kind, idem pipeline.Idempotency) (pipeline.Reservation, error) {
	sequence := "customer_ids"
	if kind == pipeline.KindProposal {
		sequence = "proposal_ids"
	}
	if idem.Key == "" {
		var r pipeline.Reservation
		err := s.get(ctx, &r.ID, "id", `SELECT nextval('`+sequence+`')`)
		return r, err
	}
	// The update changes nothing; it is there so that RETURNING answers the row of whoever was
	// first, without a gap in which it could appear or go.
	var row struct {
		ID          sql.NullInt64  `db:"reserved_id"`
		Fingerprint string         `db:"fingerprint"`
		EventID     sql.NullString `db:"event_id"`
	}
	err := s.get(ctx, &row, "id", `INSERT INTO idempotency AS i (company_id, scope, key, fingerprint, reserved_id)
		VALUES ($1, $2, $3, $4, nextval('`+sequence+`'))
		ON CONFLICT (company_id, scope, key) DO UPDATE SET key = i.key
		RETURNING reserved_id, fingerprint, event_id`, companyID, idem.Scope, idem.Key, idem.Fingerprint)
	if err != nil {
		return pipeline.Reservation{}, err
	}
	if row.Fingerprint != idem.Fingerprint {
		return pipeline.Reservation{}, keyReused()
	}
	return pipeline.Reservation{ID: row.ID.Int64, EventID: row.EventID.String}, nil
}

// once runs a change that answers with a text and remembers the answer under the caller's
// key, in one transaction. A second call with the same key gets the first one's answer and
// replayed true. Without a key it just runs.
func (s *Store) once(
	ctx context.Context, companyID int64, idem pipeline.Idempotency, change func(tx transaction) (string, error),
) (answer string, replayed bool, err error) {
	err = s.inTx(ctx, "record request", func(tx transaction) error {
		if idem.Key == "" {
			answer, err = change(tx)
			return err
		}
		if answer, replayed, err = s.claim(ctx, tx, companyID, idem); err != nil || replayed {
			return err
		}
		if answer, err = change(tx); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE idempotency SET answer = $4 WHERE company_id = $1 AND scope = $2 AND key = $3`,
			companyID, idem.Scope, idem.Key, s.sealer.Seal(remember(idem.Fingerprint, answer)))
		return err
	})
	return answer, replayed, err
}

// claim takes the key for this transaction, or gives the answer of who had it first. A second
// caller waits here until the first one has committed or given up.
//
// The request may have held credentials, so that not even its hash is kept as it is: it is sealed
// with the answer. The digest of it in the row is for answers from before that was so, and cannot
// be made anew when the encryption key is replaced.
func (s *Store) claim(
	ctx context.Context, tx transaction, companyID int64, idem pipeline.Idempotency,
) (answer string, known bool, err error) {
	var row struct {
		Fingerprint string `db:"fingerprint"`
		Answer      []byte `db:"answer"`
	}
	err = tx.GetContext(ctx, &row, `INSERT INTO idempotency AS i (company_id, scope, key, fingerprint) VALUES ($1, $2, $3, $4)
		ON CONFLICT (company_id, scope, key) DO UPDATE SET key = i.key RETURNING fingerprint, answer`,
		companyID, idem.Scope, idem.Key, s.sealer.Digest(idem.Fingerprint))
	if err != nil {
		return "", false, err
	}
	same := s.sealer.IsDigest(row.Fingerprint, idem.Fingerprint)
	if row.Answer != nil {
		kept, err := s.sealer.Open(row.Answer)
		if err != nil {
			return "", false, err
		}
		var request string
		if request, answer = recall(kept); request != "" {
			same = request == idem.Fingerprint
		}
	}
	if !same {
		return "", false, keyReused()
	}
	return answer, row.Answer != nil, nil
}

// Between a remembered request and its answer, and in front of both: no answer begins so.
const rememberedMark = "\x00"

// remember puts a request's fingerprint and its answer into one text.
func remember(request, answer string) string {
	return rememberedMark + request + rememberedMark + answer
}

// recall takes them apart; an answer from before the fingerprint was kept with it has none.
func recall(kept string) (request, answer string) {
	rest, marked := strings.CutPrefix(kept, rememberedMark)
	if !marked {
		return "", kept
	}
	request, answer, _ = strings.Cut(rest, rememberedMark)
	return request, answer
}
