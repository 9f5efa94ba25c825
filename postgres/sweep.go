package postgres

import (
	"context"
	"slices"
	"time"
)

// SweepDeliveries finds webhooks with something to do that nobody looks after, and hands over
// what is in the wrong hands: fresh deliveries whose entity did not send them within grace (its
// worker died, or Temporal lost the workflow), due ones that were left lying for as long though
// the webhook was not resting, parked ones that have nothing left to wait for, what was left
// over when a webhook was switched, and replays that do not get on. At most limit deliveries of
// a webhook are handed over at a time; the answer names the webhooks to wake.
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
			SELECT d.id, d.stream, d.version, w.id AS webhook_id FROM webhooks w CROSS JOIN LATERAL (
				SELECT id, stream, version FROM deliveries
				WHERE webhook_id = w.id AND status = 'pending' AND next_attempt_at IS NULL
				  AND created_at < now() - make_interval(secs => $1)
				ORDER BY next_attempt_at, event_position LIMIT $2) d
			WHERE w.active
		), parked AS (
			SELECT d.id FROM webhooks w CROSS JOIN LATERAL (
				SELECT id FROM deliveries d
				WHERE webhook_id = w.id AND status = 'pending' AND next_attempt_at = 'infinity' AND NOT (`+behindAnother+`)
				LIMIT $2) d
			WHERE w.active
		), first AS MATERIALIZED (
			SELECT stream, webhook_id, min(version) AS version FROM stray GROUP BY stream, webhook_id
		), ahead AS (`+bringForward("first")+`), handed_over AS (
			UPDATE deliveries SET next_attempt_at = now()
			WHERE id = ANY (ARRAY(SELECT id FROM stray UNION ALL SELECT id FROM parked))
			  AND status = 'pending' AND (next_attempt_at IS NULL OR next_attempt_at = 'infinity')
			RETURNING webhook_id
		), awake AS (
			SELECT w.id FROM webhooks w JOIN webhook_health h ON h.webhook_id = w.id
			WHERE w.active AND coalesce(greatest(h.rest_until, h.paced_until), '-infinity') < now() - make_interval(secs => $1)
		)
		SELECT webhook_id FROM handed_over
		UNION
		SELECT w.id FROM awake w WHERE (
			SELECT d.id FROM deliveries d WHERE d.webhook_id = w.id AND d.status = 'pending'
			AND d.next_attempt_at < now() - make_interval(secs => $1) ORDER BY d.next_attempt_at LIMIT 1) IS NOT NULL
		UNION
		SELECT r.webhook_id FROM replays r JOIN awake w ON w.id = r.webhook_id JOIN webhook_health h ON h.webhook_id = r.webhook_id
		WHERE r.status = 'running' AND r.updated_at < now() - make_interval(secs => $1)
		  AND (h.wakes_at IS NULL OR h.wakes_at < now() - make_interval(secs => $1))`, grace.Seconds(), limit)
	if err != nil {
		return nil, err
	}
	wake := slices.Concat(unsettled, strays)
	slices.Sort(wake)
	return slices.Compact(wake), nil
}
