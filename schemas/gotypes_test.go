package schemas_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// The walks visit every event type once: whatever Decide makes of a caller's data has to be
// what the schemas promise to partners.
var (
	customerWalk = []pipeline.EventType{
		pipeline.TypeCustomerCreated, pipeline.TypeCustomerUpdated, pipeline.TypeCustomerStatusChanged,
		pipeline.TypeAppointmentSet, pipeline.TypeEmailSent, pipeline.TypeSMSSent,
		pipeline.TypeCustomerDeleted, pipeline.TypeCustomerRestored, pipeline.TypeCustomerErased,
	}
	proposalWalk = []pipeline.EventType{
		pipeline.TypeProposalDrafted, pipeline.TypeProposalSaved, pipeline.TypeProposalRequested,
		pipeline.TypeProposalSent, pipeline.TypeProposalLinkPublished, pipeline.TypeCreditRan,
		pipeline.TypeProposalSelected, pipeline.TypeContractRequested, pipeline.TypeContractSent,
		pipeline.TypeContractSigned, pipeline.TypeContractDocumentStored, pipeline.TypeContractVoided,
		pipeline.TypeProposalSold, pipeline.TypeEmailSent, pipeline.TypeSMSSent,
	}
)

const (
	customerUUID = "4f0c9a56-2f0e-4a1b-9d0b-6f6f2b1e7c11"
	proposalUUID = "7cf8d5db-bb05-4a39-a40b-c83e17988c37"
)

// added is what the engine adds to a caller's data before it decides.
func added(t pipeline.EventType) map[string]any {
	switch t {
	case pipeline.TypeCustomerCreated:
		return map[string]any{"uuid": customerUUID, "status_name": "New Contacts"}
	case pipeline.TypeCustomerStatusChanged:
		return map[string]any{"status_name": "Signed"}
	case pipeline.TypeProposalDrafted:
		return map[string]any{"uuid": proposalUUID, "customer_uuid": customerUUID}
	default:
		return nil
	}
}

func TestWhatDecideMakesOfACallersDataIsWhatTheSchemasPromise(t *testing.T) {
	t.Parallel()
	walk(t, pipeline.NewCustomer(1, 12345), customerWalk, schemas.Customer)
	walk(t, pipeline.NewProposal(1, 12345, 54321), proposalWalk, schemas.Proposal)
}

func TestTheWalksVisitEveryEventType(t *testing.T) {
	t.Parallel()
	visited := slices.Concat(customerWalk, proposalWalk)
	for _, e := range pipeline.Catalogue() {
		require.Contains(t, visited, e.Type)
	}
}

// walk decides every example of every event, and goes on with the first.
func walk[S pipeline.State[S]](t *testing.T, start S, types []pipeline.EventType, stateSchema string) {
	t.Helper()
	state := start
	for _, eventType := range types {
		var after S
		for i, example := range dataExamples(t, eventType) {
			e, next := move(t, state, eventType, example)
			require.NoError(t, schemas.Validate(eventSchema(eventType), e.Payload), "payload of %s: %s", eventType, e.Payload)
			require.NoError(t, schemas.Validate(stateSchema, e.State), "state after %s: %s", eventType, e.State)
			require.NoError(t, schemas.Validate(schemas.Envelope, envelope(t, e)), "envelope of %s", eventType)
			bare, err := pipeline.EventWithoutPersonal(e)
			require.NoError(t, err)
			require.NoError(t, schemas.Validate(eventSchema(eventType), bare.Payload), "erased payload of %s: %s", eventType, bare.Payload)
			require.NoError(t, schemas.Validate(stateSchema, bare.State), "erased state after %s: %s", eventType, bare.State)
			require.NoError(t, schemas.Validate(schemas.Envelope, envelope(t, bare)), "erased envelope of %s", eventType)
			if i == 0 {
				after = next
			}
		}
		state = after
	}
}

