package pipeline

import "slices"

// Track is one of the lines along which an entity moves. A customer has one, a proposal three.
type Track string

// The tracks.
const (
	TrackCustomer Track = "customer"
	TrackProposal Track = "proposal"
	TrackContract Track = "contract"
	TrackCredit   Track = "credit"
)

// The states of the tracks. StateNone is where every track starts.
const (
	StateNone      = "none"
	StateActive    = "active"
	StateDeleted   = "deleted"
	StateErased    = "erased"
	StateDraft     = "draft"
	StateRequested = "requested"
	StateSent      = "sent"
	StateSelected  = "selected"
	StateSold      = "sold"
	StateSigned    = "signed"
	StateVoided    = "voided"
	StateRan       = "ran"
)

// Need says that a track has to be in one of these states.
type Need struct {
	Track Track
	In    []string
}

// Rule says when an event is legal and what it moves. Where To is empty, nothing moves.
type Rule struct {
	Type  EventType
	Needs []Need
	Track Track
	To    string
}

// position is where an entity stands on each of its tracks.
type position map[Track]string

func (r Rule) legal(at position) bool {
	for _, n := range r.Needs {
		if !slices.Contains(n.In, at[n.Track]) {
			return false
		}
	}
	return true
}

func needs(t Track, in ...string) []Need { return []Need{{Track: t, In: in}} }

// customerRules: a deleted customer takes only customer.restored and customer.erased, an erased
// one nothing.
var customerRules = []Rule{
	{TypeCustomerCreated, needs(TrackCustomer, StateNone), TrackCustomer, StateActive},
	{TypeCustomerUpdated, needs(TrackCustomer, StateActive), "", ""},
	{TypeCustomerStatusChanged, needs(TrackCustomer, StateActive), "", ""},
	{TypeAppointmentSet, needs(TrackCustomer, StateActive), "", ""},
	{TypeEmailSent, needs(TrackCustomer, StateActive), "", ""},
	{TypeSMSSent, needs(TrackCustomer, StateActive), "", ""},
	{TypeCustomerDeleted, needs(TrackCustomer, StateActive), TrackCustomer, StateDeleted},
	{TypeCustomerRestored, needs(TrackCustomer, StateDeleted), TrackCustomer, StateActive},
	{TypeCustomerErased, needs(TrackCustomer, StateActive, StateDeleted), TrackCustomer, StateErased},
}

var (
	anyProposal    = []string{StateDraft, StateRequested, StateSent, StateSelected, StateSold}
	requestedOrOn  = anyProposal[1:]
	selectedOrSold = anyProposal[3:]
)

// proposalRules: three tracks at once. proposal.sent again from sent is a re-send; a voided
// contract may be requested again; credit may run again.
var proposalRules = []Rule{
	{TypeProposalDrafted, needs(TrackProposal, StateNone), TrackProposal, StateDraft},
	{TypeProposalRequested, needs(TrackProposal, StateNone, StateDraft), TrackProposal, StateRequested},
	{TypeProposalSaved, needs(TrackProposal, StateDraft, StateRequested, StateSent, StateSelected), "", ""},
	{TypeProposalSent, needs(TrackProposal, StateRequested, StateSent), TrackProposal, StateSent},
	{TypeProposalLinkPublished, needs(TrackProposal, requestedOrOn...), "", ""},
	{TypeProposalSelected, needs(TrackProposal, StateSent), TrackProposal, StateSelected},
	{TypeProposalSold, needs(TrackProposal, StateSelected), TrackProposal, StateSold},
	{TypeCreditRan, needs(TrackProposal, requestedOrOn...), TrackCredit, StateRan},
	{TypeContractRequested, []Need{
		{TrackContract, []string{StateNone, StateVoided}},
		{TrackProposal, selectedOrSold},
	}, TrackContract, StateRequested},
	{TypeContractSent, needs(TrackContract, StateRequested), TrackContract, StateSent},
	{TypeContractSigned, needs(TrackContract, StateSent), TrackContract, StateSigned},
	{TypeContractVoided, needs(TrackContract, StateRequested, StateSent, StateSigned), TrackContract, StateVoided},
	{TypeContractDocumentStored, needs(TrackContract, StateSigned), "", ""},
	{TypeEmailSent, needs(TrackProposal, anyProposal...), "", ""},
	{TypeSMSSent, needs(TrackProposal, anyProposal...), "", ""},
}

// Rules lists when each event of a kind of entity is legal: the table behind Decide, behind
// "allowed" in a refusal, and behind the charts in docs/architecture.md.
func Rules(kind Kind) []Rule {
	if kind == KindCustomer {
		return slices.Clone(customerRules)
	}
	return slices.Clone(proposalRules)
}

// allowed lists the events that the rules permit at a position and that a transition may be. To
// erase a customer is not one: it has a route of its own.
func allowed(rules []Rule, at position) []EventType {
	out := []EventType{}
	for _, r := range rules {
		if r.legal(at) && r.Type != TypeCustomerErased {
			out = append(out, r.Type)
		}
	}
	return out
}

// check refuses an event that the rules do not permit at a position.
func check(rules []Rule, at position, t EventType, stage string) error {
	if slices.ContainsFunc(rules, func(r Rule) bool { return r.Type == t && r.legal(at) }) {
		return nil
	}
	return &Error{
		Code:    CodeIllegalTransition,
		Message: string(t) + " is not legal while " + stage,
		Allowed: allowed(rules, at),
	}
}

// moved gives the new state of a track after an event, or present where it does not move.
func moved(rules []Rule, t EventType, track Track, present string) string {
	for _, r := range rules {
		if r.Type == t && r.Track == track && r.To != "" {
			return r.To
		}
	}
	return present
}
