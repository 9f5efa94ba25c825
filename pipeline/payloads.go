package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// The payload structs are what the events carry, field by field as in schemas/events. Where a
// caller's data differs from the payload (a default filled in, an old value kept), the
// difference is said at the struct.

// CustomerType is the kind of building that is being sold to (Solar Proof, "Webhook Events
// Reference": customer_type).
type CustomerType string

// The customer types.
const (
	Residential CustomerType = "RESIDENTIAL"
	Commercial  CustomerType = "COMMERCIAL"
	LargeScale  CustomerType = "LARGE-SCALE"
)

// CustomerCreated carries the whole customer. A caller may leave out all but name and email;
// uuid and status_name are ours to give.
type CustomerCreated struct {
	UUID       string       `json:"uuid"`
	Name       string       `json:"name"`
	Email      string       `json:"email"`
	Phone      Text         `json:"phone"`
	Type       CustomerType `json:"type"`
	OwnerID    UserID       `json:"owner_id"`
	Status     int          `json:"status"`
	StatusName string       `json:"status_name"`
	Address    Object       `json:"address"`
	Attributes Object       `json:"attributes"`
}

// CustomerUpdated carries the fields that changed, and only those.
type CustomerUpdated struct {
	Name       Given[string]       `json:"name,omitzero"`
	Email      Given[string]       `json:"email,omitzero"`
	Phone      Given[Text]         `json:"phone,omitzero"`
	Type       Given[CustomerType] `json:"type,omitzero"`
	OwnerID    Given[UserID]       `json:"owner_id,omitzero"`
	Address    Given[Object]       `json:"address,omitzero"`
	Attributes Given[Object]       `json:"attributes,omitzero"`
}

// CustomerStatusChanged keeps both ends of the change. A caller gives status and reason;
// status_name is looked up among the company's statuses before the command is decided.
type CustomerStatusChanged struct {
	Status     int    `json:"status"`
	OldStatus  int    `json:"old_status"`
	NewStatus  int    `json:"new_status"`
	StatusName string `json:"status_name"`
	Reason     string `json:"reason,omitempty"`
}

// Reason is the payload of events that carry nothing but why: customer.deleted,
// customer.restored and contract.voided.
type Reason struct {
	Reason string `json:"reason,omitempty"`
}

// CustomerErased says what kind of reason there was for erasing a customer, an Erased… value.
// It is not a text of somebody's own: nothing could make that unreadable any more.
type CustomerErased struct {
	Reason string `json:"reason,omitempty"`
}

// Why a customer may be erased.
const (
	ErasedOnRequest = "request"   // the person asked for it
	ErasedByAge     = "retention" // the data was kept for as long as it may be
	ErasedOtherwise = "other"
)

// AppointmentSet is a visit or a call that was agreed.
type AppointmentSet struct {
	StartsAt time.Time `json:"starts_at"`
	EndsAt   time.Time `json:"ends_at,omitzero"`
	Location string    `json:"location,omitempty"`
	Notes    string    `json:"notes,omitempty"`
}

// EmailSent says that the sales app sent an e-mail; the engine itself sends none.
type EmailSent struct {
	To       string `json:"to,omitempty"`
	Subject  string `json:"subject,omitempty"`
	Template string `json:"template,omitempty"`
}

// SMSSent says that the sales app sent a text message; the engine itself sends none.
type SMSSent struct {
	To       string `json:"to,omitempty"`
	Body     string `json:"body,omitempty"`
	Template string `json:"template,omitempty"`
}

// ProposalDetails is the payload of proposal.drafted, proposal.requested and proposal.saved.
// Only the first event of a proposal carries the two uuids: the proposal's own and its
// customer's, by which Sighten knows them as quote and site.
type ProposalDetails struct {
	UUID         string        `json:"uuid,omitempty"`
	CustomerUUID string        `json:"customer_uuid,omitempty"`
	Nickname     Given[Text]   `json:"nickname,omitzero"`
	SiteAddress  Given[Text]   `json:"site_address,omitzero"`
	System       Given[Object] `json:"system,omitzero"`
	Price        Given[Money]  `json:"price,omitzero"`
}

// ProposalSent says by which channel the proposal went to the customer.
type ProposalSent struct {
	Channel string `json:"channel,omitempty"`
}

