package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// gapsLookAt is how many events one question for gaps looks at.
const gapsLookAt = 20_000

type gapRow struct {
	EventID   sql.NullString `db:"id"`
	EventType string         `db:"type"`
	Position  int64          `db:"position"`
	Stream    string         `db:"stream"`
	Version   int64          `db:"version"`
	Timestamp time.Time      `db:"occurred_at"`
	Status    sql.NullString `db:"status"`
	Delivery  sql.NullInt64  `db:"delivery_id"`
}

func (r gapRow) gap() pipeline.Gap {
	return pipeline.Gap{
		EventID: r.EventID.String, EventType: pipeline.EventType(r.EventType), Position: r.Position, Stream: pipeline.Stream(r.Stream),
		Version: r.Version, Timestamp: r.Timestamp.UTC(), Status: pipeline.Text(r.Status.String), Delivery: pipeline.ID(r.Delivery.Int64),
	}
}

// Gaps lists the events since a webhook's subscription began that it is to get and that its
// partner has not acknowledged, oldest first: those with a delivery that has never succeeded, and
// those with none that match the webhook as it is now. It looks at a bounded number of events, so
// that there may be no gap in the answer and still a Next.
func (s *Store) Gaps(ctx context.Context, q pipeline.GapQuery) (pipeline.Gaps, error) {
	w, err := s.selectionOf(ctx, q.CompanyID, q.WebhookID)
	if err != nil {
		return pipeline.Gaps{}, err
	}
	after, until := max(q.After, w.FromPosition), q.Until
	if until == 0 {
		if until, err = s.newestPosition(ctx, q.CompanyID); err != nil {
			return pipeline.Gaps{}, err
		}
	}
	var looked struct {
		Events int64         `db:"events"`
		Last   sql.NullInt64 `db:"last"`
	}
	selected := w.selection(q.WebhookID, nil)
	args := selected.args(after, until, gapsLookAt, gapsLookAt, nil)
	err = s.db.GetContext(ctx, &looked, `SELECT count(*) AS events, max(position) AS last FROM (
			SELECT position FROM (`+selected.looked()+`) l ORDER BY position LIMIT $6) l`, args[:argsOfLooked]...)
	if err != nil {
		return pipeline.Gaps{}, mapError(err, "look for gaps")
	}
	more := looked.Events == gapsLookAt
	if more {
		until = looked.Last.Int64
	}
	var fit []int64
	if selected.filter != "" {
		if fit, until, more, err = s.gapsFitting(ctx, selected, after, until, q.Limit, more); err != nil {
			return pipeline.Gaps{}, err
		}
	}
	var rows []gapRow
	args = selected.args(after, until, gapsLookAt, gapsLookAt, fit)
	err = s.page(ctx, &rows, "gaps", `SELECT e.id, e.type, e.position, e.stream, e.version, e.occurred_at, g.status, g.delivery_id
		FROM (`+selected.unacknowledged()+`) g
		CROSS JOIN LATERAL (
			SELECT e.id, e.type, e.position, e.stream, e.version, e.occurred_at, e.state FROM events e
			WHERE e.company_id = $1 AND e.position = g.position OFFSET 0
		) e
		WHERE g.delivery_id IS NOT NULL
		   OR g.position > (SELECT pruned FROM webhook_health WHERE webhook_id = $8) AND `+matchesSelection+`
		ORDER BY e.position LIMIT $11`, append(args, q.Limit)...)
	if err != nil {
		return pipeline.Gaps{}, err
	}
	out := pipeline.Gaps{Gaps: make([]pipeline.Gap, len(rows))}
	for i, r := range rows {
		out.Gaps[i] = r.gap()
	}
	switch {
	case len(rows) == q.Limit:
		out.Next = rows[len(rows)-1].Position
	case more:
		out.Next = until
	}
	return out, nil
}

// unacknowledged is a table of the events that looked finds and that have no delivery which ever
// succeeded: position, and delivery_id and status where there is one.
func (s selection) unacknowledged() string {
	return `SELECT l.position, d.id AS delivery_id, d.status FROM (` + s.looked() + `) l
		LEFT JOIN LATERAL (SELECT id, status, delivered_at FROM deliveries
			WHERE webhook_id = $8 AND event_position = l.position OFFSET 0) d ON true
		WHERE l.wanted AND d.delivered_at IS NULL OFFSET 0`
}

// fitAtATime is how many events are opened at a time to see whether they fit a filter.
const fitAtATime = 500

// gapsFitting finds, of the events without a delivery, those that fit the filter. It ends where
// it has enough of them; until is how far it has looked then.
func (s *Store) gapsFitting(
	ctx context.Context, of selection, after, upTo int64, limit int, moreBehind bool,
) (fit []int64, until int64, more bool, err error) {
	fit = []int64{}
	read := func(dest any, query string, args ...any) error { return s.page(ctx, dest, "gaps", query, args...) }
	for from := after; ; {
		var positions []int64
		args := of.args(from, upTo, gapsLookAt, gapsLookAt, nil)
		args[6] = fitAtATime // in the place of what fits
		err := read(&positions, `SELECT g.position FROM (`+of.unacknowledged()+`) g
			WHERE g.delivery_id IS NULL AND g.position > (SELECT pruned FROM webhook_health WHERE webhook_id = $8)
			ORDER BY g.position LIMIT $7`, args[:8]...)
		if err != nil {
			return nil, 0, false, err
		}
		some, err := s.fitting(of, positions, read)
		if err != nil {
			return nil, 0, false, err
		}
		fit = append(fit, some...)
		if len(positions) < fitAtATime {
			return fit, upTo, moreBehind, nil
		}
		from = positions[len(positions)-1]
		if len(fit) >= limit {
			return fit, from, true, nil
		}
	}
}
