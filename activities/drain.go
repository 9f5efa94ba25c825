package activities

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// DrainInput names the webhook whose due deliveries are to be sent.
type DrainInput struct {
	WebhookID int64
}

// DrainResult says when there is something to do next; the zero time where nothing waits.
type DrainResult struct {
	Delivered int
	Failed    int
	NextDue   time.Time
}

// The bounds of one run of DrainDeliveries: how many deliveries it reads at a time, how many
// events of a replay become deliveries at a time, and how long it goes on beginning attempts.
// The last lets its workflow see progress; a worker that stops does not wait for it.
const (
	dueLimit      = 500
	replayLimit   = 500
	drainPatience = time.Minute
	// batchPatience is how long a batch goes on beginning attempts. It bounds what is sent again
	// when a worker is lost, and how long a webhook is sent to after somebody has disabled it. It
	// is longer than longestPause and a batch at any rate limit together.
	batchPatience = 2 * longestPause
	// fruitless is how often a replay is advanced in a row although nothing is due after it: its
	// webhook's filter takes none of the events, or nothing may be sent at the moment, and then
	// the replay must not become a heap of waiting deliveries.
	fruitless = 20
)

// clockPause is what a drain that found nothing to do waits at least before the next, where it
// is told that something is due already: the clocks of worker and Postgres differ, and the
// workflow would run in circles.
const clockPause = time.Second

// DrainDeliveries sends what is due at one webhook, the oldest first and each entity's one after
// the other, batch after batch, as fast as the webhook's concurrency and rate limit allow. Where
// nothing is due, a replay that is running is taken a step further. It stops where the endpoint
// keeps failing, so that its circuit opens, and where it says that it is gone.
func (d *Deliveries) DrainDeliveries(ctx context.Context, in DrainInput) (DrainResult, error) {
	how, err := d.Store.BeginDrain(ctx, in.WebhookID)
	if pipeline.CodeOf(err) == pipeline.CodeNotFound {
		return DrainResult{}, nil // it was deleted: there is nothing to do, now or later
	}
	if err != nil {
		return DrainResult{}, Failure(err)
	}
	run := &drain{
		Deliveries: d, webhookID: in.WebhookID, window: openWindow(ctx, drainPatience),
		pace:   newPace(how.RateLimit, how.PacedUntil),
		places: places(pipeline.Webhook{MaxConcurrency: how.MaxConcurrency}),
	}
	defer run.window.close()
	run.show()
	stop := beating(ctx, func() any { return *run.shown.Load() })
	defer stop()
	err = run.all(ctx)
	next, endErr := run.end(ctx)
	run.out.NextDue = next
	if err := errors.Join(err, endErr); err != nil {
		return run.out, Failure(err)
	}
	return run.out, ctx.Err()
}

// drain is one run of DrainDeliveries.
type drain struct {
	*Deliveries

	webhookID int64
	window    window
	batchEnds time.Time // no attempt of the batch begins after it
	pace      *pace
	places    int
	failures  int  // in a row, up to the last attempt
	advanced  bool // the replay was
	out       DrainResult
	shown     atomic.Pointer[DrainResult] // out, for the heartbeat
}

func (r *drain) show() {
	out := r.out
	r.shown.Store(&out)
}

// all sends batch after batch until nothing is due, or nothing may begin any more.
func (r *drain) all(ctx context.Context) error {
	empty := 0
	for r.window.isOpen() && time.Until(r.pace.next()) <= longestPause {
		due, err := r.Store.DueDeliveries(ctx, r.webhookID, r.pace.batch(dueLimit))
		if err != nil {
			return err
		}
		if len(due) > 0 {
			empty = 0
			if err := r.batch(ctx, due); err != nil {
				return err
			}
			continue
		}
		more, err := r.advance(ctx)
		if err != nil {
			return err
		}
		empty++
		if !more || empty > fruitless {
			return nil
		}
	}
	return nil
}

// advance takes a replay a step further, unless the endpoint has just failed: while it rests,
// what is not sent is better left in the store of events.
func (r *drain) advance(ctx context.Context) (bool, error) {
	if r.failures > 0 {
		return false, nil
	}
	queued, err := r.Store.AdvanceReplay(ctx, r.webhookID, replayLimit)
	r.advanced = r.advanced || queued
	return queued, err
}

// batch sends and records, even where the activity is cancelled meanwhile.
func (r *drain) batch(ctx context.Context, due []pipeline.Dispatch) error {
	r.batchEnds = time.Now().Add(batchPatience)
	sent := sending{
		sender: r.Sender, atOnce: r.Gate.drainShare(r.places), admit: r.admit, goOn: r.goOn,
	}.run(ctx, due)
	settled, cancel := settling(ctx)
	defer cancel()
	wake, err := r.record(settled, sent)
	if err != nil {
		return err
	}
	for _, s := range sent {
		if s.OK() {
			r.out.Delivered++
		} else {
			r.out.Failed++
		}
	}
	r.show()
	return r.wake(settled, wake)
}

// admit waits for a place at the gate and for the rate limit's turn.
func (r *drain) admit(d pipeline.Dispatch) (func(), bool) {
	if !r.mayBegin() {
		return nil, false
	}
	leave, err := r.Gate.enter(r.window.ctx, d.Webhook)
	if err != nil {
		return nil, false
	}
	if !r.pace.wait(r.window.ctx) || !r.mayBegin() {
		leave()
		return nil, false
	}
	return leave, true
}

func (r *drain) mayBegin() bool { return r.window.isOpen() && time.Now().Before(r.batchEnds) }

// goOn counts failures, and ends the drain where the endpoint is better left alone. At an
// ordered webhook the next of a stream waits for the one before.
func (r *drain) goOn(d pipeline.Dispatch, result pipeline.Result) bool {
	if result.OK() {
		r.failures = 0
		return true
	}
	r.failures++
	if r.failures >= pipeline.BreakerLimit || result.Gone {
		r.window.close()
	}
	return !d.Webhook.Ordered || result.Status != pipeline.DeliveryPending
}

// end tells the store when the workflow looks again, whatever happened and even where the
// activity is cancelled: while the store believes that a drain is at work, nobody wakes one.
func (r *drain) end(ctx context.Context) (time.Time, error) {
	ctx, cancel := settling(ctx)
	defer cancel()
	next, err := r.Store.EndDrain(ctx, r.webhookID, r.pace.next())
	if err != nil || next.IsZero() {
		return next, err
	}
	idle := r.out.Delivered+r.out.Failed == 0 && !r.advanced
	if soon := time.Now().Add(clockPause); idle && next.Before(soon) {
		return soon, nil
	}
	return next, nil
}
