package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

const webhookColumns = `id, company_id, key_id, url, events, format, secret, ordered, active, description, created_at, updated_at`

type webhookRow struct {
	ID          int64          `db:"id"`
	CompanyID   int64          `db:"company_id"`
	KeyID       int64          `db:"key_id"`
	URL         string         `db:"url"`
	Events      pq.StringArray `db:"events"`
	Format      string         `db:"format"`
	Secret      []byte         `db:"secret"`
	Ordered     bool           `db:"ordered"`
	Active      bool           `db:"active"`
	Description string         `db:"description"`
	CreatedAt   time.Time      `db:"created_at"`
	UpdatedAt   time.Time      `db:"updated_at"`
}

func (s *Store) webhook(r webhookRow) (pipeline.Webhook, error) {
	secret, err := s.sealer.Open(r.Secret)
	if err != nil {
		return pipeline.Webhook{}, fmt.Errorf("secret of webhook %d: %w", r.ID, err)
	}
	return pipeline.Webhook{
		ID: r.ID, CompanyID: r.CompanyID, KeyID: r.KeyID, URL: r.URL, Events: r.Events, Format: r.Format, Secret: secret,
		Ordered: r.Ordered, Active: r.Active, Description: pipeline.Text(r.Description),
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}, nil
}

// CreateWebhook records a subscription. With an idempotency key, a second call answers the
// webhook of the first, and replayed.
func (s *Store) CreateWebhook(ctx context.Context, w pipeline.Webhook, idem pipeline.Idempotency) (created pipeline.Webhook, replayed bool, err error) {
	// What is remembered has the secret beside the webhook, since the webhook itself never
	// shows it in JSON.
	type remembered struct {
		Webhook pipeline.Webhook
		Secret  string
		KeyID   int64
	}
	answer, replayed, err := s.once(ctx, w.CompanyID, idem, func(tx transaction) (string, error) {
		err := tx.QueryRowxContext(ctx, `INSERT INTO webhooks (company_id, key_id, url, events, format, secret, ordered, active, description)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id, created_at, updated_at`,
			w.CompanyID, w.KeyID, w.URL, pq.Array(w.Events), w.Format, s.sealer.Seal(w.Secret), w.Ordered, w.Active, string(w.Description),
		).Scan(&w.ID, &w.CreatedAt, &w.UpdatedAt)
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(remembered{Webhook: w, Secret: w.Secret, KeyID: w.KeyID})
		return string(b), err
	})
	if err != nil {
		return pipeline.Webhook{}, false, err
	}
	var made remembered
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		return pipeline.Webhook{}, false, fmt.Errorf("decode remembered webhook: %w", err)
	}
	made.Webhook.Secret, made.Webhook.KeyID = made.Secret, made.KeyID
	return made.Webhook, replayed, nil
}

// Webhook reads one webhook of a company; a partner's key (partnerKey not 0) finds only its own.
func (s *Store) Webhook(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Webhook, error) {
	var row webhookRow
	err := s.get(ctx, &row, "webhook", `SELECT `+webhookColumns+` FROM webhooks
		WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL AND ($3::bigint = 0 OR key_id = $3)`, id, companyID, partnerKey)
	if err != nil {
		return pipeline.Webhook{}, err
	}
	return s.webhook(row)
}

// Webhooks lists a company's webhooks, newest first; a partner's key finds only its own.
func (s *Store) Webhooks(ctx context.Context, companyID, partnerKey int64, page pipeline.Page) ([]pipeline.Webhook, error) {
	f := newFilter(companyID, page)
	f.and("deleted_at IS NULL")
	if partnerKey != 0 {
		f.and("key_id = ?", partnerKey)
	}
	query, args := f.sql(`SELECT ` + webhookColumns + ` FROM webhooks`)
	var rows []webhookRow
	if err := s.page(ctx, &rows, "webhooks", query, args...); err != nil {
		return nil, err
	}
	out := make([]pipeline.Webhook, len(rows))
	for i, r := range rows {
		w, err := s.webhook(r)
		if err != nil {
			return nil, err
		}
		out[i] = w
	}
	return out, nil
}

// UpdateWebhook writes what may change of a webhook. Where it was switched off, what is
// pending becomes held; where it was switched on, what is held becomes due, as does what was
// parked where it is not ordered any more, and released reports that its workflow has
// something to do.
func (s *Store) UpdateWebhook(ctx context.Context, w pipeline.Webhook) (updated pipeline.Webhook, released bool, err error) {
	err = s.inTx(ctx, "update webhook", func(tx transaction) error {
		err := tx.QueryRowxContext(ctx, `UPDATE webhooks
			SET url = $3, events = $4, ordered = $5, active = $6, description = $7, updated_at = now(),
			    failures = CASE WHEN url = $3 THEN failures ELSE 0 END
			WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL RETURNING updated_at`,
			w.ID, w.CompanyID, w.URL, pq.Array(w.Events), w.Ordered, w.Active, string(w.Description)).Scan(&w.UpdatedAt)
		if errors.Is(err, sql.ErrNoRows) { // deleted since the caller read it
			return pipeline.Errorf(pipeline.CodeNotFound, "there is no such webhook")
		}
		if err != nil {
			return err
		}
		if !w.Active {
			_, err := tx.ExecContext(ctx, holdPending, w.ID)
			return err
		}
		released, err = touches(ctx, tx, releaseHeld, w.ID)
		if err != nil || w.Ordered {
			return err
		}
		unparked, err := touches(ctx, tx, releaseParked, w.ID)
		released = released || unparked
		return err
	})
	w.UpdatedAt = w.UpdatedAt.UTC()
	return w, released, err
}

// What happens to the deliveries of a webhook that is switched off, on, or from ordered to not
// ordered, and deleted. Each has an index for just the rows that it changes; see the migration.
const (
	holdPending    = `UPDATE deliveries SET status = 'held', next_attempt_at = NULL WHERE webhook_id = $1 AND status = 'pending'`
	releaseHeld    = `UPDATE deliveries SET status = 'pending', next_attempt_at = now() WHERE webhook_id = $1 AND status = 'held'`
	releaseParked  = `UPDATE deliveries SET next_attempt_at = now() WHERE webhook_id = $1 AND status = 'pending' AND next_attempt_at = 'infinity'`
	discardPending = `UPDATE deliveries SET status = 'discarded', next_attempt_at = NULL WHERE webhook_id = $1 AND status = 'pending'`
	discardHeld    = `UPDATE deliveries SET status = 'discarded', next_attempt_at = NULL WHERE webhook_id = $1 AND status = 'held'`
)

// touches runs a change and reports whether there was anything to change.
func touches(ctx context.Context, tx transaction, query string, args ...any) (bool, error) {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// DeleteWebhook ends a webhook. Its row and its deliveries stay as history; what was not
// delivered yet becomes discarded.
func (s *Store) DeleteWebhook(ctx context.Context, companyID, id int64) error {
	return s.inTx(ctx, "delete webhook", func(tx transaction) error {
		found, err := touches(ctx, tx, `UPDATE webhooks SET deleted_at = now(), active = false
			WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL`, id, companyID)
		if err != nil {
			return err
		}
		if !found {
			return pipeline.Errorf(pipeline.CodeNotFound, "there is no such webhook")
		}
		if _, err := tx.ExecContext(ctx, discardPending, id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, discardHeld, id)
		return err
	})
}
