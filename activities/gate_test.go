package activities_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// occupy takes so many of a webhook's places for entities.
func occupy(t *testing.T, g *activities.Gate, w pipeline.Webhook, n int) (leave func()) {
	t.Helper()
	all := make([]func(), 0, n)
	for range n {
		leave, ok := g.TryEnter(w)
		require.True(t, ok)
		all = append(all, leave)
	}
	return func() {
		for _, leave := range all {
			leave()
		}
	}
}

// All workers' entities and the one drain together never have more than the webhook allows.
func TestSharesAddUp(t *testing.T) {
	t.Parallel()
	for places := 1; places <= pipeline.MaxMaxConcurrency; places++ {
		require.Equal(t, places, activities.EntityShare(places, 1), "a worker that is alone shares them")
		require.Equal(t, places, activities.DrainShare(places, 1))
		for workers := 2; workers <= 30; workers++ {
			entities, drain := activities.EntityShare(places, workers), activities.DrainShare(places, workers)
			require.Equal(t, places, workers*entities+drain, "%d places, %d workers", places, workers)
			require.GreaterOrEqual(t, 2*drain, places)
		}
	}
}

func TestGateOfOneWorkerIsSharedByEntitiesAndDrain(t *testing.T) {
	t.Parallel()
	g, w := activities.NewGate(), pipeline.Webhook{ID: 1, MaxConcurrency: 3}
	leave := occupy(t, g, w, 2)
	leaveDrain, err := g.Enter(t.Context(), w)
	require.NoError(t, err)
	_, ok := g.TryEnter(w)
	require.False(t, ok)
	_, ok = g.TryEnter(pipeline.Webhook{ID: 2, MaxConcurrency: 3})
	require.True(t, ok, "another webhook's gate is another one")
	leaveDrain()
	occupy(t, g, w, 1)()
	leave()
	require.Equal(t, 1, g.Doors(), "a webhook that nobody sends to is forgotten")
}

func TestGateOfSeveralWorkersKeepsPlacesForTheDrain(t *testing.T) {
	t.Parallel()
	g, w := activities.NewGate(), pipeline.Webhook{ID: 1, MaxConcurrency: 10}
	g.SetWorkers(2)
	leave := occupy(t, g, w, 2)
	_, ok := g.TryEnter(w)
	require.False(t, ok, "10 places, half for entities, shared by two workers")
	for range 6 {
		_, err := g.Enter(t.Context(), w)
		require.NoError(t, err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := g.Enter(over, w)
	require.ErrorIs(t, err, context.Canceled)
	leave()
	occupy(t, g, w, 2)
}

func TestGateWithLittleRoomKeepsItForTheDrain(t *testing.T) {
	t.Parallel()
	g, w := activities.NewGate(), pipeline.Webhook{ID: 1, MaxConcurrency: 1}
	g.SetWorkers(2)
	_, ok := g.TryEnter(w)
	require.False(t, ok)
	_, err := g.Enter(t.Context(), w)
	require.NoError(t, err)
}

func TestGateLetsThoseInFirstWhoCameFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, w := activities.NewGate(), pipeline.Webhook{ID: 1, MaxConcurrency: 1}
		leave := occupy(t, g, w, 1)
		var waiting sync.WaitGroup
		var order []int
		for n := range 3 {
			waiting.Go(func() {
				leaveDrain, err := g.Enter(t.Context(), w)
				if err == nil {
					order = append(order, n)
					leaveDrain()
				}
			})
			synctest.Wait()
		}
		leave()
		waiting.Wait()
		require.Equal(t, []int{0, 1, 2}, order)
		require.Zero(t, g.Doors())
	})
}

func TestGateIsClosedToEntitiesWhileADrainWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, wide, narrow := activities.NewGate(), pipeline.Webhook{ID: 1, MaxConcurrency: 3}, pipeline.Webhook{ID: 1, MaxConcurrency: 1}
		leave := occupy(t, g, wide, 1)
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		waiting.Go(func() { _, _ = g.Enter(ctx, narrow) }) // the webhook was narrowed meanwhile
		synctest.Wait()
		_, ok := g.TryEnter(wide)
		require.False(t, ok)
		cancel()
		waiting.Wait()
		occupy(t, g, wide, 2)() // it has given up
		leave()
		require.Zero(t, g.Doors())
	})
}

