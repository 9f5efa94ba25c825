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

// EnsureSchedules makes the schedules, or leaves those that are there as they are: an operator
// may have paused one or changed its times.
func (e *Engine) EnsureSchedules(ctx context.Context) error {
	return errors.Join(
		e.ensureSchedule(ctx, time.Minute, client.ScheduleWorkflowAction{
			ID: sweepID, Workflow: Sweep, StaticSummary: "Look for stray deliveries",
			WorkflowExecutionTimeout: 5 * time.Minute,
		}),
		e.ensureSchedule(ctx, time.Hour, client.ScheduleWorkflowAction{
			ID: retentionID, Workflow: Retention, StaticSummary: "Forget what was kept long enough",
			WorkflowExecutionTimeout: time.Hour, // five tries of 10 minutes
		}),
	)
}

// ensureSchedule has a workflow run again and again, one run at a time.
func (e *Engine) ensureSchedule(ctx context.Context, every time.Duration, run client.ScheduleWorkflowAction) error {
	run.TaskQueue = TaskQueue
	_, err := e.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:      run.ID,
		Spec:    client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}},
		Action:  &run,
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return nil
	}
	return explain(err)
}
