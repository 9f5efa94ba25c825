package activities

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// DeliveryStore is what delivering needs of the store.
type DeliveryStore interface {
	FreshDeliveries(ctx context.Context, stream pipeline.Stream, limit int) ([]pipeline.Dispatch, error)
	HandOver(ctx context.Context, deliveryIDs []int64) error
	DueDeliveries(ctx context.Context, webhookID int64, limit int) ([]pipeline.Dispatch, error)
	NextDue(ctx context.Context, webhookID int64) (time.Time, error)
	RecordAttempts(ctx context.Context, results []pipeline.Result, slow []int64) error
	SweepDeliveries(ctx context.Context, grace time.Duration, limit int) ([]int64, error)
}

// Sender makes one attempt. It carries it through even if ctx is cancelled meanwhile.
type Sender interface {
	Deliver(ctx context.Context, d pipeline.Dispatch) pipeline.Result
}

// Waker starts or wakes the workflow of a webhook.
type Waker interface {
	WakeWebhook(ctx context.Context, webhookID int64) error
}

// Deliveries are the activities that bring events to partners.
type Deliveries struct {
	Store  DeliveryStore
	Sender Sender
	Waker  Waker
}

// The bounds of one activity: how much it reads at a time, how many requests one webhook gets
// at once, how long an entity goes on sending before it leaves the rest to the webhooks, and
// how long it may take to settle what was sent.
const (
	freshLimit     = 500
	dueLimit       = 200
	concurrency    = 20
	entityPatience = 15 * time.Second
	settlePatience = 10 * time.Second
)

// DeliverInput names the entity whose deliveries are to be sent.
type DeliverInput struct {
	Stream pipeline.Stream
}

// DeliverResult counts what came of it. Later are those that were left to the Webhook
// workflows: failed ones, and those of webhooks that an entity had better not wait for.
type DeliverResult struct {
	Delivered int
	Later     int
}

// DeliverWebhooks sends what an entity has to tell: each webhook's deliveries in order, the
// webhooks side by side. After a webhook's first failure or slow answer the rest of its queue
// is left to its own workflow, so a bad partner costs an entity one wait at most, once.
func (d *Deliveries) DeliverWebhooks(ctx context.Context, in DeliverInput) (DeliverResult, error) {
	var out DeliverResult
	begin := until(ctx, entityPatience)
	for {
		fresh, err := d.Store.FreshDeliveries(ctx, in.Stream, freshLimit)
		if err != nil {
			return out, Failure(err)
		}
		// All webhooks at once: were there a limit, so many dead ones would keep the others waiting.
		sent := sendQueues(ctx, d.Sender, queues(fresh, byWebhook), freshLimit, begin, func(r pipeline.Result) bool {
			return r.OK() && !slow(r)
		})
		if err := d.settle(ctx, fresh, sent, &out); err != nil {
			return out, Failure(err)
		}
		if len(fresh) < freshLimit {
			return out, nil
		}
	}
}

// settle records what was sent, hands over what was not tried, and wakes the webhooks that
// have something to do. It does so even where the activity was cancelled meanwhile: partners
// got what they got.
func (d *Deliveries) settle(ctx context.Context, fresh []pipeline.Dispatch, sent []pipeline.Result, out *DeliverResult) error {
	ctx, cancel := settling(ctx)
	defer cancel()
	if err := d.record(ctx, sent); err != nil {
		return err
	}
	tried := make(map[int64]bool, len(sent))
	var wake []int64
	for _, r := range sent {
		tried[r.DeliveryID] = true
		switch r.Status {
		case pipeline.DeliveryDelivered:
			out.Delivered++
		case pipeline.DeliveryPending:
			out.Later++
			wake = append(wake, r.WebhookID)
		default: // it was the last attempt: nothing is left to do
		}
	}
	var rest []int64
	for _, f := range fresh {
		if !tried[f.DeliveryID] {
			rest = append(rest, f.DeliveryID)
			wake = append(wake, f.Webhook.ID)
		}
	}
	out.Later += len(rest)
	return d.leave(ctx, rest, wake)
}

// leave hands deliveries over to their webhooks and wakes those. One failing does not keep the
// other from being done: what has been recorded by now is not seen again by a retry.
func (d *Deliveries) leave(ctx context.Context, rest, wake []int64) error {
	if len(rest) == 0 {
		return d.wake(ctx, wake)
	}
	return errors.Join(d.Store.HandOver(ctx, rest), d.wake(ctx, wake))
}

func (d *Deliveries) wake(ctx context.Context, webhooks []int64) error {
	slices.Sort(webhooks)
	var failed error
	for _, id := range slices.Compact(webhooks) {
		failed = errors.Join(failed, d.Waker.WakeWebhook(ctx, id))
	}
	return failed
}

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

// drainPatience bounds one run of DrainDeliveries, so that its workflow sees progress and a
// worker that shuts down does not wait long.
const drainPatience = time.Minute

