package api

import (
	"context"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
)

// Store is what the API reads, and where it keeps what is no entity: webhooks and keys. All
// of it answers errors that have a *pipeline.Error in their chain.
type Store interface {
	Ping(ctx context.Context) error
	KeyStore
	EntityStore
	EventStore
	WebhookStore
	DeliveryStore
}

// KeyStore knows companies and their API keys.
type KeyStore interface {
	Authenticate(ctx context.Context, secret string) (pipeline.Key, error)
	CreateKey(
		ctx context.Context, companyID int64, name string, role pipeline.Role, idem pipeline.Idempotency,
	) (created pipeline.NewKey, replayed bool, err error)
	Keys(ctx context.Context, companyID int64, page pipeline.Page) ([]pipeline.Key, error)
	RevokeKey(ctx context.Context, companyID, id int64) error
	Statuses(ctx context.Context, companyID int64) (pipeline.Statuses, error)
}

// EntityStore knows where customers and proposals stand.
type EntityStore interface {
	Reserve(ctx context.Context, companyID int64, kind pipeline.Kind, idem pipeline.Idempotency) (pipeline.Reservation, error)
	Target(ctx context.Context, companyID int64, stream pipeline.Stream, id int64, idem pipeline.Idempotency) (pipeline.Target, error)
	Customer(ctx context.Context, companyID, id int64) (pipeline.Customer, error)
	Customers(ctx context.Context, q pipeline.CustomerQuery) ([]pipeline.Customer, error)
	Proposal(ctx context.Context, companyID, id int64) (pipeline.Proposal, error)
	Proposals(ctx context.Context, q pipeline.ProposalQuery) ([]pipeline.Proposal, error)
}

// EventStore knows what happened.
type EventStore interface {
	Event(ctx context.Context, companyID int64, id string) (pipeline.Event, error)
	EventsAfter(ctx context.Context, stream pipeline.Stream, version int64, limit int) ([]pipeline.Event, error)
	Feed(ctx context.Context, q pipeline.FeedQuery) ([]pipeline.Event, error)
	LastPosition(ctx context.Context) (int64, error)
	Timeline(
		ctx context.Context, companyID int64, stream pipeline.Stream, after int64, limit int,
	) ([]pipeline.Event, []pipeline.Delivery, error)
}

// WebhookStore keeps partners' subscriptions. A partnerKey other than 0 finds only its own.
type WebhookStore interface {
	CreateWebhook(ctx context.Context, w pipeline.Webhook, idem pipeline.Idempotency) (created pipeline.Webhook, replayed bool, err error)
	Webhook(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Webhook, error)
	Webhooks(ctx context.Context, companyID, partnerKey int64, page pipeline.Page) ([]pipeline.Webhook, error)
	UpdateWebhook(ctx context.Context, w pipeline.Webhook) (updated pipeline.Webhook, released bool, err error)
	DeleteWebhook(ctx context.Context, companyID, id int64) error
}

// DeliveryStore knows who was told.
type DeliveryStore interface {
	Deliveries(ctx context.Context, q pipeline.DeliveryQuery) ([]pipeline.Delivery, error)
	Delivery(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Delivery, error)
}

// Engine drives the lifecycles. Its errors too have a *pipeline.Error in their chain.
type Engine interface {
	Submit(ctx context.Context, s workflows.Submission) (workflows.Outcome, error)
	WakeWebhook(ctx context.Context, webhookID int64) error
	Ping(ctx context.Context) error
}

// Targets vets the URL of a webhook before it is saved: CodeInvalid, pointing at /url, where
// events may not be sent there.
type Targets interface {
	VetURL(ctx context.Context, rawURL string) error
}
