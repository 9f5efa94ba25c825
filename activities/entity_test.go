package activities_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// waiting has an entity deliver to webhook 1, which takes its time, and to others, on a fake
// clock. Meanwhile does something at a time after the start, as a workflow that records does.
func waiting(
	t *testing.T, takes time.Duration, store *deliveryStore, meanwhile map[time.Duration]func(b *bench),
) (*bench, activities.DeliverResult, error) {
	t.Helper()
	b := newBench(t, store)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		if d.Webhook.ID != 1 {
			return delivered(d)
		}
		time.Sleep(takes)
		r := delivered(d)
		r.Attempt.LatencyMS = takes.Milliseconds()
		return r
	}
	for after, what := range meanwhile {
		time.AfterFunc(after, func() { what(b) })
	}
	out, err := b.deliver()
	return b, out, err
}

// happens records an event for webhooks 1 and 2.
func happens(b *bench) {
	b.store.mu.Lock()
	b.store.queued(stream, 1, 2)
	b.store.mu.Unlock()
	b.bell.Ring(stream)
}

// A slow endpoint has its entity wait, and no other webhook of that entity.
func TestDeliverTellsOthersWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		times := map[time.Duration]func(*bench){}
		for _, after := range []time.Duration{10 * time.Millisecond, 2 * time.Second, 2300 * time.Millisecond, 20 * time.Second} {
			times[after] = happens
		}
		began := time.Now()
		b, out, err := waiting(t, 25*time.Second, (&deliveryStore{}).queued(stream, 1, 2), times)
		require.NoError(t, err)
		require.Equal(t, 25*time.Second, time.Since(began), "it waited once")
		require.Equal(t, map[int64][]int64{1: {1}, 2: {2, 4, 6, 8}}, orders(b.sender, byWebhook))
		var told []time.Duration
		for i, d := range b.sender.sent {
			if d.Webhook.ID == 2 {
				told = append(told, b.sender.at[i].Sub(began))
			}
		}
		require.Equal(t, []time.Duration{0, 20 * time.Millisecond, 2 * time.Second, 2300 * time.Millisecond}, told)
		require.Equal(t, activities.DeliverResult{Delivered: 5, Later: 5, Newest: 10}, out)
		require.Equal(t, []int64{3, 5, 7, 9, 10}, b.store.handedOver(), "the rest of the slow one, and what came when its patience was over")
	})
}

// What is queued behind a slow answer when its webhook turns out to be one to leave alone is left
// together with what came after it, or that would overtake it.
func TestDeliverLeavesTheQueueBeforeWhatIsForLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		left := make(chan []int64, 1)
		b, _, err := waiting(t, 5*time.Second, (&deliveryStore{}).queued(stream, 1), map[time.Duration]func(*bench){
			time.Second: happens,
			2 * time.Second: func(b *bench) { // another entity found it slow
				b.store.mu.Lock()
				b.store.queued(stream, 1, 2).later(1)
				b.store.mu.Unlock()
				b.bell.Ring(stream)
			},
			4 * time.Second: func(b *bench) { left <- b.store.handedOver() },
		})
		require.NoError(t, err)
		require.Equal(t, []int64{2, 4}, <-left)
		require.Equal(t, map[int64][]int64{1: {1}, 2: {3, 5}}, orders(b.sender, byWebhook))
	})
}

// Where another worker recorded the event nobody rings.
func TestDeliverLooksNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b, _, err := waiting(t, 3*time.Second, (&deliveryStore{}).queued(stream, 1, 2), map[time.Duration]func(*bench){
			1500 * time.Millisecond: func(b *bench) {
				b.store.mu.Lock()
				defer b.store.mu.Unlock()
				b.store.queued(stream, 2)
			},
		})
		require.NoError(t, err)
		require.Equal(t, []int64{1, 2, 3}, b.store.recorded())
		require.Equal(t, 2040*time.Millisecond, b.sender.at[2].Sub(began))
	})
}

// What is done with is on record while the entity still waits.
func TestDeliverRecordsWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		early := make(chan []int64, 1)
		b, _, err := waiting(t, 5*time.Second, (&deliveryStore{}).queued(stream, 1, 2, 2), map[time.Duration]func(*bench){
			4 * time.Second: func(b *bench) { early <- b.store.recorded() },
		})
		require.NoError(t, err)
		require.Equal(t, []int64{2, 3}, <-early)
		require.Equal(t, []int64{1, 2, 3}, b.store.recorded())
	})
}

// An endpoint that is neither quick nor slow gets all events of a busy entity, in order; and
// the entity comes to an end.
func TestDeliverOfABusyEntityEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		times := map[time.Duration]func(*bench){}
		for n := range 200 {
			times[time.Duration(n+1)*110*time.Millisecond] = happens
		}
		began := time.Now()
		b, out, err := waiting(t, 100*time.Millisecond, (&deliveryStore{}).queued(stream, 1, 2), times)
		require.NoError(t, err)
		require.Less(t, time.Since(began), 7*time.Second)
		require.Zero(t, out.Later)
		require.Empty(t, b.store.handedOver())
		for _, order := range orders(b.sender, byWebhook) {
			require.IsIncreasing(t, order)
		}
		time.Sleep(30 * time.Second) // until all has happened
	})
}

// Whatever goes wrong meanwhile, the partner got what he got.
func TestDeliverRecordsTheSlowOneInAnyCase(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"FreshDeliveries", "RecordAttempts", "HandOver"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, _, err := waiting(t, 5*time.Second, (&deliveryStore{}).queued(stream, 1, 2), map[time.Duration]func(*bench){
					// Which is recorded at once, as the first was by then; and something for the slow one.
					2 * time.Second: func(b *bench) { b.store.failNext(method, unavailable); happens(b) },
				})
				requireFailure(t, err, pipeline.CodeUnavailable, true)
				require.Contains(t, b.store.recorded(), int64(1))
			})
		})
	}
}
