package activities_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

func byWebhook(d pipeline.Dispatch) int64          { return d.Webhook.ID }
func byStream(d pipeline.Dispatch) pipeline.Stream { return d.Event.Stream }

func TestDeliverNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).queued(another, 1))
	out, err := b.deliver()
	require.NoError(t, err)
	require.Zero(t, out)
	require.Empty(t, b.sender.ids())
	require.Empty(t, b.waker.list())
}

func TestDeliverKeepsTheOrderOfEachWebhook(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 2, 3, 1, 2, 3, 3, 2, 1))
	out, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, activities.DeliverResult{Delivered: 9, Newest: 9}, out)
	require.Equal(t, map[int64][]int64{1: {1, 4, 9}, 2: {2, 5, 8}, 3: {3, 6, 7}}, orders(b.sender, byWebhook))
	require.Len(t, b.store.recorded(), 9)
	require.Empty(t, b.waker.list())
}

// barrier lets nobody pass before all have come, or until somebody has waited far too long.
func barrier(n int) (pass func() bool) {
	var waiting sync.WaitGroup
	waiting.Add(n)
	all := make(chan struct{})
	go func() {
		waiting.Wait()
		close(all)
	}()
	return func() bool {
		waiting.Done()
		select {
		case <-all:
			return true
		case <-time.After(20 * time.Second):
			return false
		}
	}
}

// However many webhooks hang, the others are served: all are tried at once.
func TestDeliverServesWebhooksSideBySide(t *testing.T) {
	t.Parallel()
	const n = 100
	store := &deliveryStore{}
	for webhook := range int64(n) {
		store.queued(stream, webhook+1)
	}
	b := newBench(t, store)
	pass := barrier(n)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		if !pass() {
			return failed(d)
		}
		return delivered(d)
	}
	out, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, activities.DeliverResult{Delivered: n, Newest: n}, out)
}

func TestDeliverLeavesTheRestOfABadWebhooksQueue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(pipeline.Dispatch) pipeline.Result
		out    activities.DeliverResult
		slow   []int64
	}{
		"failed":    {failed, activities.DeliverResult{Delivered: 2, Later: 3, Newest: 5}, nil},
		"slow":      {deliveredSlowly, activities.DeliverResult{Delivered: 3, Later: 2, Newest: 5}, []int64{1}},
		"exhausted": {exhausted, activities.DeliverResult{Delivered: 2, Later: 2, Newest: 5}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, (&deliveryStore{}).queued(stream, 1, 2, 1, 2, 1))
			b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
				if d.Webhook.ID == 1 {
					return c.answer(d)
				}
				return delivered(d)
			}
			out, err := b.deliver()
			require.NoError(t, err)
			require.Equal(t, c.out, out)
			require.Equal(t, map[int64][]int64{1: {1}, 2: {2, 4}}, orders(b.sender, byWebhook), "one wait at most")
			require.Equal(t, []int64{1, 2, 4}, b.store.recorded())
			require.Equal(t, []int64{3, 5}, b.store.handedOver())
			require.Equal(t, map[int64]int{1: 1}, b.waker.woken)
			require.Equal(t, c.slow, b.store.slow)
		})
	}
}

func TestDeliverWakesAWebhookWhoseOnlyDeliveryFailed(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 2))
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result { return failed(d) }
	out, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, activities.DeliverResult{Later: 2, Newest: 2}, out)
	require.Equal(t, map[int64]int{1: 1, 2: 1}, b.waker.woken)
	require.Empty(t, b.store.handedOver(), "they have the time of their next attempt")
}

func TestDeliverDoesNotWakeForNothing(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(pipeline.Dispatch) pipeline.Result{"slow": deliveredSlowly, "exhausted": exhausted} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, (&deliveryStore{}).queued(stream, 1))
			b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result { return answer(d) }
			_, err := b.deliver()
			require.NoError(t, err)
			require.Empty(t, b.waker.list())
		})
	}
}

func TestDeliverLeavesWhatIsMarkedForLater(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 2, 1).later(1))
	out, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, activities.DeliverResult{Delivered: 1, Later: 2, Newest: 3}, out)
	require.Equal(t, []int64{2}, b.sender.ids())
	require.Equal(t, []int64{1, 3}, b.store.handedOver())
	require.Equal(t, map[int64]int{1: 1}, b.waker.woken)
}

// More than one read's worth does not wait for the sweep.
func TestDeliverTakesEverything(t *testing.T) {
	t.Parallel()
	const n = 1001
	store := &deliveryStore{}
	for range n {
		store.queued(stream, 1)
	}
	b := newBench(t, store)
	out, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, activities.DeliverResult{Delivered: n, Newest: n}, out)
	require.IsIncreasing(t, b.sender.ids())
}

func TestDeliverReportsWhatTheStoreCannotDo(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"FreshDeliveries", "RecordAttempts", "HandOver"} {
		for _, c := range []struct {
			err     *pipeline.Error
			retried bool
		}{{unavailable, true}, {pipeline.Errorf(pipeline.CodeInvalid, "cannot be stored"), false}} {
			t.Run(method+" "+string(c.err.Code), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, (&deliveryStore{}).queued(stream, 1, 2).later(2).failOnce(method, c.err))
				_, err := b.deliver()
				requireFailure(t, err, c.err.Code, c.retried)
			})
		}
	}
}

