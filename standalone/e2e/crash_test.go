package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/dealwright/dealwright/pipeline"
)

func TestAWorkflowEndedFromOutsideGoesOnFromTheStore(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	for name, end := range map[string]func(t *testing.T, workflowID string){
		"terminated": func(t *testing.T, workflowID string) {
			t.Helper()
			require.NoError(t, e.temporal.TerminateWorkflow(t.Context(), workflowID, "", "test"))
			e.ended(t, workflowID)
		},
		"cancelled": func(t *testing.T, workflowID string) {
			t.Helper()
			require.NoError(t, e.temporal.CancelWorkflow(t.Context(), workflowID, ""))
			e.ended(t, workflowID)
		},
		"reset to its beginning": func(t *testing.T, workflowID string) {
			t.Helper()
			e.reset(t, workflowID, 0)
		},
		"reset to its beginning, and not told again": func(t *testing.T, workflowID string) {
			t.Helper()
			e.reset(t, workflowID, 0, enums.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE)
		},
		"reset to the middle": func(t *testing.T, workflowID string) {
			t.Helper()
			e.reset(t, workflowID, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := e.newCompany(t)
			partner := newReceiver(t)
			h := c.webhook(t, partner.URL+"/", nil)
			stream := c.proposal(t, c.customer(t).ID).Ref().Stream()
			c.moved(t, stream, pipeline.TypeProposalSent, nil)
			run := e.runOf(t, stream)
			e.settled(t, string(stream))

			end(t, string(stream))
			c.moved(t, stream, pipeline.TypeProposalSelected, nil)

			require.NotEqual(t, run, e.runOf(t, stream))
			c.requireStream(t, stream, pipeline.TypeProposalRequested, pipeline.TypeProposalSent, pipeline.TypeProposalSelected)
			c.allAre(t, h, pipeline.DeliveryDelivered, 4)
			require.Equal(t, upTo(3), partner.firstOf("/", stream))
			require.Equal(t, 4, partner.count("/"), "nobody is told twice")
			e.listed(t, fmt.Sprintf("CompanyId = %d AND ExecutionStatus = 'Running' AND Stage = 'selected'", c.id), 1)
		})
	}
}

// reset begins a workflow anew after one of its tasks, 0 being the first, as somebody with the
// Temporal CLI would: with all updates sent to it again, unless they are excluded.
func (e *engine) reset(t *testing.T, workflowID string, task int, without ...enums.ResetReapplyExcludeType) {
	t.Helper()
	var completed []int64
	history := e.temporal.GetWorkflowHistory(t.Context(), workflowID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(t, err)
		if event.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			completed = append(completed, event.GetEventId())
		}
	}
	require.Greater(t, len(completed), task)
	_, err := e.temporal.ResetWorkflowExecution(t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace:                 "default",
		WorkflowExecution:         &common.WorkflowExecution{WorkflowId: workflowID},
		Reason:                    "test",
		WorkflowTaskFinishEventId: completed[task],
		RequestId:                 t.Name(),
		ResetReapplyExcludeTypes:  without,
	})
	require.NoError(t, err)
}

// appendBehind puts an event into the store behind the workflow's back, as a worker does that dies
// before it has told Temporal.
func appendBehind[S pipeline.State[S]](t *testing.T, e *engine, state S, typ pipeline.EventType) S {
	t.Helper()
	event, next, err := pipeline.Next(state, pipeline.Command{
		Type: typ, OccurredAt: time.Now().UTC().Truncate(time.Millisecond),
	}, t.Name()+string(typ))
	require.NoError(t, err)
	_, err = e.store.Append(t.Context(), event, pipeline.Idempotency{})
	require.NoError(t, err)
	return next
}

func TestAWorkflowThatMissesEventsCatchesUp(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	proposal := c.proposal(t, c.customer(t).ID)
	stream := proposal.Ref().Stream()
	c.allAre(t, h, pipeline.DeliveryDelivered, 2)

	sent := appendBehind(t, e, proposal, pipeline.TypeProposalSent)
	appendBehind(t, e, sent, pipeline.TypeProposalLinkPublished)
	require.Equal(t, 2, c.statuses(t, h)[pipeline.DeliveryPending])

	// Legal for what the store has, and not for what the workflow knows.
	event := c.moved(t, stream, pipeline.TypeProposalSelected, nil)
	require.Equal(t, int64(4), event.Version)
	c.requireStream(t, stream, pipeline.TypeProposalRequested, pipeline.TypeProposalSent,
		pipeline.TypeProposalLinkPublished, pipeline.TypeProposalSelected)
	c.allAre(t, h, pipeline.DeliveryDelivered, 5)
	require.Equal(t, upTo(4), partner.firstOf("/", stream))
	require.Equal(t, 5, partner.count("/"))
}

func TestADeliveryThatNobodyOwnsIsFound(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	customer := c.customer(t)
	c.allAre(t, h, pipeline.DeliveryDelivered, 1)

	appendBehind(t, e, customer, pipeline.TypeEmailSent)
	_, err := e.db.ExecContext(t.Context(),
		`UPDATE deliveries SET created_at = now() - interval '1 hour' WHERE webhook_id = $1 AND status = 'pending'`, h.ID)
	require.NoError(t, err)
	e.sweepNow(t)
	c.allAre(t, h, pipeline.DeliveryDelivered, 2)
	require.Equal(t, upTo(2), partner.firstOf("/", customer.Ref().Stream()))
}
