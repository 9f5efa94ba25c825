package workflows

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// EnsureSearchAttributes makes the search attributes in the namespace where they are missing.
// Where we may not (Temporal Cloud wants it done in its own console), a warning says what to
// do, since workflows cannot start without them.
func (e *Engine) EnsureSearchAttributes(ctx context.Context, namespace string, log *slog.Logger) error {
	wanted := map[string]enumspb.IndexedValueType{
		AttributeCompanyID.GetName():  AttributeCompanyID.GetValueType(),
		AttributeCustomerID.GetName(): AttributeCustomerID.GetValueType(),
		AttributeStage.GetName():      AttributeStage.GetValueType(),
	}
	have, err := e.client.GetSearchAttributes(ctx)
	if err != nil {
		return fmt.Errorf("list search attributes: %w", err)
	}
	for name := range have.GetKeys() {
		delete(wanted, name)
	}
	if len(wanted) == 0 {
		return nil
	}
	_, err = e.client.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: wanted,
	})
	var denied *serviceerror.PermissionDenied
	var missing *serviceerror.Unimplemented
	if errors.As(err, &denied) || errors.As(err, &missing) {
		log.Warn("make these search attributes in the namespace by hand", "namespace", namespace, "attributes", wanted)
		return nil
	}
	if err != nil {
		return fmt.Errorf("add search attributes: %w", err)
	}
	return nil
}

// EnsureSweep makes the schedule that sweeps every minute, or leaves it as it is.
func (e *Engine) EnsureSweep(ctx context.Context) error {
	_, err := e.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:   sweepID,
		Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Minute}}},
		Action: &client.ScheduleWorkflowAction{
			ID: sweepID, Workflow: Sweep, TaskQueue: TaskQueue, StaticSummary: "Look for stray deliveries",
			WorkflowExecutionTimeout: 5 * time.Minute,
		},
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return nil
	}
	return explain(err)
}
