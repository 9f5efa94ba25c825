package workflows

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// activity starts an activity of the form that all of ours have; the compiler checks that the
// input is the one that it takes.
func activity[In, Out any](
	ctx workflow.Context, o workflow.ActivityOptions, f func(context.Context, In) (Out, error), in In,
) workflow.Future {
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), f, in)
}

// localActivity runs a local activity to its end, with the same check.
func localActivity[In, Out any](
	ctx workflow.Context, o workflow.LocalActivityOptions, f func(context.Context, In) (Out, error), in In,
) (Out, error) {
	var out Out
	err := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, o), f, in).Get(ctx, &out)
	return out, err
}

// The receivers are nil: the worker calls the method on the struct that it has registered.
var (
	recording  *activities.Recording
	delivering *activities.Deliveries
	forgetting *activities.Retention
	following  *activities.FollowUps
	receiving  *activities.Inbox
	keeping    *activities.Documents
	erasing    *activities.Erasures
)

// storePatience is how long a command waits for Postgres before the caller is told to try
// again. It has to stay below submitPatience, so that the caller hears why.
const storePatience = 6 * time.Second

func storeOptions(summary string) workflow.LocalActivityOptions {
	return workflow.LocalActivityOptions{
		Summary:                summary,
		ScheduleToCloseTimeout: storePatience,
		StartToCloseTimeout:    storePatience / 2,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 50 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: time.Second,
		},
	}
}

func appendEvent(ctx workflow.Context, in activities.AppendInput) (activities.AppendResult, error) {
	summary := fmt.Sprintf("record %s #%d", in.Event.Type, in.Event.Version)
	out, err := localActivity(ctx, storeOptions(summary), recording.AppendEvent, in)
	return out, storeFailure(err)
}

func readStream(ctx workflow.Context, in activities.ReadInput) (activities.ReadResult, error) {
	out, err := localActivity(ctx, storeOptions("read what the store has beyond this workflow"), recording.ReadStream, in)
	return out, storeFailure(err)
}

// storeFailure: when the patience is used up, Temporal reports a timeout and not our error;
// to the caller both mean that the store cannot be reached.
func storeFailure(err error) error {
	if err == nil || !temporal.IsTimeoutError(err) {
		return err
	}
	return activities.Failure(pipeline.Errorf(pipeline.CodeUnavailable, "the store cannot be reached; try again"))
}

// soon bounds the pauses between tries of what partners wait for. Such activities fail only while
// Postgres or Temporal cannot be reached, and a look costs those little when they are back.
const soon = 3 * time.Second

// deliver is tried for some minutes, and then leaves the deliveries to the sweep: it fails only
// where Postgres or Temporal do, and not before they are back can anybody else do better. The
// pauses stay short, so that what waited is on its way seconds after that.
// One try begins attempts for 15 s; the last of them may take the 30 s that a webhook can ask
// for, and recording it 10 s. That its worker was lost is noticed sooner, by the heartbeat.
func (l *lifecycle[S]) deliver(ctx workflow.Context, deliveries int) workflow.Future {
	ref := l.state.Ref()
	o := workflow.ActivityOptions{
		Summary:             strings.TrimSpace(fmt.Sprintf("%s #%d → %s", l.latest, ref.Version, count(deliveries, "webhook"))),
		StartToCloseTimeout: 90 * time.Second,
		HeartbeatTimeout:    activities.HeartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: soon, MaximumAttempts: 100,
		},
	}
	return activity(ctx, o, delivering.DeliverWebhooks, activities.DeliverInput{Stream: ref.Stream()})
}

// signCustomer is tried for a day: a signature that does not reach its customer is a fact lost.
func signCustomer(ctx workflow.Context, in activities.SignCustomerInput) workflow.Future {
	o := workflow.ActivityOptions{
		Summary:                fmt.Sprintf("contract signed → customer %d is Signed", in.CustomerID),
		StartToCloseTimeout:    20 * time.Second,
		ScheduleToCloseTimeout: 24 * time.Hour,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: soon,
		},
	}
	return activity(ctx, o, following.SignCustomer, in)
}

// drain is tried for ever: what is due stays due.
func drain(ctx workflow.Context, in activities.DrainInput) (activities.DrainResult, error) {
	o := workflow.ActivityOptions{
		Summary:             fmt.Sprintf("send what is due at webhook %d", in.WebhookID),
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    activities.HeartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: soon,
		},
	}
	var out activities.DrainResult
	err := activity(ctx, o, delivering.DrainDeliveries, in).Get(ctx, &out)
	return out, err
}

func sweep(ctx workflow.Context) (activities.SweepResult, error) {
	o := workflow.ActivityOptions{
		Summary:             "look for deliveries that nobody looks after",
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second, MaximumAttempts: 3,
		},
	}
	var out activities.SweepResult
	err := activity(ctx, o, delivering.SweepDeliveries, activities.SweepInput{}).Get(ctx, &out)
	return out, err
}

func sweepInbound(ctx workflow.Context) error {
	o := workflow.ActivityOptions{
		Summary:             "look for what providers told us, and documents, that nobody looks after",
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second, MaximumAttempts: 3,
		},
	}
	return activity(ctx, o, receiving.SweepInbound, activities.SweepInboundInput{}).Get(ctx, nil)
}

// The time that a sample gets: one attempt at most, and finding the webhook before it. sampleTime
// is for everything together, so that nothing is sent any more when the caller has gone.
const (
	sampleAttempt = 40 * time.Second
	sampleTime    = 45 * time.Second
)

// sendTest is tried again where the webhook could not be read. Where the activity's time was up,
// its worker is gone and may have sent the sample before: it is not sent twice.
func sendTest(ctx workflow.Context, in activities.SendTestInput) (activities.SendTestResult, error) {
	o := workflow.ActivityOptions{
		Summary:                fmt.Sprintf("send a sample of %s to webhook %d", in.Event.Type, in.WebhookID),
		StartToCloseTimeout:    sampleAttempt,
		ScheduleToCloseTimeout: sampleTime,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 5 * time.Second,
			NonRetryableErrorTypes: []string{"TemporalTimeout:StartToClose"}, // the server's name for it
		},
	}
	var out activities.SendTestResult
	err := activity(ctx, o, delivering.SendTest, in).Get(ctx, &out)
	return out, err
}

// prune goes on where it was: each batch is a statement of its own.
func prune(ctx workflow.Context) (activities.PruneResult, error) {
	o := workflow.ActivityOptions{
		Summary:             "forget what was kept long enough",
		StartToCloseTimeout: 10 * time.Minute, // 5 of work, and the last statement
		HeartbeatTimeout:    time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 5 * time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute, MaximumAttempts: 5,
		},
	}
	var out activities.PruneResult
	err := activity(ctx, o, forgetting.Prune, activities.PruneInput{}).Get(ctx, &out)
	return out, err
}