// DrainDeliveries sends what is due at one webhook, each entity's in order, entities side by
// side, batch after batch, with a heartbeat after every attempt.
func (d *Deliveries) DrainDeliveries(ctx context.Context, in DrainInput) (DrainResult, error) {
	var out DrainResult
	begin := until(ctx, drainPatience)
	for begin() {
		due, err := d.Store.DueDeliveries(ctx, in.WebhookID, dueLimit)
		if err != nil {
			return out, Failure(err)
		}
		if len(due) == 0 {
			break
		}
		if err := d.drainBatch(ctx, due, begin, &out); err != nil {
			return out, Failure(err)
		}
	}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	next, err := d.Store.NextDue(ctx, in.WebhookID)
	out.NextDue = next
	return out, Failure(err)
}

func (d *Deliveries) drainBatch(ctx context.Context, due []pipeline.Dispatch, begin func() bool, out *DrainResult) error {
	progress := *out
	sent := sendQueues(ctx, d.Sender, queues(due, byStream), concurrency, begin, func(pipeline.Result) bool {
		activity.RecordHeartbeat(ctx, progress) // a batch may take longer than the heartbeat's timeout
		return true
	})
	settled, cancel := settling(ctx)
	defer cancel()
	if err := d.record(settled, sent); err != nil {
		return err
	}
	for _, r := range sent {
		if r.OK() {
			out.Delivered++
		} else {
			out.Failed++
		}
	}
	activity.RecordHeartbeat(ctx, *out)
	return nil
}

// The sweep's bounds: how long a delivery may lie before somebody has to look after it, and
// how many are taken at a time.
const (
	sweepGrace = time.Minute
	sweepLimit = 1000
)

// SweepInput is empty: a sweep looks at everything.
type SweepInput struct{}

// SweepResult counts the webhooks that were woken.
type SweepResult struct {
	Woken int
}

// SweepDeliveries finds deliveries that nobody looks after, since a worker or a workflow was
// lost at the wrong moment, and wakes the workflows of their webhooks.
func (d *Deliveries) SweepDeliveries(ctx context.Context, _ SweepInput) (SweepResult, error) {
	webhooks, err := d.Store.SweepDeliveries(ctx, sweepGrace, sweepLimit)
	if err != nil {
		return SweepResult{}, Failure(err)
	}
	return SweepResult{Woken: len(webhooks)}, Failure(d.wake(ctx, webhooks))
}

// record writes a batch of attempts, unless there was none.
func (d *Deliveries) record(ctx context.Context, sent []pipeline.Result) error {
	if len(sent) == 0 {
		return nil
	}
	var slowOnes []int64
	for _, r := range sent {
		if slow(r) {
			slowOnes = append(slowOnes, r.WebhookID)
		}
	}
	return d.Store.RecordAttempts(ctx, sent, slowOnes)
}

func slow(r pipeline.Result) bool {
	return r.Attempt.LatencyMS > webhook.SlowAnswer.Milliseconds()
}

// queue is what has to go one after the other.
type queue []pipeline.Dispatch

func byWebhook(d pipeline.Dispatch) int64          { return d.Webhook.ID }
func byStream(d pipeline.Dispatch) pipeline.Stream { return d.Event.Stream }

// queues groups deliveries, keeping their order within each group and the groups' own order.
// What is marked to be left for later stays out.
func queues[K comparable](dispatches []pipeline.Dispatch, key func(pipeline.Dispatch) K) []queue {
	index := map[K]int{}
	var out []queue
	for _, d := range dispatches {
		if d.Later {
			continue
		}
		i, ok := index[key(d)]
		if !ok {
			i = len(out)
			index[key(d)] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], d)
	}
	return out
}

// until says whether there is still time to begin an attempt: not when patience is used up,
// and not when the activity was cancelled or its worker is about to stop.
func until(ctx context.Context, patience time.Duration) func() bool {
	end := time.Now().Add(patience)
	stopping := activity.GetWorkerStopChannel(ctx)
	return func() bool {
		select {
		case <-stopping:
			return false
		default:
			return ctx.Err() == nil && time.Now().Before(end)
		}
	}
}

// settling gives what was sent its time to be recorded, whether or not ctx is cancelled.
func settling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), settlePatience)
}

// sendQueues works queues off side by side, at most so many at once, each in order. Begin is
// asked before every attempt; a queue ends when goOn says so after one.
func sendQueues(
	ctx context.Context, s Sender, queues []queue, atOnce int, begin func() bool, goOn func(pipeline.Result) bool,
) []pipeline.Result {
	var (
		mu      sync.Mutex
		results []pipeline.Result
		wg      sync.WaitGroup
	)
	slots := make(chan struct{}, min(atOnce, len(queues)))
	for _, q := range queues {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for _, d := range q {
				if !begin() {
					return
				}
				r := s.Deliver(ctx, d)
				mu.Lock()
				results = append(results, r)
				mu.Unlock()
				if !goOn(r) {
					return
				}
			}
		})
	}
	wg.Wait()
	return results
}
