package pipeline

import (
	"encoding/json"
	"strings"
	"time"
)

// Webhook is a partner's subscription: where to send which events, and how.
//
// Its JSON is what the API shows: credentials are write-only, so of those it has no more than
// what tells them apart.
type Webhook struct {
	ID        int64    `json:"id"`
	CompanyID int64    `json:"company_id"`
	KeyID     int64    `json:"-"` // the API key that made it; a partner sees only its own
	URL       string   `json:"url"`
	Events    []string `json:"events"`
	Filter    Object   `json:"filter"` // see CheckFilter; empty: every event of the types
	Format    string   `json:"format"`

	// What some formats leave to the webhook; empty where the format does not.
	ContentType string `json:"content_type,omitempty"` // Solve360: a Content… value
	EventName   string `json:"event_name,omitempty"`   // the one event that it is told of, in its system's words
	Constraint  string `json:"constraint,omitempty"`   // Solve360: constrainttype
	Method      string `json:"method,omitempty"`       // Sighten: POST, PUT or PATCH

	Signing           Signing           `json:"-"`
	Auth              Auth              `json:"auth"`
	Headers           Headers           `json:"headers"`
	ClientCertificate ClientCertificate `json:"client_certificate"`

	Ordered        bool       `json:"ordered"`         // an entity's next event waits for the one before
	LatestOnly     bool       `json:"latest_only"`     // a newer event of an entity and type supersedes one that waits
	RetrySchedule  []Duration `json:"retry_schedule"`  // nil: the engine's own
	Timeout        Duration   `json:"timeout"`         // of one attempt
	RateLimit      Rate       `json:"rate_limit"`      // zero: none
	MaxConcurrency int        `json:"max_concurrency"` // requests under way at once, of all workers

	Active         bool      `json:"active"`
	DisabledReason Text      `json:"disabled_reason"` // a Disabled… value where it is not active
	CatchingUp     bool      `json:"catching_up"`     // it gets the past first; see Replay
	Health         Health    `json:"health"`
	Description    Text      `json:"description"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// What a webhook has where its owner does not say, and within which bounds he may say it.
const (
	DefaultTimeout        = Duration(5 * time.Second)
	MinTimeout            = Duration(time.Second)
	MaxTimeout            = Duration(30 * time.Second)
	DefaultMaxConcurrency = 20
	MaxMaxConcurrency     = 100
	MaxRetries            = 50
	MaxRetryDelay         = Duration(7 * 24 * time.Hour)
)

// Why a webhook is not active.
const (
	DisabledByHand = "manual"  // somebody switched it off
	DisabledGone   = "gone"    // the endpoint answered 410
	DisabledFailed = "failing" // every attempt has failed for too long
)

// FormatNative is our own envelope with a Standard Webhooks signature.
const FormatNative = "native"

// Patterns lists what a subscription may say to get an event of this type: the type itself,
// its family ("proposal.*") and, of what happens to deals, everything ("*").
func Patterns(t EventType) []string {
	family, _, _ := strings.Cut(string(t), ".")
	if t.Operational() {
		return []string{string(t), family + ".*"}
	}
	return []string{string(t), family + ".*", "*"}
}

// DeliveryStatus says where a delivery stands.
type DeliveryStatus string

// A delivery starts as pending, or as held where its webhook is disabled, and ends in one of
// the others. It is never lost.
const (
	DeliveryPending    DeliveryStatus = "pending"
	DeliveryDelivered  DeliveryStatus = "delivered"  // the partner answered with success
	DeliveryExhausted  DeliveryStatus = "exhausted"  // every attempt of the schedule failed
	DeliveryHeld       DeliveryStatus = "held"       // kept while the webhook is disabled
	DeliverySuperseded DeliveryStatus = "superseded" // a newer event made it pointless
	// DeliveryDiscarded: its webhook was deleted, or enabled without what was held, or is one of
	// Solve360's and was disabled, or its format turned out to have nothing to say of the event.
	DeliveryDiscarded DeliveryStatus = "discarded"
)

// Delivery is one event on its way to one webhook.
type Delivery struct {
	ID            int64          `json:"id"`
	WebhookID     int64          `json:"webhook_id"`
	EventID       string         `json:"event_id"`
	EventType     EventType      `json:"event_type"`
	Stream        Stream         `json:"stream"`
	Version       int64          `json:"seq"`
	Status        DeliveryStatus `json:"status"`
	NextAttemptAt Instant        `json:"next_attempt_at"`
	CreatedAt     time.Time      `json:"created_at"`
	Attempts      []Attempt      `json:"attempts"`
}

// Attempt is one request to a partner and what came of it. Status is the HTTP status, zero
// (null in JSON) where no answer came; then Error says why.
type Attempt struct {
	At           time.Time `json:"at"`
	Status       ID        `json:"status"`
	LatencyMS    int64     `json:"latency_ms"`
	Error        Text      `json:"error"`
	ResponseBody Text      `json:"response_body"`
}

// Dispatch is a delivery with all that is needed to send it.
type Dispatch struct {
	DeliveryID int64
	Attempts   int  // how many attempts of the retry schedule were made before
	Later      bool // leave it to the Webhook workflow: the endpoint is failing, slow, rate-limited or behind
	Test       bool // a sample: flagged as such to the partner, and no delivery of the store
	Webhook    Webhook
	Event      Event
	// Customer is the state of the event's customer when the event was recorded, for the formats
	// of other systems. Where the event is the customer's own, it may be left out: it is the
	// event's state then.
	Customer json.RawMessage
}

// Result is an attempt that was made and what follows from it for its delivery: Status is the
// delivery's new status, and NextAttemptAt is set where that is pending. Gone says that the
// endpoint answered 410: its webhook is to be disabled.
type Result struct {
	DeliveryID    int64
	WebhookID     int64
	Attempt       Attempt
	Status        DeliveryStatus
	NextAttemptAt time.Time
	Gone          bool
}

// OK reports that nothing went wrong: the partner took the event, or there was nothing to tell.
func (r Result) OK() bool { return r.Status == DeliveryDelivered || r.Status == DeliveryDiscarded }
