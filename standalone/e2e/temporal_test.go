package e2e_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"github.com/dealwright/dealwright/pipeline"
)

// history reads all events of a run, decrypted; an empty run id means the present run.
func (e *engine) history(t *testing.T, workflowID, runID string) []*history.HistoryEvent {
	t.Helper()
	var events []*history.HistoryEvent
	pages := e.temporal.GetWorkflowHistory(t.Context(), workflowID, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for pages.HasNext() {
		event, err := pages.Next()
		require.NoError(t, err)
		e.decrypt(t, event)
		events = append(events, event)
	}
	return events
}

// decrypt makes readable what the engine has encrypted in a message of Temporal's.
func (e *engine) decrypt(t *testing.T, message proto.Message) {
	t.Helper()
	require.NoError(t, proxy.VisitPayloads(t.Context(), message, proxy.VisitPayloadsOptions{
		Visitor: func(_ *proxy.VisitPayloadsContext, all []*common.Payload) ([]*common.Payload, error) {
			return e.payloads.Decode(all)
		},
	}))
}

// describe reads what Temporal knows of the present run.
func (e *engine) describe(t *testing.T, workflowID string) *workflowservice.DescribeWorkflowExecutionResponse {
	t.Helper()
	described, err := e.temporal.DescribeWorkflowExecution(t.Context(), workflowID, "")
	require.NoError(t, err)
	e.decrypt(t, described)
	return described
}

func (e *engine) runOf(t *testing.T, s pipeline.Stream) string {
	t.Helper()
	return e.describe(t, string(s)).GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// settled waits until a workflow has nothing under way.
func (e *engine) settled(t *testing.T, workflowID string) {
	t.Helper()
	eventually(t, workflowID+" has nothing under way", func() bool {
		described := e.describe(t, workflowID)
		return len(described.GetPendingActivities()) == 0 && described.GetPendingWorkflowTask() == nil
	})
}

// ended waits until the present run of a workflow is no longer running.
func (e *engine) ended(t *testing.T, workflowID string) {
	t.Helper()
	eventually(t, workflowID+" ends", func() bool {
		return e.describe(t, workflowID).GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	})
}

// listed waits until a query finds as many workflows as wanted: the list follows a moment later.
func (e *engine) listed(t *testing.T, query string, wanted int) []*workflow.WorkflowExecutionInfo {
	t.Helper()
	var found []*workflow.WorkflowExecutionInfo
	eventually(t, query, func() bool {
		found = e.list(t, query)
		return len(found) == wanted
	})
	return found
}

func (e *engine) list(t *testing.T, query string) []*workflow.WorkflowExecutionInfo {
	t.Helper()
	page, err := e.temporal.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
	require.NoError(t, err)
	return page.GetExecutions()
}

// sweepNow runs the schedule that looks for stray deliveries.
func (e *engine) sweepNow(t *testing.T) {
	t.Helper()
	e.trigger(t, "sweep")
}

func typesOf(events []*history.HistoryEvent) []enums.EventType {
	types := make([]enums.EventType, len(events))
	for i, e := range events {
		types[i] = e.GetEventType()
	}
	return types
}

func countOf(events []*history.HistoryEvent, typ enums.EventType) int {
	return len(slices.DeleteFunc(typesOf(events), func(t enums.EventType) bool { return t != typ }))
}

// runs follows a workflow from its present run back to the first, and gives the ids of all of
// them, oldest first.
func (e *engine) runs(t *testing.T, s pipeline.Stream) []string {
	t.Helper()
	var ids []string
	for id := e.runOf(t, s); id != ""; {
		ids = append(ids, id)
		id = e.history(t, string(s), id)[0].GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId()
	}
	slices.Reverse(ids)
	return ids
}
