package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// Engine drives the workflows from outside: it is what the API and the follow-up activities
// hold of Temporal.
type Engine struct {
	client client.Client
}

// NewEngine wraps a client of the namespace that the workers poll.
func NewEngine(c client.Client) *Engine { return &Engine{client: c} }

// Submission is a command on its way to an entity's workflow.
type Submission struct {
	Stream     pipeline.Stream
	CompanyID  int64
	CustomerID int64
	ID         int64 // of the entity
	// StoreVersion is the version that the caller saw in the store, 0 for a new entity. A
	// workflow that knows less than this reads the store before it decides.
	StoreVersion int64
	Command      pipeline.Command
	// CommandID names the command: the event's id follows from it, so that a command that is
	// submitted twice is recorded once. It is the Idempotency-Key, or random where there is none.
	CommandID   string
	Idempotency pipeline.Idempotency
}

// The bounds of a submission: how long it may take, and how many remembered failures it looks
// past.
const (
	submitPatience = 12 * time.Second
	maxRemembered  = 100
)

// workflowTaskTimeout is how long an entity stands still when a worker is killed while it has a
// task of that entity; the next worker gets it then. A local activity that takes longer extends
// its task by itself.
const workflowTaskTimeout = 3 * time.Second

// Submit sends a command to the entity's workflow, which is started where it does not run, and
// waits for what becomes of it. Every error has a code of package pipeline in its chain;
// CodeUnavailable means that the outcome is not known, and that the same submission may be
// sent again.
func (e *Engine) Submit(ctx context.Context, s Submission) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, submitPatience)
	defer cancel()
	request := uuid.NewString()
	// Temporal shows the id of an update to everybody, and a caller's key may be anything.
	id := pipeline.EventID(s.Stream, s.CommandID)
	updateID := id
	for n := 2; n <= maxRemembered; n++ {
		out, err := e.update(ctx, s, updateID, request)
		if !isRemembered(err, request) {
			return out, explain(err)
		}
		// Temporal remembers the outcome of an update id for as long as the run lasts. A failure
		// that an earlier request met is no answer to this one: the command is submitted again
		// under the next id. It still records one event at most, whose id is the command's.
		updateID = fmt.Sprintf("%s, try %d", id, n)
	}
	return Outcome{}, pipeline.Errorf(pipeline.CodeConflict, "this Idempotency-Key failed too often; use a new one")
}

// Command submits a command that a workflow itself gave rise to.
func (e *Engine) Command(ctx context.Context, to pipeline.Ref, cmd pipeline.Command, commandID string) error {
	_, err := e.Submit(ctx, Submission{
		Stream: to.Stream(), CompanyID: to.CompanyID, CustomerID: to.CustomerID, ID: to.ID,
		StoreVersion: to.Version, Command: cmd, CommandID: commandID,
	})
	return err
}

// update does one Update-with-Start: one request, whether or not the workflow runs.
func (e *Engine) update(ctx context.Context, s Submission, updateID, request string) (Outcome, error) {
	start, err := e.start(s)
	if err != nil {
		return Outcome{}, err
	}
	handle, err := e.client.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateID: updateID, UpdateName: UpdateTransition, WaitForStage: client.WorkflowUpdateStageCompleted,
			Args: []any{Transition{
				Command: s.Command, CommandID: s.CommandID, Idempotency: s.Idempotency,
				StoreVersion: s.StoreVersion, RequestID: request,
			}},
		},
	})
	if err != nil {
		return Outcome{}, err
	}
	var out Outcome
	err = handle.Get(ctx, &out)
	return out, err
}

func (e *Engine) start(s Submission) (client.WithStartWorkflowOperation, error) {
	stage, err := firstStage(s)
	if err != nil {
		return nil, err
	}
	ref := pipeline.Ref{Kind: s.Stream.Kind(), ID: s.ID, CompanyID: s.CompanyID, CustomerID: s.CustomerID}
	options := lifecycleOptions(ref, stage)
	options.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
	if s.Stream.Kind() == pipeline.KindCustomer {
		return e.client.NewWithStartWorkflowOperation(options, Customer,
			CustomerInput{State: pipeline.NewCustomer(s.CompanyID, s.ID), Listed: stage, Prompt: true}), nil
	}
	return e.client.NewWithStartWorkflowOperation(options, Proposal,
		ProposalInput{State: pipeline.NewProposal(s.CompanyID, s.CustomerID, s.ID), Listed: stage, Prompt: true}), nil
}

