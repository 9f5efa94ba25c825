package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

const dispatchColumns = `d.id AS delivery_id, d.attempts,
	w.id AS webhook_id, w.url, w.format, w.secret, w.ordered, ` + eventColumns

type dispatchRow struct {
	eventRow
	DeliveryID int64  `db:"delivery_id"`
	Attempts   int    `db:"attempts"`
	Later      bool   `db:"later"`
	WebhookID  int64  `db:"webhook_id"`
	URL        string `db:"url"`
	Format     string `db:"format"`
	Secret     []byte `db:"secret"`
	Ordered    bool   `db:"ordered"`
}

func (s *Store) dispatches(rows []dispatchRow) ([]pipeline.Dispatch, error) {
	out := make([]pipeline.Dispatch, len(rows))
	for i, r := range rows {
		e, err := r.event()
		if err != nil {
			return nil, err
		}
		w, err := s.webhook(webhookRow{ID: r.WebhookID, CompanyID: r.CompanyID, URL: r.URL, Format: r.Format, Secret: r.Secret, Ordered: r.Ordered, Active: true})
		if err != nil {
			return nil, err
		}
		out[i] = pipeline.Dispatch{DeliveryID: r.DeliveryID, Attempts: r.Attempts, Later: r.Later, Webhook: w, Event: e}
	}
	return out, nil
}

// FreshDeliveries reads what an entity has to send itself: its pending deliveries that were
// never tried nor handed to a Webhook workflow, grouped by webhook, each webhook's in order.
// Later marks those that the entity had better not wait for: the webhook failed last time,
// was slow lately, or has an earlier event of this entity still to get.
func (s *Store) FreshDeliveries(ctx context.Context, stream pipeline.Stream, limit int) ([]pipeline.Dispatch, error) {
	var rows []dispatchRow
	err := s.list(ctx, &rows, "deliveries", `SELECT `+dispatchColumns+`,
			w.failures > 0 OR w.slow_until > now() OR EXISTS (
				SELECT FROM deliveries b WHERE b.stream = d.stream AND b.webhook_id = d.webhook_id
				AND b.status = 'pending' AND b.next_attempt_at IS NOT NULL) AS later
		FROM deliveries d
		JOIN webhooks w ON w.id = d.webhook_id
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		WHERE d.stream = $1 AND d.status = 'pending' AND d.next_attempt_at IS NULL
		ORDER BY d.webhook_id, d.version LIMIT $2`, string(stream), limit)
	if err != nil {
		return nil, err
	}
	return s.dispatches(rows)
}

// DueDeliveries reads what a webhook has to send now, in the order in which it fell due and
// never an event of a stream before an earlier one that is due too. For an ordered webhook
// only the first undelivered event of each stream is given.
func (s *Store) DueDeliveries(ctx context.Context, webhookID int64, limit int) ([]pipeline.Dispatch, error) {
	var rows []dispatchRow
	err := s.list(ctx, &rows, "due deliveries", `SELECT `+dispatchColumns+`, false AS later
		FROM deliveries d
		JOIN webhooks w ON w.id = d.webhook_id
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		WHERE d.webhook_id = $1 AND d.status = 'pending' AND d.next_attempt_at <= now()
		  AND NOT (w.ordered AND EXISTS (
			SELECT FROM deliveries b WHERE b.stream = d.stream AND b.webhook_id = d.webhook_id
			AND b.status = 'pending' AND b.version < d.version))
		ORDER BY d.next_attempt_at, d.id LIMIT $2`, webhookID, limit)
	if err != nil {
		return nil, err
	}
	return s.dispatches(rows)
}

// NextDue says when a webhook has to be looked at again; the zero time where nothing waits.
func (s *Store) NextDue(ctx context.Context, webhookID int64) (time.Time, error) {
	var at sql.NullTime
	err := s.get(ctx, &at, "next due time", `SELECT min(next_attempt_at) FROM deliveries
		WHERE webhook_id = $1 AND status = 'pending' AND next_attempt_at IS NOT NULL`, webhookID)
	return at.Time.UTC(), err
}

// HandOver leaves deliveries to the Webhook workflow of their webhook: they are due now.
func (s *Store) HandOver(ctx context.Context, deliveryIDs []int64) error {
	_, err := s.exec(ctx, "hand deliveries over", `UPDATE deliveries SET next_attempt_at = now()
		WHERE id = ANY($1) AND status = 'pending' AND next_attempt_at IS NULL`, pq.Array(deliveryIDs))
	return err
}

// slowFor is how long a webhook that was slow once is left to its own workflow.
const slowFor = time.Minute

