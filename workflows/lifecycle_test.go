package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
)

// bench is one lifecycle in the SDK's test environment over a store in memory.
type bench struct {
	*testsuite.TestWorkflowEnvironment
	t     *testing.T
	store *memoryStore
}

func newBench(t *testing.T) *bench {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	b := &bench{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t, store: &memoryStore{}}
	b.RegisterActivity(&activities.Recording{Store: b.store})
	b.RegisterActivity(&activities.Deliveries{})
	b.RegisterActivity(&activities.FollowUps{})
	b.SetTestTimeout(20 * time.Second)
	return b
}

// quietPartners answers every delivery with success.
func (b *bench) quietPartners() *bench {
	var d *activities.Deliveries
	b.OnActivity(d.DeliverWebhooks, mock.Anything, mock.Anything).Return(activities.DeliverResult{}, nil).Maybe()
	return b
}

// send submits a command after a delay of the test's clock, and gives where the answer will be.
func (b *bench) send(after time.Duration, id string, t workflows.Transition) *answer {
	a := &answer{}
	if t.CommandID == "" {
		t.CommandID = id
	}
	if t.RequestID == "" {
		t.RequestID = "request-" + id
	}
	b.RegisterDelayedCallback(func() { b.UpdateWorkflow(workflows.UpdateTransition, id, a, t) }, after)
	return a
}

// move is a transition without data.
func move(typ pipeline.EventType) workflows.Transition {
	return workflows.Transition{Command: pipeline.Command{Type: typ, OccurredAt: noon}}
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func requested() workflows.Transition {
	t := move(pipeline.TypeProposalRequested)
	t.Command.Data = []byte(`{"uuid":"7cf8d5db-bb05-4a39-a40b-c83e17988c37","customer_uuid":"b0c16879-5c5f-4dd9-8442-65cc594372ed"}`)
	return t
}

// answer is what an update came to.
type answer struct {
	accepted bool
	refused  error
	failed   error
	outcome  workflows.Outcome
}

func (a *answer) Accept()          { a.accepted = true }
func (a *answer) Reject(err error) { a.refused = err }
func (a *answer) Complete(v any, err error) {
	a.failed = err
	if outcome, ok := v.(workflows.Outcome); ok {
		a.outcome = outcome
	}
}

// memoryStore is an event store for one stream.
type memoryStore struct {
	events  []pipeline.Event
	failing error
	appends int
}

func (m *memoryStore) Append(_ context.Context, e pipeline.Event, _ pipeline.Idempotency) (pipeline.Appended, error) {
	m.appends++
	if m.failing != nil {
		return pipeline.Appended{}, m.failing
	}
	if e.Version != int64(len(m.events)+1) {
		return pipeline.Appended{}, pipeline.Errorf(pipeline.CodeConflict, "not at this version")
	}
	e.Position, e.RecordedAt = int64(100+len(m.events)), noon
	m.events = append(m.events, e)
	return pipeline.Appended{Position: e.Position, RecordedAt: e.RecordedAt, Deliveries: 1}, nil
}

func (m *memoryStore) EventsAfter(_ context.Context, _ pipeline.Stream, version int64, limit int) ([]pipeline.Event, error) {
	rest := m.events[min(int(version), len(m.events)):]
	return rest[:min(limit, len(rest))], nil
}

// look tells the workflow after a delay that the store has something for it to do.
func (b *bench) look(after time.Duration) {
	b.RegisterDelayedCallback(func() { b.SignalWorkflow(workflows.SignalLook, nil) }, after)
}

func newProposal() workflows.ProposalInput {
	return workflows.ProposalInput{State: pipeline.NewProposal(1, 7, 42), Listed: "requested"}
}

// runProposal runs until somebody cancels the workflow, an hour after the last command.
func (b *bench) runProposal() {
	b.RegisterDelayedCallback(b.CancelWorkflow, time.Hour)
	b.ExecuteWorkflow(workflows.Proposal, newProposal())
}

// record puts an event into the store behind the workflow's back.
func (m *memoryStore) record(t *testing.T, commandID string, cmd pipeline.Command) {
	t.Helper()
	state, err := pipeline.Fold(pipeline.NewProposal(1, 7, 42), m.events)
	require.NoError(t, err)
	e, _, err := pipeline.Next(state, cmd, commandID)
	require.NoError(t, err)
	_, err = m.Append(t.Context(), e, pipeline.Idempotency{})
	require.NoError(t, err)
}

func TestProposal_RecordsLegalCommandsInOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t).quietPartners()
	first := b.send(0, "a", requested())
	second := b.send(time.Second, "b", move(pipeline.TypeProposalSent))
	b.runProposal()

	require.NoError(t, first.failed)
	require.NoError(t, second.failed)
	require.Equal(t, int64(1), first.outcome.Event.Version)
	require.Equal(t, int64(2), second.outcome.Event.Version)
	require.Equal(t, int64(101), second.outcome.Event.Position)
	require.Contains(t, second.outcome.Allowed, pipeline.TypeProposalSelected)
	require.Len(t, b.store.events, 2)
}