// The others have left, so there is more room for those who wait already.
func TestGateLetsInWhenWorkersLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, w := activities.NewGate(), pipeline.Webhook{ID: 1, MaxConcurrency: 4}
		g.SetWorkers(2)
		for range 2 {
			_, err := g.Enter(t.Context(), w)
			require.NoError(t, err)
		}
		entered := make(chan error, 1)
		go func() {
			_, err := g.Enter(t.Context(), w)
			entered <- err
		}()
		synctest.Wait()
		require.Empty(t, entered)
		g.SetWorkers(1)
		require.NoError(t, <-entered)
	})
}

func TestDeliverLeavesWhatFindsNoPlace(t *testing.T) {
	t.Parallel()
	narrow := pipeline.Webhook{ID: 1, MaxConcurrency: 2}
	b := newBench(t, (&deliveryStore{}).with(narrow).queued(stream, 1, 2, 1))
	leave := occupy(t, b.gate, narrow, 2)
	out, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, activities.DeliverResult{Delivered: 1, Later: 2, Newest: 3}, out)
	require.Equal(t, []int64{2}, b.sender.ids())
	require.Equal(t, []int64{1, 3}, b.store.handedOver())
	require.Equal(t, map[int64]int{1: 1}, b.waker.woken)

	leave()
	b.store.queued(another, 1)
	_, err = run(b.TestActivityEnvironment, deliveries.DeliverWebhooks, activities.DeliverInput{Stream: another})
	require.NoError(t, err)
	require.Equal(t, []int64{2, 4}, b.sender.ids())
}

func TestDeliverLeavesWhatIsNotThisWorkersShare(t *testing.T) {
	t.Parallel()
	shared := pipeline.Webhook{ID: 1, MaxConcurrency: 8}
	b := newBench(t, (&deliveryStore{}).with(shared).queued(stream, 1))
	b.gate.SetWorkers(4)
	occupy(t, b.gate, shared, 1)
	out, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, activities.DeliverResult{Later: 1, Newest: 1}, out)
}

// Nobody is woken whose workflow will look in time by itself.
func TestDeliverWakesOnlyWhomTheStoreNames(t *testing.T) {
	t.Parallel()
	store := (&deliveryStore{wakesAt: map[int64]time.Time{1: atWork, 3: time.Now().Add(-time.Second), 4: time.Now().Add(time.Hour)}}).
		queued(stream, 1, 2, 3, 4).later(1).later(2).later(3).later(4)
	store.wakes = []int64{7}
	b := newBench(t, store.queued(stream, 5))
	_, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, []int64{1, 2, 3, 4}, b.store.handedOver())
	require.Equal(t, []int64{2, 4, 7}, b.waker.list(), "7 is told of something that happened to 5")
}

// crowd counts how many attempts are under way at once.
type crowd struct {
	mu        sync.Mutex
	now, most int
}

func (c *crowd) answer(_ context.Context, d pipeline.Dispatch) pipeline.Result {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	c.mu.Lock()
	c.now--
	c.mu.Unlock()
	return delivered(d)
}

func TestDrainKeepsToItsShare(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ places, workers, most int }{
		"alone":       {8, 1, 8},
		"one of two":  {8, 2, 4},
		"one of many": {8, 9, 8},
		"one at most": {1, 1, 1},
		"not said":    {0, 1, pipeline.DefaultMaxConcurrency},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := (&deliveryStore{how: pipeline.Drain{MaxConcurrency: c.places}}).with(pipeline.Webhook{ID: 1, MaxConcurrency: c.places})
				b := newBench(t, store.streams(40).due())
				b.gate.SetWorkers(c.workers)
				var crowd crowd
				b.sender.answer = crowd.answer
				out, err := b.drain()
				require.NoError(t, err)
				require.Equal(t, 40, out.Delivered)
				require.Equal(t, c.most, crowd.most)
			})
		})
	}
}

func TestDrainWaitsForEntitiesToLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		narrow := pipeline.Webhook{ID: 1, MaxConcurrency: 1}
		b := newBench(t, (&deliveryStore{how: pipeline.Drain{MaxConcurrency: 1}}).with(narrow).queued(stream, 1).due())
		leave := occupy(t, b.gate, narrow, 1)
		time.AfterFunc(7*time.Second, leave)
		began := time.Now()
		out, err := b.drain()
		require.NoError(t, err)
		require.Equal(t, 1, out.Delivered)
		require.Equal(t, 7*time.Second, time.Since(began))
	})
}
