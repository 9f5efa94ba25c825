package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

// Append records an event: the event, the projection, one delivery for each matching webhook
// and the caller's idempotency key, in one statement and so in one transaction and one round
// trip. Either all of it is there afterwards or none of it.
//
// It fails with CodeConflict where the stream is not at version-1: somebody else was faster,
// or this very event is there already (EventsAfter tells which), with
// CodeIdempotencyKeyReused where the key belongs to another request, with CodeInvalid where
// the entity's uuid is taken, and with CodeUnavailable where Postgres cannot be reached.
func (s *Store) Append(ctx context.Context, e pipeline.Event, idem pipeline.Idempotency) (pipeline.Appended, error) {
	if e.Type == pipeline.TypeCustomerErased {
		return s.erase(ctx, e, idem)
	}
	key, fresh, err := s.dataKeyFor(ctx, e)
	if err != nil {
		return pipeline.Appended{}, err
	}
	args, err := appendArgs(e, idem, key, fresh)
	if err != nil {
		return pipeline.Appended{}, err
	}
	stmt, err := s.statement(ctx, appendSQL(e))
	if err != nil {
		return pipeline.Appended{}, err
	}
	var out pipeline.Appended
	err = stmt.GetContext(ctx, &out, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return pipeline.Appended{}, s.lost(ctx, e)
	}
	if err != nil {
		return pipeline.Appended{}, mapError(err, "append "+string(e.Type))
	}
	s.dataKeys.Add(customerOf(e), key)
	out.RecordedAt = out.RecordedAt.UTC()
	return out, nil
}

// lost says why an append found nothing to do: the customer was erased, the stream stands
// elsewhere, or, for a new entity that is not there, somebody else has its uuid.
func (s *Store) lost(ctx context.Context, e pipeline.Event) error {
	if e.Stream.Kind() == pipeline.KindProposal {
		sealed, found, err := s.readDataKey(ctx, customerOf(e))
		switch {
		case err != nil:
			return err
		case found && sealed == nil:
			return pipeline.NotForErased()
		case !found && e.Version == 1:
			return pipeline.Errorf(pipeline.CodeNotFound, "what the request refers to does not exist")
		}
	}
	conflict := pipeline.Errorf(pipeline.CodeConflict, "%s is not at version %d", e.Stream, e.Version-1)
	if e.Version != 1 {
		return conflict
	}
	var there bool
	err := s.get(ctx, &there, "event", `SELECT EXISTS (SELECT FROM events WHERE stream = $1)`, string(e.Stream))
	if err != nil {
		return err
	}
	if there {
		return conflict
	}
	return uuidTaken()
}

// appendSQL puts the statement together. Its parts differ by kind (the projection's columns)
// and by whether the entity is new.
//
//   - moved takes the projection from version-1 to version. It is the optimistic lock: where
//     the stream stands elsewhere it gives no row, and then nothing below happens.
//   - turn makes the appends of one company take turns, from before the position is drawn
//     until after the commit is visible. That is what lets the feed read by "position > n"
//     without ever skipping a late commit (docs/adr/0002-feed-order.md). It comes after
//     moved, always, so that two appends cannot wait for each other.
//   - queued makes the deliveries, for the webhooks that match at this moment. It locks their
//     rows against UpdateWebhook and DeleteWebhook, and looks at them again where it had to
//     wait for those: otherwise a webhook that is switched on just now could be left with a
//     delivery that is held, and nobody to release it. What is read outside the inner SELECT
//     is the row as it was locked; the OFFSET keeps the planner from asking these questions
//     inside, of the row as it was before. And it is locked after the turn, always, since the
//     inner SELECT refers to recorded: a webhook that is catching up with the past is switched
//     to the live stream by whoever has the turn, and gets this event either way.
//     A webhook of another system's format gets only what that has a name for (pipeline.Topics),
//     and some of them nothing while they are off (keepsWhileOff).
//   - personal is payload and state whole, sealed; the columns of that name are without what is
//     personal (docs/adr/0014-erasure.md). The projection and the filters get the whole.
//     Nothing is recorded with a key that was destroyed: where the customer was erased since the
//     key was read, moved gives no row (see there).
//   - envelope is what filters look into. It is made when the first of them asks, so that a
//     company without filters does not pay for it.
func appendSQL(e pipeline.Event) string {
	moved, remembered, keyed := updateProjection(e.Stream.Kind()), rememberKey, ""
	if e.Version == 1 {
		moved, remembered = insertProjection(e.Stream.Kind()), claimReservation
	}
	if e.Version == 1 && e.Stream.Kind() == pipeline.KindCustomer {
		keyed = keepDataKey
	}
	return strings.Join([]string{
		"WITH moved AS (", moved, "),", keyed,
		`turn AS MATERIALIZED (
			SELECT pg_advisory_xact_lock($5::bigint) FROM moved
		), recorded AS (
			INSERT INTO events (position, recorded_at, id, type, stream, version, company_id, customer_id, proposal_id,
			                    user_id, cause, payload, state, occurred_at, implied, personal)
			SELECT nextval('event_positions'), clock_timestamp(), $1, $2, $3, $4::bigint, $5::bigint, $6::bigint, $7::bigint,
			       $8::bigint, $9::jsonb, $19::jsonb, $20::text::json, $12::timestamptz, $18::boolean, $21::bytea
			FROM turn
			RETURNING position, recorded_at
		), envelope AS MATERIALIZED (
			SELECT event_envelope($2, $12::timestamptz, $1, position, $5::bigint, $3, $4::bigint, $6::bigint, $7::bigint,
			                      $8::bigint, $9::jsonb, $11::text::jsonb, $10::jsonb, $18::boolean) AS document
			FROM recorded
		), queued AS (
			INSERT INTO deliveries (company_id, webhook_id, event_position, stream, version, status)
			SELECT w.company_id, w.id, recorded.position, $3, $4::bigint, CASE WHEN w.active THEN 'pending' ELSE 'held' END
			FROM recorded CROSS JOIN LATERAL (
				SELECT id, company_id, format, active, catching_up, filter FROM webhooks
				WHERE company_id = $5::bigint AND deleted_at IS NULL AND events && $13::text[]
				  AND (topic IS NULL OR topic = ANY($17::text[])) AND recorded.position > 0
				ORDER BY id OFFSET 0 FOR SHARE) w
			WHERE NOT w.catching_up AND (w.active OR w.` + keepsWhileOff + `)
			  AND (w.filter IS NULL OR filter_matches(w.filter, (SELECT document FROM envelope)))
			RETURNING status
		), remembered AS (`, remembered, `)
		SELECT position, recorded_at, (SELECT count(*) FROM queued WHERE status = 'pending') AS deliveries FROM recorded`,
	}, "\n")
}

