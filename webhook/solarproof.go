package webhook

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// solarProof speaks as Solar Proof does ("Webhook Events Reference"): six payloads, with those
// fields and no others, in that order. A user that nobody knows is 0, and a text that is not
// there is empty, since every field is said to be an integer or a string.
type solarProof struct{}

type solarProofCreated struct {
	CustomerID int64                 `json:"pkcustomerid"`
	UserID     int64                 `json:"fkuserid"`
	Email      string                `json:"customer_email"`
	Name       string                `json:"customer_name"`
	Type       pipeline.CustomerType `json:"customer_type"`
	Status     int                   `json:"customer_status"`
}

type solarProofStatus struct {
	CustomerID int64  `json:"pkcustomerid"`
	UserID     int64  `json:"fkuserid"`
	Email      string `json:"customer_email"`
	Name       string `json:"customer_name"`
	OldStatus  int    `json:"old_status"`
	NewStatus  int    `json:"new_status"`
	StatusName string `json:"status_name"`
}

type solarProofActivity struct {
	CustomerID int64  `json:"belongs_to_customer"`
	UserID     int64  `json:"belongs_to_user"`
	Type       string `json:"activity_type"`
	ProjectID  int64  `json:"belongs_to_project"`
}

type solarProofDraft struct {
	QuotationID int64  `json:"pkcustomerquotationid"`
	UserID      int64  `json:"fkuserid"`
	Nickname    string `json:"quotenickname"`
	SiteAddress string `json:"siteaddress"`
}

// solarProofActivities are the activity_types, which are not always the names of the events.
var solarProofActivities = map[pipeline.EventType]string{
	pipeline.TypeEmailSent:             "email_sent",
	pipeline.TypeSMSSent:               "sms_sent",
	pipeline.TypeProposalLinkPublished: "published_proposal_link",
}

// solarProofTimeout: "must respond with a 200 HTTP status code within 5 seconds" ("What are
// Webhooks?").
const solarProofTimeout = 5 * time.Second

// Conduct knows one success, which is 200.
func (solarProof) Conduct() Conduct { return Conduct{OnlyOK: true, Timeout: solarProofTimeout} }

// Messages gives one message for each of Solar Proof's events.
func (f solarProof) Messages(d pipeline.Dispatch) ([]Message, error) {
	names, err := d.Webhook.Names(d.Event)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	user, err := userOf(d)
	if err != nil {
		return nil, err
	}
	body, err := f.body(d, user)
	if err != nil {
		return nil, err
	}
	m, err := jsonMessage(body)
	return []Message{m}, err
}

func (f solarProof) body(d pipeline.Dispatch, user int64) (any, error) {
	switch d.Event.Type {
	case pipeline.TypeCustomerCreated:
		c, err := customerOf(d)
		return solarProofCreated{c.ID, user, c.Email, c.Name, c.Type, c.Status}, err
	case pipeline.TypeCustomerStatusChanged:
		return f.status(d, user)
	case pipeline.TypeProposalDrafted, pipeline.TypeProposalSaved:
		p, err := proposalOf(d.Event)
		return solarProofDraft{p.ID, user, string(p.Nickname), string(p.SiteAddress)}, err
	default:
		return solarProofActivity{
			CustomerID: int64(d.Event.CustomerID), UserID: user,
			Type: solarProofActivities[d.Event.Type], ProjectID: int64(d.Event.ProposalID),
		}, nil
	}
}

func (solarProof) status(d pipeline.Dispatch, user int64) (any, error) {
	c, err := customerOf(d)
	if err != nil {
		return nil, err
	}
	var change pipeline.CustomerStatusChanged
	if err := json.Unmarshal(d.Event.Payload, &change); err != nil {
		return nil, fmt.Errorf("payload of %s: %w", d.Event.ID, err)
	}
	return solarProofStatus{c.ID, user, c.Email, c.Name, change.OldStatus, change.NewStatus, change.StatusName}, nil
}
