package pipeline

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// EventType is the stable, public name of something that happened.
type EventType string

// The catalogue. These names are on the wire: they are never renamed.
const (
	TypeCustomerCreated       EventType = "customer.created"
	TypeCustomerUpdated       EventType = "customer.updated"
	TypeCustomerStatusChanged EventType = "customer.status_changed"
	TypeCustomerDeleted       EventType = "customer.deleted"
	TypeCustomerRestored      EventType = "customer.restored"
	TypeCustomerErased        EventType = "customer.erased"
	TypeAppointmentSet        EventType = "appointment.set"
	TypeEmailSent             EventType = "email.sent"
	TypeSMSSent               EventType = "sms.sent"

	TypeProposalDrafted       EventType = "proposal.drafted"
	TypeProposalRequested     EventType = "proposal.requested"
	TypeProposalSaved         EventType = "proposal.saved"
	TypeProposalSent          EventType = "proposal.sent"
	TypeProposalLinkPublished EventType = "proposal.link_published"
	TypeProposalSelected      EventType = "proposal.selected"
	TypeProposalSold          EventType = "proposal.sold"

	TypeCreditRan EventType = "credit.ran"

	TypeContractRequested      EventType = "contract.requested"
	TypeContractSent           EventType = "contract.sent"
	TypeContractSigned         EventType = "contract.signed"
	TypeContractVoided         EventType = "contract.voided"
	TypeContractDocumentStored EventType = "contract.document_stored"
)

// Kind is the kind of entity that a stream tells the story of.
type Kind string

// The two kinds of entity.
const (
	KindCustomer Kind = "customer"
	KindProposal Kind = "proposal"
)

// Stream names the events of one entity, for example "proposal-54321".
// It is also the id of the entity's workflow.
type Stream string

// StreamOf names the stream of an entity.
func StreamOf(kind Kind, id int64) Stream {
	return Stream(string(kind) + "-" + strconv.FormatInt(id, 10))
}

// Kind is the part of the name before the dash.
func (s Stream) Kind() Kind {
	kind, _, _ := strings.Cut(string(s), "-")
	return Kind(kind)
}

// Actor is who made the event happen, in the terms of the sales app.
type Actor struct {
	UserID UserID `json:"user_id"`
}

// Cause is the event that this one follows from: a signed contract moves its customer.
type Cause struct {
	EventID string    `json:"event_id"`
	Type    EventType `json:"type"`
	Stream  Stream    `json:"stream"`
}

// Command asks for an event to happen. Data has the fields that a caller may give for that
// type, already checked against the type's schema; OccurredAt is when it happened, UTC.
// Implied is not for callers: see Event.
type Command struct {
	Type       EventType       `json:"type"`
	Data       json.RawMessage `json:"data,omitempty"`
	Actor      Actor           `json:"actor"`
	Cause      Cause           `json:"cause,omitzero"`
	OccurredAt time.Time       `json:"occurred_at"`
	Implied    bool            `json:"implied,omitempty"`
}

// Event is something that happened, as the store keeps it and as the API shows it.
//
// Version counts the events of one stream from 1 without gaps ("seq" on the wire, where a
// partner uses it to see a gap). Position orders all events that a company can see; the
// store gives it, as it gives RecordedAt. State is the entity after the event. Implied says that
// nobody reported it: it follows from a fact that a provider reported. Erased says that the
// personal fields of payload and state are gone: the customer was erased since (WithoutPersonal).
type Event struct {
	ID         string          `json:"id"`
	Type       EventType       `json:"type"`
	Timestamp  time.Time       `json:"timestamp"`
	RecordedAt time.Time       `json:"recorded_at"`
	Position   int64           `json:"position"`
	CompanyID  int64           `json:"company_id"`
	Stream     Stream          `json:"stream"`
	Version    int64           `json:"seq"`
	CustomerID ID              `json:"customer_id"`
	ProposalID ID              `json:"proposal_id"`
	Actor      Actor           `json:"actor"`
	Cause      *Cause          `json:"cause"`
	Implied    bool            `json:"implied,omitempty"`
	Erased     bool            `json:"erased,omitempty"`
	State      json.RawMessage `json:"state"`
	Payload    json.RawMessage `json:"payload"`
}

