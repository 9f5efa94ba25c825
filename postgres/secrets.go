package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// RotateSecret gives a webhook another secret. The one before signs too until the overlap is
// over; without an overlap it is gone at once, and previousUntil is zero. With an idempotency key,
// a second call answers the secret and the time of the first, and replayed.
func (s *Store) RotateSecret(
	ctx context.Context, companyID, id int64, secret string, overlap time.Duration, idem pipeline.Idempotency,
) (secretNow string, previousUntil time.Time, replayed bool, err error) {
	type remembered struct {
		Secret        string    `json:"secret"`
		PreviousUntil time.Time `json:"previous_until"`
	}
	answer, replayed, err := s.once(ctx, companyID, idem, func(tx transaction) (string, error) {
		var until []sql.NullTime
		err := tx.SelectContext(ctx, &until, `UPDATE webhooks SET secret = $3, updated_at = now(),
				previous_secret = CASE WHEN $4::double precision > 0 THEN secret END,
				previous_until = CASE WHEN $4 > 0 THEN now() + make_interval(secs => $4) END
			WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL
			RETURNING previous_until`, id, companyID, s.sealer.Seal(secret), overlap.Seconds())
		if err != nil {
			return "", err
		}
		if len(until) == 0 {
			return "", noSuchWebhook()
		}
		b, err := json.Marshal(remembered{Secret: secret, PreviousUntil: until[0].Time.UTC()})
		return string(b), err
	})
	if err != nil {
		return "", time.Time{}, false, err
	}
	var now remembered
	if err := json.Unmarshal([]byte(answer), &now); err != nil {
		return "", time.Time{}, false, fmt.Errorf("decode remembered secret: %w", err)
	}
	return now.Secret, now.PreviousUntil, replayed, nil
}

// SigningSeed is the seed of the key that a webhook signs with (ed25519). One from before there
// were such keys gets its own now.
func (s *Store) SigningSeed(ctx context.Context, companyID, id int64) ([]byte, error) {
	w, err := s.Webhook(ctx, companyID, 0, id)
	if err != nil || w.Signing.Seed != nil {
		return w.Signing.Seed, err
	}
	// Of two who come at once, the second finds the seed of the first.
	_, err = s.exec(ctx, "make signing seed", `UPDATE webhooks SET signing_seed = $3
		WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL AND signing_seed IS NULL`, id, companyID, s.sealer.Seal(string(newSeed())))
	if err != nil {
		return nil, err
	}
	w, err = s.Webhook(ctx, companyID, 0, id)
	return w.Signing.Seed, err
}
