package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/dealwright/dealwright/pipeline"
)

// sighten speaks as Sighten does, now EverBright ("Tips and Tricks: The Contract Webhook"):
// one contract webhook, sent when a contract's document is generated, sent, signed or voided.
//
// site is the customer's uuid, quote the proposal's, and a document that was listed or stored
// keeps its own. All other uuids are derived from those, so that a repeat names the same
// things; a contract that is requested again has new documents in the same task. What the
// engine does not know (people's names and e-mail addresses) is empty.
type sighten struct{}

type sightenTask struct {
	Status      string           `json:"status"`
	Name        string           `json:"name"`
	Quote       string           `json:"quote"`
	Milestone   uuid.UUID        `json:"milestone"`
	Site        string           `json:"site"`
	UUID        uuid.UUID        `json:"uuid"`
	DateUpdated sightenTime      `json:"date_updated"`
	SubTasks    []sightenSubTask `json:"sub_tasks"`
	Comments    []struct{}       `json:"comments"` // always empty: nobody comments here
	Description string           `json:"description"`
	AssignedTo  sightenAssignee  `json:"assigned_to"`
}

type sightenSubTask struct {
	Category       string        `json:"category"`
	Required       bool          `json:"required"`
	Status         string        `json:"status"`
	DocumentStatus string        `json:"document_status"`
	Instructions   pipeline.Text `json:"instructions"`
	Label          string        `json:"label"`
	Data           sightenData   `json:"data"`
	UUID           uuid.UUID     `json:"uuid"`
}

type sightenData struct {
	Documents []sightenDocument `json:"documents"`
	Envelopes []sightenEnvelope `json:"envelopes"`
}

type sightenDocument struct {
	DateCreated   sightenTime `json:"date_created"`
	Name          string      `json:"name"`
	DocumentType  string      `json:"document_type"`
	CreationType  string      `json:"creation_type"`
	DocumentGroup uuid.UUID   `json:"document_group"`
	UUID          string      `json:"uuid"`
}

type sightenEnvelope struct {
	UUID       uuid.UUID   `json:"uuid"`
	DateSigned sightenTime `json:"date_signed"`
}

type sightenAssignee struct {
	OrganizationName string    `json:"organization_name"`
	FirstName        string    `json:"first_name"`
	UUID             uuid.UUID `json:"uuid"`
	LastName         string    `json:"last_name"`
	Email            string    `json:"email"`
	Organization     uuid.UUID `json:"organization"`
}

// sightenTime is written as in the sample: UTC, always with microseconds.
type sightenTime time.Time

// MarshalJSON writes it.
func (t sightenTime) MarshalJSON() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000000Z"`), nil
}

// The words of the sample.
const (
	sightenInProgress   = "INPROG"
	sightenComplete     = "COMP"
	sightenSigned       = "SIGN" // a document_status
	sightenCategory     = "DOCUMENT"
	sightenGenerated    = "GENERATED"
	sightenUploaded     = "UPLOADED"
	sightenContractType = "HIC" // home improvement contract
	sightenOtherType    = "OTH"
	sightenLabel        = "Installation Agreement"
	sightenDescription  = "Upload and review installation agreement"
)

// sightenSpace is the namespace of the uuids that are derived. It may never change: a partner
// knows things by them.
var sightenSpace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/dealwright/dealwright"))

func derived(what, of string) uuid.UUID { return uuid.NewSHA1(sightenSpace, []byte(what+" "+of)) }

// SignedDocument is the uuid of the document that a contract.signed event says where to fetch,
// where the provider has given it none: who stores it has to do so under this uuid.
func SignedDocument(eventID string) string { return derived("signed document", eventID).String() }

// Conduct has nothing of its own.
func (sighten) Conduct() Conduct { return Conduct{} }

// Messages gives the contract webhook, by the method that the webhook asks for.
func (f sighten) Messages(d pipeline.Dispatch) ([]Message, error) {
	names, err := d.Webhook.Names(d.Event)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	task, err := f.task(d, names[0].Event)
	if err != nil {
		return nil, err
	}
	m, err := jsonMessage(task)
	m.Method = d.Webhook.Method
	return []Message{m}, err
}

