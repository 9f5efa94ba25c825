package workflows

import (
	"context"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// InboundInput names what a provider told us.
type InboundInput struct {
	ID int64
}

// InboundResult says what has become of it.
type InboundResult struct {
	Status pipeline.InboundStatus
	Note   string
}

// Inbound makes something of what a provider told us: `inbox-<id>`, one for each. What it cannot
// do within a day stays in the inbox as received, and the sweep starts it again.
func Inbound(ctx workflow.Context, in InboundInput) (InboundResult, error) {
	out, err := handleInbound(ctx, activities.HandleInboundInput(in))
	return InboundResult(out), err
}

// DocumentInput names a document.
type DocumentInput struct {
	CompanyID int64
	UUID      string
}

// DocumentResult says whether we have it, and why not where we do not.
type DocumentResult struct {
	Stored bool
	Note   string
}

// Document fetches a signed document and then records contract.document_stored. There is one for
// each document that is to be fetched; no entity waits for it. Who wants the document while this
// one is about to end is not forgotten: it looks once more.
func Document(ctx workflow.Context, in DocumentInput) (DocumentResult, error) {
	wake := workflow.GetSignalChannel(ctx, SignalWake)
	for {
		drainSignals(wake)
		out, err := keepDocument(ctx, in)
		if err != nil || wake.Len() == 0 {
			return out, err
		}
	}
}

func keepDocument(ctx workflow.Context, in DocumentInput) (DocumentResult, error) {
	fetched, err := fetchDocument(ctx, activities.DocumentInput(in))
	if err != nil {
		if temporal.IsCanceledError(err) {
			return DocumentResult{}, err
		}
		why := whyNot(err)
		workflow.SetCurrentDetails(ctx, "Given up: "+why.Message)
		return DocumentResult{Note: why.Message}, giveUpDocument(ctx, activities.GiveUpDocumentInput{
			CompanyID: in.CompanyID, UUID: in.UUID, Code: why.Code, Why: why.Message,
		})
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Fetched %d bytes, SHA-256 %s.", fetched.Size, fetched.SHA256))
	recorded, err := recordDocument(ctx, activities.DocumentInput(in))
	return DocumentResult{Stored: true, Note: recorded.Note}, err
}

// whyNot is the last thing that went wrong, for people to read.
func whyNot(err error) *pipeline.Error {
	why := activities.Refusal(err)
	if why.Code != pipeline.CodeInternal {
		return why
	}
	return pipeline.Errorf(why.Code, "it could not be fetched within %d hours", int(documentPatience/time.Hour))
}

// HandleInbound starts the workflow for what a provider told us; where it runs already, it is
// left to that.
func (e *Engine) HandleInbound(ctx context.Context, inboundID int64) error {
	return e.startOnce(ctx, inboundWorkflowID(inboundID), fmt.Sprintf("What a provider told us, %d", inboundID),
		Inbound, InboundInput{ID: inboundID})
}

// KeepDocument starts the workflow that fetches a document; where it runs already, it looks once
// more before it ends. Companies cannot get into each other's way: the id has the company in it.
func (e *Engine) KeepDocument(ctx context.Context, companyID int64, uuid string) error {
	uuid = strings.ToLower(uuid)
	id := documentWorkflowID(companyID, uuid)
	_, err := e.client.SignalWithStartWorkflow(ctx, id, SignalWake, nil, client.StartWorkflowOptions{
		TaskQueue: TaskQueue, StaticSummary: "Signed document " + uuid,
	}, Document, DocumentInput{CompanyID: companyID, UUID: uuid})
	return explain(err)
}

func (e *Engine) startOnce(ctx context.Context, id, summary string, what, in any) error {
	_, err := e.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: TaskQueue, StaticSummary: summary,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}, what, in)
	return explain(err)
}

// handleInbound is tried for a day, then left to the sweep.
func handleInbound(ctx workflow.Context, in activities.HandleInboundInput) (activities.HandleInboundResult, error) {
	o := workflow.ActivityOptions{
		Summary:                "record what follows from it",
		StartToCloseTimeout:    5 * time.Minute, // some ten commands, each with its own patience
		ScheduleToCloseTimeout: 24 * time.Hour,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: time.Minute,
		},
	}
	var out activities.HandleInboundResult
	err := activity(ctx, o, receiving.HandleInbound, in).Get(ctx, &out)
	return out, err
}

// documentPatience is how long a document may take to appear, keepEvery the longest pause between
// two looks.
const (
	documentPatience = 72 * time.Hour
	keepEvery        = 10 * time.Minute
)

func fetchDocument(ctx workflow.Context, in activities.DocumentInput) (activities.FetchDocumentResult, error) {
	o := workflow.ActivityOptions{
		Summary:                "fetch document " + in.UUID,
		StartToCloseTimeout:    time.Hour, // 100 MiB at 30 kB/s
		ScheduleToCloseTimeout: documentPatience,
		HeartbeatTimeout:       activities.HeartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 2 * time.Second, BackoffCoefficient: 2, MaximumInterval: keepEvery,
		},
	}
	var out activities.FetchDocumentResult
	err := activity(ctx, o, keeping.FetchDocument, in).Get(ctx, &out)
	return out, err
}

// recordDocument is tried for as long: a document that nobody hears of is a fact lost.
func recordDocument(ctx workflow.Context, in activities.DocumentInput) (activities.RecordDocumentResult, error) {
	var out activities.RecordDocumentResult
	err := activity(ctx, recordOptions("record that it is kept"), keeping.RecordDocument, in).Get(ctx, &out)
	return out, err
}

func giveUpDocument(ctx workflow.Context, in activities.GiveUpDocumentInput) error {
	return activity(ctx, recordOptions("record that it cannot be had"), keeping.GiveUpDocument, in).Get(ctx, nil)
}

func recordOptions(summary string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		Summary:                summary,
		StartToCloseTimeout:    20 * time.Second,
		ScheduleToCloseTimeout: documentPatience,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute,
		},
	}
}

// startDocuments is tried for a day, as what else follows from a signature.
func startDocuments(ctx workflow.Context, in activities.SignCustomerInput) workflow.Future {
	o := recordOptions("contract signed → fetch its document")
	o.ScheduleToCloseTimeout = 24 * time.Hour
	return activity(ctx, o, keeping.StartDocuments, in)
}
