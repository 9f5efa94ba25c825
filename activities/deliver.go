package activities

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// DeliveryStore is what delivering needs of the store.
//
// Who changes deliveries is told which webhooks have to be woken for that: those whose workflow
// does not run, or would look too late by itself.
type DeliveryStore interface {
	FreshDeliveries(ctx context.Context, stream pipeline.Stream, limit int) ([]pipeline.Dispatch, error)
	HandOver(ctx context.Context, deliveryIDs []int64) (wake []int64, err error)
	// BeginDrain and EndDrain stand around every drain, so that the store knows when a webhook's
	// workflow looks again by itself.
	BeginDrain(ctx context.Context, webhookID int64) (pipeline.Drain, error)
	DueDeliveries(ctx context.Context, webhookID int64, limit int) ([]pipeline.Dispatch, error)
	// AdvanceReplay makes deliveries out of the next events of the webhook's replay, if one is
	// running. Queued says that there may be something due now.
	AdvanceReplay(ctx context.Context, webhookID int64, limit int) (queued bool, err error)
	EndDrain(ctx context.Context, webhookID int64, pacedUntil time.Time) (next time.Time, err error)
	// RecordAttempts takes results in the order in which the attempts were made.
	RecordAttempts(ctx context.Context, results []pipeline.Result, slow []int64) (wake []int64, err error)
	SweepDeliveries(ctx context.Context, grace time.Duration, limit int) ([]int64, error)
	// Webhook answers with credentials.
	Webhook(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Webhook, error)
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
	Gate   *Gate
}

// The bounds of DeliverWebhooks: how much it reads at a time, and how long an entity goes on
// beginning attempts before it leaves the rest to the webhooks.
const (
	freshLimit     = 500
	entityPatience = 15 * time.Second
)

// settlePatience is how long settling what was sent may take.
const settlePatience = 10 * time.Second

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
// is left to its own workflow, so a bad partner costs an entity one wait at most, once. So is
// what finds no place at the gate: many entities that flood one endpoint do not wait for it.
func (d *Deliveries) DeliverWebhooks(ctx context.Context, in DeliverInput) (DeliverResult, error) {
	var out DeliverResult
	stop := beating(ctx, func() any { return nil })
	defer stop()
	window := openWindow(ctx, entityPatience)
	defer window.close()
	// All webhooks at once: were there a limit, so many dead ones would keep the others waiting.
	sending := sending{
		sender: d.Sender, atOnce: freshLimit,
		admit: func(one pipeline.Dispatch) (func(), bool) {
			if !window.isOpen() {
				return nil, false
			}
			return d.Gate.tryEnter(one.Webhook)
		},
		goOn: func(_ pipeline.Dispatch, r pipeline.Result) bool { return r.OK() && !slow(r) },
	}
	for {
		fresh, err := d.Store.FreshDeliveries(ctx, in.Stream, freshLimit)
		if err != nil {
			return out, Failure(err)
		}
		sent := sending.run(ctx, queues(fresh, byWebhook))
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
	wake, err := d.record(ctx, sent)
	if err != nil {
		return err
	}
	tried := make(map[int64]bool, len(sent))
	for _, r := range sent {
		tried[r.DeliveryID] = true
		switch r.Status {
		case pipeline.DeliveryDelivered:
			out.Delivered++
		case pipeline.DeliveryPending:
			out.Later++
		default: // it was the last attempt: nothing is left to do
		}
	}
	var rest []int64
	for _, f := range fresh {
		if !tried[f.DeliveryID] {
			rest = append(rest, f.DeliveryID)
		}
	}
	out.Later += len(rest)
	return d.leave(ctx, rest, wake)
}

// leave hands deliveries over to their webhooks and wakes who has to be. One failing does not
// keep the other from being done: what has been recorded by now is not seen again by a retry.
func (d *Deliveries) leave(ctx context.Context, rest, wake []int64) error {
	if len(rest) == 0 {
		return d.wake(ctx, wake)
	}
	more, err := d.Store.HandOver(ctx, rest)
	return errors.Join(err, d.wake(ctx, slices.Concat(wake, more)))
}

func (d *Deliveries) wake(ctx context.Context, webhooks []int64) error {
	slices.Sort(webhooks)
	var failed error
	for _, id := range slices.Compact(webhooks) {
		failed = errors.Join(failed, d.Waker.WakeWebhook(ctx, id))
	}
	return failed
}

// record writes a batch of attempts, unless there was none, and says who has to be woken.
func (d *Deliveries) record(ctx context.Context, sent []pipeline.Result) (wake []int64, err error) {
	if len(sent) == 0 {
		return nil, nil
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

// settling gives what was sent its time to be recorded, whether or not ctx is cancelled.
func settling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), settlePatience)
}
