package pipeline

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The document_status of the contract webhook's DOCUMENT sub_task (Sighten, "The Contract
// Webhook").
const (
	ContractGenerated = "GEN"
	ContractMailed    = "SENT"
	ContractSignature = "SIGN"
	ContractVoid      = "VOID"
)

// What a document's creation_type says: made from a template, or the signed one.
const (
	DocumentGenerated = "GENERATED"
	DocumentUploaded  = "UPLOADED"
)

const categoryDocument = "DOCUMENT"

// ContractNews is what a contract webhook says, as far as it matters to us. Quote is the
// proposal's uuid and Site the customer's, in lower case; each may be empty. UpdatedAt and
// SignedAt are zero where the provider does not say.
type ContractNews struct {
	Status    string
	Quote     string
	Site      string
	Task      string // its name
	UpdatedAt time.Time
	SignedAt  time.Time
	Documents []ContractDocument
}

// contractWebhook is the part of the webhook that is read. What is dates there is text here:
// providers write them in more than one way.
type contractWebhook struct {
	Quote       string `json:"quote"`
	Site        string `json:"site"`
	Name        string `json:"name"`
	DateUpdated string `json:"date_updated"`
	SubTasks    []struct {
		Category       string `json:"category"`
		DocumentStatus string `json:"document_status"`
		Data           struct {
			Documents []struct {
				UUID         string `json:"uuid"`
				Name         string `json:"name"`
				CreationType string `json:"creation_type"`
				DocumentType string `json:"document_type"`
			} `json:"documents"`
			Envelopes []struct {
				DateSigned string `json:"date_signed"`
			} `json:"envelopes"`
		} `json:"data"`
	} `json:"sub_tasks"`
}

// ReadContractNews reads a contract webhook. It fails, with CodeInvalid, on what is none: text
// that is not JSON, neither quote nor site, no sub_task of the category DOCUMENT.
func ReadContractNews(body []byte) (ContractNews, error) {
	var w contractWebhook
	if err := json.Unmarshal(body, &w); err != nil {
		return ContractNews{}, Invalid(FieldError{Detail: strings.TrimPrefix(err.Error(), "json: ")})
	}
	news := ContractNews{
		Quote: uuidOf(w.Quote), Site: uuidOf(w.Site), Task: bounded(w.Name, maxNickname), UpdatedAt: readDate(w.DateUpdated),
	}
	if news.Quote == "" && news.Site == "" {
		return ContractNews{}, Invalid(FieldError{Pointer: "/quote", Detail: "is no uuid, and neither is site"})
	}
	for _, sub := range w.SubTasks {
		if sub.Category != categoryDocument { // there is one at most
			continue
		}
		news.Status = bounded(sub.DocumentStatus, maxWord)
		for _, d := range sub.Data.Documents {
			if doc, ok := contractDocument(d.UUID, d.Name, d.CreationType, d.DocumentType); ok {
				news.Documents = append(news.Documents, doc)
			}
		}
		news.Documents = lastOf(news.Documents)
		for _, e := range sub.Data.Envelopes { // several have to sign: the last of them counts
			if at := readDate(e.DateSigned); at.After(news.SignedAt) {
				news.SignedAt = at
			}
		}
		return news, nil
	}
	return ContractNews{}, Invalid(FieldError{Pointer: "/sub_tasks", Detail: "has no sub_task of the category DOCUMENT"})
}

// The bounds of what is taken over from a provider, as schemas/events/contract.signed.json has
// them; maxSigned documents leave room below maxDocuments.
const (
	maxNickname = 200
	maxFileName = 255
	maxWord     = 50
	maxSigned   = 50
)

// contractDocument is what of a provider's document an event can carry, false where it is
// neither generated nor uploaded, or nobody could ask for it.
func contractDocument(id, name, creation, kind string) (ContractDocument, bool) {
	doc := ContractDocument{UUID: uuidOf(id), Name: bounded(name, maxFileName), CreationType: creation, DocumentType: bounded(kind, maxWord)}
	if doc.Name == "" {
		doc.Name = "contract.pdf"
	}
	return doc, doc.UUID != "" && (creation == DocumentGenerated || creation == DocumentUploaded)
}

// lastOf keeps the newest where a contract has been generated again and again.
func lastOf(documents []ContractDocument) []ContractDocument {
	return documents[max(0, len(documents)-maxSigned):]
}

var uuidShape = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// uuidOf writes a uuid as we do, in lower case; empty where it is none.
func uuidOf(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if !uuidShape.MatchString(s) {
		return ""
	}
	return s
}

// bounded makes a provider's text fit for an event: valid, without control characters, at most
// so many characters.
func bounded(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit])
	}
	return s
}

// readDate reads a time or a day, in UTC where no zone is given; zero where it is neither, or
// one that no event can have.
func readDate(s string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.DateOnly} {
		if at, err := time.Parse(layout, strings.TrimSpace(s)); err == nil && at.Year() >= 2000 && at.Year() < 10000 {
			return at.UTC()
		}
	}
	return time.Time{}
}

// Step is an event that is to be recorded. An implied one nobody reported: it has to have
// happened, since a later one did.
type Step struct {
	Type    EventType
	Data    any
	Implied bool
}

