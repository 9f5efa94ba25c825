package api_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
)

// fakeStore is a store in memory, as simple as it can be and still keep what was written.
type fakeStore struct {
	mu         sync.Mutex
	now        time.Time
	secrets    map[string]pipeline.Key
	nextID     int64
	events     []pipeline.Event
	webhooks   []pipeline.Webhook
	deliveries []pipeline.Delivery
	replays    []pipeline.Replay
	gaps       pipeline.Gaps
	stats      []pipeline.StatsHour
	remembered map[string]*remembered
	contracts  fakeContracts
	asks       []any   // the questions about replays, gaps, statistics, starts and rotations
	released   []int64 // what UpdateWebhook, EnableWebhook and DisableWebhook answer
	broken     error   // what everything but Authenticate answers
	lost       error   // what everything answers that comes after reading a webhook
	panics     bool    // what Customer does
	lookedUp   int     // how often Statuses was asked
	asked      int     // how often LastPosition was asked
	tried      int     // how often a key was looked up
	noted      []int64 // the keys whose use was noted
}

// remembered is what a request with an idempotency key led to.
type remembered struct {
	fingerprint string
	id          int64
	eventID     string
	webhook     pipeline.Webhook
	key         pipeline.NewKey
	replay      pipeline.Replay
	secret      string
	done        bool
}

func (s *fakeStore) id() int64 {
	s.nextID++
	return s.nextID
}

func notFound(what string) error {
	return pipeline.Errorf(pipeline.CodeNotFound, "there is no such %s", what)
}

// once finds what a key has led to; a new entry where it is new or where there is no key.
func (s *fakeStore) once(companyID int64, idem pipeline.Idempotency) (*remembered, error) {
	if idem.Key == "" {
		return &remembered{}, nil
	}
	at := fmt.Sprint(companyID, idem.Scope, idem.Key)
	if s.remembered[at] == nil {
		s.remembered[at] = &remembered{fingerprint: idem.Fingerprint}
	}
	if s.remembered[at].fingerprint != idem.Fingerprint {
		return nil, pipeline.Errorf(pipeline.CodeIdempotencyKeyReused, "this Idempotency-Key was used for another request")
	}
	return s.remembered[at], nil
}

func (s *fakeStore) Ping(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

func (s *fakeStore) Authenticate(_ context.Context, secret string) (pipeline.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried++
	key, ok := s.secrets[secret]
	if !ok || key.RevokedAt != (pipeline.Instant{}) {
		return pipeline.Key{}, pipeline.Errorf(pipeline.CodeUnauthenticated, "the API key is unknown or was revoked")
	}
	return key, nil
}

func (s *fakeStore) Scope(ctx context.Context, companyID int64) context.Context {
	return context.WithValue(ctx, scopeKey{}, companyID)
}

// scopeKey is where a context has the company of Scope.
type scopeKey struct{}

func (s *fakeStore) NoteKeyUse(_ context.Context, _, id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted = append(s.noted, id)
	return nil
}

func (s *fakeStore) CreateKey(
	_ context.Context, k pipeline.Key, idem pipeline.Idempotency,
) (pipeline.NewKey, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return pipeline.NewKey{}, false, s.broken
	}
	known, err := s.once(k.CompanyID, idem)
	if err != nil || known.done {
		return knownKey(known), err == nil, err
	}
	key := k
	key.ID, key.CreatedAt = s.id(), s.now
	secret := fmt.Sprintf("dw_%d", key.ID)
	s.secrets[secret] = key
	known.key, known.done = pipeline.NewKey{Key: key, Secret: secret}, true
	return known.key, false, nil
}

func knownKey(r *remembered) pipeline.NewKey {
	if r == nil {
		return pipeline.NewKey{}
	}
	return r.key
}

func (s *fakeStore) Keys(_ context.Context, companyID int64, page pipeline.Page) ([]pipeline.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pipeline.Key
	for _, key := range s.secrets {
		if key.CompanyID == companyID {
			out = append(out, key)
		}
	}
	return newestFirst(out, page, func(k pipeline.Key) int64 { return k.ID }), s.broken
}

func (s *fakeStore) RevokeKey(_ context.Context, companyID, id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret, key := range s.secrets {
		if key.ID == id && key.CompanyID == companyID {
			key.RevokedAt = pipeline.Instant(s.now)
			s.secrets[secret] = key
			return s.broken
		}
	}
	return cmp.Or(s.broken, notFound("key"))
}

func (s *fakeStore) Statuses(context.Context, int64) (pipeline.Statuses, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookedUp++
	return pipeline.DefaultStatuses(), s.broken
}

func (s *fakeStore) Reserve(
	_ context.Context, companyID int64, _ pipeline.Kind, idem pipeline.Idempotency,
) (pipeline.Reservation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return pipeline.Reservation{}, s.broken
	}
	known, err := s.once(companyID, idem)
	if err != nil {
		return pipeline.Reservation{}, err
	}
	if known.id == 0 {
		known.id = s.id()
	}
	return pipeline.Reservation{ID: known.id, EventID: known.eventID}, nil
}

