package workflows

import (
	"strconv"

	"go.temporal.io/sdk/temporal"

	"github.com/dealwright/dealwright/pipeline"
)

// The names on the Temporal side. Histories and operators' scripts depend on them.
const (
	TaskQueue = "dealwright"

	UpdateTransition = "transition" // of Customer and Proposal
	SignalWake       = "wake"       // of Webhook and Document
	SignalLook       = "look"       // of Customer and Proposal

	// Changes of what workflows do, for those that began before.
	changeDocuments = "fetch the documents of a signature" // of Proposal
	changeLook      = "look for what the store has"        // of Customer and Proposal
	changeInbound   = "sweep the inbox"                    // of Sweep

	sweepID     = "sweep"
	retentionID = "retention"
)

// The search attributes of Customer and Proposal workflows.
var (
	AttributeCompanyID  = temporal.NewSearchAttributeKeyInt64("CompanyId")
	AttributeCustomerID = temporal.NewSearchAttributeKeyInt64("CustomerId")
	AttributeStage      = temporal.NewSearchAttributeKeyKeyword("Stage")
)

// Transition is the input of the update "transition". RequestID names the request that
// carries the command, which is another one when a caller tries again.
type Transition struct {
	Command      pipeline.Command
	CommandID    string
	Idempotency  pipeline.Idempotency
	StoreVersion int64
	RequestID    string
}

// Outcome is what became of a command that was legal: the event with the state after it, and
// what is legal next.
type Outcome struct {
	Event   pipeline.Event
	Allowed []pipeline.EventType
}

// WebhookWorkflowID names the workflow of a webhook.
func WebhookWorkflowID(webhookID int64) string {
	return "webhook-" + strconv.FormatInt(webhookID, 10)
}

func inboundWorkflowID(inboundID int64) string { return "inbox-" + strconv.FormatInt(inboundID, 10) }

// documentWorkflowID has the company in it: companies cannot get into each other's way.
func documentWorkflowID(companyID int64, uuid string) string {
	return "document-" + strconv.FormatInt(companyID, 10) + "-" + uuid
}
