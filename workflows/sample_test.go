package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
)

func sampleInput() workflows.TestInput {
	return workflows.TestInput{
		CompanyID: 3, WebhookID: 12, Event: pipeline.Event{
			ID: "evt_sample", Type: pipeline.TypeProposalSent, Stream: "proposal-1", State: []byte(`{}`), Payload: []byte(`{}`),
		},
	}
}

func TestTestWebhook_AnswersTheAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var d *activities.Deliveries
	attempt := pipeline.Attempt{At: noon, Status: 500, LatencyMS: 12, Error: "answered 500"}
	b.OnActivity(d.SendTest, mock.Anything, activities.SendTestInput(sampleInput())).Return(
		activities.SendTestResult{Attempt: attempt}, nil).Once()
	b.ExecuteWorkflow(workflows.TestWebhook, sampleInput())

	require.NoError(t, b.GetWorkflowError())
	var out workflows.TestResult
	require.NoError(t, b.GetWorkflowResult(&out))
	require.Equal(t, workflows.TestResult{Attempt: attempt}, out)
}

func TestTestWebhook_TriesAgainWhereNothingWasSent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var d *activities.Deliveries
	b.OnActivity(d.SendTest, mock.Anything, mock.Anything).Return(
		activities.SendTestResult{}, activities.Failure(pipeline.Errorf(pipeline.CodeUnavailable, "down"))).Twice()
	b.OnActivity(d.SendTest, mock.Anything, mock.Anything).Return(activities.SendTestResult{Delivered: true}, nil).Once()
	b.ExecuteWorkflow(workflows.TestWebhook, sampleInput())

	require.NoError(t, b.GetWorkflowError())
	var out workflows.TestResult
	require.NoError(t, b.GetWorkflowResult(&out))
	require.True(t, out.Delivered)
}

func TestTestWebhook_GivesUpInTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var d *activities.Deliveries
	began := b.Now()
	b.OnActivity(d.SendTest, mock.Anything, mock.Anything).Return(
		activities.SendTestResult{}, activities.Failure(pipeline.Errorf(pipeline.CodeUnavailable, "down")))
	b.ExecuteWorkflow(workflows.TestWebhook, sampleInput())

	require.Error(t, b.GetWorkflowError())
	require.LessOrEqual(t, b.Now().Sub(began), 45*time.Second)
}

func TestTestWebhook_SaysThatThereIsNoSuchWebhook(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var d *activities.Deliveries
	b.OnActivity(d.SendTest, mock.Anything, mock.Anything).Return(
		activities.SendTestResult{}, activities.Failure(pipeline.Errorf(pipeline.CodeNotFound, "there is no such webhook"))).Once()
	b.ExecuteWorkflow(workflows.TestWebhook, sampleInput())
	require.Equal(t, pipeline.CodeNotFound, activities.Refusal(b.GetWorkflowError()).Code)
}

// started is a Temporal that starts the workflow, which comes to this.
func started(t *testing.T, result workflows.TestResult, err error) (*workflows.Engine, *mocks.Client) {
	t.Helper()
	run, c := mocks.NewWorkflowRun(t), mocks.NewClient(t)
	run.On("Get", mock.Anything, mock.Anything).Return(func(_ context.Context, into any) error {
		if out, ok := into.(*workflows.TestResult); ok {
			*out = result
		}
		return err
	})
	c.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, sampleInput()).Return(run, nil)
	return workflows.NewEngine(c), c
}

func TestEngine_SendTestWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	want := workflows.TestResult{Delivered: true, Attempt: pipeline.Attempt{Status: 204}}
	engine, c := started(t, want, nil)
	out, err := engine.SendTest(t.Context(), sampleInput())
	require.NoError(t, err)
	require.Equal(t, want, out)
	options, ok := c.Calls[0].Arguments[1].(client.StartWorkflowOptions)
	require.True(t, ok)
	require.Regexp(t, `^webhook-12-test-[0-9a-f-]{36}$`, options.ID)
	require.Equal(t, "Send a sample of proposal.sent to webhook 12", options.StaticSummary)
	require.Equal(t, 45*time.Second, options.WorkflowExecutionTimeout, "nothing is sent when nobody waits any more")
}

func TestEngine_SendTestSaysWhatWentWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		code pipeline.Code
	}{
		"no such webhook": {activities.Failure(pipeline.Errorf(pipeline.CodeNotFound, "there is no such webhook")), pipeline.CodeNotFound},
		"no worker":       {temporal.NewTimeoutError(1, nil), pipeline.CodeUnavailable},
		"nobody waits":    {context.DeadlineExceeded, pipeline.CodeUnavailable},
		"who knows":       {errors.New("who knows"), pipeline.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine, _ := started(t, workflows.TestResult{}, c.err)
			_, err := engine.SendTest(t.Context(), sampleInput())
			require.Equal(t, c.code, pipeline.CodeOf(err))
		})
	}
}

func TestEngine_SendTestIsUnavailableWhereTemporalIs(t *testing.T) {
	t.Parallel()
	c := mocks.NewClient(t)
	c.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).
		Return(nil, serviceerror.NewUnavailable("down"))
	_, err := workflows.NewEngine(c).SendTest(t.Context(), sampleInput())
	require.Equal(t, pipeline.CodeUnavailable, pipeline.CodeOf(err))
	require.ErrorContains(t, err, "the sample could not be sent in time")
}

func TestRetention_CountsWhatIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.RegisterActivity(&activities.Retention{})
	var r *activities.Retention
	b.OnActivity(r.Prune, mock.Anything, activities.PruneInput{}).Return(
		activities.PruneResult{}, activities.Failure(pipeline.Errorf(pipeline.CodeUnavailable, "down"))).Once()
	b.OnActivity(r.Prune, mock.Anything, activities.PruneInput{}).Return(activities.PruneResult{Attempts: 7, Deliveries: 3}, nil).Once()
	b.ExecuteWorkflow(workflows.Retention)

	require.NoError(t, b.GetWorkflowError())
	var out activities.PruneResult
	require.NoError(t, b.GetWorkflowResult(&out))
	require.Equal(t, activities.PruneResult{Attempts: 7, Deliveries: 3}, out)
}
