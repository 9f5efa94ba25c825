package e2e_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/converter"

	"github.com/dealwright/dealwright/pipeline"
)

func TestTheTemporalUITellsTheStoryOfADeal(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	c.webhook(t, newReceiver(t).URL+"/", nil)
	customer := c.customer(t)
	proposal := c.proposal(t, customer.ID)
	stream := proposal.Ref().Stream()
	of := fmt.Sprintf("CompanyId = %d AND CustomerId = %d", c.id, customer.ID)
	e.listed(t, of+" AND Stage = 'requested'", 1)

	c.walk(t, stream,
		step{pipeline.TypeProposalSent, nil},
		step{pipeline.TypeProposalSent, nil}, // sent again: the stage stays
		step{pipeline.TypeCreditRan, object{"outcome": "approved"}},
		step{pipeline.TypeProposalSelected, nil},
	)
	found := e.listed(t, of+" AND Stage = 'selected'", 1)
	require.Equal(t, string(stream), found[0].GetExecution().GetWorkflowId())
	e.listed(t, of+" AND Stage = 'New Contacts'", 1)
	e.listed(t, of, 2)

	e.settled(t, string(stream))
	events := e.history(t, string(stream), "")
	require.Equal(t, 2, countOf(events, enums.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES),
		"five events, and the stage changed twice after the first, which was listed with the start")

	require.Equal(t, []string{fmt.Sprintf("Proposal %d of customer %d", proposal.ID, customer.ID)},
		summaries(t, events, enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED))
	told := summaries(t, events, enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
	require.NotEmpty(t, told)
	for _, summary := range told {
		require.Regexp(t, `^(proposal|credit)\.[a-z_]+ #[1-5] → [0-9] webhooks?$`, summary)
	}
	require.Equal(t, []string{
		"record proposal.requested #1", "record proposal.sent #2", "record proposal.sent #3", "record credit.ran #4",
		"record proposal.selected #5",
	}, summaries(t, events, enums.EVENT_TYPE_MARKER_RECORDED))
}

// summaries are what the Temporal UI shows beside the events of one type.
func summaries(t *testing.T, events []*history.HistoryEvent, typ enums.EventType) []string {
	t.Helper()
	var all []string
	for _, event := range events {
		if event.GetEventType() == typ {
			all = append(all, summary(t, event.GetUserMetadata()))
		}
	}
	return all
}

func summary(t *testing.T, metadata *sdk.UserMetadata) string {
	t.Helper()
	var text string
	if metadata.GetSummary() != nil {
		require.NoError(t, converter.GetDefaultDataConverter().FromPayload(metadata.GetSummary(), &text))
	}
	return text
}

// Temporal's writes are what a transition costs. Whoever adds an event to this list has to
// have a reason.
func TestATransitionCostsNoMoreInTemporalThanItHasTo(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)

	taskDone := []enums.EventType{
		enums.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enums.EVENT_TYPE_WORKFLOW_TASK_STARTED, enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
	}
	update := []enums.EventType{
		enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
		enums.EVENT_TYPE_MARKER_RECORDED,
		enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED,
	}
	activity := []enums.EventType{
		enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, enums.EVENT_TYPE_ACTIVITY_TASK_STARTED, enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
	}

	for name, test := range map[string]struct {
		webhook bool
		cost    []enums.EventType
	}{
		"nobody listens":          {false, slices.Concat(taskDone, update)},
		"one activity tells them": {true, slices.Concat(taskDone, update, activity, taskDone)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := e.newCompany(t)
			if test.webhook {
				partner := newReceiver(t)
				c.webhook(t, partner.URL+"/a", nil)
				c.webhook(t, partner.URL+"/b", nil)
			}
			stream := c.customer(t).Ref().Stream()
			e.settled(t, string(stream))
			before := len(e.history(t, string(stream), ""))
			c.moved(t, stream, pipeline.TypeEmailSent, nil)
			e.settled(t, string(stream))
			require.Equal(t, test.cost, typesOf(e.history(t, string(stream), "")[before:]))
		})
	}
}