// Appended is what the store adds to an event. Deliveries counts those that are waiting to be
// sent; those of disabled webhooks are held and not counted.
type Appended struct {
	Position   int64     `db:"position"`
	RecordedAt time.Time `db:"recorded_at"`
	Deliveries int       `db:"deliveries"`
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// EventID derives the id of the event that a command leads to. The same command on the same
// stream always gives the same id, so a command that is run twice records one event.
func EventID(stream Stream, commandID string) string {
	sum := sha256.Sum256([]byte(string(stream) + "\x00" + commandID))
	return "evt_" + idEncoding.EncodeToString(sum[:16])
}

// State is what a lifecycle is to the code that drives it. S is the state itself, so that
// Apply can stay a function from value to value.
type State[S any] interface {
	Customer | Proposal
	// Decide says what payload the event of this command would carry, or why it may not
	// happen. It changes nothing.
	Decide(cmd Command) (any, error)
	// Apply gives the state after the event. It fails only on a payload that does not decode.
	Apply(e Event) (S, error)
	// Allowed lists the event types that are legal now, in the order of the rules.
	Allowed() []EventType
	// Stage is one word for where the entity stands, as the Temporal UI lists it.
	Stage() string
	// Ref says which entity this is and how many events it has had.
	Ref() Ref
}

// Ref identifies an entity and the version it has reached.
type Ref struct {
	Kind       Kind
	ID         int64
	CompanyID  int64
	CustomerID int64
	Version    int64
}

// Stream of the entity.
func (r Ref) Stream() Stream { return StreamOf(r.Kind, r.ID) }

// Next decides a command and, where it is legal, gives the event and the state after it.
// The event has everything but Position and RecordedAt, which only the store can give.
func Next[S State[S]](s S, cmd Command, commandID string) (Event, S, error) {
	payload, err := s.Decide(cmd)
	if err != nil {
		return Event{}, s, err
	}
	data, err := json.Marshal(payload)
	if err != nil {
		return Event{}, s, fmt.Errorf("encode payload of %s: %w", cmd.Type, err)
	}
	ref := s.Ref()
	e := Event{
		ID:         EventID(ref.Stream(), commandID),
		Type:       cmd.Type,
		Timestamp:  cmd.OccurredAt,
		CompanyID:  ref.CompanyID,
		Stream:     ref.Stream(),
		Version:    ref.Version + 1,
		CustomerID: ID(ref.CustomerID),
		Actor:      cmd.Actor,
		Implied:    cmd.Implied,
		Payload:    data,
	}
	if ref.Kind == KindProposal {
		e.ProposalID = ID(ref.ID)
	}
	if cmd.Cause != (Cause{}) {
		cause := cmd.Cause
		e.Cause = &cause
	}
	next, err := s.Apply(e)
	if err != nil {
		return Event{}, s, err
	}
	if e.State, err = json.Marshal(next); err != nil {
		return Event{}, s, fmt.Errorf("encode state after %s: %w", cmd.Type, err)
	}
	return e, next, nil
}

// Fold applies events in order.
func Fold[S State[S]](s S, events []Event) (S, error) {
	for _, e := range events {
		next, err := s.Apply(e)
		if err != nil {
			return s, fmt.Errorf("fold %s version %d: %w", e.Stream, e.Version, err)
		}
		s = next
	}
	return s, nil
}

// NewCommand makes a command out of typed data, to happen now.
func NewCommand(t EventType, data any, actor Actor, cause Cause) (Command, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return Command{}, fmt.Errorf("encode data of %s: %w", t, err)
	}
	return Command{Type: t, Data: b, Actor: actor, Cause: cause}, nil
}
