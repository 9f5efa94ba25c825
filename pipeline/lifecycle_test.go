package pipeline_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// What follows is the description of the lifecycles, written out a second time and by hand:
// it must not be derived from Rules, which it is to check.

// customerLegal lists what is legal in each state, and how to get there.
var customerLegal = map[string]struct {
	given []pipeline.EventType
	legal []pipeline.EventType
}{
	"none": {nil, words("customer.created")},
	"active": {words("customer.created"), words(`customer.updated customer.status_changed appointment.set
		email.sent sms.sent customer.deleted`)},
	"deleted": {words("customer.created customer.deleted"), words("customer.restored")},
	"erased":  {words("customer.created customer.erased"), []pipeline.EventType{}},
}

// proposalLegal lists in which states of the tracks each event is legal, and what it moves.
// Where a track is not named, its state does not matter.
var proposalLegal = []struct {
	event     pipeline.EventType
	proposal  string
	contract  string
	moves, to string
}{
	{event: "proposal.drafted", proposal: "none", moves: "proposal", to: "draft"},
	{event: "proposal.requested", proposal: "none draft", moves: "proposal", to: "requested"},
	{event: "proposal.saved", proposal: "draft requested sent selected"},
	{event: "proposal.sent", proposal: "requested sent", moves: "proposal", to: "sent"},
	{event: "proposal.link_published", proposal: "requested sent selected sold"},
	{event: "proposal.selected", proposal: "sent", moves: "proposal", to: "selected"},
	{event: "proposal.sold", proposal: "selected", moves: "proposal", to: "sold"},
	{event: "credit.ran", proposal: "requested sent selected sold", moves: "credit", to: "ran"},
	{event: "contract.requested", proposal: "selected sold", contract: "none voided", moves: "contract", to: "requested"},
	{event: "contract.sent", contract: "requested", moves: "contract", to: "sent"},
	{event: "contract.signed", contract: "sent", moves: "contract", to: "signed"},
	{event: "contract.voided", contract: "requested sent signed", moves: "contract", to: "voided"},
	{event: "contract.document_stored", contract: "signed"},
	{event: "email.sent", proposal: "draft requested sent selected sold"},
	{event: "sms.sent", proposal: "draft requested sent selected sold"},
}

// The ways to each state of the tracks. A contract begins once its proposal is selected,
// credit once it is requested.
var (
	toProposal = map[string]string{
		"none":      "",
		"draft":     "proposal.drafted",
		"requested": "proposal.requested",
		"sent":      "proposal.requested proposal.sent",
		"selected":  "proposal.requested proposal.sent proposal.selected",
		"sold":      "proposal.requested proposal.sent proposal.selected proposal.sold",
	}
	toContract = map[string]string{
		"none":      "",
		"requested": "contract.requested",
		"sent":      "contract.requested contract.sent",
		"signed":    "contract.requested contract.sent contract.signed",
		"voided":    "contract.requested contract.sent contract.voided",
	}
	toCredit = map[string]string{"none": "", "ran": "credit.ran"}
)

func words(s string) []pipeline.EventType {
	var types []pipeline.EventType
	for word := range strings.FieldsSeq(s) {
		types = append(types, pipeline.EventType(word))
	}
	return types
}

func among(list, state string) bool {
	return list == "" || slices.Contains(strings.Fields(list), state)
}

func everyType() []pipeline.EventType {
	catalogue := pipeline.Catalogue()
	types := make([]pipeline.EventType, 0, len(catalogue)+2)
	for _, e := range catalogue {
		types = append(types, e.Type)
	}
	return append(types, "no.such_event", "")
}

func TestEveryEventInEveryStateOfACustomer(t *testing.T) {
	t.Parallel()
	moves := map[pipeline.EventType]string{
		"customer.created": "active", "customer.deleted": "deleted", "customer.restored": "active", "customer.erased": "erased",
	}
	for state, expected := range customerLegal {
		for _, eventType := range everyType() {
			t.Run(state+" "+string(eventType), func(t *testing.T) {
				t.Parallel()
				s := givenCustomer(t, expected.given...)
				require.Equal(t, expected.legal, s.after.Allowed())
				s = s.when(eventType, usual[eventType])
				// Who asks what is legal asks for transitions; to erase is none.
				erases := eventType == pipeline.TypeCustomerErased && (state == "active" || state == "deleted")
				if !slices.Contains(expected.legal, eventType) && !erases {
					s.thenIllegal(expected.legal...)
					return
				}
				require.NoError(t, s.err)
				after := moves[eventType]
				if after == "" {
					after = state
				}
				require.Equal(t, after == "deleted" || erases && state == "deleted", s.after.Deleted)
				require.Equal(t, after == "erased", s.after.Erased)
				require.Equal(t, customerLegal[after].legal, s.after.Allowed())
			})
		}
	}
}