func projectionTable(kind pipeline.Kind) string {
	if kind == pipeline.KindCustomer {
		return "customers"
	}
	return "proposals"
}

// insertProjection gives no row where the id or the uuid is there already, or where the customer
// of a new proposal was erased; lost tells which. The customer's key is locked: who erases the
// customer either sees the proposal, or is seen by it.
func insertProjection(kind pipeline.Kind) string {
	if kind == pipeline.KindCustomer {
		return `INSERT INTO customers (company_id, id, uuid, state)
			VALUES ($5::bigint, $6::bigint, ($11::text::jsonb ->> 'uuid')::uuid, $11::text::jsonb)
			ON CONFLICT DO NOTHING RETURNING id`
	}
	return `INSERT INTO proposals (company_id, id, customer_id, uuid, state)
		SELECT $5::bigint, $7::bigint, $6::bigint, ($11::text::jsonb ->> 'uuid')::uuid, $11::text::jsonb
		FROM (SELECT FROM data_keys WHERE company_id = $5::bigint AND customer_id = $6::bigint AND sealed IS NOT NULL FOR SHARE) k
		ON CONFLICT DO NOTHING RETURNING id`
}

// keepDataKey keeps the key of a new customer.
const keepDataKey = `keyed AS (
		INSERT INTO data_keys (company_id, customer_id, sealed) SELECT $5::bigint, $6::bigint, $22::bytea FROM moved),`

// updateProjection gives no row where the stream stands elsewhere. That is so of an erased
// customer, whose last event was another one's; a proposal is not moved by that event, but marked.
func updateProjection(kind pipeline.Kind) string {
	id, unless := "$7", " AND NOT state ? 'erased'"
	if kind == pipeline.KindCustomer {
		id, unless = "$6", ""
	}
	return `UPDATE ` + projectionTable(kind) + ` SET state = $11::text::jsonb
		WHERE company_id = $5::bigint AND id = ` + id + `::bigint AND version = $4::bigint - 1` + unless + ` RETURNING id`
}

// rememberKey lets the primary key refuse a key that was used before: the append is undone.
const rememberKey = `INSERT INTO idempotency (company_id, scope, key, fingerprint, event_id)
	SELECT $5::bigint, $14::bigint, $15::text, $16::text, $1 FROM recorded WHERE $15::text <> ''`

// claimReservation: a creation with a key reserved its id, and with it the key, beforehand.
const claimReservation = `UPDATE idempotency SET event_id = $1
	FROM recorded WHERE company_id = $5::bigint AND scope = $14::bigint AND key = $15::text AND fingerprint = $16::text`

// appendArgs are the parameters of appendSQL. Those at the end are there where the statement has them.
func appendArgs(e pipeline.Event, idem pipeline.Idempotency, key dataKey, fresh bool) ([]any, error) {
	var cause sql.NullString
	if e.Cause != nil {
		b, err := json.Marshal(e.Cause)
		if err != nil {
			return nil, fmt.Errorf("encode cause: %w", err)
		}
		cause = sql.NullString{String: string(b), Valid: true}
	}
	topics, err := pipeline.Topics(e)
	if err != nil {
		return nil, err
	}
	shown, personal, err := split(e, key)
	if err != nil {
		return nil, err
	}
	args := []any{
		e.ID, string(e.Type), string(e.Stream), e.Version, e.CompanyID, e.CustomerID,
		nullInt(int64(e.ProposalID)), nullInt(int64(e.Actor.UserID)), cause,
		string(e.Payload), string(e.State), e.Timestamp, pq.Array(pipeline.Patterns(e.Type)),
		idem.Scope, idem.Key, idem.Fingerprint, pq.Array(topics), e.Implied,
		string(shown.Payload), string(shown.State), personal,
	}
	if fresh {
		args = append(args, key.sealed)
	}
	return args, nil
}

func nullInt(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: n != 0} }
