package activities_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

func TestDrainSendsAllThatIsDue(t *testing.T) {
	t.Parallel()
	store := &deliveryStore{}
	const n = 450 // three batches
	for range n / 2 {
		store.queued(stream, 1).queued(another, 1)
	}
	store.due().queued(stream, 1, 2) // fresh: its entity's; and another webhook's
	b := newBench(t, store)
	out, err := b.drain()
	require.NoError(t, err)
	require.Equal(t, activities.DrainResult{Delivered: n}, out)
	for _, order := range orders(b.sender, byStream) {
		require.Len(t, order, n/2)
		require.IsIncreasing(t, order)
	}
	require.Len(t, b.store.recorded(), n)
	require.Equal(t, []int64{n + 1, n + 2}, b.store.fresh())
}

func TestDrainSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 1).queued(another, 1).due())
	next := time.Now().Add(time.Hour).UTC().Round(0)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		switch d.DeliveryID {
		case 1:
			r := failed(d)
			r.NextAttemptAt = next
			return r
		case 2:
			return exhausted(d)
		default:
			return delivered(d)
		}
	}
	out, err := b.drain()
	require.NoError(t, err)
	require.True(t, next.Equal(out.NextDue))
	require.Equal(t, 1, out.Delivered)
	require.Equal(t, 2, out.Failed)
	require.ElementsMatch(t, []int64{1, 2, 3}, b.sender.ids(), "a failure of one event does not hold the next one up")
}

func TestDrainOfNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, &deliveryStore{})
	out, err := b.drain()
	require.NoError(t, err)
	require.Zero(t, out)
}

// More streams than a webhook gets requests at once neither block nor get lost, and it does
// get that many.
func TestDrainServesStreamsSideBySide(t *testing.T) {
	t.Parallel()
	const n, atOnce = 60, 20
	store := &deliveryStore{}
	for i := range int64(n) {
		store.queued(pipeline.StreamOf(pipeline.KindProposal, i+1), 1, 1)
	}
	b := newBench(t, store.due())
	pass := barrier(atOnce)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		if d.DeliveryID <= 2*atOnce && d.DeliveryID%2 == 1 && !pass() {
			return failed(d)
		}
		return delivered(d)
	}
	out, err := b.drain()
	require.NoError(t, err)
	require.Equal(t, activities.DrainResult{Delivered: 2 * n}, out)
	for _, order := range orders(b.sender, byStream) {
		require.IsIncreasing(t, order)
	}
}

// An endpoint that answers at once gets events one after the other, whichever entity they
// belong to; one that takes longer gets them side by side, but begun in that order; and an
// entity whose event hangs holds up itself alone.
func TestDrainSendsTheOldestFirst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes func(id int64) time.Duration
		begun []int64
		last  time.Duration // when the last began
	}{
		"one that answers at once": {
			takes: func(int64) time.Duration { return time.Millisecond },
			begun: []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, last: 9 * time.Millisecond,
		},
		"one that takes longer": {
			takes: func(int64) time.Duration { return 8 * time.Millisecond },
			begun: []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, last: 45 * time.Millisecond,
		},
		"one event that hangs": {
			takes: func(id int64) time.Duration {
				if id == 2 {
					return time.Second
				}
				return time.Millisecond
			},
			begun: []int64{1, 2, 3, 5, 7, 9, 4, 6, 8, 10}, last: time.Second + 4*time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &deliveryStore{}
				for range 5 {
					store.queued(stream, 1).queued(another, 1)
				}
				b := newBench(t, store.due())
				b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
					time.Sleep(c.takes(d.DeliveryID))
					return delivered(d)
				}
				began := time.Now()
				out, err := b.drain()
				require.NoError(t, err)
				require.Equal(t, activities.DrainResult{Delivered: 10}, out)
				require.Equal(t, c.begun, b.sender.ids())
				require.Equal(t, c.last, b.sender.at[9].Sub(began))
			})
		})
	}
}

// One attempt may take as long as the heartbeat's timeout.
func TestDrainBeatsWhateverItWaitsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, (&deliveryStore{}).queued(stream, 1, 1).due())
		b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
			time.Sleep(29 * time.Second)
			return deliveredSlowly(d)
		}
		beats := b.beats()
		out, err := b.drain()
		require.NoError(t, err)
		require.Equal(t, 2, out.Delivered)
		// Where nothing else is said, the SDK holds beats back for 30 s; a worker says more (activities.BeatEvery).
		require.Equal(t, []time.Duration{2 * time.Second, 32 * time.Second}, beats())
	})
}

