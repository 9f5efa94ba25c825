package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
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
		ID: r.ID, CompanyID: r.CompanyID, KeyID: r.KeyID, URL: r.URL, Events: r.Events, Format: r.Format, Signing: pipeline.Signing{Secret: secret},
		Ordered: r.Ordered, Active: r.Active, Description: pipeline.Text(r.Description),
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}, nil
}

// CreateWebhook records a subscription. With an idempotency key, a second call answers the
// webhook of the first, and replayed.
func (s *Store) CreateWebhook(
	ctx context.Context, w pipeline.Webhook, idem pipeline.Idempotency,
) (created pipeline.Webhook, replayed bool, err error) {
	// What is remembered has the secret beside the webhook, since the webhook itself never
	// shows it in JSON.
	type remembered struct {
		Webhook pipeline.Webhook `json:"webhook"`
		Secret  string           `json:"secret"`
		KeyID   int64            `json:"key_id"`
	}
	answer, replayed, err := s.once(ctx, w.CompanyID, idem, func(tx transaction) (string, error) {
		err := tx.QueryRowxContext(ctx, `INSERT INTO webhooks (company_id, key_id, url, events, format, secret, ordered, active, description)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id, created_at, updated_at`,
			w.CompanyID, w.KeyID, w.URL, pq.Array(w.Events), w.Format, s.sealer.Seal(w.Signing.Secret), w.Ordered, w.Active, string(w.Description),
		).Scan(&w.ID, &w.CreatedAt, &w.UpdatedAt)
		if err != nil {
			return "", err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO webhook_health (webhook_id) VALUES ($1)`, w.ID); err != nil {
			return "", err
		}
		b, err := json.Marshal(remembered{Webhook: w, Secret: w.Signing.Secret, KeyID: w.KeyID})
		return string(b), err
	})
	if err != nil {
		return pipeline.Webhook{}, false, err
	}
	var made remembered
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		return pipeline.Webhook{}, false, fmt.Errorf("decode remembered webhook: %w", err)
	}
	made.Webhook.Signing.Secret, made.Webhook.KeyID = made.Secret, made.KeyID
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
	err = s.get(ctx, &w.UpdatedAt, "webhook", `UPDATE webhooks
		SET url = $3, events = $4, ordered = $5, active = $6, description = $7, updated_at = now()
		WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL RETURNING updated_at`,
		w.ID, w.CompanyID, w.URL, pq.Array(w.Events), w.Ordered, w.Active, string(w.Description))
	if err != nil {
		return w, false, err
	}
	w.UpdatedAt = w.UpdatedAt.UTC()
	released, err = s.settle(ctx, w.ID)
	return w, released, err
}

// DeleteWebhook ends a webhook. Its row and its deliveries stay as history; what was not
// delivered yet becomes discarded.
func (s *Store) DeleteWebhook(ctx context.Context, companyID, id int64) error {
	n, err := s.exec(ctx, "delete webhook", `UPDATE webhooks SET deleted_at = now(), active = false
		WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL`, id, companyID)
	if err != nil {
		return err
	}
	if n == 0 {
		return pipeline.Errorf(pipeline.CodeNotFound, "there is no such webhook")
	}
	_, err = s.settle(ctx, id)
	return err
}

// settlements bring the deliveries of a webhook in line with how the webhook stands. Each has
// an index for just the rows that it changes; see the migration.
var settlements = []struct {
	webhook  string // how the webhook stands
	delivery string // what then must not be
	order    string // that of the index, or batch after batch would read past the ones before
	becomes  string
	releases bool
}{
	{"NOT active AND deleted_at IS NULL", "status = 'pending'", byDue, "status = 'held', next_attempt_at = NULL", false},
	{"deleted_at IS NOT NULL", "status = 'pending'", byDue, "status = 'discarded', next_attempt_at = NULL", false},
	{"deleted_at IS NOT NULL", "status = 'held'", byEvent, "status = 'discarded', next_attempt_at = NULL", false},
	{"active AND deleted_at IS NULL", "status = 'held'", byEvent, "status = 'pending', next_attempt_at = now()", true},
	{
		"active AND deleted_at IS NULL AND NOT ordered", "status = 'pending' AND next_attempt_at = 'infinity'", byDue,
		"next_attempt_at = now()", true,
	},
}

const (
	byDue   = "next_attempt_at, event_position"
	byEvent = "event_position"
)

// settleAtOnce is how many deliveries are changed in one transaction.
const settleAtOnce = 5000

// settle works through the settlements of a webhook and reports whether it released anything.
//
// There may be a million deliveries, so it goes in batches of their own: an append that is to
// queue for this webhook waits for one batch at most, and what a crash or a time limit leaves
// over, the sweep settles. Nothing is sent meanwhile that should not be, since what is read to
// be sent is that of active webhooks. The webhook's row is locked, so that two who switch it to
// and fro cannot both be at work.
func (s *Store) settle(ctx context.Context, webhookID int64) (released bool, err error) {
	for _, settlement := range settlements {
		query := `WITH w AS MATERIALIZED (SELECT id FROM webhooks WHERE id = $1 AND ` + settlement.webhook + ` FOR SHARE)
			UPDATE deliveries SET ` + settlement.becomes + ` WHERE id IN (
				SELECT d.id FROM w CROSS JOIN LATERAL (
					SELECT id FROM deliveries WHERE webhook_id = w.id AND ` + settlement.delivery + `
					ORDER BY ` + settlement.order + ` LIMIT $2) d)
			  AND ` + settlement.delivery
		for n := int64(settleAtOnce); n == settleAtOnce; {
			if n, err = s.execPlanned(ctx, "settle deliveries", query, webhookID, settleAtOnce); err != nil {
				return released, err
			}
			released = released || n > 0 && settlement.releases
		}
	}
	return released, nil
}

// unsettled finds webhooks whose deliveries are not in line with how the webhook stands. It does
// not say EXISTS: for that, the planner expects to meet a match soon wherever it begins, and
// reads the table from its start; the order leaves it only the index.
func (s *Store) unsettled(ctx context.Context) ([]int64, error) {
	var webhooks []int64
	wrong := make([]string, len(settlements))
	for i, settlement := range settlements {
		wrong[i] = settlement.webhook + ` AND (SELECT id FROM deliveries WHERE webhook_id = w.id AND ` + settlement.delivery +
			` ORDER BY ` + settlement.order + ` LIMIT 1) IS NOT NULL`
	}
	err := s.list(ctx, &webhooks, "unsettled webhooks", `SELECT id FROM webhooks w WHERE `+strings.Join(wrong, " OR "))
	return webhooks, err
}
