package postgres

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// RecordAttempts writes what came of a batch of attempts, in the order in which they were made:
// the attempts, the deliveries' new status, each webhook's health where it changed, and what
// follows from that (operational events, a webhook that is disabled). slow lists the webhooks
// that took long to answer. It answers the webhooks whose workflow has to be woken.
//
// Success after success at webhooks that are well is one statement. Anything else takes the
// locks in the order given at lockHealth.
func (s *Store) RecordAttempts(ctx context.Context, results []pipeline.Result, slow []int64) (wake []int64, err error) {
	if len(results) == 0 {
		return nil, nil
	}
	// The webhook may be being switched off (which locks the same deliveries in another order), or
	// the same delivery was sent twice. What is not recorded is sent again.
	return pastConflicts(func() ([]int64, error) { return s.recordAttempts(ctx, results, slow) })
}

func (s *Store) recordAttempts(ctx context.Context, results []pipeline.Result, slow []int64) (wake []int64, err error) {
	if len(slow) == 0 && allOK(results) {
		recorded, wake, err := s.recordSuccesses(ctx, results)
		if err != nil || recorded {
			return wake, err
		}
	}
	return s.recordAndJudge(ctx, results, slow)
}

func allOK(results []pipeline.Result) bool {
	return !slices.ContainsFunc(results, func(r pipeline.Result) bool { return !r.OK() })
}

// recordSuccesses records a batch unless one of its webhooks was not well, and so has its
// health to be changed: then nothing is recorded.
func (s *Store) recordSuccesses(ctx context.Context, results []pipeline.Result) (recorded bool, wake []int64, err error) {
	var out struct {
		Recorded bool          `db:"recorded"`
		Wake     pq.Int64Array `db:"wake"`
	}
	args := append(newAttemptBatch(results).args(), pq.Array(webhooksOf(results)))
	err = s.get(ctx, &out, "attempts", recordSuccesses, args...)
	return out.Recorded, out.Wake, err
}

// tried is the batch as rows. Each array is in a SELECT of its own, which hides its length from
// the planner: where it sees one row instead of the usual guess, it plans the statement anew on
// every call, which costs more than running it.
const tried = `unnest((SELECT $1::bigint[]), (SELECT $2::timestamptz[]), (SELECT $3::integer[]), (SELECT $4::bigint[]),
		(SELECT $5::text[]), (SELECT $6::text[]), (SELECT $7::text[]), (SELECT $8::timestamptz[]))
	AS t (delivery_id, at, status, latency_ms, error, response_body, outcome, next_attempt_at)`

// recordTried are the parts of a statement that record the rows of its part tried.
//
//   - moved: a delivery that is no longer pending (its webhook was disabled or deleted meanwhile)
//     keeps its status, unless the partner has in fact got it.
//   - next_in_line: at an ordered webhook the next of the stream is due when one is done with. It
//     is written even where it is due already, so that park, if it is about to take it out, sees
//     that it changed. Never one of this batch: a statement can change a row once.
const recordTried = `kept AS (
		INSERT INTO attempts (delivery_id, n, at, status, latency_ms, error, response_body, webhook_id, ok)
		SELECT t.delivery_id, d.attempts + 1, t.at, nullif(t.status, 0), t.latency_ms, t.error, t.response_body,
		       d.webhook_id, t.outcome = 'delivered'
		FROM tried t JOIN deliveries d ON d.id = t.delivery_id
	), moved AS (
		UPDATE deliveries d SET attempts = d.attempts + 1,
			status          = CASE WHEN d.status = 'pending' OR t.outcome = 'delivered' THEN t.outcome ELSE d.status END,
			next_attempt_at = CASE WHEN d.status = 'pending' THEN nullif(t.next_attempt_at, '-infinity') END,
			delivered_at    = CASE WHEN t.outcome = 'delivered' THEN coalesce(d.delivered_at, clock_timestamp()) ELSE d.delivered_at END
		FROM tried t WHERE d.id = t.delivery_id
		RETURNING d.id, d.webhook_id, d.stream, d.version, d.status, d.next_attempt_at
	), next_in_line AS (
		UPDATE deliveries n SET next_attempt_at = now()
		FROM moved m JOIN webhooks w ON w.id = m.webhook_id AND w.ordered
		WHERE m.status <> 'pending' AND n.next_attempt_at IS NOT NULL AND n.id = (
			SELECT b.id FROM deliveries b
			WHERE b.stream = m.stream AND b.webhook_id = m.webhook_id AND b.status = 'pending'
			  AND b.version > m.version AND b.id <> ALL ((SELECT $1::bigint[])::bigint[])
			ORDER BY b.version LIMIT 1)
		RETURNING n.webhook_id
	)`

