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

// paced is a drain of n deliveries of as many streams, on a fake clock.
func paced(t *testing.T, n int, how pipeline.Drain) (*bench, func() []time.Duration) {
	t.Helper()
	how.MaxConcurrency = 20
	b := newBench(t, (&deliveryStore{how: how}).streams(n).due())
	return b, b.sender.times()
}

func TestDrainSpacesRequestsEvenly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, times := paced(t, 25, pipeline.Drain{RateLimit: 4})
		out, err := b.drain()
		require.NoError(t, err)
		require.Equal(t, 25, out.Delivered)
		want := make([]time.Duration, 25)
		for n := range want {
			want[n] = time.Duration(n) * 250 * time.Millisecond
		}
		require.Equal(t, want, times(), "no burst, and none between batches")
		require.Equal(t, []int{20, 20, 20}, b.store.limits, "five seconds' worth at a time")
		require.WithinDuration(t, time.Now().Add(250*time.Millisecond), b.store.ends[0], time.Millisecond)
	})
}

func TestDrainGoesOnWhereTheLastOneEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, times := paced(t, 3, pipeline.Drain{RateLimit: 1, PacedUntil: time.Now().Add(400 * time.Millisecond)})
		_, err := b.drain()
		require.NoError(t, err)
		require.Equal(t, []time.Duration{400 * time.Millisecond, 1400 * time.Millisecond, 2400 * time.Millisecond}, times())
	})
}

func TestDrainDoesNotSaveUpRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, times := paced(t, 2, pipeline.Drain{RateLimit: 1, PacedUntil: time.Now().Add(-time.Hour)})
		_, err := b.drain()
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0, time.Second}, times())
	})
}

// A rate of one in ten seconds is kept by the workflow's timer.
func TestDrainLeavesLongWaitsToTheWorkflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, times := paced(t, 3, pipeline.Drain{RateLimit: 0.1})
		began := time.Now()
		for n := range 3 {
			out, err := b.drain()
			require.NoError(t, err)
			require.Equal(t, 1, out.Delivered)
			require.Zero(t, time.Since(began)-time.Duration(n)*10*time.Second, "nothing waited")
			require.WithinDuration(t, time.Now().Add(10*time.Second), b.store.ends[n], time.Millisecond)
			if n < 2 {
				require.True(t, b.store.ends[n].Equal(out.NextDue))
			}
			time.Sleep(10 * time.Second)
			b.store.how.PacedUntil = b.store.ends[n]
		}
		require.Equal(t, []time.Duration{0, 10 * time.Second, 20 * time.Second}, times())
		require.Equal(t, 1, b.store.limits[0])
	})
}

func TestDrainThatMayNotSendYetDoesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		later := time.Now().Add(time.Minute)
		b, times := paced(t, 1, pipeline.Drain{RateLimit: 0.01, PacedUntil: later})
		out, err := b.drain()
		require.NoError(t, err)
		require.Empty(t, times())
		require.Empty(t, b.store.limits)
		require.WithinDuration(t, later, out.NextDue, time.Millisecond)
	})
}

// Whoever waits for his turn when the worker stops has used nothing up.
func TestDrainThatIsStoppedWhileItWaitsUsesNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, times := paced(t, 5, pipeline.Drain{RateLimit: 0.25})
		stop := make(chan struct{})
		b.SetWorkerStopChannel(stop)
		began := time.Now()
		time.AfterFunc(time.Second, func() { close(stop) })
		_, err := b.drain()
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0}, times())
		require.Equal(t, time.Second, time.Since(began), "it stopped at once")
		require.WithinDuration(t, began.Add(4*time.Second), b.store.ends[0], time.Millisecond)
	})
}

func TestDrainThatIsCancelledWhileItWaitsEndsProperly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b, times := paced(t, 5, pipeline.Drain{RateLimit: 1})
		b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
		time.AfterFunc(1500*time.Millisecond, cancel)
		_, err := b.drain()
		require.Error(t, err)
		require.Len(t, times(), 2)
		require.Len(t, b.store.recorded(), 2)
		require.Len(t, b.store.ends, 1)
	})
}

// Without a limit nothing is paced.
func TestDrainWithoutALimitTakesWholeBatches(t *testing.T) {
	t.Parallel()
	b, _ := paced(t, 3, pipeline.Drain{PacedUntil: time.Now().Add(time.Hour)}) // the limit was taken away
	out, err := b.drain()
	require.NoError(t, err)
	require.Equal(t, 3, out.Delivered)
	require.Equal(t, []int{activities.DueLimit, activities.DueLimit}, b.store.limits)
	require.True(t, b.store.ends[0].IsZero())
}
