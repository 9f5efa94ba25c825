package activities

import (
	"context"
	"encoding/json"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// SendTestInput is a sample for one webhook: an event that never happened and is not stored.
type SendTestInput struct {
	CompanyID int64
	WebhookID int64
	Event     pipeline.Event
	Customer  json.RawMessage `json:"customer,omitempty"` // see pipeline.Dispatch
}

// SendTestResult says how the partner answered.
type SendTestResult struct {
	Delivered bool
	Attempt   pipeline.Attempt
}

// lookupPatience is how long finding a webhook may take before it is tried again.
const lookupPatience = 5 * time.Second

// SendTest sends a sample to a webhook, once, whether or not the webhook is active: one wants
// to know before one switches it on. It heeds neither gate nor rate limit, as somebody waits
// for it, and touches neither the webhook's health nor its deliveries.
//
// It fails only where the webhook cannot be read, and then nothing was sent; what the partner
// answers, or that he does not, is the result. The credentials are read here, so that they are
// in no history.
func (d *Deliveries) SendTest(ctx context.Context, in SendTestInput) (SendTestResult, error) {
	reading, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	w, err := d.Store.Webhook(reading, in.CompanyID, 0, in.WebhookID)
	if err != nil {
		return SendTestResult{}, Failure(err)
	}
	r := d.Sender.Deliver(ctx, pipeline.Dispatch{Test: true, Webhook: w, Event: in.Event, Customer: in.Customer})
	return SendTestResult{Delivered: r.Status == pipeline.DeliveryDelivered, Attempt: r.Attempt}, nil
}