// RecordAttempts writes what came of a batch of attempts: the attempts, the deliveries' new
// status, and each webhook's health where it changed, all in one statement. slow lists the
// webhooks that took long to answer.
func (s *Store) RecordAttempts(ctx context.Context, results []pipeline.Result, slow []int64) error {
	b := newAttemptBatch(results)
	_, err := s.exec(ctx, "record attempts", `
		WITH tried AS (
			SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::integer[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
				AS t (delivery_id, at, status, latency_ms, error, response_body, outcome, next_attempt_at)
		), kept AS (
			INSERT INTO attempts (delivery_id, n, at, status, latency_ms, error, response_body)
			SELECT t.delivery_id, d.attempts + 1, t.at, nullif(t.status, 0), t.latency_ms, t.error, t.response_body
			FROM tried t JOIN deliveries d ON d.id = t.delivery_id
		), moved AS (
			-- A delivery that is no longer pending (its webhook was disabled or deleted meanwhile)
			-- keeps its status, unless the partner has in fact got it.
			UPDATE deliveries d SET attempts = d.attempts + 1,
				status          = CASE WHEN d.status = 'pending' OR t.outcome = 'delivered' THEN t.outcome ELSE d.status END,
				next_attempt_at = CASE WHEN d.status = 'pending' THEN nullif(t.next_attempt_at, '-infinity') END
			FROM tried t WHERE d.id = t.delivery_id
		)
		UPDATE webhooks w SET
			failures   = CASE WHEN h.failed THEN w.failures + 1 ELSE 0 END,
			slow_until = CASE WHEN h.slow THEN now() + make_interval(secs => $12) ELSE w.slow_until END
		FROM unnest($9::bigint[], $10::boolean[], $11::boolean[]) AS h (id, failed, slow)
		WHERE w.id = h.id AND (h.failed OR h.slow OR w.failures <> 0)`,
		append(b.args(), append(webhookHealth(results, slow), slowFor.Seconds())...)...)
	return err
}

// attemptBatch is a batch of results turned into columns for unnest.
type attemptBatch struct {
	delivery, status, latency []int64
	at, next                  []string
	failure, body, outcome    []string
}

func newAttemptBatch(results []pipeline.Result) attemptBatch {
	var b attemptBatch
	for _, r := range results {
		b.delivery = append(b.delivery, r.DeliveryID)
		b.at = append(b.at, timestamp(r.Attempt.At))
		b.status = append(b.status, int64(r.Attempt.Status))
		b.latency = append(b.latency, r.Attempt.LatencyMS)
		b.failure = append(b.failure, string(r.Attempt.Error))
		b.body = append(b.body, string(r.Attempt.ResponseBody))
		b.outcome = append(b.outcome, string(r.Status))
		b.next = append(b.next, timestamp(r.NextAttemptAt))
	}
	return b
}

func (b attemptBatch) args() []any {
	return []any{
		pq.Array(b.delivery), pq.Array(b.at), pq.Array(b.status), pq.Array(b.latency),
		pq.Array(b.failure), pq.Array(b.body), pq.Array(b.outcome), pq.Array(b.next),
	}
}