// What the store records about webhooks is what the schemas promise.
func TestNoticesAreWhatTheSchemasPromise(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		eventType pipeline.EventType
		payload   any
	}{
		{pipeline.TypeWebhookFailing, pipeline.WebhookNotice{
			WebhookID: 12, URL: "https://a.example/", Failures: 10,
			FailingSince: pipeline.Instant(at), DisableAt: pipeline.Instant(at.AddDate(0, 0, 5)), Error: "no answer",
		}},
		{pipeline.TypeWebhookDisabled, pipeline.WebhookNotice{WebhookID: 12, Reason: pipeline.DisabledByHand}},
		{pipeline.TypeWebhookDisabled, pipeline.WebhookNotice{WebhookID: 12, Reason: pipeline.DisabledGone}},
		{pipeline.TypeWebhookDisabled, pipeline.WebhookNotice{WebhookID: 12, Reason: pipeline.DisabledFailed}},
		{pipeline.TypeWebhookRecovered, pipeline.WebhookNotice{WebhookID: 12}},
		{pipeline.TypeDeliveryExhausted, pipeline.DeliveryNotice{
			WebhookID: 12, DeliveryID: 7, EventID: pipeline.EventID("proposal-1", "k"), EventType: pipeline.TypeSMSSent,
			Stream: "proposal-1", Version: 3, Attempts: 8,
		}},
	} {
		payload, err := json.Marshal(c.payload)
		require.NoError(t, err)
		require.NoError(t, schemas.Validate(eventSchema(c.eventType), payload), "%s: %s", c.eventType, payload)
		state, err := json.Marshal(pipeline.NoticeState{ID: 12, CompanyID: 1, URL: "https://a.example/", Active: true, Version: 2})
		require.NoError(t, err)
		require.NoError(t, schemas.Validate(schemas.Webhook, state))
		stream := pipeline.StreamOf(pipeline.KindWebhook, 12)
		require.NoError(t, schemas.Validate(schemas.Envelope, envelope(t, pipeline.Event{
			ID: pipeline.NoticeID(stream, 2), Type: c.eventType, Timestamp: at, Position: 7, CompanyID: 1, Stream: stream, Version: 2,
			State: state, Payload: payload,
		})))
	}
}

func TestNoticesOfDocumentsAreWhatTheSchemasPromise(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	const uuid = "e24f5a7a-1d6d-4417-8af2-22da3d67d4cc"
	for _, reason := range []pipeline.FailureReason{
		pipeline.FailureRefused, pipeline.FailureTooLarge, pipeline.FailureNoConnection, pipeline.FailureUnavailable,
	} {
		payload, err := json.Marshal(pipeline.DocumentNotice{UUID: uuid, ProposalID: 5, Reason: reason, Since: pipeline.Instant(at)})
		require.NoError(t, err)
		require.NoError(t, schemas.Validate(eventSchema(pipeline.TypeDocumentFailed), payload), "%s", payload)
		state, err := json.Marshal(pipeline.DocumentState{
			ID: 7, UUID: uuid, CompanyID: 1, ProposalID: 5, ConnectionID: 3, Status: pipeline.KeptFailed, Version: 2,
		})
		require.NoError(t, err)
		require.NoError(t, schemas.Validate(schemas.Document, state))
		stream := pipeline.StreamOf(pipeline.KindDocument, 7)
		require.NoError(t, schemas.Validate(schemas.Envelope, envelope(t, pipeline.Event{
			ID: pipeline.NoticeID(stream, 2), Type: pipeline.TypeDocumentFailed, Timestamp: at, Position: 7, CompanyID: 1,
			Stream: stream, Version: 2, State: state, Payload: payload,
		})))
	}
}

func TestStateExamplesAreThoseOfTheirKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range []pipeline.Kind{pipeline.KindCustomer, pipeline.KindProposal, pipeline.KindWebhook, pipeline.KindDocument} {
		example, err := schemas.StateExample(kind)
		require.NoError(t, err)
		require.NoError(t, schemas.Validate("state/"+string(kind), example))
	}
	_, err := schemas.StateExample("deal")
	require.Error(t, err)
}

