package workflows

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// EnsureSearchAttributes makes the search attributes in the namespace where they are missing.
// Where we may not (Temporal Cloud wants it done in its own console), it answers the names of
// those that somebody has to make, since workflows cannot start without them.
func (e *Engine) EnsureSearchAttributes(ctx context.Context, namespace string) (missing []string, err error) {
	wanted := map[string]enumspb.IndexedValueType{
		AttributeCompanyID.GetName():  AttributeCompanyID.GetValueType(),
		AttributeCustomerID.GetName(): AttributeCustomerID.GetValueType(),
		AttributeStage.GetName():      AttributeStage.GetValueType(),
	}
	operator := e.client.OperatorService()
	have, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, fmt.Errorf("list search attributes: %w", err)
	}
	for name := range have.GetCustomAttributes() {
		delete(wanted, name)
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	_, err = operator.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: wanted,
	})
	var denied *serviceerror.PermissionDenied
	var unknown *serviceerror.Unimplemented
	if errors.As(err, &denied) || errors.As(err, &unknown) {
		return slices.Sorted(maps.Keys(wanted)), nil
	}
	if err != nil {
		return nil, fmt.Errorf("add search attributes: %w", err)
	}
	return nil, nil
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
