package pipeline

import "slices"

// Entry describes an event type to those who want to subscribe to it.
type Entry struct {
	Type        EventType `json:"type"`
	Kinds       []Kind    `json:"kinds"`
	Description string    `json:"description"`
	Names       Names     `json:"names"`
}

// Names says what other systems call an event. A system that has no such event has no name
// for it: null in JSON. A format sends only what its system has a name for.
type Names struct {
	Solo       []Name `json:"solo"`
	SolarProof []Name `json:"solarproof"`
	Solve360   []Name `json:"solve360"`
	Sighten    []Name `json:"sighten"`
}

// Name is an event in the words of another system. Kind and While narrow it down where that
// system knows the event only of one kind of entity, or only while the entity is in a state.
type Name struct {
	// Event is Solo's event, Solar Proof's type_request, Solve360's event, or the
	// document_status of Sighten's contract webhook.
	Event string `json:"event"`
	// ConstraintType is Solve360's own second half of the name.
	ConstraintType string `json:"constrainttype,omitempty"`
	Kind           Kind   `json:"kind,omitempty"`
	While          string `json:"while,omitempty"`
}

// Catalogue lists every event type of the lifecycles, customers' first; Notices lists the others.
func Catalogue() []Entry { return slices.Clone(catalogue) }

// Lookup finds an event type in the catalogue, false where there is no such type.
func Lookup(t EventType) (Entry, bool) { return lookup(catalogue, t) }

func lookup(entries []Entry, t EventType) (Entry, bool) {
	for _, e := range entries {
		if e.Type == t {
			return e, true
		}
	}
	return Entry{}, false
}

var (
	ofCustomer = []Kind{KindCustomer}
	ofProposal = []Kind{KindProposal}
	ofBoth     = []Kind{KindCustomer, KindProposal}
)

var catalogue = []Entry{
	{TypeCustomerCreated, ofCustomer, "A customer was entered into the sales app.", Names{
		Solo:       named("Customer Created"),
		SolarProof: named("customer_created"),
		Solve360:   solve360("items.create", "contact"),
	}},
	{TypeCustomerUpdated, ofCustomer, "Some of a customer's details changed; the payload has only those.", Names{
		Solo:     named("Customer Updated"),
		Solve360: solve360("items.update", "contact"),
	}},
	{TypeCustomerStatusChanged, ofCustomer, "A customer was moved from one status to another.", Names{
		Solo:       named("Customer Status Changed"),
		SolarProof: named("customer_status_change"),
		Solve360: []Name{
			{Event: "items.categorize", ConstraintType: "contact"},   // the new status
			{Event: "items.uncategorize", ConstraintType: "contact"}, // the old one
		},
	}},
	{TypeCustomerDeleted, ofCustomer, "A customer was deleted; it can be restored.", Names{
		Solve360: solve360("items.delete", "contact"),
	}},
	{TypeCustomerRestored, ofCustomer, "A deleted customer was brought back.", Names{
		Solve360: solve360("items.restore", "contact"),
	}},
	{
		TypeCustomerErased, ofCustomer,
		"A customer's personal data was erased for good, from past events too; nothing happens to the customer any more.",
		Names{},
	},
	{TypeAppointmentSet, ofCustomer, "A visit or a call was agreed with a customer.", Names{
		Solo:     named("Appointment Set"),
		Solve360: solve360("activities.create", "event"),
	}},
	{TypeEmailSent, ofBoth, "The sales app sent an e-mail about a customer or a proposal.", Names{
		SolarProof: []Name{{Event: "project_email_sent", Kind: KindProposal}},
		Solve360:   solve360("activities.create", "linkedemails"),
	}},
	{TypeSMSSent, ofBoth, "The sales app sent a text message about a customer or a proposal.", Names{
		SolarProof: []Name{{Event: "project_sms_sent", Kind: KindProposal}},
		Solve360:   solve360("activities.create", "note"),
	}},
	{TypeProposalDrafted, ofProposal, "A proposal was begun as a draft.", Names{
		SolarProof: named("recent_draft_project"),
		Solve360:   solve360("items.create", "projectblog"),
	}},
	{TypeProposalSaved, ofProposal, "A proposal's details were saved.", Names{
		Solo:       named("Proposal Saved"),
		SolarProof: []Name{{Event: "recent_draft_project", While: StateDraft}},
		Solve360:   solve360("items.update", "projectblog"),
	}},
	{TypeProposalRequested, ofProposal, "A proposal was asked for.", Names{
		Solo:     named("Proposal Requested"),
		Solve360: solve360("activities.create", "opportunity"),
	}},
	{TypeProposalSent, ofProposal, "A proposal was sent to the customer, for the first time or again.", Names{
		Solo:     named("Proposal Sent"),
		Solve360: solve360("activities.update", "opportunity"),
	}},
	{TypeProposalLinkPublished, ofProposal, "A link under which the customer can see the proposal was published.", Names{
		SolarProof: named("published_proposal_link"),
		Solve360:   solve360("activities.create", "website"),
	}},
	{TypeProposalSelected, ofProposal, "The customer chose this proposal.", Names{
		Solo:     named("Proposal Selected"),
		Solve360: solve360("activities.update", "opportunity"),
	}},
	{TypeProposalSold, ofProposal, "The deal was closed: the proposal is sold.", Names{
		Solo:     named("Proposal Sold"),
		Solve360: solve360("activities.update", "opportunity"),
	}},
	{TypeCreditRan, ofProposal, "A credit check was run for the proposal, with the outcome that the payload says.", Names{
		Solo:     named("Credit Ran"),
		Solve360: solve360("activities.create", "note"),
	}},
	{TypeContractRequested, ofProposal, "A contract for the proposal was asked for.", Names{
		Solo:     named("Contract Requested"),
		Solve360: solve360("activities.create", "file"),
		Sighten:  named("GEN"),
	}},
	{TypeContractSent, ofProposal, "The contract was sent out to be signed.", Names{
		Solo:     named("Contract Sent"),
		Solve360: solve360("activities.update", "file"),
		Sighten:  named("SENT"),
	}},
	{TypeContractSigned, ofProposal, "The customer signed the contract.", Names{
		Solo:     named("Contract Signed"),
		Solve360: solve360("activities.update", "file"),
		Sighten:  named("SIGN"),
	}},
	{TypeContractVoided, ofProposal, "The contract was declared void; another may be requested.", Names{
		Solve360: solve360("activities.delete", "file"),
		Sighten:  named("VOID"),
	}},
	{TypeContractDocumentStored, ofProposal, "The signed document was fetched and is in our keeping.", Names{
		Solve360: solve360("activities.create", "attachmentfile"),
	}},
}

func named(event string) []Name { return []Name{{Event: event}} }

func solve360(event, constraint string) []Name {
	return []Name{{Event: event, ConstraintType: constraint}}
}
