package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
)

// WebhookInput names the webhook.
type WebhookInput struct {
	WebhookID int64
}

// WebhookResult counts what one run sent.
type WebhookResult struct {
	Delivered int
	Failed    int
}

// Webhook looks after one webhook that has something left to deliver: it sends what is due,
// sleeps until the next thing is, and ends when nothing waits any more. There is one for each
// such webhook, however many deliveries wait, and none for a webhook that is up to date.
func Webhook(ctx workflow.Context, in WebhookInput) (WebhookResult, error) {
	var sum WebhookResult
	wake := workflow.GetSignalChannel(ctx, SignalWake)
	for {
		drainSignals(wake)
		out, err := drain(ctx, activities.DrainInput(in))
		if err != nil {
			return sum, err
		}
		sum.Delivered += out.Delivered
		sum.Failed += out.Failed
		workflow.SetCurrentDetails(ctx, sum.story(out.NextDue))
		if out.NextDue.IsZero() && wake.Len() == 0 {
			return sum, nil
		}
		sleepUntil(ctx, out.NextDue, wake)
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			drainSignals(wake)
			return sum, workflow.NewContinueAsNewError(ctx, Webhook, in)
		}
	}
}

// story is what the Temporal UI shows as the workflow's details.
func (r WebhookResult) story(next time.Time) string {
	line := fmt.Sprintf("In this run **%d** delivered, **%d** attempts failed; ", r.Delivered, r.Failed)
	if next.IsZero() {
		return line + "nothing waits."
	}
	return line + "looks again at " + next.UTC().Format(time.RFC3339) + "."
}

// drainSignals takes all signals that are there: each says only "look", and a look follows.
func drainSignals(ch workflow.ReceiveChannel) {
	for ch.ReceiveAsync(nil) {
	}
}

// sleepUntil waits for a time or for a signal, whichever comes first.
func sleepUntil(ctx workflow.Context, at time.Time, wake workflow.ReceiveChannel) {
	wait := at.Sub(workflow.Now(ctx))
	if at.IsZero() || wait <= 0 || wake.Len() > 0 {
		return
	}
	timerCtx, stop := workflow.WithCancel(ctx)
	defer stop()
	timer := workflow.NewTimerWithOptions(timerCtx, wait, workflow.TimerOptions{
		Summary: "next attempt at " + at.UTC().Format(time.RFC3339),
	})
	woken := workflow.NewSelector(ctx)
	woken.AddFuture(timer, func(workflow.Future) {})
	woken.AddReceive(wake, func(workflow.ReceiveChannel, bool) {})
	woken.Select(ctx)
}
