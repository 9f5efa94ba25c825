package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// BeginDrain notes that a webhook's workflow is at work, and will look again before it ends:
// until EndDrain nobody has to wake it. It answers how the webhook may be sent to.
func (s *Store) BeginDrain(ctx context.Context, webhookID int64) (pipeline.Drain, error) {
	var row struct {
		RateLimit      float64      `db:"rate_limit"`
		MaxConcurrency int          `db:"max_concurrency"`
		PacedUntil     sql.NullTime `db:"paced_until"`
	}
	err := s.get(ctx, &row, "webhook", `UPDATE webhook_health h SET wakes_at = '-infinity' FROM webhooks w
		WHERE h.webhook_id = $1 AND w.id = h.webhook_id
		RETURNING coalesce(w.rate_limit, 0) AS rate_limit, w.max_concurrency, h.paced_until`, webhookID)
	if err != nil {
		return pipeline.Drain{}, err
	}
	return pipeline.Drain{
		RateLimit: pipeline.Rate(row.RateLimit), MaxConcurrency: row.MaxConcurrency, PacedUntil: row.PacedUntil.Time.UTC(),
	}, nil
}

// EndDrain answers when a webhook's workflow has to look again, the zero time where nothing
// waits, and keeps that for those who hand deliveries over. pacedUntil, where it is not zero,
// is when the rate limit allows the next request.
//
// It looks in a second statement, after it has the lock: that sees what was handed over by
// those who had the lock before, and those who get it after see what it writes.
func (s *Store) EndDrain(ctx context.Context, webhookID int64, pacedUntil time.Time) (time.Time, error) {
	var next time.Time
	err := s.inTx(ctx, "end drain", func(tx transaction) error {
		var err error
		next, err = endDrain(ctx, tx, webhookID, pacedUntil)
		return err
	})
	return next, err
}

func endDrain(ctx context.Context, tx transaction, webhookID int64, pacedUntil time.Time) (time.Time, error) {
	if _, err := tx.ExecContext(ctx, `SELECT FROM webhook_health WHERE webhook_id = $1 FOR UPDATE`, webhookID); err != nil {
		return time.Time{}, err
	}
	var next sql.NullTime
	err := tx.GetContext(ctx, &next, sleepUntilDue, webhookID, timestamp(pacedUntil))
	return next.Time.UTC(), err
}

// sleepUntilDue: a replay that is running always has something to do. greatest passes over nulls.
const sleepUntilDue = `UPDATE webhook_health h SET paced_until = nullif($2::timestamptz, '-infinity'), wakes_at = (
		SELECT greatest(n.due, h.rest_until, nullif($2::timestamptz, '-infinity')) FROM (
			SELECT CASE WHEN (SELECT id FROM replays WHERE webhook_id = $1 AND status = 'running') IS NOT NULL THEN now() ELSE (
				SELECT min(next_attempt_at) FROM deliveries
				WHERE webhook_id = $1 AND status = 'pending' AND next_attempt_at < 'infinity') END AS due) n
		WHERE n.due IS NOT NULL AND (SELECT active FROM webhooks WHERE id = $1))
	WHERE h.webhook_id = $1 RETURNING h.wakes_at`

// drainRow is a webhook that may be sent to, and how it answered.
type drainRow struct {
	Failures int        `db:"failures"`
	Webhook  webhookRow `db:"webhook"`
}

// DueDeliveries reads what a webhook has to send now, in the order in which it fell due,
// except that within the answer no event of a stream comes before an earlier one. For an
// ordered webhook only the first undelivered event of each stream is given; where only the
// latest counts, what a newer event made pointless is superseded first. It gives nothing while
// the endpoint rests, and one delivery where it is being probed.
func (s *Store) DueDeliveries(ctx context.Context, webhookID int64, limit int) ([]pipeline.Dispatch, error) {
	var found []drainRow
	err := s.list(ctx, &found, "webhook", `SELECT h.failures, `+beside(sendingColumns)+`
		FROM webhooks w JOIN webhook_health h ON h.webhook_id = w.id
		WHERE w.id = $1 AND w.active AND (h.rest_until IS NULL OR h.rest_until <= now())`, webhookID)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	w, err := s.webhook(found[0].Webhook)
	if err != nil {
		return nil, err
	}
	if (pipeline.Health{Failures: found[0].Failures}).Probing() {
		limit = 1
	}
	if w.LatestOnly {
		if err := s.supersede(ctx, webhookID, limit); err != nil {
			return nil, err
		}
	}
	if w.Ordered {
		if err := s.park(ctx, webhookID, limit); err != nil {
			return nil, err
		}
	}
	return s.due(ctx, w, limit)
}