func (f sighten) task(d pipeline.Dispatch, documentStatus string) (sightenTask, error) {
	p, err := proposalOf(d.Event)
	if err != nil {
		return sightenTask{}, err
	}
	assignee, err := f.assignee(d)
	if err != nil {
		return sightenTask{}, err
	}
	sub := sightenSubTask{
		Category: sightenCategory, Status: sightenInProgress, DocumentStatus: documentStatus, Label: sightenLabel,
		UUID: derived("sub_task", p.UUID),
	}
	if documentStatus == sightenSigned {
		sub.Status = sightenComplete
	}
	if sub.Data, err = newSightenContract(p, d.Event).data(); err != nil {
		return sightenTask{}, err
	}
	return sightenTask{
		Status: sightenInProgress, Name: sightenLabel, Description: sightenDescription,
		Quote: p.UUID, Site: p.CustomerUUID,
		Milestone: derived("milestone", p.UUID), UUID: derived("task", p.UUID),
		DateUpdated: sightenTime(d.Event.Timestamp), SubTasks: []sightenSubTask{sub},
		Comments: []struct{}{}, AssignedTo: assignee,
	}, nil
}

func (sighten) assignee(d pipeline.Dispatch) (sightenAssignee, error) {
	user, err := userOf(d)
	company := strconv.FormatInt(d.Event.CompanyID, 10)
	return sightenAssignee{
		UUID:         derived("user", company+"/"+strconv.FormatInt(user, 10)),
		Organization: derived("company", company),
	}, err
}

// sightenContract is a contract on its way through the webhook's data.
type sightenContract struct {
	proposal  pipeline.Proposal
	event     pipeline.Event
	requested time.Time
	key       string // what this contract's uuids derive from, another where it is requested again
}

func newSightenContract(p pipeline.Proposal, e pipeline.Event) sightenContract {
	c := sightenContract{proposal: p, event: e, requested: time.Time(p.ContractRequestedAt)}
	if c.requested.IsZero() { // in a sample
		c.requested = e.Timestamp
	}
	c.key = p.UUID + "/" + c.requested.UTC().Format(time.RFC3339Nano)
	return c
}

func (c sightenContract) data() (sightenData, error) {
	documents, err := c.documents()
	out := sightenData{Documents: documents, Envelopes: []sightenEnvelope{}}
	if signed := time.Time(c.proposal.SignedAt); !signed.IsZero() {
		out.Envelopes = append(out.Envelopes, sightenEnvelope{derived("envelope", c.key), sightenTime(signed)})
	}
	return out, err
}

// documents are those that were listed or stored. One that was generated for the contract to
// be signed on is always among them; one that was uploaded, the signed one, only where there
// is or will be something to download.
func (c sightenContract) documents() ([]sightenDocument, error) {
	var out []sightenDocument
	for _, doc := range c.proposal.Documents {
		out = append(out, c.document(doc))
	}
	if !has(out, sightenGenerated) {
		out = slices.Insert(out, 0, c.document(pipeline.Document{
			UUID: derived("document", c.key).String(), Name: sightenLabel + ".pdf",
			CreationType: sightenGenerated, DocumentType: sightenContractType,
		}))
	}
	if c.event.Type != pipeline.TypeContractSigned || has(out, sightenUploaded) {
		return out, nil
	}
	var payload pipeline.ContractSigned
	if err := json.Unmarshal(c.event.Payload, &payload); err != nil {
		return nil, fmt.Errorf("payload of %s: %w", c.event.ID, err)
	}
	if payload.DocumentURL != "" {
		out = append(out, c.document(pipeline.Document{
			UUID: SignedDocument(c.event.ID), Name: sightenLabel + ", signed.pdf", CreationType: sightenUploaded,
		}))
	}
	return out, nil
}

func has(documents []sightenDocument, creationType string) bool {
	return slices.ContainsFunc(documents, func(doc sightenDocument) bool { return doc.CreationType == creationType })
}

func (c sightenContract) document(doc pipeline.Document) sightenDocument {
	out := sightenDocument{
		DateCreated: sightenTime(c.proposal.SignedAt), Name: doc.Name, DocumentType: string(doc.DocumentType),
		CreationType: string(doc.CreationType), DocumentGroup: derived("document_group", c.key), UUID: doc.UUID,
	}
	if out.CreationType == "" { // it was stored and never listed
		out.CreationType = sightenUploaded
	}
	if out.CreationType == sightenGenerated {
		out.DateCreated = sightenTime(c.requested)
	}
	if out.DocumentType == "" {
		out.DocumentType = sightenOtherType
	}
	return out
}
