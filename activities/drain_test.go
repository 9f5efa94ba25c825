package activities_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
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
		// Where there is no timeout, the SDK holds beats back for 30 s; where there is, for 0.8 of it.
		require.Equal(t, []time.Duration{5 * time.Second, 35 * time.Second}, beats())
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