// ProposalLinkPublished says where the customer can see the proposal.
type ProposalLinkPublished struct {
	URL string `json:"url,omitempty"`
}

// Nothing is the payload of an event that says everything by its type: proposal.selected.
type Nothing struct{}

// ProposalSold closes the deal; sold_at is when the event occurred unless the caller says.
type ProposalSold struct {
	Price  Given[Money] `json:"price,omitzero"`
	SoldAt time.Time    `json:"sold_at"`
}

// CreditRan is the outcome of a credit check: approved, declined or pending.
type CreditRan struct {
	Outcome   string      `json:"outcome"`
	Provider  string      `json:"provider,omitempty"`
	Reference string      `json:"reference,omitempty"`
	Score     json.Number `json:"score,omitempty"`
}

// ContractRequested says from which template the contract is to be made.
type ContractRequested struct {
	Template string `json:"template,omitempty"`
}

// ContractSent names the envelope at the provider of signatures.
type ContractSent struct {
	EnvelopeID string `json:"envelope_id,omitempty"`
}

// ContractSigned names the signed documents, or where to fetch one; signed_at is when the
// event occurred unless the caller says.
type ContractSigned struct {
	SignedAt    time.Time          `json:"signed_at"`
	Documents   []ContractDocument `json:"documents,omitempty"`
	DocumentURL string             `json:"document_url,omitempty"`
}

// ContractDocument is a document as the provider lists it. CreationType is GENERATED or
// UPLOADED, the latter being the signed one (Sighten, "The Contract Webhook").
type ContractDocument struct {
	UUID         string `json:"uuid"`
	Name         string `json:"name"`
	CreationType string `json:"creation_type"`
	DocumentType string `json:"document_type,omitempty"`
}

// ContractDocumentStored says that the signed document is in our keeping. Size is in bytes,
// SHA256 in lower-case hex.
type ContractDocumentStored struct {
	UUID        string `json:"uuid"`
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size"`
	SHA256      string `json:"sha256"`
}

// decode reads the data of a command or the payload of an event. Unknown fields are refused:
// a field that we do not know is a field that we would lose.
func decode[P any](data json.RawMessage) (P, error) {
	var p P
	if len(data) == 0 {
		data = json.RawMessage("{}")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, Invalid(FieldError{Pointer: "/data", Detail: strings.TrimPrefix(err.Error(), "json: ")})
	}
	return p, nil
}

// decodeEvent reads the payload of a stored event. Fields that we do not know are passed over:
// during a rolling upgrade they may come from a newer release. What fails is our own fault.
func decodeEvent[P any](e Event) (P, error) {
	var p P
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return p, fmt.Errorf("payload of %s %s: %w", e.Type, e.ID, err)
	}
	return p, nil
}

// faults gathers what is wrong with a payload.
type faults []FieldError

func (f *faults) unless(ok bool, pointer, detail string) {
	if !ok {
		*f = append(*f, FieldError{Pointer: pointer, Detail: detail})
	}
}

var (
	moneyAmount   = regexp.MustCompile(`^-?[0-9]{1,15}(\.[0-9]{1,4})?$`)
	moneyCurrency = regexp.MustCompile(`^[A-Z]{3}$`)
	// emailShape is deliberately loose: whether an address exists only a mail can tell.
	emailShape = regexp.MustCompile(`^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$`)
)

func (f *faults) price(p Given[Money]) {
	if !p.Set || p.Value == (Money{}) {
		return
	}
	f.unless(moneyAmount.MatchString(p.Value.Amount), "/data/price/amount", "has to be a decimal number as text")
	f.unless(moneyCurrency.MatchString(p.Value.Currency), "/data/price/currency", "has to be an ISO 4217 code")
}

// maxObject bounds a value that we carry without looking into it, in bytes of its JSON: it is
// part of every state from then on, and Temporal refuses payloads of 2 MiB.
const maxObject = 64 << 10

func (f *faults) object(o Object, pointer string) {
	f.unless(len(o) <= maxObject, pointer, "is larger than 64 KiB")
}

func (f *faults) customerType(t CustomerType) {
	f.unless(t == Residential || t == Commercial || t == LargeScale, "/data/type", "has to be RESIDENTIAL, COMMERCIAL or LARGE-SCALE")
}