func (s *Store) due(ctx context.Context, w pipeline.Webhook, limit int) ([]pipeline.Dispatch, error) {
	query := `SELECT ` + dispatchColumns + `
		FROM deliveries d
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		WHERE d.webhook_id = $1 AND d.status = 'pending' AND d.next_attempt_at <= now()
		  AND d.event_position < coalesce(` + oldestHeld("$1") + `, d.event_position + 1)`
	if w.Ordered {
		query += ` AND NOT ` + behindAnother
	}
	var rows []dispatchRow
	err := s.page(ctx, &rows, "due deliveries", query+` ORDER BY d.next_attempt_at, d.event_position LIMIT $2`, w.ID, limit)
	if err != nil {
		return nil, err
	}
	inStreamOrder(rows)
	out := make([]pipeline.Dispatch, len(rows))
	for i, r := range rows {
		if out[i], err = s.dispatch(r, w); err != nil {
			return nil, err
		}
	}
	return out, s.addCustomers(ctx, out)
}

// behindAnother: an earlier event of the stream is still to be delivered to the same webhook.
// Not an EXISTS, for the reason given at unsettled.
const behindAnother = `(SELECT b.id FROM deliveries b WHERE b.stream = d.stream AND b.webhook_id = d.webhook_id
	AND b.status = 'pending' AND b.version < d.version ORDER BY b.version LIMIT 1) IS NOT NULL`

// lookAhead is how many due deliveries are looked at in one statement, beyond those that are
// wanted.
const lookAhead = 1000

// park takes deliveries of an ordered webhook that have to wait for an earlier one out of what
// is due: their time becomes infinity, until RecordAttempts is done with the earlier one. Each
// is looked at once that way. Were they left among what is due, a stream with 100,000
// deliveries behind one that fails would be read through for every single delivery, and
// EndDrain would say "now" all the time. It goes on until wanted ones that are not parked stand
// in front, or nothing more is due.
func (s *Store) park(ctx context.Context, webhookID int64, wanted int) error {
	for {
		// next_attempt_at is compared once more for the case that RecordAttempts, at this very
		// moment, makes the delivery the first of its stream.
		n, err := s.execPlanned(ctx, "park deliveries", `UPDATE deliveries p SET next_attempt_at = 'infinity'
			FROM (SELECT d.id, d.stream, d.webhook_id, d.version, d.next_attempt_at FROM deliveries d
				WHERE d.webhook_id = $1 AND d.status = 'pending' AND d.next_attempt_at <= now()
				  AND (SELECT ordered AND active FROM webhooks WHERE id = $1)
				ORDER BY d.next_attempt_at, d.event_position LIMIT $2) d
			WHERE p.id = d.id AND p.status = 'pending' AND p.next_attempt_at = d.next_attempt_at AND `+behindAnother,
			webhookID, lookAhead+wanted)
		if err != nil || n <= lookAhead {
			return err
		}
	}
}

// supersede drops deliveries of a webhook for which only the latest counts: those that wait
// while a newer event of the same stream and type is to be delivered there. It looks at the
// streams of which something is due, all of what waits there: an older event whose retry comes
// later must not arrive after the newer one. What an entity is sending itself (no time) is left
// alone. At an ordered webhook the next in line may then go ahead.
func (s *Store) supersede(ctx context.Context, webhookID int64, wanted int) error {
	for {
		n, err := s.execPlanned(ctx, "supersede deliveries", `WITH busy AS (
				SELECT DISTINCT stream FROM (
					SELECT stream FROM deliveries
					WHERE webhook_id = $1 AND status = 'pending' AND next_attempt_at <= now()
					ORDER BY next_attempt_at, event_position LIMIT $2) due
			), waiting AS MATERIALIZED (
				SELECT d.id, d.stream, d.version, d.next_attempt_at,
					d.next_attempt_at IS NOT NULL AND d.version < max(d.version) OVER (PARTITION BY d.stream, e.type) AS outdated
				FROM busy CROSS JOIN LATERAL (
					SELECT d.id, d.company_id, d.event_position, d.stream, d.version, d.next_attempt_at FROM deliveries d
					WHERE d.stream = busy.stream AND d.webhook_id = $1 AND d.status = 'pending' OFFSET 0) d
				JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
			), next_in_line AS (
				UPDATE deliveries d SET next_attempt_at = now()
				FROM (SELECT DISTINCT ON (stream) id FROM waiting WHERE NOT outdated ORDER BY stream, version) n
				WHERE d.id = n.id AND d.status = 'pending' AND d.next_attempt_at = 'infinity'
			)
			UPDATE deliveries d SET status = 'superseded', next_attempt_at = NULL FROM waiting
			WHERE waiting.outdated AND d.id = waiting.id AND d.status = 'pending' AND d.next_attempt_at IS NOT NULL`,
			webhookID, lookAhead+wanted)
		if err != nil || n <= lookAhead {
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