// ContractPlan is what follows for a proposal from what a provider says about its contract:
// steps, each legal after the one before it, or nothing, for the reason in Ignored. Fetch lists
// the signed documents that it brings and that we do not have; Late says that the proposal, which
// is signed already, does not even list some of them.
type ContractPlan struct {
	Steps   []Step
	Ignored string
	Fetch   []ContractDocument
	Late    bool
}

// PlanContract says what follows from news that reached us at receivedAt. The provider's facts
// win: what would have to be before is recorded as implied. What is no news is ignored; that an
// older status does not follow a newer one is for the caller to see, who knows what was before.
func (p Proposal) PlanContract(n ContractNews, receivedAt time.Time) ContractPlan {
	switch n.Status {
	case ContractGenerated:
		return p.planGenerated(n)
	case ContractMailed:
		return p.planMailed()
	case ContractSignature:
		return p.planSigned(n, receivedAt)
	case ContractVoid:
		return p.planVoided()
	case "":
		return ignored("the contract has no status yet")
	default:
		return ignored(fmt.Sprintf("%q is no status that the engine knows", n.Status))
	}
}

func ignored(why string) ContractPlan { return ContractPlan{Ignored: why} }

func (p Proposal) planGenerated(n ContractNews) ContractPlan {
	switch p.ContractStatus {
	case StateNone, StateVoided:
		return ContractPlan{Steps: append(p.untilSelected(), Step{Type: TypeContractRequested, Data: ContractRequested{Template: n.Task}})}
	case StateRequested:
		return ignored("the contract is requested already")
	default:
		return ignored("an older status: the contract is " + p.ContractStatus + " already")
	}
}

func (p Proposal) planMailed() ContractPlan {
	switch p.ContractStatus {
	case StateSent:
		return ignored("the contract is sent already")
	case StateSigned:
		return ignored("an older status: the contract is signed already")
	default:
		return ContractPlan{Steps: append(p.untilRequested(), Step{Type: TypeContractSent, Data: ContractSent{}})}
	}
}

func (p Proposal) planSigned(n ContractNews, receivedAt time.Time) ContractPlan {
	if p.ContractStatus == StateSigned {
		plan := ignored("the contract is signed already")
		plan.Fetch, plan.Late = p.missing(n.uploaded())
		if plan.Late {
			plan.Ignored = "the contract is signed already; its document came late"
		}
		return plan
	}
	signed := ContractSigned{SignedAt: n.SignedAt, Documents: n.Documents}
	if signed.SignedAt.IsZero() {
		signed.SignedAt = receivedAt
	}
	steps := p.untilRequested()
	if p.ContractStatus != StateSent {
		steps = append(steps, Step{Type: TypeContractSent, Data: ContractSent{}, Implied: true})
	}
	return ContractPlan{Steps: append(steps, Step{Type: TypeContractSigned, Data: signed}), Fetch: n.uploaded()}
}

// planVoided: a contract that we never heard of was requested all the same.
func (p Proposal) planVoided() ContractPlan {
	if p.ContractStatus == StateVoided {
		return ignored("the contract is void already")
	}
	return ContractPlan{Steps: append(p.untilRequested(), Step{Type: TypeContractVoided, Data: Reason{}})}
}

// untilSelected leads the proposal to where a contract may be requested.
func (p Proposal) untilSelected() []Step {
	way := []Step{
		{TypeProposalRequested, ProposalDetails{}, true}, {TypeProposalSent, ProposalSent{}, true}, {TypeProposalSelected, Nothing{}, true},
	}
	at := slices.Index([]string{StateDraft, StateRequested, StateSent}, p.Status)
	if at < 0 { // selected or sold
		return nil
	}
	return way[at:]
}

// untilRequested leads on to where the contract is requested.
func (p Proposal) untilRequested() []Step {
	if p.ContractStatus != StateNone && p.ContractStatus != StateVoided {
		return nil
	}
	return append(p.untilSelected(), Step{Type: TypeContractRequested, Data: ContractRequested{}, Implied: true})
}

// uploaded are the signed documents.
func (n ContractNews) uploaded() []ContractDocument { return Uploaded(n.Documents) }

// Uploaded picks the signed documents of a contract.
func Uploaded(documents []ContractDocument) []ContractDocument {
	var out []ContractDocument
	for _, doc := range documents {
		if doc.CreationType == DocumentUploaded {
			out = append(out, doc)
		}
	}
	return out
}

// missing are the documents that we do not have; late, that the proposal does not list one.
func (p Proposal) missing(documents []ContractDocument) (out []ContractDocument, late bool) {
	for _, doc := range documents {
		listed, ok := p.Listed(doc.UUID)
		if !listed.Stored {
			out = append(out, doc)
		}
		late = late || !ok
	}
	return out, late
}

// Listed finds a document among those of the proposal. Providers do not agree on the letter case
// of a uuid.
func (p Proposal) Listed(uuid string) (Document, bool) {
	i := slices.IndexFunc(p.Documents, func(doc Document) bool { return strings.EqualFold(doc.UUID, uuid) })
	if i < 0 {
		return Document{}, false
	}
	return p.Documents[i], true
}

// NamesDocuments reports that a contract.signed event says what can be fetched. Most do not.
func NamesDocuments(e Event) bool {
	signed, err := decodeEvent[ContractSigned](e)
	return err == nil && (signed.DocumentURL != "" || len(Uploaded(signed.Documents)) > 0)
}
