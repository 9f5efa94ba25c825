package pipeline_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

const aCustomer = `{"uuid":"` + customerUUID + `","name":"Amelia","email":"amelia@example.com","phone":"1","type":"COMMERCIAL",
	"owner_id":7,"status":1,"status_name":"New Contacts",
	"address":{"street":"12 Banksia Avenue","postcode":2204},"attributes":{"roof":"tile"}}`

func TestWhatEventsDoToACustomer(t *testing.T) {
	t.Parallel()
	whole := func(t *testing.T) story[pipeline.Customer] {
		t.Helper()
		return givenCustomer(t).and("customer.created", aCustomer)
	}
	for name, c := range map[string]struct {
		event                pipeline.EventType
		data, payload, state string
	}{
		"updated keeps only what changed": {
			"customer.updated", `{"name":"Amelia N.","email":"amelia@example.com","phone":"1","owner_id":7,"type":"RESIDENTIAL"}`,
			`{"name":"Amelia N.","type":"RESIDENTIAL"}`,
			`{"name":"Amelia N.","email":"amelia@example.com","type":"RESIDENTIAL","version":2}`,
		},
		"updated with the whole customer keeps only what changed": {
			"customer.updated", `{"name":"Amelia","email":"amelia@example.com","phone":"2","type":"COMMERCIAL","owner_id":7,
				"address":{"street":"12 Banksia Avenue","postcode":2204},"attributes":{"roof":"tile"}}`,
			`{"phone":"2"}`, `{"phone":"2","attributes":{"roof":"tile"}}`,
		},
		"null clears": {
			"customer.updated", `{"phone":null,"owner_id":null,"address":null,"attributes":null}`,
			`{"phone":null,"owner_id":null,"address":null,"attributes":null}`,
			`{"phone":null,"owner_id":null,"address":null,"attributes":null,"name":"Amelia"}`,
		},
		"an empty phone is no phone": {
			"customer.updated", `{"phone":""}`, `{"phone":null}`, `{"phone":null}`,
		},
		"an address may become a line of text": {
			"customer.updated", `{"address":"12 Banksia Avenue"}`, `{"address":"12 Banksia Avenue"}`, `{"address":"12 Banksia Avenue"}`,
		},
		"status keeps both ends": {
			"customer.status_changed", `{"status":3,"status_name":"Mega Status","reason":"big roof"}`,
			`{"status":3,"old_status":1,"new_status":3,"status_name":"Mega Status","reason":"big roof"}`,
			`{"status":3,"status_name":"Mega Status"}`,
		},
		"status keeps the true old one": {
			"customer.status_changed", `{"status":0,"old_status":9,"new_status":9,"status_name":"No Status"}`,
			`{"status":0,"old_status":1,"new_status":0,"status_name":"No Status"}`,
			`{"status":0}`,
		},
		"appointment": {
			"appointment.set", `{"starts_at":"2026-11-24T10:00:00+11:00","ends_at":"2026-11-24T00:00:00Z","location":"there","notes":"dog"}`,
			`{"starts_at":"2026-11-24T10:00:00+11:00","ends_at":"2026-11-24T00:00:00Z","location":"there","notes":"dog"}`,
			`{"version":2}`,
		},
		"email": {
			"email.sent", `{"to":"a@b.co","subject":"Hi","template":"t"}`, `{"to":"a@b.co","subject":"Hi","template":"t"}`,
			`{"version":2}`,
		},
		"sms":     {"sms.sent", `{"to":"1","body":"Hi","template":"t"}`, `{"to":"1","body":"Hi","template":"t"}`, `{"version":2}`},
		"deleted": {"customer.deleted", `{"reason":"twice"}`, `{"reason":"twice"}`, `{"deleted":true,"name":"Amelia"}`},
		"no data": {"customer.deleted", ``, `{}`, `{"deleted":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole(t).when(c.event, c.data).thenEvent(c.payload, c.state)
		})
	}
}

func TestACreatedCustomer(t *testing.T) {
	t.Parallel()
	s := givenCustomer(t).when("customer.created", usual["customer.created"])
	s.thenEvent(
		`{"uuid":"`+customerUUID+`","name":"Amelia","email":"amelia@example.com","phone":null,"type":"RESIDENTIAL","owner_id":null,
		  "status":1,"status_name":"New Contacts","address":null,"attributes":null}`,
		`{"id":12345,"uuid":"`+customerUUID+`","company_id":1,"type":"RESIDENTIAL","phone":null,"owner_id":null,"version":1,
		  "created_at":"2026-11-21T09:00:00Z","updated_at":"2026-11-21T09:00:00Z","deleted":false}`)
	require.Equal(t, pipeline.Event{
		ID: pipeline.EventID("customer-12345", "command customer.created"), Type: "customer.created", Timestamp: now, CompanyID: 1,
		Stream: "customer-12345", Version: 1, CustomerID: 12345, Actor: pipeline.Actor{UserID: 67890},
		State: s.event.State, Payload: s.event.Payload,
	}, s.event)
}

func TestARestoredCustomerIsAsBefore(t *testing.T) {
	t.Parallel()
	s := givenCustomer(t, "customer.created", "customer.deleted").when("customer.restored", `{"reason":"called"}`)
	s.thenEvent(`{"reason":"called"}`, `{"deleted":false,"name":"Amelia","status":1,"version":3}`)
}

func TestBadDataForACustomer(t *testing.T) {
	t.Parallel()
	givenCustomer(t).when("customer.created", `{"type":"CASTLE"}`).
		thenInvalid("/data/uuid", "/data/name", "/data/email", "/data/type", "/data/status")
	for data, pointers := range map[string][]string{
		`{}`:                              {"/data"},
		`{"name":"Amelia"}`:               {"/data"},
		`{"name":" ","email":"nope"}`:     {"/data/name", "/data/email"},
		`{"name":null}`:                   {"/data/name"},
		`{"type":"CASTLE"}`:               {"/data/type"},
		`{"age":5}`:                       {"/data"},
		`{"owner_id":"me"}`:               {"/data"},
		`{"name":`:                        {"/data"},
		`{"email":"amelia@example..com"}`: {"/data/email"},
	} {
		givenCustomer(t, "customer.created").when("customer.updated", data).thenInvalid(pointers...)
	}
	active := givenCustomer(t, "customer.created")
	active.when("customer.status_changed", `{"status":1,"status_name":"New Contacts"}`).thenInvalid("/data/status")
	active.when("customer.status_changed", `{"status":99}`).thenInvalid("/data/status")
	active.when("appointment.set", `{}`).thenInvalid("/data/starts_at")
	active.when("appointment.set", `{"starts_at":"2026-11-24T10:00:00Z","ends_at":"2026-11-24T09:59:59Z"}`).thenInvalid("/data/ends_at")
	active.when("email.sent", `{"body":"x"}`).thenInvalid("/data")
}

// What is carried unseen would otherwise grow until Temporal refuses the payload, when the event
// is recorded already.
func TestWhatIsCarriedUnseenIsBounded(t *testing.T) {
	t.Parallel()
	fits := `{"note":"` + strings.Repeat("x", 60<<10) + `"}`
	tooLarge := `{"note":"` + strings.Repeat("x", 64<<10) + `"}`
	active := givenCustomer(t, "customer.created")
	_, _, err := pipeline.Next(active.after, command("customer.updated", `{"attributes":`+fits+`}`), "c")
	require.NoError(t, err)
	active.when("customer.updated", `{"attributes":`+tooLarge+`}`).thenInvalid("/data/attributes")
	active.when("customer.updated", `{"address":`+tooLarge+`}`).thenInvalid("/data/address")
	givenProposal(t, "proposal.drafted").when("proposal.saved", `{"system":`+tooLarge+`}`).thenInvalid("/data/system")
	signed := givenProposal(t, words(toProposal["selected"]+" "+toContract["signed"])...)
	stored := usual["contract.document_stored"]
	for range 100 {
		signed.after.Documents = append(signed.after.Documents, pipeline.Document{UUID: "another"})
	}
	signed.when("contract.document_stored", stored).thenInvalid("/data/uuid")
}

// Equal is equal, however it was written.
func TestAnObjectWrittenDifferentlyChangesNothing(t *testing.T) {
	t.Parallel()
	givenCustomer(t).and("customer.created", aCustomer).
		when("customer.updated", `{"address":{ "postcode":2204, "street":"12 Banksia \u0041venue" }}`).thenInvalid("/data")
}

const details = `"nickname":"Nguyen","site_address":"12 Banksia Avenue","system":{"kw":6.60},"price":{"amount":"12345.00","currency":"AUD"}`

func TestWhatEventsDoToAProposal(t *testing.T) {
	t.Parallel()
	const uuids = `"uuid":"` + proposalUUID + `","customer_uuid":"` + customerUUID + `"`
	for name, c := range map[string]struct {
		given                string
		event                pipeline.EventType
		data, payload, state string
	}{
		"drafted": {
			"", "proposal.drafted", `{` + uuids + `,` + details + `}`, `{` + uuids + `,` + details + `}`,
			`{` + uuids + `,` + details + `,"id":54321,"customer_id":12345,"company_id":1,"status":"draft","contract_status":"none",
			  "credit_status":"none","documents":[],"signed_at":null,"sold_at":null,"version":1,"created_at":"2026-11-21T09:00:00Z"}`,
		},
		"requested, as the first": {
			"", "proposal.requested", first, first,
			`{` + uuids + `,"status":"requested","nickname":null,"site_address":null,"system":null,"price":null,"version":1}`,
		},
		"requested, after a draft": {
			"proposal.drafted", "proposal.requested", `{` + details + `}`, `{` + details + `}`,
			`{` + uuids + `,` + details + `,"status":"requested","version":2}`,
		},
		"saved": {
			"proposal.requested", "proposal.saved", `{"nickname":"N"}`, `{"nickname":"N"}`, `{"nickname":"N","status":"requested"}`,
		},
		"saved as it was": {"proposal.requested", "proposal.saved", ``, `{}`, `{"nickname":null,"version":2}`},
		"sent":            {"proposal.requested", "proposal.sent", `{"channel":"email"}`, `{"channel":"email"}`, `{"status":"sent"}`},
		"link": {
			"proposal.requested", "proposal.link_published", `{"url":"https://a.example/1"}`, `{"url":"https://a.example/1"}`,
			`{"link_url":"https://a.example/1"}`,
		},
		"selected": {"proposal.requested proposal.sent", "proposal.selected", ``, `{}`, `{"status":"selected"}`},
		"sold, by default now": {
			toProposal["selected"], "proposal.sold", ``, `{"sold_at":"2026-11-21T09:00:00Z"}`,
			`{"status":"sold","sold_at":"2026-11-21T09:00:00Z","price":null}`,
		},
		"sold, at a time and a price": {
			toProposal["selected"], "proposal.sold", `{"sold_at":"2026-11-20T08:00:00Z","price":{"amount":"1.5","currency":"EUR"}}`,
			`{"sold_at":"2026-11-20T08:00:00Z","price":{"amount":"1.5","currency":"EUR"}}`,
			`{"sold_at":"2026-11-20T08:00:00Z","price":{"amount":"1.5","currency":"EUR"}}`,
		},
		"credit": {
			"proposal.requested", "credit.ran", `{"outcome":"pending","provider":"B","reference":"R","score":742.50}`,
			`{"outcome":"pending","provider":"B","reference":"R","score":742.50}`, `{"credit_status":"ran","credit_outcome":"pending"}`,
		},
		"credit again": {
			"proposal.requested credit.ran", "credit.ran", `{"outcome":"declined"}`, `{"outcome":"declined"}`,
			`{"credit_status":"ran","credit_outcome":"declined"}`,
		},
		"contract requested": {
			toProposal["selected"], "contract.requested", `{"template":"nsw"}`, `{"template":"nsw"}`,
			`{"contract_status":"requested","contract_requested_at":"2026-11-21T09:00:00Z"}`,
		},
		"contract sent": {
			toProposal["selected"] + " contract.requested", "contract.sent", `{"envelope_id":"e1"}`, `{"envelope_id":"e1"}`,
			`{"contract_status":"sent","envelope_id":"e1"}`,
		},
		"contract signed, by default now": {
			toProposal["sold"] + " contract.requested contract.sent", "contract.signed", ``, `{"signed_at":"2026-11-21T09:00:00Z"}`,
			`{"contract_status":"signed","signed_at":"2026-11-21T09:00:00Z","documents":[],"status":"sold"}`,
		},
		"contract signed, with documents": {
			toProposal["sold"] + " contract.requested contract.sent", "contract.signed",
			`{"signed_at":"2026-11-20T10:00:00Z","document_url":"https://s.example/1","documents":[
				{"uuid":"u1","name":"a.pdf","creation_type":"UPLOADED","document_type":"HIC"}]}`,
			`{"signed_at":"2026-11-20T10:00:00Z","document_url":"https://s.example/1","documents":[
				{"uuid":"u1","name":"a.pdf","creation_type":"UPLOADED","document_type":"HIC"}]}`,
			`{"signed_at":"2026-11-20T10:00:00Z","documents":[{"uuid":"u1","name":"a.pdf","creation_type":"UPLOADED","document_type":"HIC",
				"content_type":null,"size":0,"sha256":null,"stored":false}]}`,
		},
		"contract voided": {
			toProposal["sold"] + " contract.requested", "contract.voided", `{"reason":"battery"}`, `{"reason":"battery"}`,
			`{"contract_status":"voided","status":"sold"}`,
		},
		"email": {"proposal.drafted", "email.sent", `{"to":"a@b.co"}`, `{"to":"a@b.co"}`, `{"status":"draft"}`},
		"sms":   {"proposal.drafted", "sms.sent", `{"body":"Hi"}`, `{"body":"Hi"}`, `{"status":"draft"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			givenProposal(t, words(c.given)...).when(c.event, c.data).thenEvent(c.payload, c.state)
		})
	}
}

func TestSavingWithNullClears(t *testing.T) {
	t.Parallel()
	const cleared = `{"nickname":null,"site_address":null,"system":null,"price":null}`
	givenProposal(t, "proposal.drafted").and("proposal.saved", `{`+details+`}`).
		when("proposal.saved", cleared).thenEvent(cleared, cleared)
}

func TestTheDocumentsOfAContract(t *testing.T) {
	t.Parallel()
	signed := givenProposal(t, words(toProposal["selected"]+" contract.requested contract.sent")...).
		and("contract.signed", `{"documents":[{"uuid":"`+documentUUID+`","name":"x.pdf","creation_type":"UPLOADED"}]}`)
	stored := usual["contract.document_stored"]
	document := `{"uuid":"` + documentUUID + `","name":"a.pdf","document_type":null,"content_type":"application/pdf","size":1,
		"sha256":"` + sha256Hex + `","stored":true,"creation_type":`

	kept := signed.when("contract.document_stored", stored)
	kept.thenEvent(stored, `{"documents":[`+document+`"UPLOADED"}],"contract_status":"signed"}`)
	kept.when("contract.document_stored", stored).thenEvent(stored, `{"documents":[`+document+`"UPLOADED"}]}`)

	unlisted := givenProposal(t, words(toProposal["selected"]+" "+toContract["signed"])...)
	unlisted.when("contract.document_stored", stored).thenEvent(stored, `{"documents":[`+document+`null}]}`)

	again := kept.and("contract.voided", ``)
	again.thenEvent(`{}`, `{"documents":[`+document+`"UPLOADED"}]}`)
	again.when("contract.requested", ``).
		thenEvent(`{}`, `{"documents":[],"signed_at":null,"envelope_id":null,"contract_status":"requested"}`)
}

func TestBadDataForAProposal(t *testing.T) {
	t.Parallel()
	givenProposal(t).when("proposal.requested", `{}`).thenInvalid("/data/uuid", "/data/customer_uuid")
	drafted := givenProposal(t, "proposal.drafted")
	drafted.when("proposal.requested", first).thenInvalid("/data/uuid", "/data/customer_uuid")
	drafted.when("proposal.saved", `{"price":{"amount":"1,5","currency":"aud"}}`).thenInvalid("/data/price/amount", "/data/price/currency")
	drafted.when("proposal.saved", `{"price":{"amount":"1"}}`).thenInvalid("/data/price/currency")
	requested := givenProposal(t, "proposal.requested")
	requested.when("credit.ran", `{}`).thenInvalid("/data/outcome")
	requested.when("credit.ran", `{"outcome":"maybe"}`).thenInvalid("/data/outcome")
	requested.when("proposal.sent", `{"url":"x"}`).thenInvalid("/data")
	selected := givenProposal(t, words(toProposal["selected"])...)
	selected.when("proposal.sold", `{"price":{"amount":"","currency":"AUD"}}`).thenInvalid("/data/price/amount")
	selected.when("proposal.sold", `{"sold_at":"yesterday"}`).thenInvalid("/data")
	signed := givenProposal(t, words(toProposal["selected"]+" "+toContract["signed"])...)
	signed.when("contract.document_stored", `{"size":-1,"sha256":"abc"}`).
		thenInvalid("/data/uuid", "/data/name", "/data/content_type", "/data/size", "/data/sha256")
	givenProposal(t, "proposal.requested", "proposal.sent").when("proposal.selected", `{"why":"price"}`).thenInvalid("/data")
}

func TestACauseIsKept(t *testing.T) {
	t.Parallel()
	cmd := command("customer.status_changed", usual["customer.status_changed"])
	cmd.Cause = pipeline.Cause{EventID: "evt_1", Type: "contract.signed", Stream: "proposal-54321"}
	e, _, err := pipeline.Next(givenCustomer(t, "customer.created").after, cmd, "c")
	require.NoError(t, err)
	require.Equal(t, &cmd.Cause, e.Cause)
	require.JSONEq(t, `{"event_id":"evt_1","type":"contract.signed","stream":"proposal-54321"}`, asJSON(t, e.Cause))
}

// An event from a newer release may have fields, or a type, that this one does not know.
func TestApplyPassesOverWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	before := givenCustomer(t, "customer.created").after
	e := pipeline.Event{Type: "customer.updated", Version: 2, Timestamp: now, Payload: []byte(`{"name":"B","mood":"good"}`)}
	after, err := before.Apply(e)
	require.NoError(t, err)
	require.Equal(t, "B", after.Name)
	after, err = after.Apply(pipeline.Event{Type: "customer.greeted", Version: 3, Timestamp: now, Payload: []byte(`[]`)})
	require.NoError(t, err)
	require.EqualValues(t, 3, after.Version)
}

func TestFoldSaysWhichEventDoesNotDecode(t *testing.T) {
	t.Parallel()
	_, err := pipeline.Fold(pipeline.NewCustomer(1, 1), []pipeline.Event{
		{ID: "evt_1", Type: "customer.created", Stream: "customer-1", Version: 1, Payload: []byte(`{"name":5}`)},
	})
	require.ErrorContains(t, err, "fold customer-1 version 1")
	require.Equal(t, pipeline.CodeInternal, pipeline.CodeOf(err))
}
