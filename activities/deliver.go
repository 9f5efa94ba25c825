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
	Bell   *Bell // nil: nobody rings
}

// settlePatience is how long settling what was sent may take.
const settlePatience = 10 * time.Second

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
