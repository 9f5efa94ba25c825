package webhook

import (
	"encoding/json"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// solo speaks as Solo does (help page "API Trigger Events"), which gives the names of the
// events and leaves the body open: ours has the records that the event is about, as the API
// shows them.
type solo struct{}

type soloTrigger struct {
	Event      string          `json:"event"`
	CompanyID  int64           `json:"company_id"`
	Customer   json.RawMessage `json:"customer"`
	Proposal   json.RawMessage `json:"proposal,omitempty"` // only where the event is a proposal's
	OccurredAt time.Time       `json:"occurred_at"`
}

// Conduct has nothing of its own; a trigger's auth is the webhook's.
func (solo) Conduct() Conduct { return Conduct{} }

// Messages gives one message for each of Solo's thirteen events.
func (solo) Messages(d pipeline.Dispatch) ([]Message, error) {
	names, err := d.Webhook.Names(d.Event)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	body := soloTrigger{Event: names[0].Event, CompanyID: d.Event.CompanyID, OccurredAt: d.Event.Timestamp}
	if body.Customer, err = customerState(d); err != nil {
		return nil, err
	}
	if d.Event.Stream.Kind() == pipeline.KindProposal {
		body.Proposal = d.Event.State
	}
	m, err := jsonMessage(body)
	return []Message{m}, err
}
