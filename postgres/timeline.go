package postgres

import (
	"context"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// Timeline reads the story of an entity from just after a position on: its events, oldest
// first and at most limit of them, and all deliveries of those events with their attempts. A
// customer's story includes that of its proposals, since that is what somebody asks about
// who has the customer on the phone. An entity of another company has no events.
func (s *Store) Timeline(
	ctx context.Context, companyID int64, stream pipeline.Stream, after int64, limit int,
) ([]pipeline.Event, []pipeline.Delivery, error) {
	events, err := s.timelineEvents(ctx, companyID, stream, after, limit)
	if err != nil || len(events) == 0 {
		return events, []pipeline.Delivery{}, err
	}
	deliveries, err := s.deliveriesOf(ctx, companyID, events)
	return events, deliveries, err
}

// timelineEvents reads each stream by the primary key of events and sorts: a stream holds tens
// of events, and a customer has a few proposals. The lateral join with its OFFSET 0 keeps the
// planner from reading the company's whole feed in order instead, on the look-out for them.
func (s *Store) timelineEvents(
	ctx context.Context, companyID int64, stream pipeline.Stream, after int64, limit int,
) ([]pipeline.Event, error) {
	streams := `SELECT $1::text AS stream`
	if stream.Kind() == pipeline.KindCustomer {
		streams += ` UNION ALL SELECT 'proposal-' || p.id FROM proposals p
			WHERE p.company_id = $2 AND p.customer_id = substr($1::text, length('customer-') + 1)::bigint`
	}
	var rows []eventRow
	err := s.list(ctx, &rows, "events", `SELECT `+eventColumns+` FROM (`+streams+`) s
		CROSS JOIN LATERAL (
			SELECT `+storedEventColumns+` FROM events e
			WHERE e.stream = s.stream AND e.company_id = $2 AND e.position > $3 OFFSET 0
		) e
		ORDER BY e.position LIMIT $4`, string(stream), companyID, after, limit)
	if err != nil {
		return nil, err
	}
	return s.events(rows)
}

// deliveriesOf reads the deliveries of some events in the order of the events.
func (s *Store) deliveriesOf(ctx context.Context, companyID int64, events []pipeline.Event) ([]pipeline.Delivery, error) {
	positions := make([]int64, len(events))
	for i, e := range events {
		positions[i] = e.Position
	}
	var rows []deliveryRow
	err := s.list(ctx, &rows, "deliveries", `SELECT `+deliveryColumns+` FROM webhooks w
		JOIN deliveries d ON d.webhook_id = w.id AND d.event_position = ANY($1)
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		WHERE w.company_id = $2
		ORDER BY d.event_position, d.webhook_id`, pq.Array(positions), companyID)
	if err != nil {
		return nil, err
	}
	out := make([]pipeline.Delivery, len(rows))
	for i, r := range rows {
		out[i] = r.delivery()
	}
	return out, s.addAttempts(ctx, out)
}