func move[S pipeline.State[S]](t *testing.T, state S, eventType pipeline.EventType, example any) (pipeline.Event, S) {
	t.Helper()
	given, err := json.Marshal(example)
	require.NoError(t, err)
	require.NoError(t, schemas.ValidateData(eventType, given, "/data"), "example %s of %s", given, eventType)
	data := maps.Clone(object(t, example))
	maps.Copy(data, added(eventType))
	full, err := json.Marshal(data)
	require.NoError(t, err)
	e, next, err := pipeline.Next(state, pipeline.Command{
		Type: eventType, Data: full, Actor: pipeline.Actor{UserID: 67890},
		Cause: pipeline.Cause{
			EventID: pipeline.EventID("proposal-54321", "k"),
			Type:    pipeline.TypeContractSigned,
			Stream:  "proposal-54321",
		},
		OccurredAt: time.Date(2026, 11, 21, 9, 0, 0, 123000000, time.UTC),
	}, "command")
	require.NoError(t, err, "%s with %s", eventType, full)
	e.Position = 1042 // which the store gives
	return e, next
}

func dataExamples(t *testing.T, eventType pipeline.EventType) []any {
	t.Helper()
	schema := read(t, eventSchema(eventType))
	if defs, ok := schema["$defs"]; ok {
		schema = object(t, object(t, defs)["data"])
	}
	examples, ok := schema["examples"].([]any)
	require.True(t, ok)
	return examples
}

// outside are the fields of an event that the envelope has beside its data, or not at all.
var outside = []string{"type", "timestamp", "recorded_at"}

func envelope(t *testing.T, e pipeline.Event) []byte {
	t.Helper()
	text, err := json.Marshal(e)
	require.NoError(t, err)
	var data map[string]any
	require.NoError(t, json.Unmarshal(text, &data))
	for _, field := range outside {
		delete(data, field)
	}
	body, err := json.Marshal(map[string]any{"type": e.Type, "timestamp": e.Timestamp, "data": data})
	require.NoError(t, err)
	return body
}

// payloads holds each event's payload in Go against its schema. Missing are the fields that
// the struct shares with other events and this one never has.
var payloads = map[pipeline.EventType]struct {
	value   any
	missing []string
}{
	pipeline.TypeCustomerCreated:        {value: pipeline.CustomerCreated{}},
	pipeline.TypeCustomerUpdated:        {value: pipeline.CustomerUpdated{}},
	pipeline.TypeCustomerStatusChanged:  {value: pipeline.CustomerStatusChanged{}},
	pipeline.TypeCustomerDeleted:        {value: pipeline.Reason{}},
	pipeline.TypeCustomerRestored:       {value: pipeline.Reason{}},
	pipeline.TypeCustomerErased:         {value: pipeline.CustomerErased{}},
	pipeline.TypeAppointmentSet:         {value: pipeline.AppointmentSet{}},
	pipeline.TypeEmailSent:              {value: pipeline.EmailSent{}},
	pipeline.TypeSMSSent:                {value: pipeline.SMSSent{}},
	pipeline.TypeProposalDrafted:        {value: pipeline.ProposalDetails{}},
	pipeline.TypeProposalRequested:      {value: pipeline.ProposalDetails{}},
	pipeline.TypeProposalSaved:          {value: pipeline.ProposalDetails{}, missing: []string{"uuid", "customer_uuid"}},
	pipeline.TypeProposalSent:           {value: pipeline.ProposalSent{}},
	pipeline.TypeProposalLinkPublished:  {value: pipeline.ProposalLinkPublished{}},
	pipeline.TypeProposalSelected:       {value: pipeline.Nothing{}},
	pipeline.TypeProposalSold:           {value: pipeline.ProposalSold{}},
	pipeline.TypeCreditRan:              {value: pipeline.CreditRan{}},
	pipeline.TypeContractRequested:      {value: pipeline.ContractRequested{}},
	pipeline.TypeContractSent:           {value: pipeline.ContractSent{}},
	pipeline.TypeContractSigned:         {value: pipeline.ContractSigned{}},
	pipeline.TypeContractVoided:         {value: pipeline.Reason{}},
	pipeline.TypeContractDocumentStored: {value: pipeline.ContractDocumentStored{}},
	pipeline.TypeWebhookFailing:         {value: pipeline.WebhookNotice{}},
	pipeline.TypeWebhookDisabled:        {value: pipeline.WebhookNotice{}},
	pipeline.TypeWebhookRecovered:       {value: pipeline.WebhookNotice{}},
	pipeline.TypeDeliveryExhausted:      {value: pipeline.DeliveryNotice{}},
	pipeline.TypeDocumentFailed:         {value: pipeline.DocumentNotice{}},
}

