package pipeline

import "strconv"

// Operational events: what happens to webhooks, deliveries and the fetching of documents rather
// than to a deal. Each is in the stream of its webhook ("webhook-12") or document
// ("document-7"), which has no lifecycle and no workflow that decides. A subscription has to name
// them or their family ("webhook.*"): "*" means what happens to deals. A webhook is never told
// about itself, and a key of role partner only about the webhooks of that key: nothing about
// documents, which are the company's.
const (
	TypeWebhookFailing    EventType = "webhook.failing"
	TypeWebhookDisabled   EventType = "webhook.disabled"
	TypeWebhookRecovered  EventType = "webhook.recovered"
	TypeDeliveryExhausted EventType = "delivery.exhausted"
	TypeDocumentFailed    EventType = "document.failed"
)

// The kinds of the streams of operational events.
const (
	KindWebhook  Kind = "webhook"
	KindDocument Kind = "document"
)

// Operational reports that an event is not about a deal.
func (t EventType) Operational() bool {
	_, ok := lookup(notices, t)
	return ok
}

// Notices lists the operational event types.
func Notices() []Entry { return append([]Entry(nil), notices...) }

// LookupNotice finds an operational event type, false where there is no such type.
func LookupNotice(t EventType) (Entry, bool) { return lookup(notices, t) }

var (
	ofWebhook  = []Kind{KindWebhook}
	ofDocument = []Kind{KindDocument}
)

var notices = []Entry{
	{TypeWebhookFailing, ofWebhook, "An endpoint keeps failing: it is probed now and then, and disabled if that lasts.", Names{}},
	{TypeWebhookDisabled, ofWebhook, "A webhook was disabled: what happens is not sent to it any more.", Names{}},
	{TypeWebhookRecovered, ofWebhook, "An endpoint that was failing takes events again.", Names{}},
	{TypeDeliveryExhausted, ofWebhook, "A delivery was given up: every attempt of its retry schedule failed.", Names{}},
	{TypeDocumentFailed, ofDocument, "A signed document could not be fetched, and is not tried any more until somebody asks for it.", Names{}},
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

// DocumentNotice is the payload of document.failed. The document's name is not in it: it often has
// the customer's name in it, and the event belongs to no customer.
type DocumentNotice struct {
	UUID         string        `json:"uuid"`
	ProposalID   ID            `json:"proposal_id"`
	ConnectionID ID            `json:"connection_id"` // 0: it was to be fetched from the document_url of a signature
	Reason       FailureReason `json:"reason"`
	Note         Text          `json:"note"`
	Since        Instant       `json:"since"` // when it was first to be fetched
}

// FailureReason says why a document could not be fetched.
type FailureReason string

// Only where it is unavailable was it tried for long.
const (
	FailureRefused      FailureReason = "refused"       // the provider or we did not allow it
	FailureTooLarge     FailureReason = "too_large"     // larger than documents may be
	FailureNoConnection FailureReason = "no_connection" // the connection was deleted, and it is not clear which takes its place
	FailureUnavailable  FailureReason = "unavailable"   // it did not come for as long as it is tried
)

// FailureOf is the reason that the code of an error stands for.
func FailureOf(code Code) FailureReason {
	switch code {
	case CodeForbidden:
		return FailureRefused
	case CodeTooLarge:
		return FailureTooLarge
	case CodeNotFound:
		return FailureNoConnection
	default:
		return FailureUnavailable
	}
}

// DocumentState is the state beside document.failed: the document as it stands after it.
type DocumentState struct {
	ID           int64      `json:"id"`
	UUID         string     `json:"uuid"`
	CompanyID    int64      `json:"company_id"`
	ProposalID   ID         `json:"proposal_id"`
	ConnectionID ID         `json:"connection_id"`
	Status       KeptStatus `json:"status"`
	Version      int64      `json:"version"`
}

// NoticeState is the state beside an operational event about a webhook: that webhook as it stands
// after it.
type NoticeState struct {
	ID             int64  `json:"id"`
	CompanyID      int64  `json:"company_id"`
	URL            string `json:"url"`
	Active         bool   `json:"active"`
	DisabledReason Text   `json:"disabled_reason"`
	Version        int64  `json:"version"`
}

// NoticeID is the id of an operational event: the same place in a stream always has the same one.
func NoticeID(stream Stream, version int64) string {
	return EventID(stream, "notice "+strconv.FormatInt(version, 10))
}
