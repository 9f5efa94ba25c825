package postgres

import (
	"context"
	"time"
)

// PruneAttempts deletes attempts from before a time, at most limit of them, and says how many.
// Those of deliveries that still wait go too: a delivery counts its attempts by itself.
func (s *Store) PruneAttempts(ctx context.Context, before time.Time, limit int) (int64, error) {
	return s.execPlanned(ctx, "prune attempts", `DELETE FROM attempts a USING (
			SELECT old.delivery_id, old.n FROM webhooks w CROSS JOIN LATERAL (
				SELECT delivery_id, n FROM attempts WHERE webhook_id = w.id AND at < $1 ORDER BY at LIMIT $2) old
			LIMIT $2) old
		WHERE a.delivery_id = old.delivery_id AND a.n = old.n`, before, limit)
}

// PruneDeliveries deletes deliveries that have ended, of events from before a time, with their
// attempts: at most limit of them; it says how many. What waits or is held stays, and so does
// what was queued since, by a replay. Events always stay, and that their deliveries are gone
// makes them no gaps.
//
// The deliveries of a company's events from before a time are those up to a position, which is
// what the indexes go by.
func (s *Store) PruneDeliveries(ctx context.Context, before time.Time, limit int) (int64, error) {
	return s.execPlanned(ctx, "prune deliveries", `WITH old AS MATERIALIZED (
			SELECT d.id, w.id AS webhook_id, d.event_position FROM (SELECT id, position_before(id, $1) AS position FROM companies OFFSET 0) c
			JOIN webhooks w ON w.company_id = c.id
			CROSS JOIN (VALUES ('delivered'), ('exhausted'), ('superseded'), ('discarded')) ended (status)
			CROSS JOIN LATERAL (
				(SELECT id, event_position FROM deliveries
				WHERE webhook_id = w.id AND event_position <= c.position AND ended.status = 'delivered' AND status = 'delivered'
				  AND created_at < $1
				ORDER BY event_position LIMIT $2)
				UNION ALL
				(SELECT id, event_position FROM deliveries
				WHERE webhook_id = w.id AND event_position <= c.position AND status NOT IN ('pending', 'delivered') AND status = ended.status
				  AND created_at < $1
				ORDER BY event_position LIMIT $2)) d
			LIMIT $2
		), pruned AS (
			UPDATE webhook_health h SET pruned = o.last
			FROM (SELECT webhook_id, max(event_position) AS last FROM old GROUP BY webhook_id) o
			WHERE h.webhook_id = o.webhook_id AND h.pruned < o.last
		), tried AS (
			DELETE FROM attempts WHERE delivery_id IN (SELECT id FROM old)
		)
		DELETE FROM deliveries WHERE id IN (SELECT id FROM old) AND status NOT IN ('pending', 'held')`, before, limit)
}
