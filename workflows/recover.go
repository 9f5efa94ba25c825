package workflows

import (
	"context"
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"github.com/dealwright/dealwright/pipeline"
)

// RecoverCustomer starts the workflow of a customer with the state that the store has, as a run
// that continues another would begin. It says whether there was none.
func (e *Engine) RecoverCustomer(ctx context.Context, c pipeline.Customer, left Left) (started bool, err error) {
	return e.recover(ctx, c.Ref(), c.Stage(), Customer, CustomerInput{State: c, Listed: c.Stage(), Left: left, Prompt: true})
}

// RecoverProposal is RecoverCustomer for a proposal.
func (e *Engine) RecoverProposal(ctx context.Context, p pipeline.Proposal, left Left) (started bool, err error) {
	return e.recover(ctx, p.Ref(), p.Stage(), Proposal, ProposalInput{State: p, Listed: p.Stage(), Left: left, Prompt: true})
}

// recover leaves a workflow that runs as it is. Where a command has started one since the store
// was read, it has all that the store has.
func (e *Engine) recover(ctx context.Context, ref pipeline.Ref, stage string, what, in any) (started bool, err error) {
	options := lifecycleOptions(ref, stage)
	options.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	options.WorkflowExecutionErrorWhenAlreadyStarted = true
	_, err = e.client.ExecuteWorkflow(ctx, options, what, in)
	if _, running := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); running {
		return false, nil
	}
	return err == nil, explain(err)
}
