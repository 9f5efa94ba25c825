package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Personal is what tells something of the customer as a person: how to reach them, where they
// live, what was written to them or about them, and whatever the sales app keeps in objects that
// the engine does not look into. What happened and when, statuses, prices and the ids by which
// systems know an entity are not: without the former they are about nobody.

// NotForErased refuses what nobody can do any more to an erased customer and its proposals.
func NotForErased() *Error {
	return &Error{
		Code: CodeIllegalTransition, Message: "the customer was erased: nothing happens to it or its proposals any more",
		Allowed: []EventType{},
	}
}

// withoutPersonal is what is left of a customer that was erased.
func (c Customer) withoutPersonal() Customer {
	c.Name, c.Email, c.Phone, c.Address, c.Attributes = "", "", "", "", ""
	c.Erased = true
	return c
}

// withoutPersonal is what is left of a proposal whose customer was erased.
func (p Proposal) withoutPersonal() Proposal {
	p.Nickname, p.SiteAddress, p.System, p.LinkURL = "", "", "", ""
	p.Documents = slices.Clone(p.Documents)
	for i := range p.Documents {
		p.Documents[i].Name = ""
	}
	p.Erased = true
	return p
}

// WithoutPersonal gives the state of an entity as it is once its customer was erased.
func WithoutPersonal(kind Kind, state json.RawMessage) (json.RawMessage, error) {
	if kind == KindCustomer {
		return stripped(state, Customer.withoutPersonal)
	}
	return stripped(state, Proposal.withoutPersonal)
}

// EventWithoutPersonal gives an event of a lifecycle as it is once its customer was erased. The
// fold of such events is what WithoutPersonal leaves of the fold of the whole ones. An event of
// a type that is not in the table is refused: it cannot be said what of it is personal.
func EventWithoutPersonal(e Event) (Event, error) {
	strip, ok := personalOf[e.Type]
	if !ok {
		return Event{}, fmt.Errorf("it is not known what is personal in %s", e.Type)
	}
	var err error
	if e.Payload, err = strip(e.Payload); err != nil {
		return Event{}, fmt.Errorf("payload of %s: %w", e.ID, err)
	}
	if e.State, err = WithoutPersonal(e.Stream.Kind(), e.State); err != nil {
		return Event{}, fmt.Errorf("state after %s: %w", e.ID, err)
	}
	e.Erased = true
	return e, nil
}

// personalOf takes the personal fields out of the payload of each event type.
var personalOf = map[EventType]func(json.RawMessage) (json.RawMessage, error){
	TypeCustomerCreated: without(func(p *CustomerCreated) {
		p.Name, p.Email, p.Phone, p.Address, p.Attributes = "", "", "", "", ""
	}),
	TypeCustomerUpdated: without(func(p *CustomerUpdated) {
		*p = CustomerUpdated{Type: p.Type, OwnerID: p.OwnerID}
	}),
	TypeCustomerStatusChanged: without(func(p *CustomerStatusChanged) { p.Reason = "" }),
	TypeCustomerDeleted:       without(withoutReason),
	TypeCustomerRestored:      without(withoutReason),
	TypeCustomerErased:        untouched,
	TypeAppointmentSet:        without(func(p *AppointmentSet) { p.Location, p.Notes = "", "" }),
	TypeEmailSent:             without(func(p *EmailSent) { p.To, p.Subject = "", "" }),
	TypeSMSSent:               without(func(p *SMSSent) { p.To, p.Body = "", "" }),

	TypeProposalDrafted:       without(withoutDetails),
	TypeProposalRequested:     without(withoutDetails),
	TypeProposalSaved:         without(withoutDetails),
	TypeProposalSent:          untouched,
	TypeProposalLinkPublished: without(func(p *ProposalLinkPublished) { p.URL = "" }),
	TypeProposalSelected:      untouched,
	TypeProposalSold:          untouched,

	TypeCreditRan: without(func(p *CreditRan) { p.Reference, p.Score = "", "" }),

	TypeContractRequested: untouched,
	TypeContractSent:      untouched,
	TypeContractSigned: without(func(p *ContractSigned) {
		p.DocumentURL = ""
		for i := range p.Documents {
			p.Documents[i].Name = ""
		}
	}),
	TypeContractVoided:         without(withoutReason),
	TypeContractDocumentStored: without(func(p *ContractDocumentStored) { p.Name = "" }),
}

func withoutReason(p *Reason) { p.Reason = "" }

func withoutDetails(p *ProposalDetails) {
	p.Nickname, p.SiteAddress, p.System = Given[Text]{}, Given[Text]{}, Given[Object]{}
}

func untouched(payload json.RawMessage) (json.RawMessage, error) { return payload, nil }

func without[P any](clean func(*P)) func(json.RawMessage) (json.RawMessage, error) {
	return func(payload json.RawMessage) (json.RawMessage, error) {
		return stripped(payload, func(p P) P {
			clean(&p)
			return p
		})
	}
}

// stripped decodes a value, which passes over fields that are not known: a field of which it
// cannot be said whether it is personal is not left behind.
func stripped[V any](value json.RawMessage, strip func(V) V) (json.RawMessage, error) {
	var v V
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	out, err := json.Marshal(strip(v))
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out, nil
}

// ErasedCustomer names a customer that was erased.
type ErasedCustomer struct {
	CompanyID  int64
	CustomerID int64
}

// ErasedTraces is what is left of an erased customer outside of the store's tables: histories of
// workflows, and documents in the bucket. Contents are the SHA-256 of documents that nobody else
// has. Sending says that the customer's workflow still has to tell partners of the end.
type ErasedTraces struct {
	Proposals []int64
	Inbound   []int64
	Documents []string // uuids
	Contents  []string
	Sending   bool
}
