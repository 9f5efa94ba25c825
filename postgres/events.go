package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// eventColumns are those of an event e, and the key that opens what is sealed of it; Store.event
// makes the event of them.
const eventColumns = storedEventColumns + `, ` + dataKeyOfEvent + ` AS data_key`

const storedEventColumns = `e.id, e.type, e.stream, e.version, e.position, e.company_id, e.customer_id, e.proposal_id,
	e.user_id, e.cause, e.implied, e.payload, e.state, e.occurred_at, e.recorded_at, e.personal`

const dataKeyOfEvent = `(SELECT k.sealed FROM data_keys k WHERE k.company_id = e.company_id AND k.customer_id = e.customer_id)`

type eventRow struct {
	ID         string         `db:"id"`
	Type       string         `db:"type"`
	Stream     string         `db:"stream"`
	Version    int64          `db:"version"`
	Position   int64          `db:"position"`
	CompanyID  int64          `db:"company_id"`
	CustomerID sql.NullInt64  `db:"customer_id"`
	ProposalID sql.NullInt64  `db:"proposal_id"`
	UserID     sql.NullInt64  `db:"user_id"`
	Cause      sql.NullString `db:"cause"`
	Implied    bool           `db:"implied"`
	Payload    []byte         `db:"payload"`
	State      []byte         `db:"state"`
	OccurredAt time.Time      `db:"occurred_at"`
	RecordedAt time.Time      `db:"recorded_at"`
	Personal   []byte         `db:"personal"`
	DataKey    []byte         `db:"data_key"` // nil: destroyed, or there never was one
}

// event opens what was read. Where the customer was erased, it is without what was personal.
func (s *Store) event(r eventRow) (pipeline.Event, error) {
	e := pipeline.Event{
		ID: r.ID, Type: pipeline.EventType(r.Type), Stream: pipeline.Stream(r.Stream), Version: r.Version,
		Position: r.Position, CompanyID: r.CompanyID, CustomerID: pipeline.ID(r.CustomerID.Int64),
		ProposalID: pipeline.ID(r.ProposalID.Int64), Actor: pipeline.Actor{UserID: pipeline.UserID(r.UserID.Int64)},
		Implied: r.Implied, Payload: r.Payload, State: r.State, Timestamp: r.OccurredAt.UTC(), RecordedAt: r.RecordedAt.UTC(),
	}
	if err := s.unseal(&e, r.Personal, r.DataKey); err != nil || !r.Cause.Valid {
		return e, err
	}
	e.Cause = &pipeline.Cause{}
	if err := json.Unmarshal([]byte(r.Cause.String), e.Cause); err != nil {
		return e, fmt.Errorf("cause of event %s: %w", r.ID, err)
	}
	return e, nil
}

func (s *Store) events(rows []eventRow) ([]pipeline.Event, error) {
	out := make([]pipeline.Event, len(rows))
	for i, r := range rows {
		e, err := s.event(r)
		if err != nil {
			return nil, err
		}
		out[i] = e
	}
	return out, nil
}

// EventsAfter reads a stream from just after a version on, oldest first, at most limit events.
func (s *Store) EventsAfter(ctx context.Context, stream pipeline.Stream, version int64, limit int) ([]pipeline.Event, error) {
	var rows []eventRow
	err := s.list(ctx, &rows, "events", `SELECT `+eventColumns+` FROM events e
		WHERE e.stream = $1 AND e.version > $2 ORDER BY e.version LIMIT $3`, string(stream), version, limit)
	if err != nil {
		return nil, err
	}
	return s.events(rows)
}

// Event reads one event of a company.
func (s *Store) Event(ctx context.Context, companyID int64, id string) (pipeline.Event, error) {
	var row eventRow
	err := s.get(ctx, &row, "event", `SELECT `+eventColumns+` FROM events e WHERE e.id = $1 AND e.company_id = $2`, id, companyID)
	if err != nil {
		return pipeline.Event{}, err
	}
	return s.event(row)
}

// Feed reads a company's events after a position, in the order of their positions, at most
// limit of them; types, where given, picks some. For a partner's key (partnerKey not 0) only
// events that one of its webhooks matched when they happened. Operational events are there
// only where types names them.
//
// The order is total and nothing appears later before what was read: see the turn in appendSQL.
func (s *Store) Feed(ctx context.Context, q pipeline.FeedQuery) ([]pipeline.Event, error) {
	var rows []eventRow
	var err error
	if len(q.Types) == 0 && q.PartnerKey == 0 {
		err = s.list(ctx, &rows, "events", feedAll, q.CompanyID, q.After, q.Limit)
	} else {
		query, args := feedSome(q)
		err = s.page(ctx, &rows, "events", query, args...)
	}
	if err != nil {
		return nil, err
	}
	return s.events(rows)
}

const feedAll = `SELECT ` + eventColumns + ` FROM events e
	WHERE e.company_id = $1 AND e.position > $2 AND e.customer_id IS NOT NULL ORDER BY e.position LIMIT $3`

// The positions of a narrower feed. Each walks its own index from after the last position and
// stops at the limit, for each type or webhook apart: what is rare among a million others is
// found at once, and a page costs the same wherever it begins.
const (
	positionsOfTypes = `SELECT p.position FROM (SELECT DISTINCT unnest($4::text[]) AS type) t
		CROSS JOIN LATERAL (SELECT e.position FROM events e
			WHERE e.company_id = $1 AND e.type = t.type AND e.position > $2 ORDER BY e.position LIMIT $3) p`
	positionsOfPartner = `SELECT DISTINCT p.position FROM webhooks w
		CROSS JOIN LATERAL (SELECT d.event_position AS position FROM deliveries d
			WHERE d.webhook_id = w.id AND d.event_position > $2 AND NOT d.stream` + operationalStream + `
			ORDER BY d.event_position LIMIT $3) p
		WHERE w.company_id = $1 AND w.key_id = $4`
	positionsOfPartnerAndTypes = `SELECT DISTINCT p.position FROM webhooks w
		CROSS JOIN LATERAL (SELECT d.event_position AS position FROM deliveries d
			WHERE d.webhook_id = w.id AND d.event_position > $2
			  AND (SELECT e.type FROM events e WHERE e.company_id = $1 AND e.position = d.event_position) = ANY($5)
			ORDER BY d.event_position LIMIT $3) p
		WHERE w.company_id = $1 AND w.key_id = $4`
)

func feedSome(q pipeline.FeedQuery) (string, []any) {
	args := []any{q.CompanyID, q.After, q.Limit}
	positions := positionsOfTypes
	switch {
	case q.PartnerKey == 0:
		args = append(args, pq.Array(q.Types))
	case len(q.Types) == 0:
		positions = positionsOfPartner
		args = append(args, q.PartnerKey)
	default:
		positions = positionsOfPartnerAndTypes
		args = append(args, q.PartnerKey, pq.Array(q.Types))
	}
	return `SELECT ` + eventColumns + ` FROM (` + positions + ` ORDER BY 1 LIMIT $3) p
		JOIN events e ON e.company_id = $1 AND e.position = p.position ORDER BY e.position`, args
}

// LastPosition is the newest position that was drawn, committed or not, of any company. A
// reader that waits for news asks this one cheap question instead of its own.
func (s *Store) LastPosition(ctx context.Context) (int64, error) {
	var n int64
	err := s.get(wherever(ctx), &n, "position", `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_positions`)
	return n, err
}
