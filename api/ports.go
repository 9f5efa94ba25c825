package api

import (
	"context"
	"io"
	"time"

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
	SigningStore
	ReplayStore
	ReportStore
	DeliveryStore
	ContractStore
}

// ContractStore knows what there is of providers of contracts.
type ContractStore interface {
	ConnectionStore
	InboxStore
	DocumentStore
}

// KeyStore knows companies and their API keys.
type KeyStore interface {
	Authenticate(ctx context.Context, secret string) (pipeline.Key, error)
	// Scope gives the context for all that is asked for one company's caller. Without it, nothing
	// of any company is found.
	Scope(ctx context.Context, companyID int64) context.Context
	NoteKeyUse(ctx context.Context, companyID, id int64) error
	CreateKey(ctx context.Context, k pipeline.Key, idem pipeline.Idempotency) (created pipeline.NewKey, replayed bool, err error)
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
//
// What changes a webhook may give other webhooks something to do, since those may be told
// about it; wake names all whose workflow has something to do now.
type WebhookStore interface {
	CreateWebhook(
		ctx context.Context, w pipeline.Webhook, start pipeline.Start, idem pipeline.Idempotency,
	) (created pipeline.Webhook, replayed bool, err error)
	Webhook(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Webhook, error)
	Webhooks(ctx context.Context, companyID, partnerKey int64, page pipeline.Page) ([]pipeline.Webhook, error)
	// UpdateWebhook writes what f makes of the webhook as it stands; what f refuses is not written.
	UpdateWebhook(
		ctx context.Context, companyID, id int64, f func(pipeline.Webhook) (pipeline.Webhook, error),
	) (updated pipeline.Webhook, wake []int64, err error)
	EnableWebhook(ctx context.Context, companyID, id int64, skipHeld bool) (enabled pipeline.Webhook, wake []int64, err error)
	DisableWebhook(ctx context.Context, companyID, id int64) (disabled pipeline.Webhook, wake []int64, err error)
	DeleteWebhook(ctx context.Context, companyID, id int64) error
}

// SigningStore keeps what deliveries are signed with. With an idempotency key, a second call of
// RotateSecret answers what the first one did.
type SigningStore interface {
	RotateSecret(
		ctx context.Context, companyID, id int64, secret string, overlap time.Duration, idem pipeline.Idempotency,
	) (secretNow string, previousUntil time.Time, replayed bool, err error)
	SigningSeed(ctx context.Context, companyID, id int64) ([]byte, error)
}

// ReplayStore keeps the replays of webhooks. CodeConflict means that there is one already, that
// the webhook is not active, or that the replay is over.
type ReplayStore interface {
	StartReplay(ctx context.Context, r pipeline.NewReplay, idem pipeline.Idempotency) (started pipeline.Replay, replayed bool, err error)
	Replays(ctx context.Context, companyID, webhookID int64, page pipeline.Page) ([]pipeline.Replay, error)
	Replay(ctx context.Context, companyID, webhookID, id int64) (pipeline.Replay, error)
	SetReplayStatus(ctx context.Context, companyID, webhookID, id int64, status pipeline.ReplayStatus) (pipeline.Replay, error)
}

// ReportStore knows how a webhook is doing.
type ReportStore interface {
	Gaps(ctx context.Context, q pipeline.GapQuery) (pipeline.Gaps, error)
	Stats(ctx context.Context, companyID, webhookID int64, since time.Time) ([]pipeline.StatsHour, error)
}

// DeliveryStore knows who was told. Resend makes a delivery due now; CodeConflict means that
// its webhook is not active.
type DeliveryStore interface {
	Deliveries(ctx context.Context, q pipeline.DeliveryQuery) ([]pipeline.Delivery, error)
	Delivery(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Delivery, error)
	Resend(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Delivery, error)
}

// ConnectionStore keeps connections to providers of contracts.
type ConnectionStore interface {
	CreateConnection(
		ctx context.Context, c pipeline.Connection, idem pipeline.Idempotency,
	) (created pipeline.Connection, replayed bool, err error)
	Connection(ctx context.Context, companyID, id int64) (pipeline.Connection, error)
	ConnectionByToken(ctx context.Context, token string) (pipeline.Connection, error)
	Connections(ctx context.Context, companyID int64, page pipeline.Page) ([]pipeline.Connection, error)
	DeleteConnection(ctx context.Context, companyID, id int64) error
}

// InboxStore keeps what providers tell us. CodeConflict means that it came to something already.
type InboxStore interface {
	KeepInbound(ctx context.Context, in pipeline.Inbound, hash []byte) (kept pipeline.Inbound, repeated bool, err error)
	Inbound(ctx context.Context, companyID, id int64) (pipeline.Inbound, error)
	Inbox(ctx context.Context, q pipeline.InboundQuery) ([]pipeline.Inbound, error)
	RetryInbound(ctx context.Context, companyID, id int64) (pipeline.Inbound, error)
}

// DocumentStore knows which documents we have. A partnerKey other than 0 finds only those that its
// webhooks were told of.
type DocumentStore interface {
	Document(ctx context.Context, companyID, partnerKey int64, uuid string) (pipeline.KeptDocument, error)
	RetryDocument(ctx context.Context, companyID int64, uuid string) (pipeline.KeptDocument, error)
}

// Documents has the bytes of documents, by their SHA-256 in hex.
type Documents interface {
	Read(ctx context.Context, sha256 string) (io.ReadSeekCloser, error)
}

// Engine drives the lifecycles. Its errors too have a *pipeline.Error in their chain.
type Engine interface {
	Submit(ctx context.Context, s workflows.Submission) (workflows.Outcome, error)
	WakeWebhook(ctx context.Context, webhookID int64) error
	HandleInbound(ctx context.Context, inboundID int64) error
	KeepDocument(ctx context.Context, companyID int64, uuid string) error
	SendTest(ctx context.Context, t workflows.TestInput) (workflows.TestResult, error)
	Ping(ctx context.Context) error
}

// Targets vets URLs before they are saved: CodeInvalid where nothing may be sent there. VetURL
// is about that of a webhook and points at /url, VetAt points where it is told to.
type Targets interface {
	VetURL(ctx context.Context, rawURL string) error
	VetAt(ctx context.Context, rawURL, pointer string) error
}
