package postgres

import (
	"context"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// addCustomers fills in the customer of those deliveries whose format shows it beside what the
// event is about: of a proposal's event in another system's format. Where there is none of them,
// it asks nothing.
//
// What it reads is no more than the customers of the batch, each as often as it changed meanwhile.
func (s *Store) addCustomers(ctx context.Context, dispatches []pipeline.Dispatch) error {
	var streams []string
	var positions []int64
	for _, d := range dispatches {
		if showsCustomer(d) {
			streams = append(streams, string(pipeline.StreamOf(pipeline.KindCustomer, int64(d.Event.CustomerID))))
			positions = append(positions, d.Event.Position)
		}
	}
	if len(positions) == 0 {
		return nil
	}
	var rows []struct {
		eventRow

		Positions pq.Int64Array `db:"positions"`
	}
	err := s.list(ctx, &rows, "customers", customersThen, pq.Array(streams), pq.Array(positions))
	if err != nil {
		return err
	}
	states := make(map[int64][]byte, len(positions))
	for _, r := range rows {
		e, err := s.event(r.eventRow)
		if err != nil {
			return err
		}
		for _, position := range r.Positions {
			states[position] = e.State
		}
	}
	for i, d := range dispatches {
		if showsCustomer(d) {
			dispatches[i].Customer = states[d.Event.Position]
		}
	}
	return nil
}

func showsCustomer(d pipeline.Dispatch) bool {
	return d.Webhook.Format != pipeline.FormatNative && d.Event.Stream.Kind() == pipeline.KindProposal
}

// customersThen reads customers as they were when events were recorded: $1 the customers' streams,
// $2 beside each the position of an event. It goes back from how a customer is now, which for
// what has just happened is one step.
const customersThen = `SELECT array_agg(DISTINCT b.position) AS positions, ` + eventColumns + `
	FROM unnest($1::text[], $2::bigint[]) AS b (stream, position)
	CROSS JOIN LATERAL (
		SELECT version FROM events WHERE stream = b.stream AND position < b.position ORDER BY version DESC LIMIT 1) v
	JOIN events e ON e.stream = b.stream AND e.version = v.version
	GROUP BY e.stream, e.version`
