package activities

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/dealwright/dealwright/pipeline"
)

// farAway is how long an endpoint takes to answer that gets as many events side by side as it may.
const farAway = 100 * time.Millisecond

// headStart is how long an attempt has the endpoint to itself before the next one begins. So an
// endpoint that answers within that gets all events one after the other, in the order given,
// whichever entity they belong to. One that takes longer gets them in that order as well, side
// by side.
func headStart(atOnce int) time.Duration { return farAway / time.Duration(atOnce) }

// sending is how deliveries are worked off.
type sending struct {
	sender Sender
	atOnce int // attempts side by side
	// admit is asked before every attempt, and may wait; where it says no, nothing more begins.
	// Leave is called after the attempt.
	admit func(pipeline.Dispatch) (leave func(), ok bool)
	// goOn is asked after every attempt, one at a time; where it says no, the rest of the stream
	// is left alone.
	goOn func(pipeline.Dispatch, pipeline.Result) bool
}

// round is one run of a sending.
type round struct {
	sending

	due     []pipeline.Dispatch
	waiting []int                    // places in due of what has not begun, in order
	busy    map[pipeline.Stream]bool // streams with an attempt under way, and those that are left alone
	under   int                      // attempts under way
	last    int                      // the number of the attempt that began last, from 1
	began   time.Time                // when it did
	alone   bool                     // it has not ended
	ended   chan ended

	mu      sync.Mutex // for goOn, and for
	results []pipeline.Result
}

// ended is the end of an attempt.
type ended struct {
	attempt int
	stream  pipeline.Stream
	goOn    bool
}

// run sends deliveries in their order, at most so many side by side, and of a stream always one
// after the other: what waits for its stream lets others pass. It gives the results in the
// order in which the attempts ended.
func (s sending) run(ctx context.Context, due []pipeline.Dispatch) []pipeline.Result {
	r := &round{sending: s, due: due, busy: map[pipeline.Stream]bool{}, ended: make(chan ended, s.atOnce)}
	for i := range due {
		r.waiting = append(r.waiting, i)
	}
	for {
		next := r.next()
		if next < 0 || r.under == r.atOnce {
			if r.under == 0 {
				return r.results
			}
			r.end(<-r.ended)
			continue
		}
		if r.awaitHeadStart() {
			r.begin(ctx, next)
		}
	}
}

// next is the place in waiting of the first delivery whose stream is free, -1 where there is none.
func (r *round) next() int {
	return slices.IndexFunc(r.waiting, func(i int) bool { return !r.busy[r.due[i].Event.Stream] })
}

// awaitHeadStart says false where an attempt ended meanwhile, so that another may be next.
func (r *round) awaitHeadStart() bool {
	if !r.alone {
		return true
	}
	timer := time.NewTimer(time.Until(r.began.Add(headStart(r.atOnce))))
	defer timer.Stop()
	select {
	case e := <-r.ended:
		r.end(e)
		return false
	case <-timer.C:
		return true
	}
}

func (r *round) begin(ctx context.Context, next int) {
	d := r.due[r.waiting[next]]
	leave, ok := r.admit(d)
	if !ok {
		r.waiting = nil
		return
	}
	r.waiting = slices.Delete(r.waiting, next, next+1)
	r.busy[d.Event.Stream] = true
	r.under++
	r.last++
	r.began, r.alone = time.Now(), true
	attempt := r.last
	go func() {
		result := r.sender.Deliver(ctx, d)
		leave()
		r.ended <- ended{attempt: attempt, stream: d.Event.Stream, goOn: r.note(d, result)}
	}()
}

func (r *round) note(d pipeline.Dispatch, result pipeline.Result) (goOn bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result)
	return r.goOn(d, result)
}

func (r *round) end(e ended) {
	r.under--
	r.alone = r.alone && e.attempt != r.last
	r.busy[e.stream] = !e.goOn
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

// BeatEvery is how often activities that send say that they are alive. The first beat comes
// after this time and not before: most are done by then, and a beat is a write at the Temporal
// server. It is not the 5 s after which an attempt ends as a rule: the SDK would warn of each
// beat that its activity's end overtakes. The SDK has to be told too (in its option
// MaxHeartbeatThrottleInterval): by itself it holds beats back for 0.8 of HeartbeatTimeout, and
// then one that is a little late is too late.
const BeatEvery = 2 * time.Second

// HeartbeatTimeout is how long an activity that beats may be silent before its worker counts as
// lost, and another takes its work over. Three beats: a worker that is merely busy is not to be
// taken for lost, since what it sends would be sent twice.
const HeartbeatTimeout = 7 * time.Second

// beating sends heartbeats until stop is called, whatever the activity waits for meanwhile.
func beating(ctx context.Context, progress func() any) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(BeatEvery)
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