func TestProposal_RefusesIllegalBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	b := newBench(t).quietPartners()
	b.send(0, "a", requested())
	sold := b.send(time.Second, "b", move(pipeline.TypeProposalSold))
	b.runProposal()

	require.False(t, sold.accepted)
	refusal := activities.Refusal(sold.refused)
	require.Equal(t, pipeline.CodeIllegalTransition, refusal.Code)
	require.Contains(t, refusal.Allowed, pipeline.TypeProposalSent)
	require.Equal(t, 1, b.store.appends)
}

func TestProposal_DecidesAgainUnderTheLock(t *testing.T) {
	t.Parallel()
	b := newBench(t).quietPartners()
	b.send(0, "a", requested())
	b.send(time.Second, "b", move(pipeline.TypeProposalSent))
	// Both pass the validator, since neither has been recorded when they arrive.
	racers := []*answer{
		b.send(2*time.Second, "c", move(pipeline.TypeProposalSelected)),
		b.send(2*time.Second, "d", move(pipeline.TypeProposalSelected)),
	}
	b.runProposal()

	won := 0
	for _, r := range racers {
		if r.accepted && r.failed == nil {
			won++
			continue
		}
		require.Equal(t, pipeline.CodeIllegalTransition, activities.Refusal(errors.Join(r.failed, r.refused)).Code)
	}
	require.Equal(t, 1, won)
	require.Len(t, b.store.events, 3)
}

// The worker died after the commit and before the workflow task was done: the store has an
// event that the workflow does not know, and the command comes again.
func TestProposal_FindsItsOwnEventInTheStore(t *testing.T) {
	t.Parallel()
	b := newBench(t).quietPartners()
	b.send(0, "a", requested())
	b.RegisterDelayedCallback(func() { b.store.record(t, "b", move(pipeline.TypeProposalSent).Command) }, time.Second)
	again := b.send(2*time.Second, "b", move(pipeline.TypeProposalSent))
	b.runProposal()

	require.NoError(t, again.failed)
	require.Equal(t, int64(2), again.outcome.Event.Version)
	require.Len(t, b.store.events, 2)
}

// The same, but another command comes: it is decided on what the store has.
func TestProposal_CatchesUpBeforeItDecides(t *testing.T) {
	t.Parallel()
	b := newBench(t).quietPartners()
	b.send(0, "a", requested())
	b.RegisterDelayedCallback(func() { b.store.record(t, "lost", move(pipeline.TypeProposalSent).Command) }, time.Second)
	selected := move(pipeline.TypeProposalSelected) // illegal for what the workflow knows
	selected.StoreVersion = 2
	next := b.send(2*time.Second, "c", selected)
	b.runProposal()

	require.NoError(t, next.failed)
	require.Equal(t, int64(3), next.outcome.Event.Version)
	require.Equal(t, pipeline.TypeProposalSelected, b.store.events[2].Type)
}

// The same, and no other command comes: Temporal was lost together with the worker, and with them
// the task in which the event was recorded.
func TestProposal_LooksAtWhatTheStoreHasForIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var d *activities.Deliveries
	delivers := 0
	b.OnActivity(d.DeliverWebhooks, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.DeliverInput) (activities.DeliverResult, error) {
			delivers++
			return activities.DeliverResult{}, nil
		})
	b.send(0, "a", requested())
	b.RegisterDelayedCallback(func() {
		require.Equal(t, 1, delivers)
		b.store.record(t, "lost", move(pipeline.TypeProposalSent).Command)
	}, time.Second)
	b.look(2 * time.Second)
	b.RegisterDelayedCallback(func() { require.Equal(t, 2, delivers) }, 3*time.Second)
	b.look(4 * time.Second)                                                 // in vain
	next := b.send(5*time.Second, "c", move(pipeline.TypeProposalSelected)) // illegal for what it knew
	b.runProposal()

	require.Equal(t, 4, delivers)
	require.NoError(t, next.refused)
	require.Equal(t, int64(3), next.outcome.Event.Version)
}

