package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/dealwright/dealwright/pipeline"
)

// queue is what has to go one after the other.
type queue []pipeline.Dispatch

// byStream groups deliveries by stream, keeping their order within each group and the groups'
// own order.
func byStream(dispatches []pipeline.Dispatch) []queue {
	index := map[pipeline.Stream]int{}
	var out []queue
	for _, d := range dispatches {
		i, ok := index[d.Event.Stream]
		if !ok {
			i = len(out)
			index[d.Event.Stream] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], d)
	}
	return out
}

// sending is how queues are worked off.
type sending struct {
	sender Sender
	atOnce int // queues side by side
	// admit is asked before every attempt, and may wait; a queue ends where it says no. Leave is
	// called after the attempt.
	admit func(pipeline.Dispatch) (leave func(), ok bool)
	// goOn is asked after every attempt, by one queue at a time; a queue ends where it says no.
	goOn func(pipeline.Dispatch, pipeline.Result) bool
}

// run works queues off side by side, each in order, and gives the results in the order in
// which the attempts ended.
func (s sending) run(ctx context.Context, queues []queue) []pipeline.Result {
	var (
		mu      sync.Mutex
		results []pipeline.Result
		wg      sync.WaitGroup
	)
	ended := func(d pipeline.Dispatch, r pipeline.Result) bool {
		mu.Lock()
		defer mu.Unlock()
		results = append(results, r)
		return s.goOn(d, r)
	}
	slots := make(chan struct{}, min(s.atOnce, len(queues)))
	for _, q := range queues {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for _, d := range q {
				leave, ok := s.admit(d)
				if !ok {
					return
				}
				r := s.sender.Deliver(ctx, d)
				leave()
				if !ended(d, r) {
					return
				}
			}
		})
	}
	wg.Wait()
	return results
}

// window is open as long as attempts may begin: until patience is used up, the activity is
// cancelled, its worker is about to stop, or somebody closes it. An attempt under way does not
// heed it. Its context is for what waits for an attempt to begin.
type window struct {
	ctx      context.Context //nolint:containedctx // it stands for the window and for no call
	close    context.CancelFunc
	stopping <-chan struct{}
}

func openWindow(ctx context.Context, patience time.Duration) window {
	w := window{stopping: activity.GetWorkerStopChannel(ctx)}
	w.ctx, w.close = context.WithTimeout(ctx, patience)
	go func() {
		select {
		case <-w.stopping:
			w.close()
		case <-w.ctx.Done():
		}
	}()
	return w
}

// isOpen asks for itself what may reach the context a little late.
func (w window) isOpen() bool {
	select {
	case <-w.stopping:
		return false
	default:
		end, _ := w.ctx.Deadline()
		return w.ctx.Err() == nil && time.Now().Before(end)
	}
}

// beatEvery is how often activities that send say that they are alive. The first beat comes
// after this time and not before: most are done by then, and a beat is a write at the Temporal
// server. It is not the 5 s after which an attempt ends as a rule: the SDK would warn of each
// beat that its activity's end overtakes. See HeartbeatTimeout.
const beatEvery = 7 * time.Second

// HeartbeatTimeout is how long an activity that beats may be silent before its worker counts as
// lost. The SDK holds beats back for 0.8 of this time.
const HeartbeatTimeout = 30 * time.Second

// beating sends heartbeats until stop is called, whatever the activity waits for meanwhile.
func beating(ctx context.Context, progress func() any) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				activity.RecordHeartbeat(ctx, progress())
			case <-ctx.Done():
				return
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
