package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
)

func newDocumentBench(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivity(&activities.Documents{})
	env.RegisterActivity(&activities.Inbox{})
	env.SetTestTimeout(20 * time.Second)
	return env
}

var document = workflows.DocumentInput{CompanyID: 1, UUID: "e24f5a7a-1d6d-4417-8af2-22da3d67d4cc"}

func TestDocument_WaitsUntilItIsThere(t *testing.T) {
	t.Parallel()
	env := newDocumentBench(t)
	var d *activities.Documents
	env.OnActivity(d.FetchDocument, mock.Anything, activities.DocumentInput(document)).Return(
		activities.FetchDocumentResult{}, activities.Failure(pipeline.Errorf(pipeline.CodeUnavailable, "answered 404"))).Times(9)
	env.OnActivity(d.FetchDocument, mock.Anything, mock.Anything).Return(activities.FetchDocumentResult{Size: 3, SHA256: "ab"}, nil).Once()
	env.OnActivity(d.RecordDocument, mock.Anything, activities.DocumentInput(document)).Return(
		activities.RecordDocumentResult{Recorded: true}, nil).Once()
	began := env.Now()
	env.ExecuteWorkflow(workflows.Document, document)
	require.NoError(t, env.GetWorkflowError())
	var out workflows.DocumentResult
	require.NoError(t, env.GetWorkflowResult(&out))
	require.True(t, out.Stored)
	require.Greater(t, env.Now().Sub(began), 15*time.Minute, "the pauses grow")
	env.AssertExpectations(t)
}

func TestDocument_IsGivenUpAtOnceWhereTheProviderRefuses(t *testing.T) {
	t.Parallel()
	env := newDocumentBench(t)
	var d *activities.Documents
	env.OnActivity(d.FetchDocument, mock.Anything, mock.Anything).Return(
		activities.FetchDocumentResult{}, activities.Failure(pipeline.Errorf(pipeline.CodeForbidden, "answered 401"))).Once()
	env.OnActivity(d.GiveUpDocument, mock.Anything, activities.GiveUpDocumentInput{
		CompanyID: 1, UUID: document.UUID, Code: pipeline.CodeForbidden, Why: "answered 401",
	}).Return(activities.GiveUpDocumentResult{}, nil).Once()
	env.ExecuteWorkflow(workflows.Document, document)
	require.NoError(t, env.GetWorkflowError())
	var out workflows.DocumentResult
	require.NoError(t, env.GetWorkflowResult(&out))
	require.Equal(t, workflows.DocumentResult{Note: "answered 401"}, out)
	env.AssertExpectations(t)
}

// The SDK's test environment makes ten attempts; the real one goes on for three days.
func TestDocument_IsGivenUpWhenItDoesNotCome(t *testing.T) {
	t.Parallel()
	env := newDocumentBench(t)
	var d *activities.Documents
	env.OnActivity(d.FetchDocument, mock.Anything, mock.Anything).Return(
		activities.FetchDocumentResult{}, activities.Failure(pipeline.Errorf(pipeline.CodeUnavailable, "answered 404")))
	env.OnActivity(d.GiveUpDocument, mock.Anything, activities.GiveUpDocumentInput{
		CompanyID: 1, UUID: document.UUID, Code: pipeline.CodeUnavailable, Why: "answered 404",
	}).Return(activities.GiveUpDocumentResult{}, nil).Once()
	env.ExecuteWorkflow(workflows.Document, document)
	require.NoError(t, env.GetWorkflowError())
	env.AssertExpectations(t)
}