// at is where a proposal stands.
type at struct{ proposal, contract, credit string }

func (a at) given() []pipeline.EventType {
	return words(toProposal[a.proposal] + " " + toCredit[a.credit] + " " + toContract[a.contract])
}

func (a at) legal() []pipeline.EventType {
	legal := []pipeline.EventType{}
	for _, e := range proposalLegal {
		if among(e.proposal, a.proposal) && among(e.contract, a.contract) {
			legal = append(legal, e.event)
		}
	}
	return legal
}

func (a at) after(eventType pipeline.EventType) at {
	for _, e := range proposalLegal {
		if e.event != eventType {
			continue
		}
		switch e.moves {
		case "proposal":
			a.proposal = e.to
		case "contract":
			a.contract = e.to
		case "credit":
			a.credit = e.to
		}
	}
	return a
}

// everywhere lists all places where a proposal can stand.
func everywhere() []at {
	var all []at
	for proposal := range toProposal {
		for contract := range toContract {
			for credit := range toCredit {
				started := proposal != "none" && proposal != "draft"
				chosen := proposal == "selected" || proposal == "sold"
				if (credit == "none" || started) && (contract == "none" || chosen) {
					all = append(all, at{proposal, contract, credit})
				}
			}
		}
	}
	return all
}

func TestAProposalCanStandIn26Places(t *testing.T) {
	t.Parallel()
	require.Len(t, everywhere(), 26)
}

func TestEveryEventInEveryStateOfAProposal(t *testing.T) {
	t.Parallel()
	for _, place := range everywhere() {
		for _, eventType := range everyType() {
			name := strings.Join([]string{place.proposal, place.contract, place.credit, string(eventType)}, " ")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := givenProposal(t, place.given()...)
				require.Equal(t, place, standing(s.after))
				require.Equal(t, place.legal(), s.after.Allowed())
				s = s.when(eventType, usualData(eventType, s.after.Version))
				if !slices.Contains(place.legal(), eventType) {
					s.thenIllegal(place.legal()...)
					return
				}
				require.NoError(t, s.err)
				require.Equal(t, place.after(eventType), standing(s.after))
				require.Equal(t, s.before.Version+1, s.after.Version)
			})
		}
	}
}

func standing(p pipeline.Proposal) at { return at{p.Status, p.ContractStatus, p.CreditStatus} }

func TestARefusalSaysWhereTheEntityStands(t *testing.T) {
	t.Parallel()
	deleted := givenCustomer(t, "customer.created", "customer.deleted").when("customer.updated", `{"name":"X"}`)
	require.EqualError(t, deleted.err, "customer.updated is not legal while the customer is deleted")
	early := givenProposal(t, "proposal.requested").when("contract.signed", ``)
	require.EqualError(t, early.err, "contract.signed is not legal while the proposal is requested and its contract is none")
}

func TestStage(t *testing.T) {
	t.Parallel()
	require.Equal(t, "none", givenCustomer(t).after.Stage())
	require.Equal(t, "New Contacts", givenCustomer(t, "customer.created").after.Stage())
	require.Equal(t, "Signed", givenCustomer(t, "customer.created", "customer.status_changed").after.Stage())
	require.Equal(t, "deleted", givenCustomer(t, "customer.created", "customer.deleted").after.Stage())
	require.Equal(t, "none", givenProposal(t).after.Stage())
	require.Equal(t, "sent", givenProposal(t, "proposal.requested", "proposal.sent").after.Stage())
}

// The rules that the outside sees cannot be bent through what Rules gives out.
func TestRulesAreACopy(t *testing.T) {
	t.Parallel()
	rules := pipeline.Rules(pipeline.KindCustomer)
	rules[0] = pipeline.Rule{}
	require.Equal(t, pipeline.TypeCustomerCreated, pipeline.Rules(pipeline.KindCustomer)[0].Type)
}
