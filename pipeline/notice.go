package pipeline

import "strconv"

// Operational events: what happens to webhooks and deliveries rather than to a deal. Each is
// in the stream of its webhook ("webhook-12"), which has no lifecycle and no workflow that
// decides. A subscription has to name them or their family ("webhook.*"): "*" means what
// happens to deals. A webhook is never told about itself, and a key of role partner only about
// the webhooks of that key.
const (
	TypeWebhookFailing    EventType = "webhook.failing"
	TypeWebhookDisabled   EventType = "webhook.disabled"
	TypeWebhookRecovered  EventType = "webhook.recovered"
	TypeDeliveryExhausted EventType = "delivery.exhausted"
)

// KindWebhook is the kind of the streams of operational events.
const KindWebhook Kind = "webhook"

// Operational reports that an event is about a webhook rather than about a deal.
func (t EventType) Operational() bool {
	_, ok := lookup(notices, t)
	return ok
}

// Notices lists the operational event types.
func Notices() []Entry { return append([]Entry(nil), notices...) }

var ofWebhook = []Kind{KindWebhook}

var notices = []Entry{
	{TypeWebhookFailing, ofWebhook, "An endpoint keeps failing: it is probed now and then, and disabled if that lasts.", Names{}},
	{TypeWebhookDisabled, ofWebhook, "A webhook was disabled; its deliveries are held.", Names{}},
	{TypeWebhookRecovered, ofWebhook, "An endpoint that was failing takes events again.", Names{}},
	{TypeDeliveryExhausted, ofWebhook, "A delivery was given up: every attempt of its retry schedule failed.", Names{}},
}

// WebhookNotice is the payload of webhook.failing, webhook.disabled and webhook.recovered.
// DisableAt is when it will be disabled if it goes on failing; Reason is why it was disabled,
// a Disabled… value.
type WebhookNotice struct {
	WebhookID    int64   `json:"webhook_id"`
	URL          string  `json:"url"`
	Failures     int     `json:"failures"`
	FailingSince Instant `json:"failing_since"`
	DisableAt    Instant `json:"disable_at"`
	Reason       Text    `json:"reason"`
	Error        Text    `json:"error"` // of the last attempt
}

// DeliveryNotice is the payload of delivery.exhausted.
type DeliveryNotice struct {
	WebhookID  int64     `json:"webhook_id"`
	DeliveryID int64     `json:"delivery_id"`
	EventID    string    `json:"event_id"`
	EventType  EventType `json:"event_type"`
	Stream     Stream    `json:"stream"`
	Version    int64     `json:"seq"`
	Attempts   int       `json:"attempts"`
	Error      Text      `json:"error"`
}

// NoticeState is the state beside an operational event: the webhook as it stands after it.
type NoticeState struct {
	ID             int64  `json:"id"`
	CompanyID      int64  `json:"company_id"`
	URL            string `json:"url"`
	Active         bool   `json:"active"`
	DisabledReason Text   `json:"disabled_reason"`
	Version        int64  `json:"version"`
}

// NoticeID is the id of an operational event: the same place in a webhook's stream always has
// the same one.
func NoticeID(stream Stream, version int64) string {
	return EventID(stream, "notice "+strconv.FormatInt(version, 10))
}