// recordSuccesses looks at the health of the webhooks first. Only at ordered ones may something
// fall due, so only theirs is locked, as in HandOver.
var recordSuccesses = `WITH unwell AS MATERIALIZED (
		SELECT webhook_id FROM webhook_health
		WHERE webhook_id = ANY ((SELECT $9::bigint[])::bigint[]) AND (failures > 0 OR slow OR told OR rest_until IS NOT NULL)
	), health AS MATERIALIZED (
		SELECT h.webhook_id, h.wakes_at, h.rest_until, h.paced_until
		FROM webhook_health h JOIN webhooks w ON w.id = h.webhook_id AND w.ordered
		WHERE h.webhook_id = ANY ((SELECT $9::bigint[])::bigint[])
		ORDER BY h.webhook_id FOR SHARE OF h
	), tried AS (
		SELECT * FROM ` + tried + ` WHERE (SELECT count(*) FROM unwell) = 0 AND (SELECT count(*) FROM health) >= 0
	), ` + recordTried + `
	SELECT (SELECT count(*) FROM unwell) = 0 AS recorded, ARRAY(
		SELECT h.webhook_id FROM health h
		WHERE h.webhook_id IN (SELECT webhook_id FROM next_in_line) AND ` + looksTooLate("now()") + `) AS wake`

// recordAll answers what was recorded: for each delivery where it stands and whether it has just
// ended as exhausted, and once more for what is next in line. The deliveries read at the end are
// those from before the statement.
const recordAll = `WITH tried AS (SELECT * FROM ` + tried + `), ` + recordTried + `
	SELECT m.id, m.webhook_id, CASE WHEN m.status = 'pending' THEN m.next_attempt_at END AS due,
		m.status = 'exhausted' AND d.status = 'pending' AND NOT d.stream` + operationalStream + `AS exhausted
	FROM moved m JOIN deliveries d ON d.id = m.id
	UNION ALL SELECT 0, webhook_id, now(), false FROM next_in_line`

type recordedRow struct {
	DeliveryID int64        `db:"id"`
	WebhookID  int64        `db:"webhook_id"`
	Due        sql.NullTime `db:"due"`
	Exhausted  bool         `db:"exhausted"`
}

// recordAndJudge records a batch and lets it count for the health of its webhooks.
func (s *Store) recordAndJudge(ctx context.Context, results []pipeline.Result, slow []int64) (wake []int64, err error) {
	var disabled []int64
	err = s.inTx(ctx, "record attempts", func(tx transaction) error {
		judged, err := s.judge(ctx, tx, results, slow)
		if err != nil {
			return err
		}
		if err := takeTurns(ctx, tx, judged, results); err != nil {
			return err
		}
		var recorded []recordedRow
		if err := tx.SelectContext(ctx, &recorded, recordAll, newAttemptBatch(results).args()...); err != nil {
			return err
		}
		if wake, err = writeHealth(ctx, tx, judged, recorded); err != nil {
			return err
		}
		told, err := s.tellExhausted(ctx, tx, results, recorded)
		if err != nil {
			return err
		}
		wake = append(wake, told...)
		told, disabled, err = s.carryOut(ctx, tx, judged)
		wake = append(wake, told...)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(wake)
	wake = slices.Compact(wake)
	for _, id := range disabled {
		if _, err := s.settle(ctx, id); err != nil {
			return wake, err
		}
	}
	return wake, nil
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

// webhooksOf lists the webhooks of a batch, sorted.
func webhooksOf(results []pipeline.Result) []int64 {
	ids := map[int64]bool{}
	for _, r := range results {
		ids[r.WebhookID] = true
	}
	return slices.Sorted(maps.Keys(ids))
}