// The same, and nobody looks, since what the lost event had to deliver went along with what was
// before it: that tells.
func TestProposal_KeepsUpWithWhatWasDelivered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var d *activities.Deliveries
	delivers := 0
	b.OnActivity(d.DeliverWebhooks, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.DeliverInput) (activities.DeliverResult, error) {
			delivers++
			if delivers == 1 {
				b.store.record(t, "lost", move(pipeline.TypeProposalSent).Command) //nolint:contextcheck // the test's own
			}
			return activities.DeliverResult{Newest: 2}, nil
		})
	b.send(0, "a", requested())
	next := b.send(5*time.Second, "c", move(pipeline.TypeProposalSelected)) // illegal for what it knew
	b.runProposal()

	require.NoError(t, next.refused)
	require.Equal(t, int64(3), next.outcome.Event.Version)
	require.Equal(t, 3, delivers, "what was folded in is looked at once more")
}

// A workflow that was ended by hand is started anew by the next command, with nothing known.
func TestProposal_StartsAnewFromTheStore(t *testing.T) {
	t.Parallel()
	b := newBench(t).quietPartners()
	b.store.record(t, "a", requested().Command)
	sent := move(pipeline.TypeProposalSent)
	sent.StoreVersion = 1
	a := b.send(0, "b", sent)
	b.runProposal()

	require.NoError(t, a.failed)
	require.Equal(t, int64(2), a.outcome.Event.Version)
}

func TestProposal_EndsWhereNothingEverHappened(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.failing = pipeline.Invalid(pipeline.FieldError{Pointer: "/uuid", Detail: "is taken"})
	a := b.send(0, "a", requested())
	b.runProposal()

	require.Equal(t, pipeline.CodeInvalid, activities.Refusal(a.failed).Code)
	require.True(t, b.IsWorkflowCompleted())
	require.NoError(t, b.GetWorkflowError())
}

func TestProposal_SaysUnavailableWhenTheStoreStaysAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.failing = pipeline.Errorf(pipeline.CodeUnavailable, "down")
	a := b.send(0, "a", requested())
	b.runProposal()

	require.Equal(t, pipeline.CodeUnavailable, activities.Refusal(a.failed).Code)
	require.Greater(t, b.store.appends, 1, "the local activity tries again inside its budget")
	var app *temporal.ApplicationError
	require.ErrorAs(t, a.failed, &app)
	var refusal pipeline.Error
	var request string
	require.NoError(t, app.Details(&refusal, &request))
	require.Equal(t, "request-a", request, "the failure says for which request it was")
}

func TestProposal_SignatureMovesTheCustomer(t *testing.T) {
	t.Parallel()
	b := newBench(t).quietPartners()
	var f *activities.FollowUps
	var moved []activities.SignCustomerInput
	b.OnActivity(f.SignCustomer, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.SignCustomerInput) (activities.SignCustomerResult, error) {
			moved = append(moved, in)
			return activities.SignCustomerResult{Moved: true}, nil
		})
	b.send(0, "1", requested())
	for i, typ := range []pipeline.EventType{
		pipeline.TypeProposalSent, pipeline.TypeProposalSelected, pipeline.TypeContractRequested,
		pipeline.TypeContractSent, pipeline.TypeContractSigned,
	} {
		b.send(time.Duration(i+1)*time.Second, string(typ), move(typ))
	}
	b.runProposal()

	require.Len(t, moved, 1)
	require.Equal(t, int64(7), moved[0].CustomerID)
	require.Equal(t, pipeline.TypeContractSigned, moved[0].Cause.Type)
	require.Equal(t, b.store.events[5].ID, moved[0].Cause.EventID)
}

