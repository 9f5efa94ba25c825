package pipeline

import (
	"strings"
	"time"
)

// Webhook is a partner's subscription: where to send which events, and how.
type Webhook struct {
	ID          int64     `json:"id"`
	CompanyID   int64     `json:"company_id"`
	KeyID       int64     `json:"-"` // the API key that made it; a partner sees only its own
	URL         string    `json:"url"`
	Events      []string  `json:"events"`
	Format      string    `json:"format"`
	Secret      string    `json:"-"` // shown once, when it is made
	Ordered     bool      `json:"ordered"`
	Active      bool      `json:"active"`
	Description Text      `json:"description"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// FormatNative is our own envelope with a Standard Webhooks signature.
const FormatNative = "native"

// Patterns lists what a subscription may say to get an event of this type: the type itself,
// its family ("proposal.*") and everything ("*").
func Patterns(t EventType) []string {
	family, _, _ := strings.Cut(string(t), ".")
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
	DeliveryDiscarded  DeliveryStatus = "discarded"  // its webhook was deleted
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
	Attempts   int  // how many attempts were made before
	Later      bool // the webhook is failing, slow or behind: leave it to the Webhook workflow
	Webhook    Webhook
	Event      Event
}

// Result is an attempt that was made and what follows from it for its delivery: Status is the
// delivery's new status, and NextAttemptAt is set where that is pending.
type Result struct {
	DeliveryID    int64
	WebhookID     int64
	Attempt       Attempt
	Status        DeliveryStatus
	NextAttemptAt time.Time
}

// OK reports that the partner took the event.
func (r Result) OK() bool { return r.Status == DeliveryDelivered }
