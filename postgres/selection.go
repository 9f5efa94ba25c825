package postgres

import (
	"context"
	"database/sql"
	"slices"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// selection is what a webhook gets of the event store, for those who go through the past.
type selection struct {
	companyID int64
	webhookID int64
	types     []string // event types, not patterns
	shapes    []string // of what the webhook's format can tell; nil: of everything
	filter    pipeline.Object
	partner   int64 // not 0: the key of role partner that the webhook is of
}

// selectionRow is what a selection is made of.
type selectionRow struct {
	CompanyID    int64          `db:"company_id"`
	KeyID        int64          `db:"key_id"`
	Role         pipeline.Role  `db:"role"`
	Events       pq.StringArray `db:"events"`
	Format       string         `db:"format"`
	EventName    sql.NullString `db:"event_name"`
	Constraint   sql.NullString `db:"constraint_type"`
	Filter       []byte         `db:"filter"`
	FromPosition int64          `db:"from_position"`
	Active       bool           `db:"active"`
}

const selectionSQL = `SELECT w.company_id, w.key_id, k.role, w.events, w.format, w.event_name, w.constraint_type, w.filter,
		w.from_position, w.active
	FROM webhooks w JOIN api_keys k ON k.id = w.key_id WHERE w.id = $1 AND w.deleted_at IS NULL`

// selection narrows the subscription down to some patterns; none leave it as it is.
func (r selectionRow) selection(webhookID int64, patterns []string) selection {
	w := pipeline.Webhook{Events: r.Events, Format: r.Format, EventName: r.EventName.String, Constraint: r.Constraint.String}
	s := selection{
		companyID: r.CompanyID, webhookID: webhookID, types: subscribed(w, patterns), shapes: shapes(w), filter: pipeline.Object(r.Filter),
	}
	if r.Role == pipeline.RolePartner {
		s.partner = r.KeyID
	}
	return s
}

// subscribed lists the event types that match a webhook's subscription, that it can be told of
// and that, unless there are none, match one of the patterns.
func subscribed(w pipeline.Webhook, patterns []string) []string {
	told := w.Types()
	if w.Format == pipeline.FormatNative {
		for _, notice := range pipeline.Notices() {
			told = append(told, notice.Type)
		}
	}
	out := []string{}
	for _, t := range told {
		matches := func(one string) bool { return slices.Contains(pipeline.Patterns(t), one) }
		if slices.ContainsFunc(w.Events, matches) && (len(patterns) == 0 || slices.ContainsFunc(patterns, matches)) {
			out = append(out, string(t))
		}
	}
	return out
}

// shapes of the events that a webhook can be told of, as matchesSelection compares them; nil
// where it can be told of everything.
func shapes(w pipeline.Webhook) []string {
	if w.Format == pipeline.FormatNative {
		return nil
	}
	out := []string{}
	for _, shape := range w.Shapes() {
		out = append(out, string(shape.Type)+"/"+string(shape.Kind)+"/"+shape.While)
	}
	return out
}

// narrow is up to how many event types each is looked up by itself. Of more than that, most
// events of the feed are wanted, and it costs less to read it in order.
const narrow = 6

// looked is a table of the next events of a selection (position) with $1 company, $2 after,
// $3 up to, $4 types, $5 how many, $6 how many events are looked at to find them. It never
// looks at more than that, or than so many of each type. The second column says whether an event
// is of the selection's types: what is not is there so that one sees how far it has looked.
func (s selection) looked() string {
	if len(s.types) > narrow {
		return `SELECT position, type = ANY($4) AS wanted FROM (
			SELECT position, type FROM events WHERE company_id = $1 AND position > $2 AND position <= $3
			ORDER BY position LIMIT greatest($5::integer, $6::integer)) l`
	}
	return `SELECT p.position, $6::integer > 0 AS wanted FROM unnest($4::text[]) AS t (type) CROSS JOIN LATERAL (
			SELECT e.position FROM events e
			WHERE e.company_id = $1 AND e.type = t.type AND e.position > $2 AND e.position <= $3 ORDER BY e.position LIMIT $5) p`
}

// matchesSelection is the condition that an event e is one that a webhook gets: by what its format
// can tell ($10), by its filter, which $7 is the answer of (see fitting), not about itself ($8), and for a partner's key ($9, else 0)
// about no other's webhook.
const matchesSelection = `($10::text[] IS NULL OR ARRAY[e.type || '//', e.type || '/' || split_part(e.stream, '-', 1) || '/',
		e.type || '//' || (e.state ->> 'status'), e.type || '/' || split_part(e.stream, '-', 1) || '/' || (e.state ->> 'status')] && $10::text[])
	AND ($7::bigint[] IS NULL OR e.position = ANY($7))
	AND e.stream <> 'webhook-' || $8::bigint
	AND ($9::bigint = 0 OR NOT e.stream` + operationalStream + `OR
		(SELECT s.key_id FROM webhooks s WHERE 'webhook-' || s.id = e.stream AND s.company_id = $1) = $9)`

// args of looked and matchesSelection. fit are the positions that fit the filter, where there is one.
func (s selection) args(after, until int64, wanted, look int, fit []int64) []any {
	if s.filter != "" && fit == nil {
		fit = []int64{} // none, which is not the same as no filter
	}
	return []any{
		s.companyID, after, until, pq.Array(s.types), wanted, look, pq.Array(fit), s.webhookID, s.partner,
		pq.Array(s.shapes),
	}
}

// fitting says which of some events fit the filter, as they are readable now: what a filter looks
// into is sealed, so that they are opened here and shown to Postgres, which alone knows what a
// filter means.
func (s *Store) fitting(of selection, positions []int64, read reader) ([]int64, error) {
	var rows []eventRow
	err := read(&rows, `SELECT `+eventColumns+` FROM events e WHERE e.company_id = $1 AND e.position = ANY($2) ORDER BY e.position`,
		of.companyID, pq.Array(positions))
	if err != nil {
		return nil, err
	}
	events, err := s.events(rows)
	if err != nil {
		return nil, err
	}
	var places []int64
	var states, payloads []string
	var erased []bool
	for _, e := range events {
		places, erased = append(places, e.Position), append(erased, e.Erased)
		states, payloads = append(states, string(e.State)), append(payloads, string(e.Payload))
	}
	fit := []int64{}
	err = read(&fit, `SELECT e.position
		FROM unnest($2::bigint[], $3::text[], $4::text[], $5::boolean[]) AS o (position, state, payload, erased)
		JOIN events e ON e.company_id = $1 AND e.position = o.position
		WHERE filter_matches($6::jsonb, event_envelope(e.type, e.occurred_at, e.id, e.position, e.company_id, e.stream, e.version,
			e.customer_id, e.proposal_id, e.user_id, e.cause, o.state::jsonb, o.payload::jsonb, e.implied, o.erased))
		ORDER BY e.position`, of.companyID, pq.Array(places), pq.Array(states), pq.Array(payloads), pq.Array(erased), string(of.filter))
	return fit, err
}

// countEach is how many events of a type are counted; from there on their number is estimated.
const countEach = 20_000

// countEvents says how many events of some types there are between two positions. Of many it
// counts the first, and takes it that the others are as far apart.
func (s *Store) countEvents(ctx context.Context, companyID int64, types []string, after, until int64) (int64, error) {
	var n int64
	err := s.get(ctx, &n, "number of events", `SELECT coalesce(sum(CASE WHEN c.n < $5 THEN c.n
			ELSE c.n * ($4::bigint - $3::bigint)::numeric / (c.last - $3::bigint) END), 0)::bigint
		FROM unnest($2::text[]) AS t (type) CROSS JOIN LATERAL (
			SELECT count(*) AS n, max(p.position) AS last FROM (
				SELECT position FROM events
				WHERE company_id = $1 AND type = t.type AND position > $3::bigint AND position <= $4::bigint ORDER BY position LIMIT $5) p) c`,
		companyID, pq.Array(types), after, until, countEach)
	return n, err
}
