package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// notice records an operational event about a webhook; see notices.
func (s *Store) notice(
	ctx context.Context, tx transaction, companyID, webhookID int64, t pipeline.EventType, payload any,
) (wake []int64, err error) {
	return s.notices(ctx, tx, companyID, webhookID, t, []any{payload})
}

// notices records operational events of one type about a webhook, inside a transaction: the
// events in the webhook's own stream, and of each a delivery to every webhook that subscribes to
// it. It answers the webhooks whose workflow has to be woken.
//
// Before it, the transaction must not have locked rows of webhooks unless it took the locks that
// come before those: see lockHealth. It is always safe to wake, so it does not look when the
// subscribers' workflows will look by themselves: that would need the locks of their health.
func (s *Store) notices(
	ctx context.Context, tx transaction, companyID, webhookID int64, t pipeline.EventType, payloads []any,
) (wake []int64, err error) {
	var subject noticeSubject
	err = tx.GetContext(ctx, &subject, `UPDATE webhook_health h SET notices = h.notices + $3 FROM webhooks w
		WHERE h.webhook_id = $1 AND w.id = h.webhook_id AND w.company_id = $2
		RETURNING w.id, w.company_id, h.notices, w.url, w.active, w.disabled_reason`, webhookID, companyID, len(payloads))
	if err != nil {
		return nil, err
	}
	b := noticeBatch{stream: pipeline.StreamOf(pipeline.KindWebhook, webhookID)}
	for i, payload := range payloads {
		version := subject.Notices - int64(len(payloads)-1-i)
		if err := b.add(version, subject.state(version), payload); err != nil {
			return nil, fmt.Errorf("encode %s: %w", t, err)
		}
	}
	return b.record(ctx, tx, companyID, webhookID, t)
}

// noticeSubject is the webhook that an operational event is about.
type noticeSubject struct {
	ID             int64          `db:"id"`
	CompanyID      int64          `db:"company_id"`
	Notices        int64          `db:"notices"` // the version of its stream after the events
	URL            string         `db:"url"`
	Active         bool           `db:"active"`
	DisabledReason sql.NullString `db:"disabled_reason"`
}

func (s noticeSubject) state(version int64) pipeline.NoticeState {
	return pipeline.NoticeState{
		ID: s.ID, CompanyID: s.CompanyID, URL: s.URL, Active: s.Active,
		DisabledReason: pipeline.Text(s.DisabledReason.String), Version: version,
	}
}

// noticeBatch is operational events of one stream turned into columns for unnest.
type noticeBatch struct {
	stream             pipeline.Stream
	id, payload, state []string
	version            []int64
}

// record the events, which are all of one type. Subject is the webhook that they are about, 0
// where they are about none. It answers the webhooks whose workflow has to be woken.
func (b *noticeBatch) record(
	ctx context.Context, tx transaction, companyID, subject int64, t pipeline.EventType,
) (wake []int64, err error) {
	err = tx.SelectContext(ctx, &wake, recordNotices, pq.Array(b.id), string(t), string(b.stream), pq.Array(b.version),
		companyID, pq.Array(b.payload), pq.Array(b.state), pq.Array(pipeline.Patterns(t)), subject)
	return wake, err
}

func (b *noticeBatch) add(version int64, state, payload any) error {
	payloadJSON, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	stateJSON, err := json.Marshal(state)
	if err != nil {
		return err
	}
	b.id = append(b.id, pipeline.NoticeID(b.stream, version))
	b.version = append(b.version, version)
	b.payload, b.state = append(b.payload, string(payloadJSON)), append(b.state, string(stateJSON))
	return nil
}

// operationalStream is the condition that a stream holds operational events.
const operationalStream = ` LIKE ANY ('{webhook-%,document-%}') `