// Somebody asks for the document again when it has just been given up.
func TestDocument_LooksOnceMore(t *testing.T) {
	t.Parallel()
	env := newDocumentBench(t)
	var d *activities.Documents
	env.OnActivity(d.FetchDocument, mock.Anything, mock.Anything).Return(
		activities.FetchDocumentResult{}, activities.Failure(pipeline.Errorf(pipeline.CodeForbidden, "answered 401"))).Once()
	env.OnActivity(d.FetchDocument, mock.Anything, mock.Anything).Return(activities.FetchDocumentResult{Size: 3}, nil).Once()
	env.OnActivity(d.GiveUpDocument, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.GiveUpDocumentInput) (activities.GiveUpDocumentResult, error) {
			env.SignalWorkflow(workflows.SignalWake, nil)
			return activities.GiveUpDocumentResult{}, nil
		}).Once()
	env.OnActivity(d.RecordDocument, mock.Anything, mock.Anything).Return(activities.RecordDocumentResult{Recorded: true}, nil).Once()
	env.ExecuteWorkflow(workflows.Document, document)
	require.NoError(t, env.GetWorkflowError())
	var out workflows.DocumentResult
	require.NoError(t, env.GetWorkflowResult(&out))
	require.True(t, out.Stored)
	env.AssertExpectations(t)
}

func TestInbound(t *testing.T) {
	t.Parallel()
	env := newDocumentBench(t)
	var b *activities.Inbox
	env.OnActivity(b.HandleInbound, mock.Anything, activities.HandleInboundInput{ID: 7}).Return(
		activities.HandleInboundResult{}, activities.Failure(pipeline.Errorf(pipeline.CodeUnavailable, "down"))).Times(3)
	env.OnActivity(b.HandleInbound, mock.Anything, mock.Anything).Return(
		activities.HandleInboundResult{Status: pipeline.InboundHandled}, nil).Once()
	env.ExecuteWorkflow(workflows.Inbound, workflows.InboundInput{ID: 7})
	require.NoError(t, env.GetWorkflowError())
	var out workflows.InboundResult
	require.NoError(t, env.GetWorkflowResult(&out))
	require.Equal(t, pipeline.InboundHandled, out.Status)
	env.AssertExpectations(t)
}

// A signature that names documents starts their fetching, and the proposal goes on meanwhile.
func TestProposal_StartsTheFetchingOfItsDocuments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data    string
		started bool
	}{
		"listed": {
			`{"documents":[{"uuid":"e24f5a7a-1d6d-4417-8af2-22da3d67d4cc","name":"a.pdf","creation_type":"UPLOADED"}]}`, true,
		},
		"at a URL":  {`{"document_url":"https://files.example/a.pdf"}`, true},
		"generated": {`{"documents":[{"uuid":"e24f5a7a-1d6d-4417-8af2-22da3d67d4cc","name":"a.pdf","creation_type":"GENERATED"}]}`, false},
		"none":      {`{}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t).quietPartners()
			b.RegisterActivity(&activities.Documents{})
			var f *activities.FollowUps
			var d *activities.Documents
			b.OnActivity(f.SignCustomer, mock.Anything, mock.Anything).Return(activities.SignCustomerResult{Moved: true}, nil).Once()
			started := 0
			b.OnActivity(d.StartDocuments, mock.Anything, mock.Anything).Return(
				func(_ context.Context, in activities.SignCustomerInput) (activities.StartDocumentsResult, error) {
					started++
					require.Equal(t, pipeline.EventID("proposal-42", "e"), in.Cause.EventID)
					return activities.StartDocumentsResult{Started: 1}, nil
				}).Maybe()
			b.send(0, "a", requested())
			for i, typ := range []pipeline.EventType{
				pipeline.TypeProposalSent, pipeline.TypeProposalSelected, pipeline.TypeContractRequested, pipeline.TypeContractSent,
			} {
				b.send(time.Duration(i+1)*time.Second, string(rune('p'+i)), move(typ))
			}
			signed := move(pipeline.TypeContractSigned)
			signed.Command.Data = []byte(c.data)
			b.send(10*time.Second, "e", signed)
			sold := b.send(11*time.Second, "s", move(pipeline.TypeProposalSold))
			b.runProposal()
			require.NoError(t, sold.refused)
			require.NoError(t, sold.failed)
			want := 0
			if c.started {
				want = 1
			}
			require.Equal(t, want, started)
			b.AssertExpectations(t)
		})
	}
}
