package main

import (
	"context"
	"strings"
	"time"
)

// object is a JSON object in the making.
type object = map[string]any

// actor is the user of the sales app on whose behalf the demo acts.
var actor = object{"user_id": 67890}

// tell walks one customer and two proposals through what can happen to them.
func (t *teller) tell(ctx context.Context, ui string) error {
	customer, err := t.customer(ctx)
	if err != nil {
		return err
	}
	sold, err := t.sold(ctx, customer)
	if err != nil {
		return err
	}
	lost, err := t.lost(ctx, customer)
	if err != nil {
		return err
	}
	if err := t.afterwards(ctx, customer); err != nil {
		return err
	}
	t.printf("\n%d events, %d webhooks, every signature verified. The same stories in the Temporal UI:\n", t.events, t.events)
	for _, s := range []*subject{customer, sold, lost} {
		t.printf("  %s/namespaces/default/workflows/%s\n", strings.TrimRight(ui, "/"), s.stream)
	}
	return nil
}

func (t *teller) customer(ctx context.Context) (*subject, error) {
	t.printf("\nA customer\n")
	customer, err := t.create(ctx, "customer", "/v1/customers", object{
		"name": "Ada Byrne", "email": "ada@example.com", "type": "RESIDENTIAL", "owner_id": actor["user_id"],
	})
	if err != nil {
		return nil, err
	}
	visit := time.Now().Add(48 * time.Hour).Format(time.RFC3339)
	return customer, t.moves(ctx, customer, []move{
		{"customer.updated", object{"phone": "+61 2 5550 1234"}},
		{"appointment.set", object{"starts_at": visit, "location": "123 Main St, Sydney"}},
		{"email.sent", object{"to": "ada@example.com", "subject": "Our visit"}},
		{"sms.sent", object{"body": "We are on our way"}},
	})
}

// sold is the proposal that goes well: it is signed, which moves its customer too, and sold.
func (t *teller) sold(ctx context.Context, customer *subject) (*subject, error) {
	t.printf("\nA proposal that is sold\n")
	proposal, err := t.create(ctx, "proposal", customer.path+"/proposals", object{
		"nickname": "Byrne, north roof", "price": object{"amount": "12345.00", "currency": "AUD"},
	})
	if err != nil {
		return nil, err
	}
	err = t.moves(ctx, proposal, []move{
		{"proposal.sent", object{"channel": "email"}},
		{"proposal.link_published", object{"url": "https://proposals.example.com/p/1"}},
		{"credit.ran", object{"outcome": "approved", "provider": "Example Credit"}},
		{"proposal.selected", nil},
		{"contract.requested", nil},
		{"contract.sent", object{"envelope_id": "env-1"}},
		{"contract.signed", nil},
	})
	if err != nil {
		return nil, err
	}
	// Nobody asked for this one: it follows from the signature.
	if err := t.arrival(ctx, customer.stream, customer.version+1); err != nil {
		return nil, err
	}
	return proposal, t.moves(ctx, proposal, []move{{"proposal.sold", nil}})
}

// lost is the proposal that goes wrong: credit is declined and the contract is voided.
func (t *teller) lost(ctx context.Context, customer *subject) (*subject, error) {
	t.printf("\nA proposal that is lost\n")
	proposal, err := t.create(ctx, "proposal", customer.path+"/proposals", object{"nickname": "Byrne, carport", "draft": true})
	if err != nil {
		return nil, err
	}
	err = t.moves(ctx, proposal, []move{{"proposal.saved", object{"nickname": "Byrne, carport with battery"}}})
	if err != nil {
		return nil, err
	}
	if err := t.refused(ctx, proposal, move{"proposal.sold", nil}); err != nil {
		return nil, err
	}
	return proposal, t.moves(ctx, proposal, []move{
		{"proposal.requested", nil},
		{"proposal.sent", nil},
		{"proposal.selected", nil},
		{"contract.requested", nil},
		{"credit.ran", object{"outcome": "declined"}},
		{"contract.voided", object{"reason": "credit declined"}},
	})
}

func (t *teller) afterwards(ctx context.Context, customer *subject) error {
	t.printf("\nThe customer, afterwards\n")
	return t.moves(ctx, customer, []move{
		{"customer.status_changed", object{"status": 3, "reason": "recommends us"}},
		{"customer.deleted", object{"reason": "entered twice"}},
		{"customer.restored", nil},
	})
}
