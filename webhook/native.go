package webhook

import (
	"encoding/json"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// native is our own format: the envelope of schemas/envelope.json, after the recommendations
// of the Standard Webhooks specification (type, timestamp, data).
type native struct{}

type envelope struct {
	Type      pipeline.EventType `json:"type"`
	Timestamp time.Time          `json:"timestamp"`
	Data      envelopeData       `json:"data"`
}

type envelopeData struct {
	ID         string          `json:"id"`
	Position   int64           `json:"position"`
	CompanyID  int64           `json:"company_id"`
	Stream     pipeline.Stream `json:"stream"`
	Seq        int64           `json:"seq"`
	CustomerID pipeline.ID     `json:"customer_id"`
	ProposalID pipeline.ID     `json:"proposal_id"`
	Actor      pipeline.Actor  `json:"actor"`
	Cause      *pipeline.Cause `json:"cause"`
	Implied    bool            `json:"implied,omitempty"`
	Erased     bool            `json:"erased,omitempty"`
	State      json.RawMessage `json:"state"`
	Payload    json.RawMessage `json:"payload"`
	Test       bool            `json:"test,omitempty"`
}

// Conduct is that of Standard Webhooks.
func (native) Conduct() Conduct { return Conduct{Standard: true} }

// Messages gives exactly one message for every event.
func (native) Messages(d pipeline.Dispatch) ([]Message, error) {
	e := d.Event
	m, err := jsonMessage(envelope{
		Type: e.Type, Timestamp: e.Timestamp,
		Data: envelopeData{
			ID: e.ID, Position: e.Position, CompanyID: e.CompanyID, Stream: e.Stream, Seq: e.Version,
			CustomerID: e.CustomerID, ProposalID: e.ProposalID, Actor: e.Actor, Cause: e.Cause, Implied: e.Implied, Erased: e.Erased,
			State: e.State, Payload: e.Payload, Test: d.Test,
		},
	})
	return []Message{m}, err
}
