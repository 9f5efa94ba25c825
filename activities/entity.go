package activities

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// The bounds of DeliverWebhooks: how much it reads at a time, and how long an entity goes on
// beginning attempts before it leaves the rest to the webhooks.
const (
	freshLimit     = 500
	entityPatience = 15 * time.Second
)

// When an entity that waits for an answer looks for what was recorded meanwhile: not before it
// has waited for a moment, so that a quick endpoint costs no second look, and now and then even
// though nobody rang. After a while only an endpoint that is really slow is a reason to look:
// otherwise a busy entity would never be done.
const (
	moment      = 20 * time.Millisecond
	nowAndThen  = time.Second
	looksFreely = 5 * time.Second
)

// DeliverInput names the entity whose deliveries are to be sent.
type DeliverInput struct {
	Stream pipeline.Stream
}

// DeliverResult counts what came of it. Later are those that were left to the Webhook
// workflows: failed ones, and those of webhooks that an entity had better not wait for. Newest is
// the latest version of the stream that had something to deliver, 0 where none had: a workflow that
// knows less has lost the task in which it was recorded.
type DeliverResult struct {
	Delivered int
	Later     int
	Newest    int64
}

// DeliverWebhooks sends what an entity has to tell: each webhook's deliveries in order, the
// webhooks side by side. After a webhook's first failure or slow answer the rest of its queue
// is left to its own workflow. So is what finds no place at the gate: many entities that flood
// one endpoint do not wait for it.
//
// While it waits for an answer that takes long, it sends what happens to the entity meanwhile
// to the other webhooks. So a bad partner has an entity wait once at most, and nobody else.
func (d *Deliveries) DeliverWebhooks(ctx context.Context, in DeliverInput) (DeliverResult, error) {
	stop := beating(ctx, func() any { return nil })
	defer stop()
	rung, hangUp := d.Bell.listen(in.Stream)
	defer hangUp()
	run := &entity{
		Deliveries: d, window: openWindow(ctx, entityPatience), began: time.Now(), rung: rung,
		taken: map[int64]bool{}, lanes: map[int64]*lane{}, idle: make(chan struct{}, 1),
	}
	defer run.window.close()
	for {
		fresh, err := d.Store.FreshDeliveries(ctx, in.Stream, freshLimit)
		run.take(ctx, fresh)
		idle := run.wait(ctx, err != nil)
		err = errors.Join(err, run.settle(ctx))
		if err != nil && !idle {
			run.wait(ctx, true) // what is under way is recorded in any case
			err = errors.Join(err, run.settle(ctx))
		}
		if err != nil || idle && len(fresh) < freshLimit {
			return run.out, Failure(err)
		}
	}
}

// entity is one run of DeliverWebhooks.
type entity struct {
	*Deliveries

	window window
	began  time.Time
	rung   <-chan struct{}
	taken  map[int64]bool // deliveries that this run has seen
	out    DeliverResult

	mu    sync.Mutex
	lanes map[int64]*lane // by webhook
	busy  int             // lanes at work
	idle  chan struct{}   // gets something when one of them is done
	sent  []pipeline.Result
	rest  []int64 // deliveries to be handed over
}

// lane is what one webhook gets, one after the other.
type lane struct {
	queue   []pipeline.Dispatch
	working bool
	asked   time.Time // when the attempt under way began; zero where there is none
	closed  bool      // the rest is its own workflow's
}

// take puts what it has not seen before on the lanes, and lets those work that do not yet.
func (r *entity) take(ctx context.Context, fresh []pipeline.Dispatch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range fresh {
		if r.taken[d.DeliveryID] {
			continue
		}
		r.taken[d.DeliveryID] = true
		r.out.Newest = max(r.out.Newest, d.Event.Version)
		l, ok := r.lanes[d.Webhook.ID]
		if !ok {
			l = &lane{}
			r.lanes[d.Webhook.ID] = l
		}
		if d.Later {
			r.close(l) // or this one would overtake what is still queued
		}
		if l.closed {
			r.rest = append(r.rest, d.DeliveryID)
			continue
		}
		l.queue = append(l.queue, d)
	}
	// All webhooks at once: were there a limit, so many dead ones would keep the others waiting.
	for _, l := range r.lanes {
		if len(l.queue) > 0 && !l.working {
			l.working = true
			r.busy++
			go r.work(ctx, l)
		}
	}
}

// work sends a lane's queue, until it is empty or closed.
func (r *entity) work(ctx context.Context, l *lane) {
	for {
		d, ok := r.next(l)
		if !ok {
			return
		}
		result := r.Sender.Deliver(ctx, d)
		r.Gate.leftByEntity(d.Webhook.ID)
		r.mu.Lock()
		r.sent = append(r.sent, result)
		l.asked = time.Time{}
		if !result.OK() || slow(result) {
			r.close(l)
		}
		r.mu.Unlock()
	}
}

// next takes the next delivery of a lane and a place at the gate for it.
func (r *entity) next(l *lane) (pipeline.Dispatch, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mayBegin := len(l.queue) > 0 && r.window.isOpen() && r.Gate.tryEnter(l.queue[0].Webhook)
	if !mayBegin {
		if len(l.queue) > 0 {
			r.close(l)
		}
		l.working = false
		r.busy--
		select {
		case r.idle <- struct{}{}:
		default: // it is to look anyway
		}
		return pipeline.Dispatch{}, false
	}
	d := l.queue[0]
	l.queue, l.asked = l.queue[1:], time.Now()
	return d, true
}

// close leaves what a lane has, and what it would get, to the webhook's own workflow.
func (r *entity) close(l *lane) {
	l.closed = true
	for _, d := range l.queue {
		r.rest = append(r.rest, d.DeliveryID)
	}
	l.queue = nil
}

// wait until all lanes are done, or until it is time to look for what is new, unless that is
// of no use any more. It says whether all are done.
func (r *entity) wait(ctx context.Context, toTheEnd bool) (idle bool) {
	timer := time.NewTimer(r.pause())
	defer timer.Stop()
	if toTheEnd || ctx.Err() != nil {
		timer.Stop()
	}
	waited := false
	var rung <-chan struct{} // at first it does not listen
	for !r.isIdle() {
		select {
		case <-r.idle: // or it was earlier
		case <-rung:
			return false
		case <-timer.C:
			if waited {
				return false
			}
			waited, rung = true, r.rung
			timer.Reset(nowAndThen)
		}
	}
	return true
}

func (r *entity) isIdle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy == 0
}

// pause is how long to wait at least before it is worth looking again.
func (r *entity) pause() time.Duration {
	if time.Since(r.began) < looksFreely {
		return moment
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lanes {
		if !l.asked.IsZero() && time.Since(l.asked) > webhook.SlowAnswer {
			return moment
		}
	}
	return webhook.SlowAnswer
}

// settle records what was sent, hands over what is left, and wakes the webhooks that have
// something to do. It does so even where the activity was cancelled meanwhile: partners got
// what they got.
func (r *entity) settle(ctx context.Context) error {
	ctx, cancel := settling(ctx)
	defer cancel()
	r.mu.Lock()
	sent, rest := r.sent, r.rest
	r.sent, r.rest = nil, nil
	r.mu.Unlock()
	wake, err := r.record(ctx, sent)
	if err != nil {
		return err
	}
	for _, s := range sent {
		switch s.Status {
		case pipeline.DeliveryDelivered:
			r.out.Delivered++
		case pipeline.DeliveryPending:
			r.out.Later++
		default: // it was the last attempt: nothing is left to do
		}
	}
	r.out.Later += len(rest)
	return r.leave(ctx, rest, wake)
}
