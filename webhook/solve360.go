package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/dealwright/dealwright/pipeline"
)

// solve360 speaks as Solve360 does ("Webhooks", "Webhook management"): notifications in XML,
// JSON or form encoding.
type solve360 struct{}

// notification: its content is the full record that the event is about, a customer or a
// proposal, and objectid is that record's id, so that every activity on a proposal is known by
// the proposal.
type notification struct {
	Type     string          `json:"type"`
	ObjectID int64           `json:"objectid"`
	Content  json.RawMessage `json:"content"`
}

const (
	contentXML  = "application/xml"
	contentForm = "application/x-www-form-urlencoded"
	// headerSolve360 is the HMAC-SHA256 of the body in hex, keyed with the webhook's secret.
	headerSolve360 = "X-Solve360-Hmac-Sha256"
	// solve360Retries: "retried up to four times with delays" ("Webhooks").
	solve360Retries = 4
)

// Conduct tries again four times where the webhook has no schedule of its own.
func (solve360) Conduct() Conduct { return Conduct{Retries: solve360Retries} }

// Messages gives one message for each of Solve360's names for the event that the webhook
// wants: two at most, items.categorize and items.uncategorize.
func (f solve360) Messages(d pipeline.Dispatch) ([]Message, error) {
	names, err := d.Webhook.Names(d.Event)
	if err != nil {
		return nil, err
	}
	out := make([]Message, 0, len(names))
	for _, name := range names {
		m, err := f.message(d, name)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func (solve360) message(d pipeline.Dispatch, name pipeline.Name) (Message, error) {
	n := notification{Type: name.Event, ObjectID: int64(d.Event.CustomerID), Content: d.Event.State}
	if d.Event.Stream.Kind() == pipeline.KindProposal {
		n.ObjectID = int64(d.Event.ProposalID)
	}
	m, err := n.in(d.Webhook.ContentType)
	if err != nil {
		return m, fmt.Errorf("write notification of %s: %w", d.Event.ID, err)
	}
	if d.Event.Type == pipeline.TypeCustomerStatusChanged { // the one that may have two
		m.Part = name.Event
	}
	if key := d.Webhook.Signing.Secret; key != "" {
		m.Header = http.Header{headerSolve360: {signHex(key, m.Body)}}
	}
	return m, nil
}

// in writes the notification in a content type of pipeline, XML unless it is another.
func (n notification) in(contentType string) (Message, error) {
	switch contentType {
	case pipeline.ContentJSON:
		return jsonMessage(n)
	case pipeline.ContentForm:
		return Message{ContentType: contentForm, Body: n.form()}, nil
	default:
		body, err := n.xml()
		return Message{ContentType: contentXML, Body: body}, err
	}
}

// form has the same three fields, content as JSON: there is no one way to write a record with
// lists and objects in it as a form.
func (n notification) form() []byte {
	return []byte("type=" + url.QueryEscape(n.Type) +
		"&objectid=" + strconv.FormatInt(n.ObjectID, 10) +
		"&content=" + url.QueryEscape(string(n.Content)))
}

func (n notification) xml() ([]byte, error) {
	var w xmlWriter
	w.open("notification")
	w.text("type", n.Type)
	w.text("objectid", strconv.FormatInt(n.ObjectID, 10))
	if err := w.json("content", n.Content); err != nil {
		return nil, err
	}
	w.close("notification")
	return w.out.Bytes(), nil
}

// signHex is the HMAC-SHA256 of a body, keyed with the secret as the partner gave it.
func signHex(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
