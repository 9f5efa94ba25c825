package webhook_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// told is an event of the deals below, under the name of its golden files: its type, and what
// is particular about it where there are several of the type.
type told struct {
	name     string
	event    pipeline.Event
	customer []byte
}

func (e told) to(w pipeline.Webhook) pipeline.Dispatch {
	return pipeline.Dispatch{DeliveryID: 7, Webhook: w, Event: e.event, Customer: e.customer}
}

// happening is a command: "type" or "type.what is particular", and its data.
type happening struct{ name, data string }

const (
	customerUUID = "b0c16879-5c5f-4dd9-8442-65cc594372ed"
	seller       = 67890
)

// What XML, JSON and forms have to escape, and what an element's name cannot be, is all in it.
var customerHappenings = []happening{
	{"customer.created", `{"uuid":"` + customerUUID + `","name":"Zoë O'Brien & Söhne <Pty>","email":"zoe+pv@example.com",
		"phone":"+61 2 5550 0101","type":"COMMERCIAL","owner_id":4711,"status":1,"status_name":"New Contacts",
		"address":{"line1":"1 \"Old\" Mill Rd","postcode":"0800"},
		"attributes":{"roof type":"tile","größe":1.50,"xmlns":"x","tags":["a","<b>",null,true],"none":{},"nothing":[],"n":12345678901234567890,
		"note":"tab\tline\nbell\u0007🌞","2nd":{"deep":[[1],{"k":"v"}]}}}`},
	{"customer.updated", `{"phone":null,"name":"Zoë O'Brien"}`},
	{"customer.status_changed", `{"status":2,"status_name":"Signed","reason":"contract"}`},
	{"appointment.set", `{"starts_at":"2026-11-25T10:00:00+11:00","location":"on site"}`},
	{"email.sent.customer", `{"to":"zoe+pv@example.com","subject":"Hello"}`},
	{"sms.sent.customer", `{"to":"+61 2 5550 0101","body":"Hi"}`},
	{"customer.deleted", `{"reason":"twice"}`},
	{"customer.restored", `{}`},
}

const (
	proposalUUID = "7cf8d5db-bb05-4a39-a40b-c83e17988c37"
	signedUUID   = "e24f5a7a-1d6d-4417-8af2-22da3d67d4cc"
	details      = `"nickname":"6.6 kW, \"Bücher\" & <Co>","site_address":"1 Old Mill Rd, Darwin NT 0800",
		"price":{"amount":"21450.00","currency":"AUD"},"system":{"size_kw":6.60,"panels":[{"count":15,"model":"Hi-MO 6"}]}`
)

var proposalHappenings = []happening{
	{"proposal.drafted", `{"uuid":"` + proposalUUID + `","customer_uuid":"` + customerUUID + `",` + details + `}`},
	{"proposal.saved.draft", `{"nickname":null}`},
	{"proposal.requested", `{"nickname":"6.6 kW"}`},
	{"proposal.saved.requested", `{"system":{"size_kw":7}}`},
	{"proposal.sent", `{"channel":"email"}`},
	{"proposal.link_published", `{"url":"https://p.example.com/1?a=b&c=d"}`},
	{"email.sent.proposal", `{"to":"zoe+pv@example.com","subject":"Your proposal"}`},
	{"sms.sent.proposal", `{"body":"Your proposal"}`},
	{"credit.ran", `{"outcome":"approved","score":712}`},
	{"proposal.selected", `{}`},
	{"contract.requested", `{"template":"nsw"}`},
	{"contract.sent", `{"envelope_id":"env-1"}`},
	{"contract.signed", `{"signed_at":"2026-11-20T10:00:00Z","documents":[
		{"uuid":"451c2577-96b7-48dd-a7d0-eb2e47293e96","name":"Cash Installation Agreement.pdf","creation_type":"GENERATED",
			"document_type":"HIC"},
		{"uuid":"` + signedUUID + `","name":"Cash Installation Agreement (2).pdf","creation_type":"UPLOADED","document_type":"OTH"}]}`},
	{"contract.document_stored", `{"uuid":"` + signedUUID + `","name":"Cash Installation Agreement (2).pdf",
		"content_type":"application/pdf","size":48213,"sha256":"` + strings.Repeat("0f", 32) + `"}`},
	{"contract.voided", `{"reason":"battery"}`},
	{"contract.requested.again", `{}`},
	{"contract.sent.again", `{}`},
	{"contract.signed.by_url", `{"document_url":"https://sign.example.com/e/1/combined.pdf"}`},
	{"contract.document_stored.unlisted", `{"uuid":"5d6c1f5e-0b1a-4f3e-9a55-4f8a0b8f6c11","name":"combined.pdf",
		"content_type":"application/pdf","size":9,"sha256":"` + strings.Repeat("1e", 32) + `"}`},
	{"contract.voided.stored", `{}`},
	{"contract.requested.third", `{}`},
	{"contract.voided.unsigned", `{}`},
	{"contract.requested.fourth", `{}`},
	{"contract.sent.fourth", `{}`},
	{"contract.signed.bare", `{}`},
	{"proposal.sold", `{"price":{"amount":"21000.00","currency":"AUD"}}`},
}

