package workflows

import (
	"errors"

	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
)

// Sweep looks once for deliveries, and for what providers told us, that nobody looks after. A
// schedule runs it every minute.
func Sweep(ctx workflow.Context) (activities.SweepResult, error) {
	out, err := sweep(ctx)
	if workflow.GetVersion(ctx, changeInbound, workflow.DefaultVersion, 1) < 1 {
		return out, err
	}
	return out, errors.Join(err, sweepInbound(ctx))
}
