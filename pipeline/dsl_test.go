package pipeline_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// A story is given some events, when one more is asked for, then something follows.
type story[S pipeline.State[S]] struct {
	t      *testing.T
	before S
	after  S
	event  pipeline.Event
	err    error
}

const (
	customerUUID = "4f0c9a56-2f0e-4a1b-9d0b-6f6f2b1e7c11"
	proposalUUID = "7cf8d5db-bb05-4a39-a40b-c83e17988c37"
	documentUUID = "e24f5a7a-1d6d-4417-8af2-22da3d67d4cc"
	sha256Hex    = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

// now is when everything in these tests happens.
var now = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// usual is data with which each event is accepted wherever it is legal.
var usual = map[pipeline.EventType]string{
	"customer.created": `{"uuid":"` + customerUUID + `","name":"Amelia","email":"amelia@example.com",
		"status":1,"status_name":"New Contacts"}`,
	"customer.updated":        `{"phone":"+61 400 000 000"}`,
	"customer.status_changed": `{"status":2,"status_name":"Signed"}`,
	"appointment.set":         `{"starts_at":"2026-11-24T10:00:00+11:00"}`,
	"credit.ran":              `{"outcome":"approved"}`,
	"contract.document_stored": `{"uuid":"` + documentUUID + `","name":"a.pdf","content_type":"application/pdf",
		"size":1,"sha256":"` + sha256Hex + `"}`,
}

// first is what the first event of a proposal says in addition.
const first = `{"uuid":"` + proposalUUID + `","customer_uuid":"` + customerUUID + `"}`

func usualData(eventType pipeline.EventType, version int64) string {
	if version == 0 && (eventType == "proposal.drafted" || eventType == "proposal.requested") {
		return first
	}
	return usual[eventType]
}

func command(eventType pipeline.EventType, data string) pipeline.Command {
	return pipeline.Command{
		Type: eventType, Data: json.RawMessage(data), Actor: pipeline.Actor{UserID: 67890}, OccurredAt: now,
	}
}

func givenCustomer(t *testing.T, events ...pipeline.EventType) story[pipeline.Customer] {
	t.Helper()
	return given(t, pipeline.NewCustomer(1, 12345), events...)
}

func givenProposal(t *testing.T, events ...pipeline.EventType) story[pipeline.Proposal] {
	t.Helper()
	return given(t, pipeline.NewProposal(1, 12345, 54321), events...)
}

func given[S pipeline.State[S]](t *testing.T, start S, events ...pipeline.EventType) story[S] {
	t.Helper()
	s := story[S]{t: t, before: start, after: start}
	for _, eventType := range events {
		s = s.and(eventType, usualData(eventType, s.after.Ref().Version))
	}
	return s
}

// and adds to what is given.
func (s story[S]) and(eventType pipeline.EventType, data string) story[S] {
	s.t.Helper()
	s = s.when(eventType, data)
	require.NoError(s.t, s.err, "given %s", eventType)
	return s
}

func (s story[S]) when(eventType pipeline.EventType, data string) story[S] {
	s.t.Helper()
	s.before = s.after
	untouched := asJSON(s.t, s.before)
	s.event, s.after, s.err = pipeline.Next(s.before, command(eventType, data), "command "+string(eventType))
	require.JSONEq(s.t, untouched, asJSON(s.t, s.before), "%s changed the state that it was decided on", eventType)
	return s
}

// thenEvent expects the payload, word for word, and some of the state.
func (s story[S]) thenEvent(payload, state string) story[S] {
	s.t.Helper()
	require.NoError(s.t, s.err)
	require.JSONEq(s.t, payload, string(s.event.Payload))
	var want, got map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(state), &want))
	require.NoError(s.t, json.Unmarshal(s.event.State, &got))
	for field, value := range want {
		require.Equal(s.t, value, got[field], "state: %s", field)
	}
	return s
}

func (s story[S]) thenInvalid(pointers ...string) {
	s.t.Helper()
	refusal := s.refusal(pipeline.CodeInvalid)
	got := make([]string, len(refusal.Fields))
	for i, f := range refusal.Fields {
		require.NotEmpty(s.t, f.Detail)
		got[i] = f.Pointer
	}
	require.Equal(s.t, pointers, got)
}

func (s story[S]) thenIllegal(allowed ...pipeline.EventType) {
	s.t.Helper()
	refusal := s.refusal(pipeline.CodeIllegalTransition)
	require.Equal(s.t, append([]pipeline.EventType{}, allowed...), refusal.Allowed)
}

func (s story[S]) refusal(code pipeline.Code) *pipeline.Error {
	s.t.Helper()
	var refusal *pipeline.Error
	require.ErrorAs(s.t, s.err, &refusal)
	require.Equal(s.t, code, refusal.Code)
	require.NotEmpty(s.t, refusal.Error())
	require.JSONEq(s.t, asJSON(s.t, s.before), asJSON(s.t, s.after), "a refusal changed the state")
	require.Empty(s.t, s.event)
	return refusal
}

func asJSON(t require.TestingT, v any) string {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}
