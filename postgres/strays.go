package postgres

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// Strays finds what was left lying for longer than grace since somebody was lost at the wrong
// moment: entities with fresh deliveries, which they do not know of or are busy sending, and webhooks
// with deliveries that are due and whose workflow does not look by itself. What was left half done
// when a webhook was switched is finished, and such webhooks are among them too. At most limit of
// each webhook's fresh deliveries are looked at.
func (s *Store) Strays(ctx context.Context, grace time.Duration, limit int) (entities []pipeline.Ref, webhooks []int64, err error) {
	unsettled, err := s.unsettled(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range unsettled {
		if _, err := s.settle(ctx, id); err != nil {
			return nil, nil, err
		}
	}
	var rows []struct {
		Stream     string        `db:"stream"`
		EntityID   int64         `db:"entity_id"`
		CompanyID  int64         `db:"company_id"`
		CustomerID sql.NullInt64 `db:"customer_id"`
	}
	err = s.page(ctx, &rows, "stray entities", `SELECT DISTINCT d.stream, d.company_id, e.customer_id,
			coalesce(e.proposal_id, e.customer_id, 0) AS entity_id
		FROM webhooks w CROSS JOIN LATERAL (
			SELECT stream, company_id, event_position FROM deliveries
			WHERE webhook_id = w.id AND status = 'pending' AND next_attempt_at IS NULL
			  AND created_at < now() - make_interval(secs => $1)
			ORDER BY next_attempt_at, event_position LIMIT $2) d
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		WHERE w.active`, grace.Seconds(), limit)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range rows {
		kind := pipeline.Stream(r.Stream).Kind()
		if kind != pipeline.KindCustomer && kind != pipeline.KindProposal {
			continue // what happens to webhooks and documents has no workflow that would send it
		}
		entities = append(entities, pipeline.Ref{Kind: kind, ID: r.EntityID, CompanyID: r.CompanyID, CustomerID: r.CustomerID.Int64})
	}
	err = s.page(ctx, &webhooks, "stray webhooks", `SELECT h.webhook_id
		FROM webhooks w JOIN webhook_health h ON h.webhook_id = w.id CROSS JOIN LATERAL (
			SELECT next_attempt_at FROM deliveries
			WHERE webhook_id = w.id AND status = 'pending' AND next_attempt_at < now() - make_interval(secs => $1)
			ORDER BY next_attempt_at LIMIT 1) d
		WHERE w.active AND `+looksTooLate("d.next_attempt_at")+` ORDER BY h.webhook_id`, grace.Seconds())
	return entities, slices.Concat(unsettled, webhooks), err
}