func TestGoPayloadsHaveTheFieldsOfTheirSchemas(t *testing.T) {
	t.Parallel()
	for _, e := range everyEntry() {
		t.Run(string(e.Type), func(t *testing.T) {
			t.Parallel()
			payload, ok := payloads[e.Type]
			require.True(t, ok, "no payload is listed for %s", e.Type)
			sameFields(t, payload.value, read(t, eventSchema(e.Type)), payload.missing...)
		})
	}
}

func TestGoStatesHaveTheFieldsOfTheirSchemas(t *testing.T) {
	t.Parallel()
	proposal := read(t, schemas.Proposal)
	sameFields(t, pipeline.Customer{}, read(t, schemas.Customer))
	sameFields(t, pipeline.Proposal{}, proposal)
	sameFields(t, pipeline.NoticeState{}, read(t, schemas.Webhook))
	sameFields(t, pipeline.DocumentState{}, read(t, schemas.Document))
	documents := object(t, object(t, proposal["properties"])["documents"])
	sameFields(t, pipeline.Document{}, object(t, documents["items"]))
	price := object(t, object(t, proposal["properties"])["price"])
	require.ElementsMatch(t, []string{"amount", "currency"}, propertiesOf(t, price))
}

func TestGoContractDocumentHasTheFieldsOfItsSchema(t *testing.T) {
	t.Parallel()
	signed := object(t, read(t, eventSchema(pipeline.TypeContractSigned))["properties"])
	sameFields(t, pipeline.ContractDocument{}, object(t, object(t, signed["documents"])["items"]))
}

func TestGoEventHasTheFieldsOfTheEnvelope(t *testing.T) {
	t.Parallel()
	data := object(t, object(t, read(t, schemas.Envelope)["properties"])["data"])
	event, always := fieldsOf(reflect.TypeFor[pipeline.Event]())
	leave := func(name string) bool { return slices.Contains(outside, name) }
	// A sample says that it is one; an event never does.
	require.ElementsMatch(t, append(slices.DeleteFunc(event, leave), "test"), propertiesOf(t, data))
	require.ElementsMatch(t, slices.DeleteFunc(always, leave), texts(t, data["required"]))
	sameFields(t, pipeline.Actor{}, object(t, object(t, data["properties"])["actor"]))
	sameFields(t, pipeline.Cause{}, object(t, object(t, data["properties"])["cause"]))
}

// sameFields compares names, and that a field which Go always writes is one that the schema
// requires.
func sameFields(t *testing.T, value any, schema map[string]any, missing ...string) {
	t.Helper()
	all, always := fieldsOf(reflect.TypeOf(value))
	leave := func(names []string) []string {
		return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(missing, name) })
	}
	require.ElementsMatch(t, leave(all), propertiesOf(t, schema))
	if always = leave(always); len(always) > 0 {
		require.Subset(t, texts(t, schema["required"]), always)
	}
}

func fieldsOf(structure reflect.Type) (all, always []string) {
	for field := range structure.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		all = append(all, name)
		if options == "" {
			always = append(always, name)
		}
	}
	return all, always
}
