package postgres

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// healthRow is how a webhook's endpoint has been answering, read under a lock.
type healthRow struct {
	WebhookID    int64        `db:"webhook_id"`
	CompanyID    int64        `db:"company_id"`
	URL          string       `db:"url"`
	Failures     int          `db:"failures"`
	FailingSince sql.NullTime `db:"failing_since"`
	RestUntil    sql.NullTime `db:"rest_until"`
	Slow         bool         `db:"slow"`
	Probes       int          `db:"probes"`
	Told         bool         `db:"told"`
	Now          time.Time    `db:"now"` // by the clock that rest_until is compared with
}

func (r healthRow) health() pipeline.Health {
	return pipeline.Health{
		Failures: r.Failures, FailingSince: instant(r.FailingSince), RestUntil: instant(r.RestUntil),
		Slow: r.Slow, Probes: r.Probes, Told: r.Told,
	}
}

// lockHealth locks the health of webhooks, in the order of their ids, and reads it.
//
// Whoever needs several locks takes them in this order, so that no two can wait for each other:
// health rows, the company's turn (takeTurn), webhooks, deliveries. An append begins with the
// turn, HandOver with the health.
func lockHealth(ctx context.Context, tx transaction, webhooks []int64) ([]healthRow, error) {
	var rows []healthRow
	err := tx.SelectContext(ctx, &rows, `SELECT h.webhook_id, w.company_id, w.url, h.failures, h.failing_since, h.rest_until,
			h.slow, h.probes, h.told, clock_timestamp() AS now
		FROM webhook_health h JOIN webhooks w ON w.id = h.webhook_id
		WHERE h.webhook_id = ANY($1) ORDER BY h.webhook_id FOR UPDATE OF h`, pq.Array(webhooks))
	return rows, err
}

// takeTurn waits for the company's turn to append, which lasts until the transaction ends; see
// appendSQL.
func takeTurn(ctx context.Context, tx transaction, companyID int64) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, companyID)
	return err
}

// judgement is what a batch of attempts means for one webhook.
type judgement struct {
	before  healthRow
	health  pipeline.Health
	verdict pipeline.Verdict
	last    pipeline.Attempt
}

// changed reports that the health has to be written. Failures are counted, so it is when
// something failed, and when something succeeded again.
func (j judgement) changed() bool { return j.health != j.before.health() }

// judge locks the health of the webhooks of a batch and says what becomes of it.
func (s *Store) judge(ctx context.Context, tx transaction, results []pipeline.Result, slow []int64) ([]judgement, error) {
	rows, err := lockHealth(ctx, tx, webhooksOf(results))
	if err != nil {
		return nil, err
	}
	of := map[int64][]pipeline.Result{}
	for _, r := range results {
		of[r.WebhookID] = append(of[r.WebhookID], r)
	}
	out := make([]judgement, len(rows))
	for i, row := range rows {
		mine := of[row.WebhookID]
		j := judgement{before: row, last: mine[len(mine)-1].Attempt}
		j.health, j.verdict = row.health().After(mine, slices.Contains(slow, row.WebhookID), s.health, row.Now)
		out[i] = j
	}
	return out, nil
}

