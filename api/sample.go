package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// samplePosition is that of every sample: the lowest, so that a receiver that keeps the highest
// position it has seen is not misled.
const samplePosition = 1

// sample makes an event that never happened, out of the examples of the schemas: as if it had
// happened now, to a company's example customer, proposal, webhook or document, such as the webhook
// can be told of. Each has an id of its own. The customer's state comes beside it.
func sample(w pipeline.Webhook, t pipeline.EventType, now time.Time) (e pipeline.Event, customer json.RawMessage, err error) {
	payload, err := schemas.Example(t)
	if err != nil {
		return pipeline.Event{}, nil, err
	}
	e = pipeline.Event{
		Type: t, Timestamp: now, RecordedAt: now, Position: samplePosition, CompanyID: w.CompanyID, Payload: payload,
	}
	switch name := sampleName(w, t); name.Kind {
	case pipeline.KindCustomer:
		err = happenToCustomer(&e)
		customer = e.State
	case pipeline.KindProposal:
		if err = happenToProposal(&e, name.While); err == nil {
			customer, err = sampleCustomer(e)
		}
	case pipeline.KindDocument:
		err = happenToDocument(&e)
	default:
		err = happenToWebhook(&e)
	}
	e.ID = pipeline.EventID(e.Stream, "sample "+uuid.NewString())
	return e, customer, err
}

// sampleName is a name by which the webhook is told of events of the type, with the kind of
// entity that they are mostly about where the name leaves that open.
func sampleName(w pipeline.Webhook, t pipeline.EventType) pipeline.Name {
	entry, ok := pipeline.Lookup(t)
	if notice, operational := pipeline.LookupNotice(t); !ok && operational {
		return pipeline.Name{Kind: notice.Kinds[0]}
	}
	var name pipeline.Name
	if w.Format == pipeline.FormatSolarProof { // the one that narrows its names down
		name = entry.Names.SolarProof[0]
	}
	name.Kind = cmp.Or(name.Kind, entry.Kinds[0])
	return name
}

// sampleCustomer is the customer of a sample of a proposal's event.
func sampleCustomer(e pipeline.Event) (json.RawMessage, error) {
	var customer pipeline.Customer
	if err := example(pipeline.KindCustomer, &customer); err != nil {
		return nil, err
	}
	customer.ID, customer.CompanyID = int64(e.CustomerID), e.CompanyID
	b, err := json.Marshal(customer)
	if err != nil {
		return nil, fmt.Errorf("encode customer of a sample: %w", err)
	}
	return b, nil
}

func happenToCustomer(e *pipeline.Event) error {
	var customer pipeline.Customer
	if err := example(pipeline.KindCustomer, &customer); err != nil {
		return err
	}
	customer.CompanyID = e.CompanyID
	e.CustomerID = pipeline.ID(customer.ID)
	if e.Type == pipeline.TypeCustomerCreated {
		customer = pipeline.NewCustomer(customer.CompanyID, customer.ID)
	}
	return happenTo(e, customer)
}

// happenToProposal makes the event one of the example proposal, which is in the state while where
// that is not empty.
func happenToProposal(e *pipeline.Event, while string) error {
	var proposal pipeline.Proposal
	if err := example(pipeline.KindProposal, &proposal); err != nil {
		return err
	}
	if while != "" {
		proposal.Status = while
	}
	proposal.CompanyID = e.CompanyID
	e.CustomerID, e.ProposalID = pipeline.ID(proposal.CustomerID), pipeline.ID(proposal.ID)
	if e.Type == pipeline.TypeProposalDrafted || e.Type == pipeline.TypeProposalRequested {
		proposal = pipeline.NewProposal(proposal.CompanyID, proposal.CustomerID, proposal.ID)
	}
	return happenTo(e, proposal)
}

// happenTo makes the event the next one of the entity, and gives it the state after it.
func happenTo[S pipeline.State[S]](e *pipeline.Event, before S) error {
	ref := before.Ref()
	e.Stream, e.Version = ref.Stream(), ref.Version+1
	after, err := before.Apply(*e)
	if err != nil {
		return fmt.Errorf("sample of %s: %w", e.Type, err)
	}
	return keepState(e, after)
}

func happenToWebhook(e *pipeline.Event) error {
	var state pipeline.NoticeState
	if err := example(pipeline.KindWebhook, &state); err != nil {
		return err
	}
	state.CompanyID = e.CompanyID
	if e.Type == pipeline.TypeWebhookDisabled {
		state.Active, state.DisabledReason = false, pipeline.DisabledFailed
	}
	e.Stream, e.Version = pipeline.StreamOf(pipeline.KindWebhook, state.ID), state.Version
	return keepState(e, state)
}

func happenToDocument(e *pipeline.Event) error {
	var state pipeline.DocumentState
	if err := example(pipeline.KindDocument, &state); err != nil {
		return err
	}
	state.CompanyID = e.CompanyID
	e.Stream, e.Version = pipeline.StreamOf(pipeline.KindDocument, state.ID), state.Version
	return keepState(e, state)
}

func keepState(e *pipeline.Event, state any) error {
	b, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode state of a sample: %w", err)
	}
	e.State = b
	return nil
}

func example(kind pipeline.Kind, into any) error {
	b, err := schemas.StateExample(kind)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("decode the example of a %s: %w", kind, err)
	}
	return nil
}
