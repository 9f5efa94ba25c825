package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
)

// Retention forgets once what was kept long enough. A schedule runs it every hour, so that it
// is little each time.
func Retention(ctx workflow.Context) (activities.PruneResult, error) {
	return prune(ctx)
}