// takeTurns waits for the turn of the companies that will get operational events.
func takeTurns(ctx context.Context, tx transaction, judged []judgement, results []pipeline.Result) error {
	exhausted := slices.ContainsFunc(results, func(r pipeline.Result) bool { return r.Status == pipeline.DeliveryExhausted })
	var companies []int64
	for _, j := range judged {
		if exhausted || len(j.verdict.Notices) > 0 || j.verdict.Disable != "" {
			companies = append(companies, j.before.CompanyID)
		}
	}
	slices.Sort(companies)
	for _, id := range slices.Compact(companies) {
		if err := takeTurn(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}

// writeHealth writes the health where it changed, and answers the webhooks whose workflow would
// look too late at what was recorded as due. Those that are about to be disabled have nothing
// to look at.
func writeHealth(ctx context.Context, tx transaction, judged []judgement, recorded []recordedRow) (wake []int64, err error) {
	due := map[int64]time.Time{}
	for _, r := range recorded {
		if at, known := due[r.WebhookID]; r.Due.Valid && (!known || r.Due.Time.Before(at)) {
			due[r.WebhookID] = r.Due.Time
		}
	}
	var b healthBatch
	for _, j := range judged {
		b.add(j, due[j.before.WebhookID])
	}
	err = tx.SelectContext(ctx, &wake, `WITH next AS (
			SELECT webhook_id, failures, nullif(failing_since, '-infinity') AS failing_since, nullif(rest_until, '-infinity') AS rest_until,
				slow, probes, told, nullif(due, '-infinity') AS due, changed
			FROM unnest((SELECT $1::bigint[]), (SELECT $2::integer[]), (SELECT $3::timestamptz[]), (SELECT $4::timestamptz[]),
				(SELECT $5::boolean[]), (SELECT $6::integer[]), (SELECT $7::boolean[]), (SELECT $8::timestamptz[]), (SELECT $9::boolean[]))
				AS t (webhook_id, failures, failing_since, rest_until, slow, probes, told, due, changed)
		), written AS (
			UPDATE webhook_health h SET failures = n.failures, failing_since = n.failing_since, rest_until = n.rest_until,
				slow = n.slow, probes = n.probes, told = n.told
			FROM next n WHERE h.webhook_id = n.webhook_id AND n.changed
		)
		SELECT h.webhook_id FROM next n
		JOIN (SELECT webhook_id, wakes_at, paced_until, NULL::timestamptz AS rest_until FROM webhook_health) h ON h.webhook_id = n.webhook_id
		WHERE n.due IS NOT NULL AND `+looksTooLate("n.due, n.rest_until"), b.args()...)
	return wake, err
}

// healthBatch is the health of some webhooks turned into columns for unnest.
type healthBatch struct {
	webhook, failures, probes []int64
	failingSince, restUntil   []string
	due                       []string
	slow, told, changed       []bool
}

func (b *healthBatch) add(j judgement, due time.Time) {
	if j.verdict.Disable != "" {
		due = time.Time{}
	}
	b.webhook = append(b.webhook, j.before.WebhookID)
	b.failures = append(b.failures, int64(j.health.Failures))
	b.failingSince = append(b.failingSince, timestamp(time.Time(j.health.FailingSince)))
	b.restUntil = append(b.restUntil, timestamp(time.Time(j.health.RestUntil)))
	b.slow = append(b.slow, j.health.Slow)
	b.probes = append(b.probes, int64(j.health.Probes))
	b.told = append(b.told, j.health.Told)
	b.due = append(b.due, timestamp(due))
	b.changed = append(b.changed, j.changed())
}

func (b *healthBatch) args() []any {
	return []any{
		pq.Array(b.webhook), pq.Array(b.failures), pq.Array(b.failingSince), pq.Array(b.restUntil),
		pq.Array(b.slow), pq.Array(b.probes), pq.Array(b.told), pq.Array(b.due), pq.Array(b.changed),
	}
}

// carryOut disables the webhooks that are to be, and records what the verdicts say. It answers
// the webhooks to wake and those that were disabled. A webhook that somebody has switched off or
// deleted meanwhile has nothing to tell.
func (s *Store) carryOut(ctx context.Context, tx transaction, judged []judgement) (wake, disabled []int64, err error) {
	for _, j := range judged {
		if len(j.verdict.Notices) == 0 && j.verdict.Disable == "" {
			continue
		}
		id := j.before.WebhookID
		active, err := s.disable(ctx, tx, id, j.verdict.Disable)
		if err != nil {
			return nil, nil, err
		}
		if !active {
			continue
		}
		if j.verdict.Disable != "" {
			disabled = append(disabled, id)
		}
		for _, t := range j.verdict.Notices {
			told, err := s.notice(ctx, tx, j.before.CompanyID, id, t, s.webhookNotice(j, t))
			if err != nil {
				return nil, nil, err
			}
			wake = append(wake, told...)
		}
	}
	return wake, disabled, nil
}

// disable switches a webhook off, unless reason is empty, and reports whether it was active.
func (s *Store) disable(ctx context.Context, tx transaction, webhookID int64, reason string) (active bool, err error) {
	var were []bool
	err = tx.SelectContext(ctx, &were, `SELECT active FROM webhooks WHERE id = $1 FOR UPDATE`, webhookID)
	if err != nil || len(were) == 0 || !were[0] {
		return false, err
	}
	if reason == "" {
		return true, nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE webhooks SET active = false, disabled_reason = $2, updated_at = now()
		WHERE id = $1`, webhookID, reason)
	return true, err
}

func (s *Store) webhookNotice(j judgement, t pipeline.EventType) pipeline.WebhookNotice {
	n := pipeline.WebhookNotice{
		WebhookID: j.before.WebhookID, URL: j.before.URL, Failures: j.health.Failures,
		FailingSince: j.health.FailingSince, Error: pipeline.Text(storable(string(j.last.Error))),
	}
	switch t {
	case pipeline.TypeWebhookFailing:
		n.DisableAt = pipeline.Instant(time.Time(j.health.FailingSince).Add(s.health.DisableAfter))
	case pipeline.TypeWebhookDisabled:
		n.Reason = pipeline.Text(j.verdict.Disable)
	default: // the others say nothing more
	}
	return n
}
