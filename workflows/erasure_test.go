package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
)

var erased = pipeline.ErasedCustomer{CompanyID: 1, CustomerID: 12345}

func erasure(t *testing.T, rounds ...activities.EraseTracesResult) (workflows.ErasureResult, time.Duration) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivity(&activities.Erasures{})
	var e *activities.Erasures
	for i, round := range rounds {
		call := env.OnActivity(e.EraseTraces, mock.Anything, activities.EraseTracesInput{Customer: erased, Patient: i < 15}).Return(round, nil)
		if i < len(rounds)-1 {
			call.Once()
		}
	}
	began := env.Now()
	env.ExecuteWorkflow(workflows.Erasure, workflows.ErasureInput{Customer: erased})
	require.NoError(t, env.GetWorkflowError())
	var out workflows.ErasureResult
	require.NoError(t, env.GetWorkflowResult(&out))
	return out, env.Now().Sub(began)
}

func TestErasure(t *testing.T) {
	t.Parallel()
	out, took := erasure(t,
		activities.EraseTracesResult{Sending: true}, activities.EraseTracesResult{Histories: 3}, activities.EraseTracesResult{})
	require.True(t, out.Done)
	require.Equal(t, 6*time.Second, took)
}

func TestErasure_BeginsWithItsCustomer(t *testing.T) {
	t.Parallel()
	b := newBench(t).quietPartners()
	b.RegisterActivity(&activities.Erasures{})
	var e *activities.Erasures
	b.OnActivity(e.BeginErasure, mock.Anything, erased).Return(activities.BeginErasureResult{}, nil).Once()
	created := move(pipeline.TypeCustomerCreated)
	created.Command.Data = []byte(
		`{"uuid":"b0c16879-5c5f-4dd9-8442-65cc594372ed","name":"A","email":"a@b.co","status":1,"status_name":"New Contacts"}`)
	first, last := b.send(0, "a", created), b.send(time.Second, "b", move(pipeline.TypeCustomerErased))
	late := b.send(2*time.Second, "c", move(pipeline.TypeSMSSent))
	b.RegisterDelayedCallback(b.CancelWorkflow, time.Minute)
	b.ExecuteWorkflow(workflows.Customer, workflows.CustomerInput{State: pipeline.NewCustomer(1, 12345), Prompt: true})
	require.EqualValues(t, 1, first.outcome.Event.Version)
	require.Equal(t, pipeline.TypeCustomerErased, last.outcome.Event.Type)
	require.Empty(t, last.outcome.Allowed)
	require.Error(t, late.refused)
	b.AssertExpectations(t)
}
