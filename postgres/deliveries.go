package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
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
		w, err := s.webhook(webhookRow{
			ID: r.WebhookID, CompanyID: r.CompanyID, URL: r.URL, Format: r.Format,
			Secret: r.Secret, Ordered: r.Ordered, Active: true,
		})
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
			w.failures > 0 OR w.slow_until > now() OR (
				SELECT b.id FROM deliveries b WHERE b.stream = d.stream AND b.webhook_id = d.webhook_id
				AND b.status = 'pending' AND b.next_attempt_at IS NOT NULL ORDER BY b.version LIMIT 1) IS NOT NULL AS later
		FROM deliveries d
		JOIN webhooks w ON w.id = d.webhook_id AND w.active
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		WHERE d.stream = $1 AND d.status = 'pending' AND d.next_attempt_at IS NULL
		ORDER BY d.webhook_id, d.version LIMIT $2`, string(stream), limit)
	if err != nil {
		return nil, err
	}
	return s.dispatches(rows)
}

// DueDeliveries reads what a webhook has to send now, in the order in which it fell due,
// except that within the answer no event of a stream comes before an earlier one. For an
// ordered webhook only the first undelivered event of each stream is given.
func (s *Store) DueDeliveries(ctx context.Context, webhookID int64, limit int) ([]pipeline.Dispatch, error) {
	if err := s.park(ctx, webhookID, limit); err != nil {
		return nil, err
	}
	var rows []dispatchRow
	err := s.page(ctx, &rows, "due deliveries", `SELECT `+dispatchColumns+`, false AS later
		FROM deliveries d
		JOIN webhooks w ON w.id = d.webhook_id AND w.active
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		WHERE d.webhook_id = $1 AND d.status = 'pending' AND d.next_attempt_at <= now()
		  AND NOT (w.ordered AND `+behindAnother+`)
		ORDER BY d.next_attempt_at, d.id LIMIT $2`, webhookID, limit)
	if err != nil {
		return nil, err
	}
	inStreamOrder(rows)
	return s.dispatches(rows)
}

// behindAnother: an earlier event of the stream is still to be delivered to the same webhook.
// Not an EXISTS, for the reason given at unsettled.
const behindAnother = `(SELECT b.id FROM deliveries b WHERE b.stream = d.stream AND b.webhook_id = d.webhook_id
	AND b.status = 'pending' AND b.version < d.version ORDER BY b.version LIMIT 1) IS NOT NULL`

// parkAtOnce is how many due deliveries of an ordered webhook are looked at in one statement,
// beyond those that are wanted.
const parkAtOnce = 1000

// park takes deliveries of an ordered webhook that have to wait for an earlier one out of what
// is due: their time becomes infinity, until RecordAttempts is done with the earlier one. Each
// is looked at once that way. Were they left among what is due, a stream with 100,000
// deliveries behind one that fails would be read through for every single delivery, and
// NextDue would say "now" all the time. It goes on until wanted ones that are not parked stand
// in front, or nothing more is due.
func (s *Store) park(ctx context.Context, webhookID int64, wanted int) error {
	for {
		// next_attempt_at is compared once more for the case that RecordAttempts, at this very
		// moment, makes the delivery the first of its stream.
		n, err := s.execPlanned(ctx, "park deliveries", `UPDATE deliveries p SET next_attempt_at = 'infinity'
			FROM (SELECT d.id, d.stream, d.webhook_id, d.version, d.next_attempt_at FROM deliveries d
				WHERE d.webhook_id = $1 AND d.status = 'pending' AND d.next_attempt_at <= now()
				  AND (SELECT ordered AND active FROM webhooks WHERE id = $1)
				ORDER BY d.next_attempt_at, d.id LIMIT $2) d
			WHERE p.id = d.id AND p.status = 'pending' AND p.next_attempt_at = d.next_attempt_at AND `+behindAnother,
			webhookID, parkAtOnce+wanted)
		if err != nil || n <= parkAtOnce {
			return err
		}
	}
}

// inStreamOrder gives the places that the rows of a stream have to these rows by version.
func inStreamOrder(rows []dispatchRow) {
	places := map[string][]int{}
	for i, r := range rows {
		places[r.Stream] = append(places[r.Stream], i)
	}
	for _, at := range places {
		sorted := make([]dispatchRow, len(at))
		for n, i := range at {
			sorted[n] = rows[i]
		}
		slices.SortFunc(sorted, func(a, b dispatchRow) int { return cmp.Compare(a.Version, b.Version) })
		for n, i := range at {
			rows[i] = sorted[n]
		}
	}
}

// NextDue says when a webhook has to be looked at again; the zero time where nothing waits
// that has a time.
func (s *Store) NextDue(ctx context.Context, webhookID int64) (time.Time, error) {
	var at sql.NullTime
	err := s.get(ctx, &at, "next due time", `SELECT min(next_attempt_at) FROM deliveries
		WHERE webhook_id = $1 AND status = 'pending' AND next_attempt_at < 'infinity'
		  AND (SELECT active FROM webhooks WHERE id = $1)`, webhookID)
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
			-- Each array in a SELECT of its own hides its length from the planner: where it sees one
			-- row instead of the usual guess, it plans this statement anew on every call, which
			-- costs more than running it.
			SELECT * FROM unnest(
				(SELECT $1::bigint[]), (SELECT $2::timestamptz[]), (SELECT $3::integer[]), (SELECT $4::bigint[]),
				(SELECT $5::text[]), (SELECT $6::text[]), (SELECT $7::text[]), (SELECT $8::timestamptz[]))
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
			RETURNING d.stream, d.webhook_id, d.version, d.status
		), next_in_line AS (
			-- At an ordered webhook the next of the stream is due when one is done with. It is
			-- written even where it is due already, so that park, if it is about to take it out,
			-- sees that it changed. Never one of this batch: a statement can change a row once.
			UPDATE deliveries n SET next_attempt_at = now()
			FROM moved m JOIN webhooks w ON w.id = m.webhook_id AND w.ordered
			WHERE m.status <> 'pending' AND n.next_attempt_at IS NOT NULL AND n.id = (
				SELECT b.id FROM deliveries b
				WHERE b.stream = m.stream AND b.webhook_id = m.webhook_id AND b.status = 'pending'
				  AND b.version > m.version AND b.id <> ALL ((SELECT $1::bigint[])::bigint[])
				ORDER BY b.version LIMIT 1)
		)
		UPDATE webhooks w SET
			failures   = CASE WHEN h.failed THEN w.failures + 1 ELSE 0 END,
			slow_until = CASE WHEN h.slow THEN now() + make_interval(secs => $12) ELSE w.slow_until END
		FROM unnest((SELECT $9::bigint[]), (SELECT $10::boolean[]), (SELECT $11::boolean[])) AS h (id, failed, slow)
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
		b.failure = append(b.failure, storable(string(r.Attempt.Error)))
		b.body = append(b.body, storable(string(r.Attempt.ResponseBody)))
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

// storable makes text out of what a partner sent: Postgres takes neither NUL nor broken UTF-8,
// and an answer that cannot be recorded would have its delivery sent again for ever.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// timestamp writes a time as Postgres reads it; the zero time stands for "none".
func timestamp(t time.Time) string {
	if t.IsZero() {
		return "-infinity"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// webhookHealth sums a batch up by webhook: a webhook is failing if its last attempt failed.
// The webhooks are sorted, so that two batches lock their rows in the same order.
func webhookHealth(results []pipeline.Result, slow []int64) []any {
	failing := map[int64]bool{}
	for _, r := range results {
		failing[r.WebhookID] = !r.OK()
	}
	ids := slices.Sorted(maps.Keys(failing))
	failed, isSlow := make([]bool, len(ids)), make([]bool, len(ids))
	for i, id := range ids {
		failed[i], isSlow[i] = failing[id], slices.Contains(slow, id)
	}
	return []any{pq.Array(ids), pq.Array(failed), pq.Array(isSlow)}
}

// SweepDeliveries finds webhooks with deliveries that nobody looks after, and hands those
// over: fresh ones whose entity did not send them within grace (its worker died, or Temporal
// lost the workflow), due ones that were left lying for as long, parked ones that have
// nothing left to wait for, and what was left over when a webhook was switched. At most limit
// deliveries of a webhook are handed over at a time; the answer names the webhooks to wake.
func (s *Store) SweepDeliveries(ctx context.Context, grace time.Duration, limit int) ([]int64, error) {
	unsettled, err := s.unsettled(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range unsettled {
		if _, err := s.settle(ctx, id); err != nil {
			return nil, err
		}
	}
	var strays []int64
	err = s.page(ctx, &strays, "stray deliveries", `
		WITH stray AS (
			SELECT d.id FROM webhooks w CROSS JOIN LATERAL (
				SELECT id FROM deliveries
				WHERE webhook_id = w.id AND status = 'pending' AND next_attempt_at IS NULL
				  AND created_at < now() - make_interval(secs => $1)
				ORDER BY next_attempt_at, id LIMIT $2) d
			WHERE w.active
		), parked AS (
			SELECT d.id FROM webhooks w CROSS JOIN LATERAL (
				SELECT id FROM deliveries d
				WHERE webhook_id = w.id AND status = 'pending' AND next_attempt_at = 'infinity' AND NOT (`+behindAnother+`)
				LIMIT $2) d
			WHERE w.active
		), handed_over AS (
			UPDATE deliveries SET next_attempt_at = now()
			WHERE id = ANY (ARRAY(SELECT id FROM stray UNION ALL SELECT id FROM parked))
			  AND status = 'pending' AND (next_attempt_at IS NULL OR next_attempt_at = 'infinity')
			RETURNING webhook_id
		)
		SELECT webhook_id FROM handed_over
		UNION
		SELECT w.id FROM webhooks w WHERE w.active AND (
			SELECT d.id FROM deliveries d WHERE d.webhook_id = w.id AND d.status = 'pending'
			AND d.next_attempt_at < now() - make_interval(secs => $1) ORDER BY d.next_attempt_at LIMIT 1) IS NOT NULL`, grace.Seconds(), limit)
	if err != nil {
		return nil, err
	}
	wake := slices.Concat(unsettled, strays)
	slices.Sort(wake)
	return slices.Compact(wake), nil
}

const deliveryColumns = `d.id, d.webhook_id, d.stream, d.version, d.status,
	nullif(d.next_attempt_at, 'infinity') AS next_attempt_at, d.created_at,
	e.id AS event_id, e.type AS event_type`

// pickedColumns are those of a delivery that deliveryColumns, the join and the order need.
const pickedColumns = `d.id, d.company_id, d.webhook_id, d.event_position, d.stream, d.version, d.status, d.next_attempt_at, d.created_at`

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

// Deliveries lists a company's deliveries with their attempts, those of the newest event
// first. The fields of the query narrow it.
func (s *Store) Deliveries(ctx context.Context, q pipeline.DeliveryQuery) ([]pipeline.Delivery, error) {
	var rows []deliveryRow
	query, args := deliveriesSQL(q)
	if err := s.page(ctx, &rows, "deliveries", query, args...); err != nil {
		return nil, err
	}
	out := make([]pipeline.Delivery, len(rows))
	for i, r := range rows {
		out[i] = r.delivery()
	}
	return out, s.addAttempts(ctx, out)
}

// deliveriesSQL reads a page of each webhook, picks the newest out of these, and joins the
// events of the page only. A company has few webhooks, and this way one index serves all.
func deliveriesSQL(q pipeline.DeliveryQuery) (string, []any) {
	var webhooks, deliveries conditions
	webhooks.and("w.company_id = ?", q.CompanyID)
	deliveries.and("d.webhook_id = w.id")
	if q.WebhookID != 0 {
		webhooks.and("w.id = ?", q.WebhookID)
	}
	if q.PartnerKey != 0 {
		webhooks.and("w.key_id = ?", q.PartnerKey)
	}
	if q.Status != "" {
		deliveries.and("d.status = ?", string(q.Status))
	}
	if q.EventID != "" {
		deliveries.and("d.event_position = (SELECT position FROM events WHERE id = ? AND company_id = ?)", q.EventID, q.CompanyID)
	}
	if q.Page.Cursor > 0 {
		deliveries.and(`d.event_position <= (SELECT event_position FROM deliveries WHERE id = ?)
			AND (d.event_position, d.id) < (SELECT event_position, id FROM deliveries WHERE id = ?)`, q.Page.Cursor, q.Page.Cursor)
	}
	query := `SELECT ` + deliveryColumns + ` FROM (
			SELECT ` + pickedColumns + ` FROM webhooks w CROSS JOIN LATERAL (
				SELECT ` + pickedColumns + ` FROM deliveries d WHERE ` + deliveries.sql() + ` ORDER BY d.event_position DESC LIMIT ?) d
			WHERE ` + webhooks.sql() + ` ORDER BY d.event_position DESC, d.id DESC LIMIT ?) d
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		ORDER BY d.event_position DESC, d.id DESC`
	args := slices.Concat(deliveries.args, []any{q.Page.Limit}, webhooks.args, []any{q.Page.Limit})
	return sqlx.Rebind(sqlx.DOLLAR, query), args
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
