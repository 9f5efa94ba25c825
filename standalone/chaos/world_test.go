package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
	"github.com/dealwright/dealwright/standalone/privatepostgres"
)

// world is a store in which all is well, and a ledger that says so: two companies, a customer and a
// proposal that is signed, each event asked for by a request and taken by each receiver.
type world struct {
	server *privatepostgres.Server
	name   string // the database, of which each test gets a copy
	copies atomic.Int64
	ledger *Ledger
}

// began is when the first event of a world was asked for; each next one comes a second later.
var began = time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	//nolint:usetesting // Postgres' own account cannot enter those of t.TempDir
	dir, err := os.MkdirTemp("", "dealwright-chaos-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	w := &world{name: "world", ledger: NewLedger()}
	w.server, err = privatepostgres.Start(t.Context(), privatepostgres.Options{Dir: dir, Throwaway: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.server.Stop()) })
	w.execute(t, "CREATE DATABASE "+w.name)
	require.NoError(t, postgres.MigrateUp(w.url(t, w.name)))
	w.populate(t)
	return w
}

func (w *world) execute(t *testing.T, statement string) {
	t.Helper()
	db, err := sqlx.Open("postgres", w.server.URL())
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(statement)
	require.NoError(t, err)
}

func (w *world) url(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(w.server.URL())
	require.NoError(t, err)
	u.Path = "/" + database
	return u.String()
}

// copied gives a database and a ledger of a test's own.
func (w *world) copied(t *testing.T) (*sqlx.DB, *Ledger) {
	t.Helper()
	name := fmt.Sprintf("copy_%d", w.copies.Add(1))
	w.execute(t, "CREATE DATABASE "+name+" TEMPLATE "+w.name)
	db, err := sqlx.Open("postgres", w.url(t, name))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	ledger := NewLedger()
	ledger.requests, ledger.receptions = slices.Clone(w.ledger.requests), slices.Clone(w.ledger.receptions)
	ledger.hooks = slices.Clone(w.ledger.hooks)
	for company, events := range maps.All(w.ledger.feeds) {
		ledger.feeds[company] = slices.Clone(events)
	}
	return db, ledger
}

// scribe writes a world.
type scribe struct {
	*world

	store *postgres.Store
	at    time.Time
	keys  int
}

