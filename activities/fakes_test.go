package activities_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// row is a delivery as the fake store keeps it.
type row struct {
	pipeline.Dispatch

	status pipeline.DeliveryStatus
	due    time.Time // zero for a fresh one
	tries  []pipeline.Result
}

// deliveryStore keeps deliveries in memory. Like a database it does nothing for a context that
// is over.
type deliveryStore struct {
	mu       sync.Mutex
	rows     []*row
	webhooks map[int64]pipeline.Webhook // as deliveries have them
	fails    map[string]error           // by method, once
	slow     []int64
	grace    time.Duration
	how      pipeline.Drain
	wakesAt  map[int64]time.Time // by webhook; see atWork
	replay   []func()            // what each step of the replay does
	steps    int                 // of the replay, taken
	limits   []int               // that DueDeliveries was asked for
	ends     []time.Time         // that EndDrain was told
	wakes    []int64             // others that RecordAttempts wants woken
	records  int                 // calls of RecordAttempts

	afterBatch func() // called by RecordAttempts
}

// atWork stands for a workflow that will look again before it ends.
var atWork = time.Unix(0, 0)

// queued adds fresh deliveries of one stream to webhooks, in the order given. Ids count from 1.
func (s *deliveryStore) queued(stream pipeline.Stream, webhooks ...int64) *deliveryStore {
	for _, w := range webhooks {
		n := int64(len(s.rows) + 1)
		s.rows = append(s.rows, &row{
			Dispatch: pipeline.Dispatch{
				DeliveryID: n, Webhook: s.webhook(w), Event: pipeline.Event{Stream: stream, Version: n},
			},
			status: pipeline.DeliveryPending,
		})
	}
	return s
}

// streams adds n fresh deliveries to webhook 1, each of a stream of its own.
func (s *deliveryStore) streams(n int) *deliveryStore {
	for range n {
		s.queued(pipeline.StreamOf(pipeline.KindProposal, int64(len(s.rows)+1)), 1)
	}
	return s
}

func (s *deliveryStore) webhook(id int64) pipeline.Webhook {
	w := s.webhooks[id]
	w.ID = id
	return w
}

// with has the deliveries that are queued from now on go to a webhook with these settings.
func (s *deliveryStore) with(w pipeline.Webhook) *deliveryStore {
	if s.webhooks == nil {
		s.webhooks = map[int64]pipeline.Webhook{}
	}
	s.webhooks[w.ID] = w
	return s
}

// due makes everything due since a while.
func (s *deliveryStore) due() *deliveryStore {
	for _, r := range s.rows {
		r.due = time.Now().Add(-time.Minute)
	}
	return s
}

// later marks the deliveries of a webhook as better left to its own workflow.
func (s *deliveryStore) later(webhook int64) *deliveryStore {
	for _, r := range s.rows {
		r.Later = r.Later || r.Webhook.ID == webhook
	}
	return s
}

func (s *deliveryStore) failOnce(method string, err error) *deliveryStore {
	if s.fails == nil {
		s.fails = map[string]error{}
	}
	s.fails[method] = err
	return s
}

func (s *deliveryStore) failNext(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failOnce(method, err)
}

// enter is how every method begins.
func (s *deliveryStore) enter(ctx context.Context, method string) error {
	if ctx.Err() != nil {
		return pipeline.Errorf(pipeline.CodeUnavailable, "%s: %s", method, ctx.Err())
	}
	err := s.fails[method]
	delete(s.fails, method)
	return err
}

func (s *deliveryStore) FreshDeliveries(ctx context.Context, stream pipeline.Stream, limit int) ([]pipeline.Dispatch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, "FreshDeliveries"); err != nil {
		return nil, err
	}
	found := s.dispatches(limit, func(r *row) bool { return r.Event.Stream == stream && r.due.IsZero() })
	slices.SortStableFunc(found, func(a, b pipeline.Dispatch) int { return cmp.Compare(a.Webhook.ID, b.Webhook.ID) })
	return found, nil
}

func (s *deliveryStore) DueDeliveries(ctx context.Context, webhookID int64, limit int) ([]pipeline.Dispatch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, "DueDeliveries"); err != nil {
		return nil, err
	}
	now := time.Now()
	s.limits = append(s.limits, limit)
	return s.dispatches(limit, func(r *row) bool { return r.Webhook.ID == webhookID && !r.due.IsZero() && !r.due.After(now) }), nil
}

func (s *deliveryStore) dispatches(limit int, is func(*row) bool) []pipeline.Dispatch {
	var out []pipeline.Dispatch
	for _, r := range s.rows {
		if r.status == pipeline.DeliveryPending && is(r) && len(out) < limit {
			out = append(out, r.Dispatch)
		}
	}
	return out
}