// recordNotices is appendSQL without a projection. Nobody is told about itself, and a partner's
// key only about its own webhooks; no other system's format has a name for such an event. The
// deliveries are due at once: they have no entity that would send them.
var recordNotices = `WITH turn AS MATERIALIZED (
		SELECT pg_advisory_xact_lock($5::bigint)
	), told AS MATERIALIZED (
		SELECT t.id, t.version, t.payload, t.state
		FROM turn, unnest($1::text[], $4::bigint[], $6::text[], $7::text[]) AS t (id, version, payload, state)
		ORDER BY t.version
	), recorded AS (
		INSERT INTO events (position, recorded_at, id, type, stream, version, company_id, payload, state, occurred_at)
		SELECT nextval('event_positions'), clock_timestamp(), id, $2, $3, version, $5::bigint, payload::jsonb, state::json,
		       date_trunc('milliseconds', clock_timestamp())
		FROM told
		RETURNING position, id, version, customer_id, proposal_id, user_id, cause, payload, state, occurred_at
	), subscribers AS MATERIALIZED (
		SELECT w.id, w.company_id, w.active, w.catching_up, w.filter FROM webhooks w
		JOIN api_keys k ON k.id = w.key_id
		LEFT JOIN webhooks subject ON subject.id = $9::bigint
		WHERE w.company_id = $5::bigint AND w.deleted_at IS NULL AND w.events && $8::text[]
		  AND w.topic IS NULL AND w.id <> $9::bigint AND (k.role <> 'partner' OR w.key_id = subject.key_id)
		  AND (SELECT count(*) FROM turn) > 0
		ORDER BY w.id FOR SHARE OF w
	), first AS MATERIALIZED (
		SELECT $3 AS stream, w.id AS webhook_id, (SELECT min(version) FROM told) AS version FROM subscribers w
	), ahead AS (` + bringForward("first") + `), queued AS (
		INSERT INTO deliveries (company_id, webhook_id, event_position, stream, version, status, next_attempt_at)
		SELECT w.company_id, w.id, r.position, $3, r.version,
			CASE WHEN w.active THEN 'pending' ELSE 'held' END, CASE WHEN w.active THEN now() END
		FROM recorded r CROSS JOIN subscribers w
		WHERE NOT w.catching_up AND (w.filter IS NULL OR filter_matches(w.filter,
			event_envelope($2, r.occurred_at, r.id, r.position, $5::bigint, $3, r.version, r.customer_id, r.proposal_id,
			               r.user_id, r.cause, r.state::text::jsonb, r.payload, false)))
		RETURNING webhook_id, status
	)
	SELECT DISTINCT webhook_id FROM queued WHERE status = 'pending' ORDER BY webhook_id`

// exhaustedRow is a delivery that has just been given up, with what is told about it.
type exhaustedRow struct {
	ID        int64              `db:"id"`
	CompanyID int64              `db:"company_id"`
	WebhookID int64              `db:"webhook_id"`
	EventID   string             `db:"event_id"`
	EventType pipeline.EventType `db:"event_type"`
	Stream    pipeline.Stream    `db:"stream"`
	Version   int64              `db:"version"`
	Attempts  int                `db:"attempts"`
}

// tellExhausted records delivery.exhausted for what has just been given up. What was about a
// webhook or a delivery itself is not told of: that could go on for ever.
func (s *Store) tellExhausted(
	ctx context.Context, tx transaction, results []pipeline.Result, recorded []recordedRow,
) (wake []int64, err error) {
	var ids []int64
	for _, r := range recorded {
		if r.Exhausted {
			ids = append(ids, r.DeliveryID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []exhaustedRow
	err = tx.SelectContext(ctx, &rows, `SELECT d.id, d.company_id, d.webhook_id, e.id AS event_id, e.type AS event_type,
			d.stream, d.version, d.attempts
		FROM deliveries d JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		WHERE d.id = ANY($1) ORDER BY d.webhook_id, d.event_position`, pq.Array(ids))
	if err != nil {
		return nil, err
	}
	errorOf := map[int64]pipeline.Text{}
	for _, r := range results {
		errorOf[r.DeliveryID] = pipeline.Text(storable(string(r.Attempt.Error)))
	}
	for len(rows) > 0 {
		of, n := rows[0], 0
		var payloads []any
		for ; n < len(rows) && rows[n].WebhookID == of.WebhookID; n++ {
			payloads = append(payloads, rows[n].notice(errorOf[rows[n].ID]))
		}
		rows = rows[n:]
		told, err := s.notices(ctx, tx, of.CompanyID, of.WebhookID, pipeline.TypeDeliveryExhausted, payloads)
		if err != nil {
			return nil, err
		}
		wake = append(wake, told...)
	}
	return wake, nil
}

func (r exhaustedRow) notice(failure pipeline.Text) pipeline.DeliveryNotice {
	return pipeline.DeliveryNotice{
		WebhookID: r.WebhookID, DeliveryID: r.ID, EventID: r.EventID, EventType: r.EventType,
		Stream: r.Stream, Version: r.Version, Attempts: r.Attempts, Error: failure,
	}
}