func (w *world) populate(t *testing.T) {
	t.Helper()
	ring, err := keyring.New(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
	require.NoError(t, err)
	store, err := postgres.Open(postgres.Config{URL: w.url(t, w.name), Sealer: ring})
	require.NoError(t, err)
	defer store.Close()
	s := &scribe{world: w, store: store, at: began}
	theirs, err := store.CreateCompany(t.Context(), "Another company")
	require.NoError(t, err)
	s.subscribe(t, Subscription{CompanyID: 1, Name: "steady", Patterns: []string{"*"}, Steady: true}, nil)
	s.subscribe(t, Subscription{CompanyID: 1, Name: "ordered", Patterns: []string{"*"}, Ordered: true}, nil)
	moving := []string{"sent", "selected", "sold"}
	s.subscribe(t, Subscription{
		CompanyID: 1, Name: "filtered", Patterns: []string{"proposal.*", "contract.*"}, Filter: hasStatus(moving),
	}, map[string]any{"data.state.status": moving})
	s.subscribe(t, Subscription{CompanyID: theirs, Name: "theirs", Patterns: []string{"*"}, Steady: true}, nil)

	statuses := pipeline.DefaultStatuses()
	signed, _ := statuses.Name(pipeline.StatusSigned)
	c := begun(t, s, pipeline.NewCustomer(1, 1), pipeline.TypeCustomerCreated, person())
	p := begun(t, s, pipeline.NewProposal(1, 1, 1), pipeline.TypeProposalRequested,
		pipeline.ProposalDetails{UUID: uuidOf(2), CustomerUUID: uuidOf(1)})
	var cause pipeline.Cause
	for _, step := range way[1:6] { // sent, selected, and the contract up to its signature
		var e pipeline.Event
		e, p = happened(t, s, p, step, map[string]any{}, pipeline.Cause{})
		cause = pipeline.Cause{EventID: e.ID, Type: e.Type, Stream: e.Stream}
	}
	_, c = happened(t, s, c, pipeline.TypeCustomerStatusChanged,
		pipeline.CustomerStatusChanged{Status: pipeline.StatusSigned, StatusName: signed}, cause)
	_, _ = happened(t, s, c, pipeline.TypeEmailSent, map[string]any{}, pipeline.Cause{})
	begun(t, s, pipeline.NewCustomer(theirs, 2), pipeline.TypeCustomerCreated, person())
	w.ledger.noteRequest(Request{
		Key: "refused", CompanyID: 1, Stream: "proposal-1", Type: pipeline.TypeProposalSent, Answered: s.at, Outcome: OutcomeRefused, Status: 409,
	})
	s.deliver(t)
}

func uuidOf(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func person() pipeline.CustomerCreated {
	return pipeline.CustomerCreated{
		UUID: uuidOf(1), Name: "Ada Byrne", Email: "ada@example.com", Type: "RESIDENTIAL", Status: pipeline.StatusNew, StatusName: "New Contacts",
	}
}

func (s *scribe) subscribe(t *testing.T, h Subscription, filter map[string]any) {
	t.Helper()
	key := postgres.NewSecretKey()
	require.NoError(t, s.store.EnsureKey(t.Context(), h.CompanyID, h.Name, key))
	made, err := s.store.Authenticate(t.Context(), key)
	require.NoError(t, err)
	w := pipeline.Webhook{
		CompanyID: h.CompanyID, KeyID: made.ID, URL: "http://127.0.0.1/" + h.Name, Events: h.Patterns, Format: pipeline.FormatNative,
		Ordered: h.Ordered, Active: true,
	}
	if filter != nil {
		b, err := json.Marshal(filter)
		require.NoError(t, err)
		w.Filter = pipeline.Object(b)
	}
	w, _, err = s.store.CreateWebhook(t.Context(), w, pipeline.Start{}, pipeline.Idempotency{})
	require.NoError(t, err)
	h.ID = w.ID
	s.ledger.subscribe(h)
}

// begun records the first event of an entity.
func begun[S pipeline.State[S]](t *testing.T, s *scribe, fresh S, first pipeline.EventType, data any) S {
	t.Helper()
	_, state := happened(t, s, fresh, first, data, pipeline.Cause{})
	return state
}

// happened records an event, and the request that asked for it unless it has a cause.
func happened[S pipeline.State[S]](
	t *testing.T, s *scribe, state S, what pipeline.EventType, data any, cause pipeline.Cause,
) (pipeline.Event, S) {
	t.Helper()
	cmd, err := pipeline.NewCommand(what, data, pipeline.Actor{}, cause)
	require.NoError(t, err)
	cmd.OccurredAt = s.at
	s.keys++
	key := fmt.Sprintf("key-%d", s.keys)
	e, next, err := pipeline.Next(state, cmd, key)
	require.NoError(t, err)
	_, err = s.store.Append(t.Context(), e, pipeline.Idempotency{})
	require.NoError(t, err)
	if cause == (pipeline.Cause{}) {
		s.ledger.noteRequest(Request{
			Key: key, CompanyID: e.CompanyID, Stream: e.Stream, Type: e.Type, Sent: s.at, Answered: s.at.Add(time.Millisecond), Tries: 1,
			Outcome: OutcomeAcked, Status: 201, EventID: e.ID, Version: e.Version, State: e.State,
		})
	}
	s.at = s.at.Add(time.Second)
	return e, next
}

// deliver has each receiver take what it is to get, and the feeds read. Postgres' clock is not the
// world's, so the times of recording are moved.
func (s *scribe) deliver(t *testing.T) {
	t.Helper()
	db, err := sqlx.Open("postgres", s.url(t, s.name))
	require.NoError(t, err)
	defer db.Close()
	for _, statement := range []string{
		unlocked,
		`UPDATE events SET recorded_at = occurred_at`,
		`UPDATE deliveries SET status = 'delivered', attempts = 1, delivered_at = now()`,
	} {
		_, err := db.Exec(statement)
		require.NoError(t, err)
	}
	for _, h := range s.ledger.hooks {
		events, err := s.store.Feed(context.Background(), pipeline.FeedQuery{CompanyID: h.CompanyID, Limit: 100})
		require.NoError(t, err)
		s.ledger.feeds[h.CompanyID] = events
		for _, e := range events {
			if !h.wants(e) {
				continue
			}
			s.ledger.noteReception(Reception{
				At: e.Timestamp.Add(10 * time.Millisecond), Answered: e.Timestamp.Add(20 * time.Millisecond), WebhookID: h.ID, MessageID: e.ID,
				EventID: e.ID, Type: e.Type, CompanyID: e.CompanyID, Stream: e.Stream, Version: e.Version, Position: e.Position, Status: 204,
			})
		}
	}
}

// unlocked lets events be changed, which the engine never does.
const unlocked = `ALTER TABLE events DISABLE TRIGGER USER`
