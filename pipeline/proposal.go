package pipeline

import (
	"slices"
	"time"
)

// Proposal is the state of a proposal: the fold of its events, and what the API shows.
// It moves along three tracks at once: Status, ContractStatus and CreditStatus.
type Proposal struct {
	ID                  int64      `json:"id"`
	UUID                string     `json:"uuid"`
	CompanyID           int64      `json:"company_id"`
	CustomerID          int64      `json:"customer_id"`
	CustomerUUID        string     `json:"customer_uuid"`
	Nickname            Text       `json:"nickname"`
	SiteAddress         Text       `json:"site_address"`
	System              Object     `json:"system"`
	Price               Money      `json:"price"`
	Status              string     `json:"status"`
	ContractStatus      string     `json:"contract_status"`
	CreditStatus        string     `json:"credit_status"`
	CreditOutcome       Text       `json:"credit_outcome"`
	LinkURL             Text       `json:"link_url"`
	ContractRequestedAt Instant    `json:"contract_requested_at"`
	EnvelopeID          Text       `json:"envelope_id"`
	SignedAt            Instant    `json:"signed_at"`
	SoldAt              Instant    `json:"sold_at"`
	Documents           []Document `json:"documents"`
	Version             int64      `json:"version"`
	CreatedAt           time.Time  `json:"created_at"`
	UpdatedAt           time.Time  `json:"updated_at"`
	Erased              bool       `json:"erased,omitempty"` // its customer was
}

// Document is a contract document of the proposal; Stored says that we keep its bytes.
type Document struct {
	UUID         string `json:"uuid"`
	Name         string `json:"name"`
	CreationType Text   `json:"creation_type"`
	DocumentType Text   `json:"document_type"`
	ContentType  Text   `json:"content_type"`
	Size         int64  `json:"size"`
	SHA256       Text   `json:"sha256"`
	Stored       bool   `json:"stored"`
}

// NewProposal is a proposal to which nothing has happened yet.
func NewProposal(companyID, customerID, id int64) Proposal {
	return Proposal{
		ID: id, CompanyID: companyID, CustomerID: customerID,
		Status: StateNone, ContractStatus: StateNone, CreditStatus: StateNone,
		Documents: []Document{},
	}
}

// Ref says which proposal this is.
func (p Proposal) Ref() Ref {
	return Ref{Kind: KindProposal, ID: p.ID, CompanyID: p.CompanyID, CustomerID: p.CustomerID, Version: p.Version}
}

// Stage is the state of the proposal's main track.
func (p Proposal) Stage() string { return p.Status }

// Allowed lists the event types that are legal now: none, once the customer was erased.
func (p Proposal) Allowed() []EventType {
	if p.Erased {
		return []EventType{}
	}
	return allowed(proposalRules, p.position())
}

func (p Proposal) position() position {
	return position{TrackProposal: p.Status, TrackContract: p.ContractStatus, TrackCredit: p.CreditStatus}
}

// Decide says what payload the event would carry, or why it may not happen.
func (p Proposal) Decide(cmd Command) (any, error) {
	if p.Erased {
		return nil, NotForErased()
	}
	standing := "the proposal is " + p.Status + " and its contract is " + p.ContractStatus
	if err := check(proposalRules, p.position(), cmd.Type, standing); err != nil {
		return nil, err
	}
	switch cmd.Type {
	case TypeProposalDrafted, TypeProposalRequested, TypeProposalSaved:
		return p.decideDetails(cmd)
	case TypeProposalSent:
		return decode[ProposalSent](cmd.Data)
	case TypeProposalLinkPublished:
		return decode[ProposalLinkPublished](cmd.Data)
	case TypeProposalSelected:
		return decode[Nothing](cmd.Data)
	case TypeProposalSold:
		return decideSold(cmd)
	case TypeCreditRan:
		return decideCredit(cmd)
	case TypeEmailSent:
		return decode[EmailSent](cmd.Data)
	case TypeSMSSent:
		return decode[SMSSent](cmd.Data)
	default:
		return p.decideContract(cmd)
	}
}

func (p Proposal) decideDetails(cmd Command) (any, error) {
	d, err := decode[ProposalDetails](cmd.Data)
	if err != nil {
		return nil, err
	}
	var f faults
	first := p.Version == 0
	f.unless(first == (d.UUID != ""), "/data/uuid", "belongs to the first event of a proposal, and only there")
	f.unless(first == (d.CustomerUUID != ""), "/data/customer_uuid", "belongs to the first event of a proposal, and only there")
	f.price(d.Price)
	f.object(d.System.Value, "/data/system")
	return d, Invalid(f...)
}

func decideSold(cmd Command) (any, error) {
	d, err := decode[ProposalSold](cmd.Data)
	if err != nil {
		return nil, err
	}
	if d.SoldAt.IsZero() {
		d.SoldAt = cmd.OccurredAt
	}
	var f faults
	f.price(d.Price)
	return d, Invalid(f...)
}

func decideCredit(cmd Command) (any, error) {
	d, err := decode[CreditRan](cmd.Data)
	if err != nil {
		return nil, err
	}
	var f faults
	known := slices.Contains([]string{"approved", "declined", "pending"}, d.Outcome)
	f.unless(known, "/data/outcome", "has to be approved, declined or pending")
	return d, Invalid(f...)
}