func (s *fakeStore) Target(
	_ context.Context, companyID int64, stream pipeline.Stream, _ int64, idem pipeline.Idempotency,
) (pipeline.Target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return pipeline.Target{}, s.broken
	}
	last, ok := s.last(companyID, stream)
	if !ok {
		return pipeline.Target{}, notFound(string(stream.Kind()))
	}
	known, err := s.once(companyID, idem)
	if err != nil {
		return pipeline.Target{}, err
	}
	return pipeline.Target{
		Version: last.Version, CustomerID: int64(last.CustomerID), EventID: known.eventID,
		Erased: bytes.Contains(last.State, []byte(`"erased":true`)),
	}, nil
}

// last event of a stream of a company.
func (s *fakeStore) last(companyID int64, stream pipeline.Stream) (pipeline.Event, bool) {
	for _, e := range slices.Backward(s.events) {
		if e.Stream == stream && e.CompanyID == companyID {
			return e, true
		}
	}
	return pipeline.Event{}, false
}

// append records an event as the real store does, with a position and a delivery for each webhook.
func (s *fakeStore) append(e pipeline.Event, idem pipeline.Idempotency) pipeline.Event {
	e.Position, e.RecordedAt = int64(len(s.events)+1), s.now
	s.events = append(s.events, e)
	if known, err := s.once(e.CompanyID, idem); err == nil {
		known.eventID = e.ID
	}
	for _, w := range s.webhooks {
		matches := slices.ContainsFunc(pipeline.Patterns(e.Type), func(p string) bool { return slices.Contains(w.Events, p) })
		if w.CompanyID == e.CompanyID && matches {
			s.deliveries = append(s.deliveries, pipeline.Delivery{
				ID: s.id(), WebhookID: w.ID, EventID: e.ID, EventType: e.Type, Stream: e.Stream, Version: e.Version,
				Status: pipeline.DeliveryPending, CreatedAt: s.now, Attempts: []pipeline.Attempt{},
			})
		}
	}
	return e
}

func (s *fakeStore) Customer(_ context.Context, companyID, id int64) (pipeline.Customer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panics {
		panic("the secret of the store") //nolint:forbidigo // what the test is about
	}
	return entity[pipeline.Customer](s, companyID, pipeline.StreamOf(pipeline.KindCustomer, id))
}

func (s *fakeStore) Proposal(_ context.Context, companyID, id int64) (pipeline.Proposal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return entity[pipeline.Proposal](s, companyID, pipeline.StreamOf(pipeline.KindProposal, id))
}

func entity[S any](s *fakeStore, companyID int64, stream pipeline.Stream) (S, error) {
	var state S
	last, ok := s.last(companyID, stream)
	if !ok {
		return state, cmp.Or(s.broken, notFound(string(stream.Kind())))
	}
	mustDecode(last.State, &state)
	return state, s.broken
}

func (s *fakeStore) Customers(_ context.Context, q pipeline.CustomerQuery) ([]pipeline.Customer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pipeline.Customer
	for _, e := range s.events {
		last, ok := s.last(q.CompanyID, e.Stream)
		if e.Version != 1 || e.Stream.Kind() != pipeline.KindCustomer || !ok {
			continue
		}
		var c pipeline.Customer
		mustDecode(last.State, &c)
		if (!q.Status.Set || q.Status.Value == c.Status) && (q.OwnerID == 0 || q.OwnerID == int64(c.OwnerID)) &&
			strings.Contains(c.Name, q.Search) {
			out = append(out, c)
		}
	}
	return newestFirst(out, q.Page, func(c pipeline.Customer) int64 { return c.ID }), s.broken
}

func (s *fakeStore) Proposals(_ context.Context, q pipeline.ProposalQuery) ([]pipeline.Proposal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pipeline.Proposal
	for _, e := range s.events {
		last, ok := s.last(q.CompanyID, e.Stream)
		if e.Version != 1 || e.Stream.Kind() != pipeline.KindProposal || !ok {
			continue
		}
		var p pipeline.Proposal
		mustDecode(last.State, &p)
		if (q.Status == "" || q.Status == p.Status) && (q.ContractStatus == "" || q.ContractStatus == p.ContractStatus) &&
			(q.CustomerID == 0 || q.CustomerID == p.CustomerID) {
			out = append(out, p)
		}
	}
	return newestFirst(out, q.Page, func(p pipeline.Proposal) int64 { return p.ID }), s.broken
}

func newestFirst[T any](rows []T, page pipeline.Page, id func(T) int64) []T {
	slices.SortFunc(rows, func(a, b T) int { return cmp.Compare(id(b), id(a)) })
	rows = slices.DeleteFunc(rows, func(row T) bool { return page.Cursor > 0 && id(row) >= page.Cursor })
	return rows[:min(len(rows), page.Limit)]
}