func TestDrainRecordsWhatWasSentBeforeItWasCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 1, 1).due())
	b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		if d.DeliveryID == 2 {
			cancel()
		}
		return delivered(d)
	}
	_, err := b.drain()
	require.Error(t, err)
	require.Equal(t, []int64{1, 2}, b.sender.ids(), "no attempt begins after that")
	require.Equal(t, []int64{1, 2}, b.store.recorded())
	require.Equal(t, []int64{3}, b.store.handedOver(), "still due, for the next worker")
}

func TestDrainEndsWhenTheWorkerStops(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 1, 1).due())
	b.SetWorkerStopChannel(stop)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		if d.DeliveryID == 2 {
			close(stop)
		}
		return delivered(d)
	}
	out, err := b.drain()
	require.NoError(t, err)
	require.Equal(t, 2, out.Delivered)
	require.False(t, out.NextDue.IsZero(), "the rest is due at once")
	require.Equal(t, []int64{1, 2}, b.store.recorded())
}

// One run ends in time for its workflow's timeout, even in the middle of a batch.
func TestDrainHasItsPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &deliveryStore{}
		for range 100 {
			store.queued(stream, 1)
		}
		b := newBench(t, store.due())
		b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
			time.Sleep(5 * time.Second)
			return deliveredSlowly(d)
		}
		out, err := b.drain()
		require.NoError(t, err)
		require.Equal(t, 12, out.Delivered, "a minute's worth")
		require.True(t, out.NextDue.Before(time.Now()), "the rest is still due")
		require.Len(t, b.store.recorded(), 12)
	})
}

// What a slow endpoint got is recorded every now and then, not when the whole batch is done.
func TestDrainRecordsWhileItSends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := (&deliveryStore{}).queued(stream, 1, 1, 1, 1, 1, 1, 1).due()
		b := newBench(t, store)
		b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
			time.Sleep(4 * time.Second)
			return deliveredSlowly(d)
		}
		store.afterBatch = func() {
			if store.records == 1 {
				require.Len(t, b.sender.ids(), 3, "begun after 0, 4 and 8 s of 10")
			}
		}
		out, err := b.drain()
		require.NoError(t, err)
		require.Equal(t, 7, out.Delivered)
		require.Equal(t, 3, store.records)
	})
}

func TestDrainReportsWhatTheStoreCannotDo(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"BeginDrain", "DueDeliveries", "AdvanceReplay", "RecordAttempts", "EndDrain"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, (&deliveryStore{}).queued(stream, 1).due().failOnce(method, unavailable))
			_, err := b.drain()
			requireFailure(t, err, pipeline.CodeUnavailable, true)

			_, err = b.drain()
			require.NoError(t, err)
			require.Equal(t, []int64{1}, b.store.recorded(), "nothing is lost")
		})
	}
}

// oneByOne has deliveries of n streams, one request at a time.
func oneByOne(t *testing.T, n int) *bench {
	t.Helper()
	narrow := pipeline.Webhook{ID: 1, MaxConcurrency: 1}
	return newBench(t, (&deliveryStore{how: pipeline.Drain{MaxConcurrency: 1}}).with(narrow).streams(n).due())
}

func TestDrainLeavesAnEndpointAloneThatKeepsFailing(t *testing.T) {
	t.Parallel()
	b := oneByOne(t, 50)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result { return failed(d) }
	out, err := b.drain()
	require.NoError(t, err)
	require.Equal(t, pipeline.BreakerLimit, out.Failed)
	require.Len(t, b.store.recorded(), pipeline.BreakerLimit)
	require.Len(t, b.store.handedOver(), 40, "they stay due")
	require.Len(t, b.store.ends, 1)
}

// Those that were under way when the tenth failed are carried through, and no more begin.
func TestDrainLeavesAFailingEndpointAloneWithinABatch(t *testing.T) {
	t.Parallel()
	store := (&deliveryStore{how: pipeline.Drain{MaxConcurrency: 5}}).with(pipeline.Webhook{ID: 1, MaxConcurrency: 5})
	b := newBench(t, store.streams(100).due())
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result { return failed(d) }
	out, err := b.drain()
	require.NoError(t, err)
	require.GreaterOrEqual(t, out.Failed, pipeline.BreakerLimit)
	require.Less(t, out.Failed, pipeline.BreakerLimit+5)
	require.Len(t, b.store.recorded(), out.Failed)
}