// A slow partner has the entity wait, and nobody else: least of all the customer who signed.
func TestProposal_SignatureDoesNotWaitForPartners(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prompt bool
		moved  time.Duration
	}{
		"now":                        {true, 5 * time.Second},
		"in a run that began before": {false, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			start := b.Now()
			var d *activities.Deliveries
			b.OnActivity(d.DeliverWebhooks, mock.Anything, mock.Anything).After(30*time.Second).Return(activities.DeliverResult{}, nil)
			var f *activities.FollowUps
			var moved []time.Duration
			b.OnActivity(f.SignCustomer, mock.Anything, mock.Anything).Return(
				func(context.Context, activities.SignCustomerInput) (activities.SignCustomerResult, error) {
					moved = append(moved, b.Now().Sub(start).Round(time.Second))
					return activities.SignCustomerResult{Moved: true}, nil
				})
			b.send(0, "1", requested())
			for i, typ := range []pipeline.EventType{
				pipeline.TypeProposalSent, pipeline.TypeProposalSelected, pipeline.TypeContractRequested,
				pipeline.TypeContractSent, pipeline.TypeContractSigned,
			} {
				b.send(time.Duration(i+1)*time.Second, string(typ), move(typ))
			}
			b.RegisterDelayedCallback(b.CancelWorkflow, time.Hour)
			in := newProposal()
			in.Prompt = c.prompt
			b.ExecuteWorkflow(workflows.Proposal, in)
			require.Equal(t, []time.Duration{c.moved}, moved)
		})
	}
}

func TestProposal_ContinuesAsNewWithItsState(t *testing.T) {
	t.Parallel()
	b := newBench(t).quietPartners()
	b.send(0, "a", requested())
	sent := b.send(time.Second, "b", move(pipeline.TypeProposalSent))
	appended := 0
	b.SetOnLocalActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) {
		appended++
		b.SetContinueAsNewSuggested(appended == 2) // while the handler of the command is at work
	})
	b.runProposal()

	require.NoError(t, sent.failed)

	var renewed *workflow.ContinueAsNewError
	require.ErrorAs(t, b.GetWorkflowError(), &renewed)
	require.Equal(t, "Proposal", renewed.WorkflowType.Name)
	var next workflows.ProposalInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(renewed.Input, &next))
	require.Equal(t, int64(2), next.State.Version)
	require.Equal(t, "sent", next.State.Status)
	require.Equal(t, "sent", next.Listed)
	require.Equal(t, 1, next.Left.Undelivered, "the new run tells partners what the old one did not")
	require.True(t, next.Prompt)
}

// drains notes at which times of the test's clock DrainDeliveries ran.
func (b *bench) drains() *[]time.Duration {
	start := b.Now()
	at := &[]time.Duration{}
	b.SetOnActivityStartedListener(func(*activity.Info, context.Context, converter.EncodedValues) {
		*at = append(*at, b.Now().Sub(start).Round(time.Second))
	})
	return at
}

func TestWebhook_SleepsUntilTheNextAttemptAndEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var d *activities.Deliveries
	start := b.Now()
	at := b.drains()
	in := activities.DrainInput{WebhookID: 9}
	b.OnActivity(d.DrainDeliveries, mock.Anything, in).Return(
		activities.DrainResult{Failed: 1, NextDue: start.Add(5 * time.Second)}, nil).Once()
	b.OnActivity(d.DrainDeliveries, mock.Anything, in).Return(activities.DrainResult{Delivered: 1}, nil).Once()
	b.ExecuteWorkflow(workflows.Webhook, workflows.WebhookInput{WebhookID: 9})

	require.NoError(t, b.GetWorkflowError())
	require.Equal(t, []time.Duration{0, 5 * time.Second}, *at)
	var sum workflows.WebhookResult
	require.NoError(t, b.GetWorkflowResult(&sum))
	require.Equal(t, workflows.WebhookResult{Delivered: 1, Failed: 1}, sum)
}

func TestWebhook_IsWokenBeforeTheNextAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var d *activities.Deliveries
	at := b.drains()
	b.OnActivity(d.DrainDeliveries, mock.Anything, mock.Anything).Return(
		activities.DrainResult{NextDue: b.Now().Add(time.Hour)}, nil).Twice()
	b.OnActivity(d.DrainDeliveries, mock.Anything, mock.Anything).Return(activities.DrainResult{}, nil).Once()
	b.RegisterDelayedCallback(func() { b.SignalWorkflow(workflows.SignalWake, nil) }, time.Minute)
	b.ExecuteWorkflow(workflows.Webhook, workflows.WebhookInput{WebhookID: 9})

	require.NoError(t, b.GetWorkflowError())
	require.Equal(t, []time.Duration{0, time.Minute, time.Hour}, *at)
}