// deals are all events of a customer and its proposal, of every type of the catalogue.
func deals(tb testing.TB) []told {
	tb.Helper()
	at := time.Date(2026, 11, 21, 9, 0, 0, 123000000, time.UTC)
	events := happen(tb, at, pipeline.NewCustomer(1, 12345), customerHappenings)
	events = append(events, happen(tb, at.Add(time.Hour), pipeline.NewProposal(1, 12345, 54321), proposalHappenings)...)
	customer := events[len(customerHappenings)-1].event.State
	events = append(events, erasing(tb, at.AddDate(0, 0, 1), customer))
	for i := range events {
		events[i].event.Position = int64(1001 + i)
		if events[i].event.Stream.Kind() == pipeline.KindProposal {
			events[i].customer = customer
		}
	}
	return events
}

// erasing is the end of a customer.
func erasing(tb testing.TB, at time.Time, customer []byte) told {
	tb.Helper()
	var state pipeline.Customer
	require.NoError(tb, json.Unmarshal(customer, &state))
	return happen(tb, at, state, []happening{{"customer.erased", `{"reason":"request"}`}})[0]
}

// erased is what an event is after its customer was erased.
func (e told) erased(tb testing.TB) told {
	tb.Helper()
	var err error
	e.event, err = pipeline.EventWithoutPersonal(e.event)
	require.NoError(tb, err)
	if e.customer != nil {
		e.customer, err = pipeline.WithoutPersonal(pipeline.KindCustomer, e.customer)
		require.NoError(tb, err)
	}
	return e
}

// happen makes one thing happen after the other, a minute apart.
func happen[S pipeline.State[S]](tb testing.TB, at time.Time, state S, happenings []happening) []told {
	tb.Helper()
	out := make([]told, 0, len(happenings))
	for i, h := range happenings {
		family, rest, _ := strings.Cut(h.name, ".")
		verb, _, _ := strings.Cut(rest, ".")
		event, next, err := pipeline.Next(state, pipeline.Command{
			Type: pipeline.EventType(family + "." + verb), Data: []byte(h.data), Actor: pipeline.Actor{UserID: seller},
			OccurredAt: at.Add(time.Duration(i) * time.Minute),
		}, h.name)
		require.NoError(tb, err, h.name)
		out, state = append(out, told{name: h.name, event: event}), next
	}
	return out
}

// deal is the event of that name.
func deal(tb testing.TB, name string) told {
	tb.Helper()
	for _, e := range deals(tb) {
		if e.name == name {
			return e
		}
	}
	require.Fail(tb, "nothing of that name happens", name)
	return told{}
}

// sending is the delivery of that event to a webhook at a URL.
func sending(tb testing.TB, name, url string, w pipeline.Webhook) pipeline.Dispatch {
	tb.Helper()
	w.ID, w.CompanyID, w.URL, w.Active = 3, 1, url, true
	return deal(tb, name).to(w)
}

// owned is a customer's state with another owner, in JSON.
func owned(tb testing.TB, state []byte, owner string) []byte {
	tb.Helper()
	if len(state) == 0 {
		return state
	}
	var fields map[string]json.RawMessage
	require.NoError(tb, json.Unmarshal(state, &fields))
	fields["owner_id"] = json.RawMessage(owner)
	out, err := json.Marshal(fields)
	require.NoError(tb, err)
	return out
}
