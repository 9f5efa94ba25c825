package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// dispatchColumns are those of a delivery d and its event e.
const dispatchColumns = `d.id AS delivery_id, d.attempts - d.attempts_before AS attempts, ` + eventColumns

type dispatchRow struct {
	eventRow
	DeliveryID int64 `db:"delivery_id"`
	Attempts   int   `db:"attempts"` // of the retry schedule as it was last begun
}

func (s *Store) dispatch(r dispatchRow, w pipeline.Webhook) (pipeline.Dispatch, error) {
	e, err := s.event(r.eventRow)
	return pipeline.Dispatch{DeliveryID: r.DeliveryID, Attempts: r.Attempts, Webhook: w, Event: e}, err
}

// sendingColumns are those of a webhook that sending needs.
const sendingColumns = `id, company_id, key_id, url, format, content_type, event_name, constraint_type, method,
	secret, previous_secret, previous_until, signing_seed, credentials, ordered, latest_only,
	retry_schedule, timeout_ms, rate_limit, max_concurrency, active`

// beside names columns of the webhook so that they can stand beside those of an event.
func beside(columns string) string {
	names := strings.Split(columns, ",")
	for i, name := range names {
		name = strings.TrimSpace(name)
		names[i] = "w." + name + ` AS "webhook.` + name + `"`
	}
	return strings.Join(names, ", ")
}

// freshRow has the webhook too: an entity sends an event to several.
type freshRow struct {
	dispatchRow
	Later   bool       `db:"later"`
	Webhook webhookRow `db:"webhook"`
}

// FreshDeliveries reads what an entity has to send itself: its pending deliveries that were
// never tried nor handed to a Webhook workflow, grouped by webhook, each webhook's in order.
// Later marks those that the entity had better leave to the Webhook workflow: the webhook
// failed or was slow the last time, may take longer than usual to answer, has a rate limit,
// which only its own workflow can keep, has an earlier event of this entity still to get, or was
// switched on just now and may have earlier ones to get that are still held.
func (s *Store) FreshDeliveries(ctx context.Context, stream pipeline.Stream, limit int) ([]pipeline.Dispatch, error) {
	var rows []freshRow
	err := s.list(ctx, &rows, "deliveries", `SELECT `+dispatchColumns+`, `+beside(sendingColumns)+`,
			h.failures > 0 OR h.slow OR w.timeout_ms > $3 OR w.rate_limit IS NOT NULL OR (
				SELECT b.id FROM deliveries b WHERE b.stream = d.stream AND b.webhook_id = d.webhook_id
				AND b.status = 'pending' AND b.next_attempt_at IS NOT NULL AND b.version < d.version
				ORDER BY b.version LIMIT 1) IS NOT NULL OR `+oldestHeld("d.webhook_id")+` IS NOT NULL AS later
		FROM deliveries d
		JOIN webhooks w ON w.id = d.webhook_id AND w.active
		JOIN webhook_health h ON h.webhook_id = d.webhook_id
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		WHERE d.stream = $1 AND d.status = 'pending' AND d.next_attempt_at IS NULL
		ORDER BY d.webhook_id, d.version LIMIT $2`, string(stream), limit, time.Duration(pipeline.DefaultTimeout).Milliseconds())
	if err != nil {
		return nil, err
	}
	webhooks := map[int64]pipeline.Webhook{} // each is opened once
	out := make([]pipeline.Dispatch, len(rows))
	for i, r := range rows {
		w, known := webhooks[r.Webhook.ID]
		if !known {
			if w, err = s.webhook(r.Webhook); err != nil {
				return nil, err
			}
			webhooks[w.ID] = w
		}
		if out[i], err = s.dispatch(r.dispatchRow, w); err != nil {
			return nil, err
		}
		out[i].Later = r.Later
	}
	return out, s.addCustomers(ctx, out)
}

// oldestHeld is the position of the first event that is held for a webhook, null where none is. At
// one that is active there is none but for the moment in which it is switched on: what is held is
// released after that, in batches, and nothing newer may overtake it.
func oldestHeld(webhookID string) string {
	return `(SELECT u.event_position FROM deliveries u WHERE u.webhook_id = ` + webhookID + ` AND u.status = 'held'
		ORDER BY u.event_position LIMIT 1)`
}

// HandOver leaves deliveries to the Webhook workflows of their webhooks: they are due now. It
// answers the webhooks whose workflow has to be woken for that.
//
// The lock on a webhook's health makes it take turns with EndDrain: either that sees the
// deliveries, or this sees when the workflow will look again.
func (s *Store) HandOver(ctx context.Context, deliveryIDs []int64) (wake []int64, err error) {
	return pastConflicts(func() (wake []int64, err error) {
		err = s.list(ctx, &wake, "hand deliveries over", handOver, pq.Array(deliveryIDs))
		return wake, err
	})
}

var handOver = `WITH health AS MATERIALIZED (
		SELECT h.webhook_id, h.wakes_at, h.rest_until, h.paced_until FROM webhook_health h
		WHERE h.webhook_id = ANY (ARRAY(SELECT webhook_id FROM deliveries WHERE id = ANY($1)))
		ORDER BY h.webhook_id FOR SHARE
	), first AS MATERIALIZED (
		SELECT stream, webhook_id, min(version) AS version FROM deliveries
		WHERE id = ANY($1) AND status = 'pending' AND next_attempt_at IS NULL GROUP BY stream, webhook_id
	), ahead AS (` + bringForward("first") + `), moved AS (
		UPDATE deliveries d SET next_attempt_at = now() FROM health h
		WHERE d.id = ANY($1) AND d.webhook_id = h.webhook_id AND d.status = 'pending' AND d.next_attempt_at IS NULL
		RETURNING d.webhook_id
	)
	SELECT h.webhook_id FROM health h
	WHERE h.webhook_id IN (SELECT webhook_id FROM moved) AND ` + looksTooLate("now()") + `
	ORDER BY h.webhook_id`

// looksTooLate is the condition that the workflow of a webhook (its health is h) will not look
// in time by itself at a delivery that is due at a time. It need not look while the endpoint
// rests or the rate limit allows nothing.
func looksTooLate(due string) string {
	return `(h.wakes_at IS NULL OR h.wakes_at > greatest(` + due + `, h.rest_until, h.paced_until))`
}
