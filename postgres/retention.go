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

// PruneInbox forgets what providers said that came to its end before a time: handled, ignored,
// unmatched or failed. It says how many it forgot, at most limit.
//
// Of what led to something for a proposal, the newest keeps its row without its body. It is what
// tells news that are older, and are sent again for whatever reason, from new ones.
func (s *Store) PruneInbox(ctx context.Context, before time.Time, limit int) (int64, error) {
	return s.execPlanned(ctx, "prune inbox", `WITH old AS MATERIALIZED (
			SELECT o.id, o.company_id, o.proposal_id, o.date_updated IS NOT NULL AND o.status = 'handled' AND NOT EXISTS (
				SELECT FROM inbox n WHERE n.company_id = o.company_id AND n.proposal_id = o.proposal_id AND n.status = 'handled'
				  AND (n.date_updated, n.id) > (o.date_updated, o.id)) AS newest
			FROM (SELECT id, company_id, proposal_id, date_updated, status FROM inbox
				WHERE handled_at < $1 AND body IS NOT NULL ORDER BY handled_at LIMIT $2) o
		), gone AS (
			DELETE FROM inbox WHERE id IN (SELECT id FROM old WHERE NOT newest) AND handled_at < $1 RETURNING id
		), outdated AS (
			DELETE FROM inbox s USING old o WHERE o.newest AND s.company_id = o.company_id AND s.proposal_id = o.proposal_id
			  AND s.status = 'handled' AND s.body IS NULL AND s.id <> o.id
		), emptied AS (
			UPDATE inbox SET body = NULL, note = '' WHERE id IN (SELECT id FROM old WHERE newest) AND handled_at < $1 RETURNING id
		)
		SELECT id FROM gone UNION ALL SELECT id FROM emptied`, before, limit)
}

// PruneIdempotency forgets what callers' idempotency keys from before a time have led to, at most
// limit of them; it says how many. A transition is not done twice even then: see Target.
func (s *Store) PruneIdempotency(ctx context.Context, before time.Time, limit int) (int64, error) {
	return s.execPlanned(ctx, "prune idempotency keys", `WITH old AS MATERIALIZED (
			SELECT company_id, scope, key FROM idempotency WHERE created_at < $1 ORDER BY created_at LIMIT $2
		)
		DELETE FROM idempotency i USING old
		WHERE i.company_id = old.company_id AND i.scope = old.scope AND i.key = old.key AND i.created_at < $1`, before, limit)
}