func (s *deliveryStore) BeginDrain(ctx context.Context, webhookID int64) (pipeline.Drain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, "BeginDrain"); err != nil {
		return pipeline.Drain{}, err
	}
	s.sleeps(webhookID, atWork)
	return s.how, nil
}

func (s *deliveryStore) AdvanceReplay(ctx context.Context, _ int64, _ int) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, "AdvanceReplay"); err != nil {
		return false, err
	}
	if s.steps >= len(s.replay) {
		return false, nil
	}
	s.replay[s.steps]()
	s.steps++
	return true, nil
}

func (s *deliveryStore) EndDrain(ctx context.Context, webhookID int64, pacedUntil time.Time) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, "EndDrain"); err != nil {
		return time.Time{}, err
	}
	s.ends = append(s.ends, pacedUntil)
	var next time.Time
	for _, r := range s.rows {
		waits := r.Webhook.ID == webhookID && r.status == pipeline.DeliveryPending && !r.due.IsZero()
		if waits && (next.IsZero() || r.due.Before(next)) {
			next = r.due
		}
	}
	if !next.IsZero() && next.Before(pacedUntil) {
		next = pacedUntil
	}
	s.sleeps(webhookID, next)
	return next, nil
}

func (s *deliveryStore) sleeps(webhookID int64, until time.Time) {
	if s.wakesAt == nil {
		s.wakesAt = map[int64]time.Time{}
	}
	s.wakesAt[webhookID] = until
}

// isAtWork reports that the store believes a drain to be under way.
func (s *deliveryStore) isAtWork(webhookID int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wakesAt[webhookID].Equal(atWork)
}

// looksTooLate: the webhook's workflow does not run, or sleeps too long for a delivery.
func (s *deliveryStore) looksTooLate(r *row) bool {
	at := s.wakesAt[r.Webhook.ID]
	return at.IsZero() || at.After(r.due)
}

func (s *deliveryStore) HandOver(ctx context.Context, ids []int64) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, "HandOver"); err != nil {
		return nil, err
	}
	var wake []int64
	for _, r := range s.rows {
		if !slices.Contains(ids, r.DeliveryID) {
			continue
		}
		r.due = time.Now()
		if s.looksTooLate(r) {
			wake = append(wake, r.Webhook.ID)
		}
	}
	return wake, nil
}

func (s *deliveryStore) RecordAttempts(ctx context.Context, results []pipeline.Result, slow []int64) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, "RecordAttempts"); err != nil {
		return nil, err
	}
	wake := slices.Clone(s.wakes)
	for _, result := range results {
		r := s.rows[result.DeliveryID-1]
		r.tries = append(r.tries, result)
		r.status, r.due = result.Status, result.NextAttemptAt
		r.Attempts++
		if r.status == pipeline.DeliveryPending && s.looksTooLate(r) {
			wake = append(wake, r.Webhook.ID)
		}
	}
	s.slow = append(s.slow, slow...)
	s.records++
	if s.afterBatch != nil {
		s.afterBatch()
	}
	return wake, nil
}

func (s *deliveryStore) Webhook(ctx context.Context, companyID, _, id int64) (pipeline.Webhook, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, "Webhook"); err != nil {
		return pipeline.Webhook{}, err
	}
	w, ok := s.webhooks[id]
	if !ok || w.CompanyID != companyID {
		return pipeline.Webhook{}, pipeline.Errorf(pipeline.CodeNotFound, "there is no such webhook")
	}
	return w, nil
}

func (s *deliveryStore) SweepDeliveries(ctx context.Context, grace time.Duration, _ int) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grace = grace
	webhooks := make([]int64, 0, len(s.rows))
	for _, r := range s.rows {
		webhooks = append(webhooks, r.Webhook.ID)
	}
	return webhooks, s.enter(ctx, "SweepDeliveries")
}

// recorded lists the deliveries that were tried, by id.
func (s *deliveryStore) recorded() []int64 {
	return s.ids(func(r *row) bool { return len(r.tries) > 0 })
}

// handedOver lists the untried deliveries that wait for their webhook's workflow.
func (s *deliveryStore) handedOver() []int64 {
	return s.ids(func(r *row) bool { return len(r.tries) == 0 && !r.due.IsZero() })
}

// fresh lists the untried deliveries that nobody has touched.
func (s *deliveryStore) fresh() []int64 {
	return s.ids(func(r *row) bool { return len(r.tries) == 0 && r.due.IsZero() })
}

func (s *deliveryStore) ids(is func(*row) bool) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []int64{}
	for _, r := range s.rows {
		if is(r) {
			out = append(out, r.DeliveryID)
		}
	}
	return out
}

// sender notes what it is given, in order, and answers as told.
type sender struct {
	mu     sync.Mutex
	sent   []pipeline.Dispatch
	at     []time.Time
	answer func(ctx context.Context, d pipeline.Dispatch) pipeline.Result
}