// What was sent and could not be recorded is sent again: at least once.
func TestDeliverAgainAfterRecordingFailed(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 1, 2).later(2).failOnce("RecordAttempts", unavailable))
	_, err := b.deliver()
	requireFailure(t, err, pipeline.CodeUnavailable, true)
	require.Equal(t, []int64{1, 2}, b.sender.ids())
	require.Equal(t, []int64{1, 2, 3}, b.store.fresh(), "nothing is lost")

	out, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, activities.DeliverResult{Delivered: 2, Later: 1, Newest: 3}, out)
	require.Equal(t, []int64{1, 2, 1, 2}, b.sender.ids(), "with the same events")
	require.Equal(t, []int64{1, 2}, b.store.recorded())
	require.Equal(t, []int64{3}, b.store.handedOver())
}

func TestDeliverAgainAfterHandOverFailed(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 2).later(2).failOnce("HandOver", unavailable))
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result { return failed(d) }
	_, err := b.deliver()
	requireFailure(t, err, pipeline.CodeUnavailable, true)
	require.Equal(t, []int64{1}, b.store.recorded())
	require.Equal(t, []int64{2}, b.store.fresh(), "nothing is lost")
	require.Equal(t, []int64{1}, b.waker.list(), "a retry would not see that webhook 1 has something to do")

	out, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, activities.DeliverResult{Later: 1, Newest: 2}, out)
	require.Equal(t, []int64{1}, b.sender.ids(), "what was recorded is not sent again")
	require.Equal(t, []int64{2}, b.store.handedOver())
	require.Equal(t, []int64{1, 2}, b.waker.list())
}

func TestDeliverReportsThatAWebhookCannotBeWoken(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 2, 3).later(1).later(2).later(3))
	b.waker.fails = map[int64]error{2: pipeline.Errorf(pipeline.CodeUnavailable, "the command could not be completed now")}
	_, err := b.deliver()
	requireFailure(t, err, pipeline.CodeUnavailable, true)
	require.Equal(t, []int64{1, 3}, b.waker.list(), "the others are woken all the same")
	require.Equal(t, []int64{1, 2, 3}, b.store.handedOver(), "where the watch finds what is due")
}

// The activity is cancelled when its worker's patience with it is over.
func TestDeliverRecordsWhatWasSentBeforeItWasCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 1, 1, 2).later(2))
	b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		if d.DeliveryID == 2 {
			cancel()
		}
		return delivered(d)
	}
	_, _ = b.deliver() // nobody waits for the result any more
	require.Equal(t, []int64{1, 2}, b.sender.ids(), "no attempt begins after that")
	require.Equal(t, []int64{1, 2}, b.store.recorded())
	require.Equal(t, []int64{3, 4}, b.store.handedOver())
	require.Equal(t, []int64{1, 2}, b.waker.list())
}

func TestDeliverEndsWhenTheWorkerStops(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 1, 1))
	b.SetWorkerStopChannel(stop)
	b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
		if d.DeliveryID == 2 {
			close(stop)
		}
		return delivered(d)
	}
	out, err := b.deliver()
	require.NoError(t, err)
	require.Equal(t, activities.DeliverResult{Delivered: 2, Later: 1, Newest: 3}, out)
	require.Equal(t, []int64{3}, b.store.handedOver())
	require.Equal(t, []int64{1}, b.waker.list())
}

func TestDeliverHasItsPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, (&deliveryStore{}).queued(stream, 1, 1, 1, 1, 1, 1))
		b.sender.answer = func(_ context.Context, d pipeline.Dispatch) pipeline.Result {
			time.Sleep(4 * time.Second)
			return delivered(d)
		}
		out, err := b.deliver()
		require.NoError(t, err)
		require.Equal(t, activities.DeliverResult{Delivered: 4, Later: 2, Newest: 6}, out, "begun after 0, 4, 8 and 12 s of 15")
		require.Equal(t, []int64{5, 6}, b.store.handedOver())
	})
}

func TestSweepWakesTheOwners(t *testing.T) {
	t.Parallel()
	b := newBench(t, (&deliveryStore{}).queued(stream, 1, 2))
	out, err := run(b.TestActivityEnvironment, deliveries.SweepDeliveries, activities.SweepInput{})
	require.NoError(t, err)
	require.Equal(t, activities.SweepResult{Woken: 2}, out)
	require.Equal(t, []int64{1, 2}, b.waker.list())
	require.Equal(t, 2*time.Minute, b.store.grace)

	b.waker.fails = map[int64]error{1: errors.New("no")}
	_, err = run(b.TestActivityEnvironment, deliveries.SweepDeliveries, activities.SweepInput{})
	requireFailure(t, err, pipeline.CodeInternal, true)
	require.Equal(t, 2, b.waker.woken[2])

	b.store.failOnce("SweepDeliveries", unavailable)
	_, err = run(b.TestActivityEnvironment, deliveries.SweepDeliveries, activities.SweepInput{})
	requireFailure(t, err, pipeline.CodeUnavailable, true)
}