func TestDrainGoesOnWhereAnEndpointFailsNowAndThen(t *testing.T) {
	t.Parallel()
	b := oneByOne(t, 50)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		if d.DeliveryID%pipeline.BreakerLimit == 0 {
			return delivered(d)
		}
		return failed(d)
	}
	out, err := b.drain()
	require.NoError(t, err)
	require.Equal(t, 5, out.Delivered)
	require.Equal(t, 45, out.Failed)
}

func TestDrainStopsWhereTheEndpointIsGone(t *testing.T) {
	t.Parallel()
	b := oneByOne(t, 5)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		r := failed(d)
		r.Gone = d.DeliveryID == 3
		return r
	}
	out, err := b.drain()
	require.NoError(t, err)
	require.Equal(t, 3, out.Failed)
	require.Equal(t, []int64{1, 2, 3}, b.store.recorded())
}

// At an ordered webhook only the stream waits whose event failed, and only until it is done
// with. At others nothing waits.
func TestDrainKeepsTheNextOfAStreamBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ordered bool
		answer  func(pipeline.Dispatch) pipeline.Result
		sent    []int64
	}{
		"ordered, failed":    {true, failed, []int64{1, 2, 4}},
		"ordered, exhausted": {true, exhausted, []int64{1, 2, 3, 4}},
		"unordered":          {false, failed, []int64{1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := (&deliveryStore{}).with(pipeline.Webhook{ID: 1, Ordered: c.ordered})
			store.queued(stream, 1).queued(another, 1).queued(stream, 1).queued(another, 1).due()
			b := newBench(t, store)
			stop := make(chan struct{})
			b.SetWorkerStopChannel(stop)
			b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
				if d.DeliveryID == 1 {
					return c.answer(d)
				}
				return delivered(d)
			}
			// One batch: where the store does not keep the third back, the activity has to.
			b.store.afterBatch = func() { close(stop) }
			_, err := b.drain()
			require.NoError(t, err)
			require.Equal(t, c.sent, slices.Sorted(slices.Values(b.sender.ids())))
		})
	}
}

func TestDrainTakesAReplayFurtherWhereNothingIsDue(t *testing.T) {
	t.Parallel()
	store := (&deliveryStore{}).streams(3).due()
	next := func() { store.streams(2).due() }
	nothing := func() {}
	store.replay = []func(){next, nothing, next}
	b := newBench(t, store)
	out, err := b.drain()
	require.NoError(t, err)
	require.Equal(t, 7, out.Delivered)
	require.Equal(t, 3, store.steps)
	require.True(t, out.NextDue.IsZero())
}

// While nothing can be sent, a replay must not become a heap of deliveries that wait.
func TestDrainDoesNotTakeAReplayFurtherForNothing(t *testing.T) {
	t.Parallel()
	store := &deliveryStore{}
	for range 100 {
		store.replay = append(store.replay, func() {})
	}
	b := newBench(t, store)
	_, err := b.drain()
	require.NoError(t, err)
	require.Equal(t, activities.Fruitless+1, store.steps)
}

func TestDrainDoesNotTakeAReplayFurtherWhereTheLastAttemptFailed(t *testing.T) {
	t.Parallel()
	store := (&deliveryStore{}).queued(stream, 1, 1).due()
	store.replay = []func(){func() {}}
	b := newBench(t, store)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result { return failed(d) }
	_, err := b.drain()
	require.NoError(t, err)
	require.Zero(t, store.steps)
}

// While the store believes that a drain is at work nobody wakes the webhook, so it is always
// told of the end.
func TestDrainAlwaysSaysThatItEnds(t *testing.T) {
	t.Parallel()
	for name, arrange := range map[string]func(b *bench, cancel, stop func()){
		"done":          func(*bench, func(), func()) {},
		"cannot read":   func(b *bench, _, _ func()) { b.store.failOnce("DueDeliveries", unavailable) },
		"cannot replay": func(b *bench, _, _ func()) { b.store.failOnce("AdvanceReplay", unavailable) },
		"cannot record": func(b *bench, _, _ func()) { b.store.failOnce("RecordAttempts", unavailable) },
		"cannot wake": func(b *bench, _, _ func()) {
			b.store.wakes, b.waker.fails = []int64{2}, map[int64]error{2: unavailable}
		},
		"gone":                   func(b *bench, _, _ func()) { b.sender.answer = answer(func(r *pipeline.Result) { r.Gone = true }) },
		"cancelled":              func(b *bench, cancel, _ func()) { b.sender.answer = answer(func(*pipeline.Result) { cancel() }) },
		"its worker stops":       func(b *bench, _, stop func()) { b.sender.answer = answer(func(*pipeline.Result) { stop() }) },
		"its worker has stopped": func(_ *bench, _, stop func()) { stop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, (&deliveryStore{}).queued(stream, 1, 1).due())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
			stop := make(chan struct{})
			b.SetWorkerStopChannel(stop)
			arrange(b, cancel, sync.OnceFunc(func() { close(stop) }))
			_, _ = b.drain()
			require.Len(t, b.store.ends, 1)
			require.False(t, b.store.isAtWork(1))
		})
	}
}