func (s *fakeStore) Event(_ context.Context, companyID int64, id string) (pipeline.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.ID == id && e.CompanyID == companyID {
			return e, s.broken
		}
	}
	return pipeline.Event{}, cmp.Or(s.broken, notFound("event"))
}

func (s *fakeStore) EventsAfter(_ context.Context, stream pipeline.Stream, version int64, limit int) ([]pipeline.Event, error) {
	return s.pick(limit, func(e pipeline.Event) bool { return e.Stream == stream && e.Version > version })
}

func (s *fakeStore) Feed(_ context.Context, q pipeline.FeedQuery) ([]pipeline.Event, error) {
	matched := map[string]bool{}
	s.mu.Lock()
	for _, d := range s.deliveries {
		for _, w := range s.webhooks {
			matched[d.EventID] = matched[d.EventID] || (w.ID == d.WebhookID && w.KeyID == q.PartnerKey)
		}
	}
	s.mu.Unlock()
	return s.pick(q.Limit, func(e pipeline.Event) bool {
		return e.CompanyID == q.CompanyID && e.Position > q.After && (q.PartnerKey == 0 || matched[e.ID]) &&
			(len(q.Types) == 0 || slices.Contains(q.Types, string(e.Type)))
	})
}

func (s *fakeStore) pick(limit int, wanted func(pipeline.Event) bool) ([]pipeline.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pipeline.Event
	for _, e := range s.events {
		if wanted(e) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, s.broken
}

func (s *fakeStore) LastPosition(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return int64(len(s.events)), s.broken
}

func (s *fakeStore) Timeline(
	_ context.Context, companyID int64, stream pipeline.Stream, after int64, limit int,
) ([]pipeline.Event, []pipeline.Delivery, error) {
	events, err := s.pick(limit, func(e pipeline.Event) bool {
		own := e.Stream == stream || "customer-"+strconv.FormatInt(int64(e.CustomerID), 10) == string(stream)
		return own && e.CompanyID == companyID && e.Position > after
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	var deliveries []pipeline.Delivery
	for _, e := range events {
		for _, d := range s.deliveries {
			if d.EventID == e.ID {
				deliveries = append(deliveries, d)
			}
		}
	}
	return events, deliveries, err
}

// fakeEngine decides commands on the spot and records them in the fake store.
type fakeEngine struct {
	store *fakeStore

	mu        sync.Mutex
	broken    error
	repeats   bool // as Temporal's client does where the first answer was lost
	submitted []workflows.Submission
	woken     []int64
	begun     []string // the workflows of inbound and documents
	samples   []workflows.TestInput
	answer    workflows.TestResult // to samples
}

func (e *fakeEngine) Ping(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.broken
}

func (e *fakeEngine) WakeWebhook(_ context.Context, webhookID int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.woken = append(e.woken, webhookID)
	return e.broken
}

func (e *fakeEngine) SendTest(_ context.Context, t workflows.TestInput) (workflows.TestResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.samples = append(e.samples, t)
	return e.answer, e.broken
}

func (e *fakeEngine) Submit(_ context.Context, sub workflows.Submission) (workflows.Outcome, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.submitted = append(e.submitted, sub)
	if e.broken != nil {
		return workflows.Outcome{}, e.broken
	}
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	if e.repeats {
		if _, err := e.decide(sub); err != nil {
			return workflows.Outcome{}, err
		}
	}
	return e.decide(sub)
}

func (e *fakeEngine) decide(sub workflows.Submission) (workflows.Outcome, error) {
	if sub.Stream.Kind() == pipeline.KindCustomer {
		return decide(e.store, pipeline.NewCustomer(sub.CompanyID, sub.ID), sub)
	}
	return decide(e.store, pipeline.NewProposal(sub.CompanyID, sub.CustomerID, sub.ID), sub)
}

func decide[S pipeline.State[S]](store *fakeStore, state S, sub workflows.Submission) (workflows.Outcome, error) {
	if last, ok := store.last(sub.CompanyID, sub.Stream); ok {
		mustDecode(last.State, &state)
	}
	event, next, err := pipeline.Next(state, sub.Command, sub.CommandID)
	if err != nil {
		return workflows.Outcome{}, err
	}
	return workflows.Outcome{Event: store.append(event, sub.Idempotency), Allowed: next.Allowed()}, nil
}

// fakeTargets lets every URL pass but those on forbidden.example.
type fakeTargets struct{}

func (t fakeTargets) VetURL(ctx context.Context, rawURL string) error {
	return t.VetAt(ctx, rawURL, "/url")
}

func (fakeTargets) VetAt(_ context.Context, rawURL, pointer string) error {
	if strings.Contains(rawURL, "forbidden.example") {
		return pipeline.Invalid(pipeline.FieldError{Pointer: pointer, Detail: "may not be reached"})
	}
	return nil
}