// timestamp writes a time as Postgres reads it; the zero time stands for "none".
func timestamp(t time.Time) string {
	if t.IsZero() {
		return "-infinity"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// webhookHealth sums a batch up by webhook: a webhook is failing if its last attempt failed.
func webhookHealth(results []pipeline.Result, slow []int64) []any {
	index := map[int64]int{}
	var ids []int64
	var failed, isSlow []bool
	for _, r := range results {
		i, seen := index[r.WebhookID]
		if !seen {
			i = len(ids)
			index[r.WebhookID] = i
			ids, failed, isSlow = append(ids, r.WebhookID), append(failed, false), append(isSlow, false)
		}
		failed[i] = !r.OK()
	}
	for _, id := range slow {
		if i, ok := index[id]; ok {
			isSlow[i] = true
		}
	}
	return []any{pq.Array(ids), pq.Array(failed), pq.Array(isSlow)}
}

// SweepDeliveries finds webhooks with deliveries that nobody looks after, and hands those
// over: fresh ones whose entity did not send them within grace (its worker died, or Temporal
// lost the workflow), and due ones that were left lying for as long. At most limit deliveries
// and webhooks at a time; the answer names the webhooks to wake.
func (s *Store) SweepDeliveries(ctx context.Context, grace time.Duration, limit int) ([]int64, error) {
	var webhooks []int64
	err := s.list(ctx, &webhooks, "stray deliveries", `
		WITH stray AS (
			UPDATE deliveries SET next_attempt_at = now()
			WHERE id IN (
				SELECT id FROM deliveries
				WHERE status = 'pending' AND next_attempt_at IS NULL AND created_at < now() - make_interval(secs => $1)
				ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
			RETURNING webhook_id
		)
		SELECT webhook_id FROM stray
		UNION
		(SELECT w.id FROM webhooks w WHERE w.deleted_at IS NULL AND EXISTS (
			SELECT FROM deliveries d WHERE d.webhook_id = w.id AND d.status = 'pending'
			AND d.next_attempt_at < now() - make_interval(secs => $1))
		 LIMIT $2)`, grace.Seconds(), limit)
	return webhooks, err
}

const deliveryColumns = `d.id, d.webhook_id, d.stream, d.version, d.status, d.next_attempt_at, d.created_at,
	e.id AS event_id, e.type AS event_type`

type deliveryRow struct {
	ID            int64        `db:"id"`
	WebhookID     int64        `db:"webhook_id"`
	EventID       string       `db:"event_id"`
	EventType     string       `db:"event_type"`
	Stream        string       `db:"stream"`
	Version       int64        `db:"version"`
	Status        string       `db:"status"`
	NextAttemptAt sql.NullTime `db:"next_attempt_at"`
	CreatedAt     time.Time    `db:"created_at"`
}

func (r deliveryRow) delivery() pipeline.Delivery {
	return pipeline.Delivery{
		ID: r.ID, WebhookID: r.WebhookID, EventID: r.EventID, EventType: pipeline.EventType(r.EventType),
		Stream: pipeline.Stream(r.Stream), Version: r.Version, Status: pipeline.DeliveryStatus(r.Status),
		NextAttemptAt: instant(r.NextAttemptAt), CreatedAt: r.CreatedAt.UTC(), Attempts: []pipeline.Attempt{},
	}
}

// Deliveries lists a company's deliveries with their attempts, newest first. The fields of the
// query narrow it.
func (s *Store) Deliveries(ctx context.Context, q pipeline.DeliveryQuery) ([]pipeline.Delivery, error) {
	query, args, err := s.deliveriesSQL(ctx, q)
	if pipeline.CodeOf(err) == pipeline.CodeNotFound && err != nil {
		return []pipeline.Delivery{}, nil // no such event, so no deliveries of it
	}
	if err != nil {
		return nil, err
	}
	var rows []deliveryRow
	if err := s.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, mapError(err, "list deliveries")
	}
	out := make([]pipeline.Delivery, len(rows))
	for i, r := range rows {
		out[i] = r.delivery()
	}
	return out, s.addAttempts(ctx, out)
}

// deliveriesSQL picks the page inside and joins the events outside, so that only the events
// of the page are read.
func (s *Store) deliveriesSQL(ctx context.Context, q pipeline.DeliveryQuery) (string, []any, error) {
	f := newFilter(q.CompanyID, q.Page)
	if q.WebhookID != 0 {
		f.and("webhook_id = ?", q.WebhookID)
	}
	if q.Status != "" {
		f.and("status = ?", string(q.Status))
	}
	if q.PartnerKey != 0 {
		f.and("webhook_id IN (SELECT id FROM webhooks WHERE key_id = ?)", q.PartnerKey)
	}
	if q.EventID != "" {
		e, err := s.Event(ctx, q.CompanyID, q.EventID)
		if err != nil {
			return "", nil, err
		}
		f.and("event_position = ?", e.Position)
	}
	page, args := f.sql(`SELECT * FROM deliveries`)
	return `SELECT ` + deliveryColumns + ` FROM (` + page + `) d
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position ORDER BY d.id DESC`, args, nil
}

// Delivery reads one delivery of a company with its attempts; a partner's key finds only those
// of its own webhooks.
func (s *Store) Delivery(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Delivery, error) {
	var row deliveryRow
	err := s.get(ctx, &row, "delivery", `SELECT `+deliveryColumns+` FROM deliveries d
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		JOIN webhooks w ON w.id = d.webhook_id
		WHERE d.id = $1 AND d.company_id = $2 AND ($3::bigint = 0 OR w.key_id = $3)`, id, companyID, partnerKey)
	if err != nil {
		return pipeline.Delivery{}, err
	}
	one := []pipeline.Delivery{row.delivery()}
	err = s.addAttempts(ctx, one)
	return one[0], err
}

// addAttempts fills in the attempts of a page of deliveries.
func (s *Store) addAttempts(ctx context.Context, deliveries []pipeline.Delivery) error {
	index := make(map[int64]*pipeline.Delivery, len(deliveries))
	ids := make([]int64, len(deliveries))
	for i := range deliveries {
		ids[i] = deliveries[i].ID
		index[ids[i]] = &deliveries[i]
	}
	var rows []struct {
		DeliveryID   int64         `db:"delivery_id"`
		At           time.Time     `db:"at"`
		Status       sql.NullInt64 `db:"status"`
		LatencyMS    int64         `db:"latency_ms"`
		Error        string        `db:"error"`
		ResponseBody string        `db:"response_body"`
	}
	err := s.list(ctx, &rows, "attempts", `SELECT delivery_id, at, status, latency_ms, error, response_body
		FROM attempts WHERE delivery_id = ANY($1) ORDER BY delivery_id, n`, pq.Array(ids))
	if err != nil {
		return err
	}
	for _, r := range rows {
		d := index[r.DeliveryID]
		d.Attempts = append(d.Attempts, pipeline.Attempt{
			At: r.At.UTC(), Status: pipeline.ID(r.Status.Int64), LatencyMS: r.LatencyMS,
			Error: pipeline.Text(r.Error), ResponseBody: pipeline.Text(r.ResponseBody),
		})
	}
	return nil
}
