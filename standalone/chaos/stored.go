package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// stored is what the checker reads of the store, behind the engine's back. Payloads and states of
// events are not among it: those come from the feed, as any reader gets them.
type stored struct {
	events      []storedEvent // in the order of their positions
	byID        map[string]storedEvent
	byPosition  map[int64]storedEvent
	deliveries  []storedDelivery
	projections map[pipeline.Stream]json.RawMessage
	begins      map[int64]int64 // by webhook, the position after which its subscription begins
	keys        map[string]bool // Idempotency-Keys that are remembered
}

type storedEvent struct {
	Position   int64              `db:"position"`
	ID         string             `db:"id"`
	Type       pipeline.EventType `db:"type"`
	Stream     pipeline.Stream    `db:"stream"`
	Version    int64              `db:"version"`
	CompanyID  int64              `db:"company_id"`
	CustomerID sql.NullInt64      `db:"customer_id"`
	CauseID    string             `db:"cause_id"`
	RecordedAt time.Time          `db:"recorded_at"`
}

func (e storedEvent) String() string {
	return fmt.Sprintf("%s #%d %s (%s)", e.Stream, e.Version, e.Type, e.ID)
}

type storedDelivery struct {
	ID        int64                   `db:"id"`
	WebhookID int64                   `db:"webhook_id"`
	CompanyID int64                   `db:"company_id"`
	Position  int64                   `db:"event_position"`
	Stream    pipeline.Stream         `db:"stream"`
	Version   int64                   `db:"version"`
	Status    pipeline.DeliveryStatus `db:"status"`
}

// reading fills a slice with the rows of a query.
type reading func(ctx context.Context, rows any, query string, args ...any) error

func readStore(ctx context.Context, db *sqlx.DB, companies []int64) (stored, error) {
	s := stored{
		byID: map[string]storedEvent{}, byPosition: map[int64]storedEvent{},
		projections: map[pipeline.Stream]json.RawMessage{}, begins: map[int64]int64{}, keys: map[string]bool{},
	}
	for what, read := range map[string]func(context.Context, reading, any) error{
		"events": s.readEvents, "deliveries": s.readDeliveries, "projections": s.readProjections,
		"webhooks": s.readWebhooks, "idempotency keys": s.readKeys,
	} {
		if err := read(ctx, db.SelectContext, pq.Array(companies)); err != nil {
			return s, fmt.Errorf("read %s: %w", what, err)
		}
	}
	return s, nil
}

func (s *stored) readEvents(ctx context.Context, read reading, companies any) error {
	err := read(ctx, &s.events, `SELECT position, id, type, stream, version, company_id, customer_id,
			coalesce(cause ->> 'event_id', '') AS cause_id, recorded_at
		FROM events WHERE company_id = ANY($1) ORDER BY position`, companies)
	for _, e := range s.events {
		s.byID[e.ID], s.byPosition[e.Position] = e, e
	}
	return err
}

func (s *stored) readDeliveries(ctx context.Context, read reading, companies any) error {
	return read(ctx, &s.deliveries, `SELECT id, webhook_id, company_id, event_position, stream, version, status
		FROM deliveries WHERE company_id = ANY($1) ORDER BY id`, companies)
}

func (s *stored) readProjections(ctx context.Context, read reading, companies any) error {
	var rows []struct {
		Stream pipeline.Stream `db:"stream"`
		State  []byte          `db:"state"`
	}
	err := read(ctx, &rows, `
		SELECT 'customer-' || id AS stream, state FROM customers WHERE company_id = ANY($1)
		UNION ALL SELECT 'proposal-' || id, state FROM proposals WHERE company_id = ANY($1)`, companies)
	for _, r := range rows {
		s.projections[r.Stream] = r.State
	}
	return err
}

func (s *stored) readWebhooks(ctx context.Context, read reading, companies any) error {
	var rows []struct {
		ID   int64 `db:"id"`
		From int64 `db:"from_position"`
	}
	err := read(ctx, &rows, `SELECT id, from_position FROM webhooks WHERE company_id = ANY($1)`, companies)
	for _, r := range rows {
		s.begins[r.ID] = r.From
	}
	return err
}

// readKeys: a key for which no more than an id was reserved has led to nothing; the id is kept for the
// same request, which may be legal later.
func (s *stored) readKeys(ctx context.Context, read reading, companies any) error {
	var keys []string
	err := read(ctx, &keys, `SELECT key FROM idempotency
		WHERE company_id = ANY($1) AND (event_id IS NOT NULL OR answer IS NOT NULL)`, companies)
	for _, k := range keys {
		s.keys[k] = true
	}
	return err
}