// lifecycleOptions are those of an entity's workflow, which is listed with a stage unless that
// is not known yet.
func lifecycleOptions(ref pipeline.Ref, stage string) client.StartWorkflowOptions {
	attributes := []temporal.SearchAttributeUpdate{
		AttributeCompanyID.ValueSet(ref.CompanyID), AttributeCustomerID.ValueSet(ref.CustomerID),
	}
	if stage != "" {
		attributes = append(attributes, AttributeStage.ValueSet(stage))
	}
	summary := fmt.Sprintf("Customer %d", ref.ID)
	if ref.Kind == pipeline.KindProposal {
		summary = fmt.Sprintf("Proposal %d of customer %d", ref.ID, ref.CustomerID)
	}
	return client.StartWorkflowOptions{
		ID: string(ref.Stream()), TaskQueue: TaskQueue, WorkflowTaskTimeout: workflowTaskTimeout,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		TypedSearchAttributes: temporal.NewSearchAttributes(attributes...),
		StaticSummary:         summary,
	}
}

// firstStage is the stage after the first command, so that a new workflow is listed with it
// from the start and needs no upsert. It also refuses a first command that cannot succeed,
// before a workflow is started for it.
func firstStage(s Submission) (string, error) {
	if s.StoreVersion > 0 {
		return "", nil
	}
	if s.Stream.Kind() == pipeline.KindCustomer {
		_, next, err := pipeline.Next(pipeline.NewCustomer(s.CompanyID, s.ID), s.Command, s.CommandID)
		return next.Stage(), err
	}
	_, next, err := pipeline.Next(pipeline.NewProposal(s.CompanyID, s.CustomerID, s.ID), s.Command, s.CommandID)
	return next.Stage(), err
}

// isRemembered tells a failure that Temporal remembers from an earlier request.
func isRemembered(err error, request string) bool {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || !app.HasDetails() {
		return false
	}
	var refusal pipeline.Error
	var failedFor string
	if app.Details(&refusal, &failedFor) != nil {
		return false
	}
	// A validator's refusal names no request: it is never remembered.
	return failedFor != "" && failedFor != request
}

// explain gives an error of Temporal's its code.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*pipeline.Error](err); ours {
		return err
	}
	if _, refused := errors.AsType[*temporal.ApplicationError](err); refused {
		return activities.Refusal(err)
	}
	return fmt.Errorf("%w: %w", pipeline.Errorf(codeOf(err), "%s", sentences[codeOf(err)]), err)
}

var sentences = map[pipeline.Code]string{
	pipeline.CodeUnavailable: "the command could not be completed now; send it again with the same Idempotency-Key",
	pipeline.CodeInternal:    "the workflow service failed",
}

func codeOf(err error) pipeline.Code {
	var (
		unavailable *serviceerror.Unavailable
		exhausted   *serviceerror.ResourceExhausted
		deadline    *serviceerror.DeadlineExceeded
		canceled    *serviceerror.Canceled
		aborted     *serviceerror.MultiOperationExecution
		notFound    *serviceerror.NotFound
		timeout     *client.WorkflowUpdateServiceTimeoutOrCanceledError
	)
	known := errors.As(err, &unavailable) || errors.As(err, &exhausted) || errors.As(err, &deadline) ||
		errors.As(err, &canceled) || errors.As(err, &aborted) || errors.As(err, &notFound) || errors.As(err, &timeout) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if known {
		return pipeline.CodeUnavailable
	}
	return pipeline.CodeInternal
}

// WakeEntity lets the workflow of a customer or a proposal find out what the store has for it to do;
// it is started where it does not run.
func (e *Engine) WakeEntity(ctx context.Context, ref pipeline.Ref) error {
	options := lifecycleOptions(ref, "")
	var what, in any = Proposal, ProposalInput{State: pipeline.NewProposal(ref.CompanyID, ref.CustomerID, ref.ID), Prompt: true}
	if ref.Kind == pipeline.KindCustomer {
		what, in = Customer, CustomerInput{State: pipeline.NewCustomer(ref.CompanyID, ref.ID), Prompt: true}
	}
	_, err := e.client.SignalWithStartWorkflow(ctx, options.ID, SignalLook, nil, options, what, in)
	return explain(err)
}

// WakeWebhook lets the workflow of a webhook look for something to do; it is started where it
// does not run.
func (e *Engine) WakeWebhook(ctx context.Context, webhookID int64) error {
	_, err := e.client.SignalWithStartWorkflow(ctx, WebhookWorkflowID(webhookID), SignalWake, nil, client.StartWorkflowOptions{
		TaskQueue:     TaskQueue,
		StaticSummary: fmt.Sprintf("Deliveries waiting for webhook %d", webhookID),
	}, Webhook, WebhookInput{WebhookID: webhookID})
	return explain(err)
}

// Ping reports whether Temporal answers.
func (e *Engine) Ping(ctx context.Context) error {
	_, err := e.client.CheckHealth(ctx, &client.CheckHealthRequest{})
	return explain(err)
}
