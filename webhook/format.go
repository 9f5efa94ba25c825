// Package webhook is what a partner sees of the engine: formats (one file each), signatures,
// and the sender with its safety rules. It knows neither Temporal nor the store.
package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// Message is one request in a partner's format.
type Message struct {
	// Part tells the messages of one event apart where there may be several: it becomes a part
	// of the webhook-id, by which a receiver knows a repeat. Empty where there is only one.
	Part        string
	Method      string // empty: POST
	ContentType string
	Header      http.Header // what the format adds, names in their canonical form; may be nil
	Body        []byte
}

// Format turns a delivery into what a partner's system expects.
type Format interface {
	// Messages are the requests that tell the partner of the event, in their order: none where
	// the format has no name for it, or none that the webhook wants. The same delivery always
	// gives the same messages. Of a test the message says so where the format has a place for
	// it; a header says so in any case.
	Messages(d pipeline.Dispatch) ([]Message, error)
	// Conduct is the same for all deliveries.
	Conduct() Conduct
}

// Conduct is how a format's requests are made and judged. Zero values are the rule.
type Conduct struct {
	// Standard: signed by Standard Webhooks. Other formats carry what their own systems carry,
	// and of Standard Webhooks the webhook-id alone.
	Standard bool
	// OnlyOK: success is 200 and nothing else. The rule is 200 to 299.
	OnlyOK bool
	// Timeout of an attempt, where the webhook has none of its own; 0: the sender's.
	Timeout time.Duration
	// Retries after the first attempt, where the webhook has no schedule of its own; 0: as many
	// as the sender's schedule has.
	Retries int
}

// formats by the name that a webhook's "format" gives.
var formats = map[string]Format{
	pipeline.FormatNative:     native{},
	pipeline.FormatSolo:       solo{},
	pipeline.FormatSolarProof: solarProof{},
	pipeline.FormatSolve360:   solve360{},
	pipeline.FormatSighten:    sighten{},
}

// conductOf a webhook's format; of one that does not exist nothing is ever sent.
func conductOf(w pipeline.Webhook) Conduct {
	if f, ok := formats[w.Format]; ok {
		return f.Conduct()
	}
	return Conduct{}
}

const contentJSON = "application/json"

func jsonMessage(body any) (Message, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return Message{}, fmt.Errorf("encode body: %w", err)
	}
	return Message{ContentType: contentJSON, Body: b}, nil
}

// customerState is the customer of an event as it was then, in JSON.
func customerState(d pipeline.Dispatch) (json.RawMessage, error) {
	if d.Event.Stream.Kind() == pipeline.KindCustomer {
		return d.Event.State, nil
	}
	if len(d.Customer) == 0 || string(d.Customer) == "null" {
		return nil, errors.New("the customer's state is missing")
	}
	return d.Customer, nil
}

func customerOf(d pipeline.Dispatch) (c pipeline.Customer, err error) {
	state, err := customerState(d)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(state, &c); err != nil {
		return c, fmt.Errorf("state of the customer of %s: %w", d.Event.ID, err)
	}
	return c, nil
}

func proposalOf(e pipeline.Event) (p pipeline.Proposal, err error) {
	if err := json.Unmarshal(e.State, &p); err != nil {
		return p, fmt.Errorf("state after %s: %w", e.ID, err)
	}
	return p, nil
}

// userOf is the user that a format names: who made the event happen, else the owner of the
// customer. 0 is nobody.
func userOf(d pipeline.Dispatch) (int64, error) {
	if d.Event.Actor.UserID != 0 {
		return int64(d.Event.Actor.UserID), nil
	}
	c, err := customerOf(d)
	return int64(c.OwnerID), err
}
