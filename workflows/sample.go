package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// TestInput is a sample for one webhook: an event that never happened.
type TestInput struct {
	CompanyID int64
	WebhookID int64
	Event     pipeline.Event
	Customer  json.RawMessage `json:"customer,omitempty"` // of a proposal's event, for the formats of other systems
}

// TestResult says how the partner answered. An attempt that failed is a result too.
type TestResult struct {
	Delivered bool
	Attempt   pipeline.Attempt
}

// TestWebhook sends a sample to a webhook, once.
func TestWebhook(ctx workflow.Context, in TestInput) (TestResult, error) {
	out, err := sendTest(ctx, activities.SendTestInput(in))
	return TestResult(out), err
}

// SendTest has a worker send a sample to a webhook and waits for the partner's answer, for
// sampleTime at most. CodeUnavailable means that it is not known whether it was sent.
func (e *Engine) SendTest(ctx context.Context, t TestInput) (TestResult, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	run, err := e.startTest(ctx, t)
	if err != nil {
		return TestResult{}, explainTest(err)
	}
	var out TestResult
	err = run.Get(ctx, &out)
	return out, explainTest(err)
}

// startTest gives up as soon as a command does: where Temporal cannot be reached, the caller
// need not wait for all of an attempt's time.
func (e *Engine) startTest(ctx context.Context, t TestInput) (client.WorkflowRun, error) {
	ctx, cancel := context.WithTimeout(ctx, submitPatience)
	defer cancel()
	return e.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       WebhookWorkflowID(t.WebhookID) + "-test-" + uuid.NewString(),
		TaskQueue:                TaskQueue,
		WorkflowTaskTimeout:      workflowTaskTimeout,
		WorkflowExecutionTimeout: sampleTime,
		StaticSummary:            fmt.Sprintf("Send a sample of %s to webhook %d", t.Event.Type, t.WebhookID),
	}, TestWebhook, t)
}

// explainTest: a sample whose time was up found no worker, or lost the one it had.
func explainTest(err error) error {
	if err == nil {
		return nil
	}
	_, refused := errors.AsType[*temporal.ApplicationError](err)
	if !refused && (temporal.IsTimeoutError(err) || codeOf(err) == pipeline.CodeUnavailable) {
		return fmt.Errorf("%w: %w", pipeline.Errorf(pipeline.CodeUnavailable,
			"the sample could not be sent in time; try again"), err)
	}
	return explain(err)
}
