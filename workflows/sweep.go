package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
)

// Sweep looks once for deliveries that nobody looks after. A schedule runs it every minute.
func Sweep(ctx workflow.Context) (activities.SweepResult, error) {
	return sweep(ctx)
}
