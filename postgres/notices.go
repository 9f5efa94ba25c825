package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// notice records an operational event about a webhook, inside a transaction: the event in the
// webhook's own stream and a delivery to each webhook that subscribes to it. It answers the
// webhooks whose workflow has to be woken.
//
// Before it, the transaction must not have locked rows of webhooks unless it took the locks that
// come before those: see lockHealth. It is always safe to wake, so it does not look when the
// subscribers' workflows will look by themselves: that would need the locks of their health.
func (s *Store) notice(
	ctx context.Context, tx transaction, companyID, webhookID int64, t pipeline.EventType, payload any,
) (wake []int64, err error) {
	subject := struct {
		Notices        int64   `db:"notices"`
		URL            string  `db:"url"`
		Active         bool    `db:"active"`
		DisabledReason *string `db:"disabled_reason"`
	}{}
	err = tx.GetContext(ctx, &subject, `UPDATE webhook_health h SET notices = h.notices + 1 FROM webhooks w
		WHERE h.webhook_id = $1 AND w.id = h.webhook_id AND w.company_id = $2
		RETURNING h.notices, w.url, w.active, w.disabled_reason`, webhookID, companyID)
	if err != nil {
		return nil, err
	}
	state := pipeline.NoticeState{
		ID: webhookID, CompanyID: companyID, URL: subject.URL, Active: subject.Active, Version: subject.Notices,
	}
	if subject.DisabledReason != nil {
		state.DisabledReason = pipeline.Text(*subject.DisabledReason)
	}
	stateJSON, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("encode state after %s: %w", t, err)
	}
	payloadJSON, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("encode payload of %s: %w", t, err)
	}
	stream := pipeline.StreamOf(pipeline.KindWebhook, webhookID)
	err = tx.SelectContext(ctx, &wake, recordNotice, pipeline.NoticeID(stream, state.Version), string(t), string(stream), state.Version,
		companyID, string(payloadJSON), string(stateJSON), pq.Array(pipeline.Patterns(t)), webhookID)
	return wake, err
}

// recordNotice is appendSQL without a projection. Nobody is told about itself, and a partner's
// key only about its own webhooks. The deliveries are due at once: they have no entity that
// would send them.
const recordNotice = `WITH turn AS MATERIALIZED (
		SELECT pg_advisory_xact_lock($5::bigint)
	), recorded AS (
		INSERT INTO events (position, recorded_at, id, type, stream, version, company_id, payload, state, occurred_at)
		SELECT nextval('event_positions'), clock_timestamp(), $1, $2, $3, $4::bigint, $5::bigint, $6::jsonb, $7::text::json, clock_timestamp()
		FROM turn
		RETURNING position, occurred_at
	), envelope AS MATERIALIZED (
		SELECT event_envelope($2, occurred_at, $1, position, $5::bigint, $3, $4::bigint, NULL, NULL, NULL, NULL,
		                      $7::text::jsonb, $6::jsonb) AS document
		FROM recorded
	), queued AS (
		INSERT INTO deliveries (company_id, webhook_id, event_position, stream, version, status, next_attempt_at)
		SELECT w.company_id, w.id, recorded.position, $3, $4::bigint,
			CASE WHEN w.active THEN 'pending' ELSE 'held' END, CASE WHEN w.active THEN now() END
		FROM recorded CROSS JOIN LATERAL (
			SELECT w.id, w.company_id, w.active, w.catching_up, w.filter FROM webhooks w
			JOIN api_keys k ON k.id = w.key_id
			JOIN webhooks subject ON subject.id = $9::bigint
			WHERE w.company_id = $5::bigint AND w.deleted_at IS NULL AND w.events && $8::text[]
			  AND w.id <> subject.id AND (k.role <> 'partner' OR w.key_id = subject.key_id)
			  AND recorded.position > 0
			ORDER BY w.id OFFSET 0 FOR SHARE OF w) w
		WHERE NOT w.catching_up AND (w.filter IS NULL OR filter_matches(w.filter, (SELECT document FROM envelope)))
		RETURNING webhook_id, status
	)
	SELECT webhook_id FROM queued WHERE status = 'pending' ORDER BY webhook_id`

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
	errorOf := map[int64]pipeline.Text{}
	for _, r := range results {
		errorOf[r.DeliveryID] = pipeline.Text(storable(string(r.Attempt.Error)))
	}
	var rows []struct {
		ID        int64              `db:"id"`
		CompanyID int64              `db:"company_id"`
		WebhookID int64              `db:"webhook_id"`
		EventID   string             `db:"event_id"`
		EventType pipeline.EventType `db:"event_type"`
		Stream    pipeline.Stream    `db:"stream"`
		Version   int64              `db:"version"`
		Attempts  int                `db:"attempts"`
	}
	err = tx.SelectContext(ctx, &rows, `SELECT d.id, d.company_id, d.webhook_id, e.id AS event_id, e.type AS event_type,
			d.stream, d.version, d.attempts
		FROM deliveries d JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		WHERE d.id = ANY($1) ORDER BY d.event_position, d.id`, pq.Array(ids))
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		told, err := s.notice(ctx, tx, r.CompanyID, r.WebhookID, pipeline.TypeDeliveryExhausted, pipeline.DeliveryNotice{
			WebhookID: r.WebhookID, DeliveryID: r.ID, EventID: r.EventID, EventType: r.EventType,
			Stream: r.Stream, Version: r.Version, Attempts: r.Attempts, Error: errorOf[r.ID],
		})
		if err != nil {
			return nil, err
		}
		wake = append(wake, told...)
	}
	return wake, nil
}