// answer is a failed attempt, after something happened.
func answer(with func(*pipeline.Result)) func(context.Context, pipeline.Dispatch) pipeline.Result {
	return func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		r := failed(d)
		with(&r)
		return r
	}
}

// Where the end could not be told, Temporal tries again, and the store may go on believing
// that a drain is at work.
func TestDrainThatCannotSayThatItEndsIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1).due().failOnce("EndDrain", unavailable))
	_, err := b.drain()
	requireFailure(t, err, pipeline.CodeUnavailable, true)
	require.True(t, b.store.isAtWork(1))
}

func TestDrainOfADeletedWebhookIsOver(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).failOnce("BeginDrain", pipeline.Errorf(pipeline.CodeNotFound, "there is no such webhook")))
	out, err := b.drain()
	require.NoError(t, err)
	require.Zero(t, out)
	require.Empty(t, b.store.ends)
}

func TestDrainWakesWhomTheStoreNames(t *testing.T) {
	t.Parallel()
	store := (&deliveryStore{wakes: []int64{5, 6, 5}}).queued(stream, 1).due()
	b := newBench(t, store)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result { return failed(d) }
	_, err := b.drain()
	require.NoError(t, err)
	require.Equal(t, map[int64]int{5: 1, 6: 1}, b.waker.woken, "and not itself")
}

// Where nothing is due by the worker's look and something is by the store's word, the workflow
// must not run in circles.
func TestDrainOfNothingIsNotRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		close(stop)
		b := newBench(t, (&deliveryStore{}).queued(stream, 1).due())
		b.SetWorkerStopChannel(stop)
		out, err := b.drain()
		require.NoError(t, err)
		require.True(t, out.NextDue.Equal(time.Now().Add(time.Second)))
	})
}

// BenchmarkDrain replays 20,000 events over a store and an endpoint that take the time that
// real ones do (Postgres on the same machine, a receiver on loopback).
func BenchmarkDrain(b *testing.B) {
	const events, batch = 20_000, 500
	for b.Loop() {
		store := &slowStore{deliveryStore: &deliveryStore{how: pipeline.Drain{MaxConcurrency: 20}}}
		for range events / batch {
			store.replay = append(store.replay, func() { store.rows = store.rows[:0]; store.streams(batch).due() })
		}
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		send := &sender{answer: func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
			time.Sleep(time.Millisecond)
			return delivered(d)
		}}
		env.RegisterActivity(&activities.Deliveries{Store: store, Sender: send, Waker: &waker{}, Gate: activities.NewGate()})
		began := time.Now()
		out, err := run(env, deliveries.DrainDeliveries, activities.DrainInput{WebhookID: 1})
		require.NoError(b, err)
		require.Equal(b, events, out.Delivered)
		b.ReportMetric(events/time.Since(began).Seconds(), "events/s")
	}
}

// slowStore takes about as long as Postgres does for 500 rows.
type slowStore struct{ *deliveryStore }

func (s *slowStore) DueDeliveries(ctx context.Context, id int64, limit int) ([]pipeline.Dispatch, error) {
	time.Sleep(10 * time.Millisecond)
	return s.deliveryStore.DueDeliveries(ctx, id, limit)
}

func (s *slowStore) RecordAttempts(ctx context.Context, results []pipeline.Result, slow []int64) ([]int64, error) {
	time.Sleep(20 * time.Millisecond)
	return s.deliveryStore.RecordAttempts(ctx, results, slow)
}

func (s *slowStore) AdvanceReplay(ctx context.Context, id int64, limit int) (bool, error) {
	time.Sleep(20 * time.Millisecond)
	return s.deliveryStore.AdvanceReplay(ctx, id, limit)
}