func (s *sender) Deliver(ctx context.Context, d pipeline.Dispatch) pipeline.Result {
	s.mu.Lock()
	s.sent = append(s.sent, d)
	s.at = append(s.at, time.Now())
	s.mu.Unlock()
	if s.answer == nil {
		return delivered(d)
	}
	return s.answer(ctx, d)
}

// times lists when attempts were made, from now on.
func (s *sender) times() func() []time.Duration {
	began := time.Now()
	return func() []time.Duration {
		s.mu.Lock()
		defer s.mu.Unlock()
		out := make([]time.Duration, len(s.at))
		for i, at := range s.at {
			out[i] = at.Sub(began)
		}
		return out
	}
}

// ids of what was sent, in order.
func (s *sender) ids() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]int64, len(s.sent))
	for i, d := range s.sent {
		out[i] = d.DeliveryID
	}
	return out
}

// orders of what was sent, by a key.
func orders[K comparable](s *sender, key func(pipeline.Dispatch) K) map[K][]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[K][]int64{}
	for _, d := range s.sent {
		out[key(d)] = append(out[key(d)], d.DeliveryID)
	}
	return out
}

func delivered(d pipeline.Dispatch) pipeline.Result {
	return pipeline.Result{
		DeliveryID: d.DeliveryID, WebhookID: d.Webhook.ID, Status: pipeline.DeliveryDelivered,
		Attempt: pipeline.Attempt{At: time.Now(), Status: 200, LatencyMS: 3},
	}
}

func deliveredSlowly(d pipeline.Dispatch) pipeline.Result {
	r := delivered(d)
	r.Attempt.LatencyMS = 1001
	return r
}

func failed(d pipeline.Dispatch) pipeline.Result {
	r := delivered(d)
	r.Status, r.NextAttemptAt, r.Attempt.Status = pipeline.DeliveryPending, time.Now().Add(time.Hour), 500
	return r
}

func exhausted(d pipeline.Dispatch) pipeline.Result {
	r := failed(d)
	r.Status, r.NextAttemptAt = pipeline.DeliveryExhausted, time.Time{}
	return r
}

// waker counts how often each webhook's workflow was woken.
type waker struct {
	mu    sync.Mutex
	woken map[int64]int
	fails map[int64]error
}

func (w *waker) WakeWebhook(ctx context.Context, id int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := w.fails[id]; err != nil {
		return err
	}
	if w.woken == nil {
		w.woken = map[int64]int{}
	}
	w.woken[id]++
	return nil
}

func (w *waker) list() []int64 { return slices.Sorted(maps.Keys(w.woken)) }

// bench runs delivery activities as a worker would.
type bench struct {
	*testsuite.TestActivityEnvironment

	store  *deliveryStore
	sender *sender
	waker  *waker
	gate   *activities.Gate
	bell   *activities.Bell
}

func newBench(t *testing.T, store *deliveryStore) *bench {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	b := &bench{
		TestActivityEnvironment: suite.NewTestActivityEnvironment(),
		store:                   store, sender: &sender{}, waker: &waker{}, gate: activities.NewGate(), bell: activities.NewBell(),
	}
	b.RegisterActivity(&activities.Deliveries{Store: b.store, Sender: b.sender, Waker: b.waker, Gate: b.gate, Bell: b.bell})
	return b
}

// beats lists when the server gets to see heartbeats.
func (b *bench) beats() func() []time.Duration {
	var mu sync.Mutex
	var at []time.Duration
	began := time.Now()
	b.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Since(began))
	})
	return func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return at
	}
}

var (
	deliveries *activities.Deliveries
	recording  *activities.Recording
	followUps  *activities.FollowUps
)

func run[In, Out any](env *testsuite.TestActivityEnvironment, f func(context.Context, In) (Out, error), in In) (Out, error) {
	var out Out
	value, err := env.ExecuteActivity(f, in)
	if err != nil {
		return out, err
	}
	err = value.Get(&out)
	return out, err
}

func (b *bench) deliver() (activities.DeliverResult, error) {
	return run(b.TestActivityEnvironment, deliveries.DeliverWebhooks, activities.DeliverInput{Stream: stream})
}

func (b *bench) drain() (activities.DrainResult, error) {
	return run(b.TestActivityEnvironment, deliveries.DrainDeliveries, activities.DrainInput{WebhookID: 1})
}

const (
	stream  pipeline.Stream = "proposal-1"
	another pipeline.Stream = "proposal-2"
)

// requireFailure: the code is the type, and Temporal tries again only where that can help.
func requireFailure(t *testing.T, err error, code pipeline.Code, retried bool) {
	t.Helper()
	app := asApplicationError(t, err)
	require.Equal(t, string(code), app.Type())
	require.Equal(t, retried, !app.NonRetryable())
	require.Equal(t, code, activities.Refusal(err).Code)
}

var unavailable = pipeline.Errorf(pipeline.CodeUnavailable, "the store cannot be reached; try again")
