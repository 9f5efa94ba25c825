package workflows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	workflowservice "go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// ErasureInput names a customer that was erased.
type ErasureInput struct {
	Customer pipeline.ErasedCustomer
}

// ErasureResult says whether everything is gone.
type ErasureResult struct {
	Done bool
}

// The rounds of cleaning up: how long the customer's workflow is left to tell partners of the end,
// and how long Temporal may take to delete histories before it is left to the sweep.
const (
	erasurePause   = 2 * time.Second
	erasurePatient = 15
	erasureRounds  = 150
)

// Erasure cleans up after a customer that was erased: `erasure-<id>`. Its own history names ids
// and no more. What it does not get done within five minutes, the sweep starts anew.
func Erasure(ctx workflow.Context, in ErasureInput) (ErasureResult, error) {
	for round := range erasureRounds {
		// Who erased the customer is just being answered by the workflow that is to be deleted.
		if err := workflow.Sleep(ctx, erasurePause); err != nil {
			return ErasureResult{}, err
		}
		out, err := eraseTraces(ctx, activities.EraseTracesInput{Customer: in.Customer, Patient: round < erasurePatient})
		if err != nil || out.Done() {
			return ErasureResult{Done: err == nil}, err
		}
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("Still sending: %t. Histories left: %d.", out.Sending, out.Histories))
	}
	return ErasureResult{}, nil
}

// eraseTraces is tried for an hour, then left to the sweep.
func eraseTraces(ctx workflow.Context, in activities.EraseTracesInput) (activities.EraseTracesResult, error) {
	o := workflow.ActivityOptions{
		Summary:                "delete histories and documents of an erased customer",
		StartToCloseTimeout:    time.Minute,
		ScheduleToCloseTimeout: time.Hour,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute,
		},
	}
	var out activities.EraseTracesResult
	err := activity(ctx, o, erasing.EraseTraces, in).Get(ctx, &out)
	return out, err
}

// beginErasure is tried for a while, then left to the sweep.
func beginErasure(ctx workflow.Context, ref pipeline.Ref) error {
	o := recordOptions("customer erased → clean up after it")
	o.ScheduleToCloseTimeout = time.Minute
	in := pipeline.ErasedCustomer{CompanyID: ref.CompanyID, CustomerID: ref.ID}
	return activity(ctx, o, erasing.BeginErasure, in).Get(ctx, nil)
}

// EraseTraces starts cleaning up after an erased customer; where that is under way, it goes on.
func (e *Engine) EraseTraces(ctx context.Context, customer pipeline.ErasedCustomer) error {
	id := strconv.FormatInt(customer.CustomerID, 10)
	return e.startOnce(ctx, "erasure-"+id, "What is left of customer "+id, Erasure, ErasureInput{Customer: customer})
}

// Histories deletes those of workflows.
type Histories struct {
	client    client.Client
	namespace string
}

// NewHistories wraps a client of a namespace.
func NewHistories(c client.Client, namespace string) *Histories {
	return &Histories{client: c, namespace: namespace}
}

// The bounds of one question: how many workflows it names, and how many runs are deleted.
const (
	namesAtOnce = 50
	runsAtOnce  = 1000
)

// Forget has all runs of all workflows deleted that tell of a customer: its own, its proposals',
// and those of their documents and of what providers told of them. A run that is under way ends
// by that. It counts the runs that are still listed; Temporal deletes in the background.
func (h *Histories) Forget(ctx context.Context, of pipeline.ErasedCustomer, traces pipeline.ErasedTraces) (left int, err error) {
	ids := make([]string, 0, 1+len(traces.Proposals)+len(traces.Inbound)+len(traces.Documents))
	ids = append(ids, string(pipeline.StreamOf(pipeline.KindCustomer, of.CustomerID)))
	for _, id := range traces.Proposals {
		ids = append(ids, string(pipeline.StreamOf(pipeline.KindProposal, id)))
	}
	for _, id := range traces.Inbound {
		ids = append(ids, inboundWorkflowID(id))
	}
	for _, uuid := range traces.Documents {
		ids = append(ids, documentWorkflowID(of.CompanyID, uuid))
	}
	for some := range slices.Chunk(ids, namesAtOnce) {
		n, err := h.forget(ctx, some)
		if left += n; err != nil {
			return left, err
		}
	}
	return left, nil
}

func (h *Histories) forget(ctx context.Context, ids []string) (int, error) {
	// The names are ours: letters, digits and dashes.
	query := `WorkflowId IN ("` + strings.Join(ids, `", "`) + `")`
	listed, err := h.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: h.namespace, Query: query, PageSize: runsAtOnce,
	})
	if err != nil {
		return 0, explain(err)
	}
	for _, run := range listed.GetExecutions() {
		_, err := h.client.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace: h.namespace,
			WorkflowExecution: &commonpb.WorkflowExecution{
				WorkflowId: run.GetExecution().GetWorkflowId(), RunId: run.GetExecution().GetRunId(),
			},
		})
		if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
			return 0, explain(err)
		}
	}
	return len(listed.GetExecutions()), nil
}