func (p Proposal) decideContract(cmd Command) (any, error) {
	switch cmd.Type {
	case TypeContractRequested:
		return decode[ContractRequested](cmd.Data)
	case TypeContractSent:
		return decode[ContractSent](cmd.Data)
	case TypeContractSigned:
		d, err := decode[ContractSigned](cmd.Data)
		if d.SignedAt.IsZero() {
			d.SignedAt = cmd.OccurredAt
		}
		return d, err
	case TypeContractDocumentStored:
		return p.decideStored(cmd)
	default: // contract.voided
		return decode[Reason](cmd.Data)
	}
}

// maxDocuments bounds what a proposal lists, since every later event carries the list.
const maxDocuments = 100

func (p Proposal) decideStored(cmd Command) (any, error) {
	d, err := decode[ContractDocumentStored](cmd.Data)
	if err != nil {
		return nil, err
	}
	var f faults
	f.unless(d.UUID != "", "/data/uuid", "is missing")
	f.unless(d.Name != "", "/data/name", "is missing")
	f.unless(d.ContentType != "", "/data/content_type", "is missing")
	f.unless(d.Size >= 0, "/data/size", "must not be negative")
	f.unless(len(d.SHA256) == 64, "/data/sha256", "has to be 64 hex digits")
	f.unless(len(p.Documents) < maxDocuments || p.document(d.UUID) >= 0, "/data/uuid", "is one document too many: a proposal lists 100")
	return d, Invalid(f...)
}

// Apply gives the proposal after the event.
func (p Proposal) Apply(e Event) (Proposal, error) {
	if p.Version == 0 {
		p.CreatedAt = e.Timestamp
	}
	p.Version = e.Version
	p.UpdatedAt = e.Timestamp
	p.Erased = p.Erased || e.Erased
	p.Status = moved(proposalRules, e.Type, TrackProposal, p.Status)
	p.ContractStatus = moved(proposalRules, e.Type, TrackContract, p.ContractStatus)
	p.CreditStatus = moved(proposalRules, e.Type, TrackCredit, p.CreditStatus)
	return p.applyPayload(e)
}

func (p Proposal) applyPayload(e Event) (Proposal, error) {
	switch e.Type {
	case TypeProposalDrafted, TypeProposalRequested, TypeProposalSaved:
		return p.applyDetails(e)
	case TypeProposalLinkPublished:
		d, err := decodeEvent[ProposalLinkPublished](e)
		p.LinkURL = Text(d.URL)
		return p, err
	case TypeProposalSold:
		d, err := decodeEvent[ProposalSold](e)
		d.Price.into(&p.Price)
		p.SoldAt = Instant(d.SoldAt)
		return p, err
	case TypeCreditRan:
		d, err := decodeEvent[CreditRan](e)
		p.CreditOutcome = Text(d.Outcome)
		return p, err
	case TypeContractRequested: // a new contract: what the voided one had is history
		p.ContractRequestedAt, p.EnvelopeID, p.SignedAt, p.Documents = Instant(e.Timestamp), "", Instant{}, []Document{}
	case TypeContractSent:
		d, err := decodeEvent[ContractSent](e)
		p.EnvelopeID = Text(d.EnvelopeID)
		return p, err
	case TypeContractSigned:
		return p.applySigned(e)
	case TypeContractDocumentStored:
		return p.applyStored(e)
	default: // says what happened, changes nothing
	}
	return p, nil
}

func (p Proposal) applyDetails(e Event) (Proposal, error) {
	d, err := decodeEvent[ProposalDetails](e)
	if d.UUID != "" {
		p.UUID, p.CustomerUUID = d.UUID, d.CustomerUUID
	}
	d.Nickname.into(&p.Nickname)
	d.SiteAddress.into(&p.SiteAddress)
	d.System.into(&p.System)
	d.Price.into(&p.Price)
	return p, err
}

func (p Proposal) applySigned(e Event) (Proposal, error) {
	d, err := decodeEvent[ContractSigned](e)
	p.SignedAt = Instant(d.SignedAt)
	p.Documents = make([]Document, 0, len(d.Documents))
	for _, doc := range d.Documents {
		p.Documents = append(p.Documents, Document{
			UUID: doc.UUID, Name: doc.Name,
			CreationType: Text(doc.CreationType), DocumentType: Text(doc.DocumentType),
		})
	}
	return p, err
}

// document is the index of a document that the proposal lists, -1 where it does not.
func (p Proposal) document(uuid string) int {
	return slices.IndexFunc(p.Documents, func(doc Document) bool { return doc.UUID == uuid })
}

func (p Proposal) applyStored(e Event) (Proposal, error) {
	d, err := decodeEvent[ContractDocumentStored](e)
	stored := Document{UUID: d.UUID}
	p.Documents = slices.Clone(p.Documents)
	i := p.document(d.UUID)
	if i < 0 {
		i = len(p.Documents)
		p.Documents = append(p.Documents, stored)
	}
	doc := &p.Documents[i]
	doc.Name, doc.ContentType, doc.Size = d.Name, Text(d.ContentType), d.Size
	doc.SHA256, doc.Stored = Text(d.SHA256), true
	return p, err
}
