package pipeline_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dealwright/dealwright/pipeline"
)

// someData draws data that is as a caller might give it: usual, nothing, or all kinds of it.
func someData(t *rapid.T, eventType pipeline.EventType, version int64) string {
	text := rapid.StringMatching(`[a-zé<&"\\ ]{0,6}`)
	quoted := func(label string) string { return asJSON(t, text.Draw(t, label)) }
	switch eventType {
	case "customer.updated":
		return rapid.SampledFrom([]string{
			`{"phone":` + quoted("phone") + `}`,
			`{"phone":null,"owner_id":null,"address":null,"attributes":null}`,
			`{"name":"N` + strconv.FormatInt(version, 10) + `","address":{"b":1.50,"a":` + quoted("a") + `}}`,
			`{"attributes":{"n":` + strconv.FormatInt(version, 10) + `}}`,
			`{}`,
		}).Draw(t, "update")
	case "customer.status_changed":
		status := rapid.IntRange(0, 3).Draw(t, "status")
		return fmt.Sprintf(`{"status":%d,"status_name":"S%d","reason":%s}`, status, status, quoted("reason"))
	case "proposal.saved":
		return rapid.SampledFrom([]string{
			`{"nickname":` + quoted("nickname") + `,"price":{"amount":"1.50","currency":"AUD"}}`,
			`{"system":{"kw":6.60,"z":` + quoted("z") + `},"site_address":` + quoted("site") + `}`,
			`{"nickname":null,"site_address":null,"system":null,"price":null}`,
		}).Draw(t, "saved")
	case "contract.signed":
		return rapid.SampledFrom([]string{
			``, `{"signed_at":"2026-11-20T10:00:00.123456789+11:00"}`,
			`{"documents":[{"uuid":"` + documentUUID + `","name":"n","creation_type":"UPLOADED"}]}`,
		}).Draw(t, "signed")
	default:
		return usualData(eventType, version)
	}
}

// throughJSON is an event as it comes back from the store.
func throughJSON(t require.TestingT, e pipeline.Event) pipeline.Event {
	var back pipeline.Event
	require.NoError(t, json.Unmarshal([]byte(asJSON(t, e)), &back))
	return back
}

// walk takes any steps from start, legal and illegal ones, and checks after every step.
func walk[S pipeline.State[S]](t *rapid.T, start S) {
	types := everyType()
	state, stream := start, []pipeline.Event{}
	for i := range rapid.IntRange(1, 30).Draw(t, "steps") {
		legal := state.Allowed()
		eventType := rapid.SampledFrom(types).Draw(t, "any event")
		if len(legal) > 0 && rapid.IntRange(0, 3).Draw(t, "legal") > 0 {
			eventType = rapid.SampledFrom(legal).Draw(t, "legal event")
		}
		cmd := command(eventType, someData(t, eventType, state.Ref().Version))
		cmd.OccurredAt = now.Add(time.Duration(i) * time.Minute)
		before := asJSON(t, state)

		e, next, err := pipeline.Next(state, cmd, fmt.Sprint("c", i))

		require.Equal(t, before, asJSON(t, state), "%s changed the state that it was decided on", eventType)
		if err != nil {
			refused(t, err, eventType, legal)
			require.Equal(t, before, asJSON(t, next), "a refused %s changed the state", eventType)
			continue
		}
		require.Contains(t, append(legal, pipeline.TypeCustomerErased), eventType)
		require.EqualValues(t, len(stream)+1, e.Version)
		require.Equal(t, e.Version, next.Ref().Version)
		require.Equal(t, string(e.State), asJSON(t, next))
		require.Equal(t, e.Timestamp, cmd.OccurredAt)
		state, stream = next, append(stream, throughJSON(t, e))
	}
	folded, err := pipeline.Fold(start, stream)
	require.NoError(t, err)
	require.Equal(t, asJSON(t, state), asJSON(t, folded), "the fold is another state than step by step")
	erases(t, start, state, stream)
	resumes(t, start, state, stream)
}

func refused(t *rapid.T, err error, eventType pipeline.EventType, legal []pipeline.EventType) {
	var refusal *pipeline.Error
	require.ErrorAs(t, err, &refusal)
	if slices.Contains(legal, eventType) {
		require.Equal(t, pipeline.CodeInvalid, refusal.Code)
		require.NotEmpty(t, refusal.Fields)
		return
	}
	require.Equal(t, pipeline.CodeIllegalTransition, refusal.Code)
	require.Equal(t, legal, refusal.Allowed)
}

// erases checks what erasing a customer relies on: of the events without what is personal, the
// fold is what is left of the state; and what is left has nothing to be taken out any more.
func erases[S pipeline.State[S]](t *rapid.T, start, end S, stream []pipeline.Event) {
	if len(stream) == 0 {
		return
	}
	bare := make([]pipeline.Event, len(stream))
	for i, e := range stream {
		var err error
		bare[i], err = pipeline.EventWithoutPersonal(e)
		require.NoError(t, err)
		again, err := pipeline.EventWithoutPersonal(bare[i])
		require.NoError(t, err)
		require.Equal(t, bare[i], again)
	}
	folded, err := pipeline.Fold(start, bare)
	require.NoError(t, err)
	left, err := pipeline.WithoutPersonal(end.Ref().Kind, []byte(asJSON(t, end)))
	require.NoError(t, err)
	require.JSONEq(t, string(left), asJSON(t, folded))
	require.JSONEq(t, string(left), string(bare[len(bare)-1].State))
}

// resumes checks what continue-as-new and a rebuild rely on: a state that was written down
// anywhere on the way, read again, goes on to the same end.
func resumes[S pipeline.State[S]](t *rapid.T, start, end S, stream []pipeline.Event) {
	cut := rapid.IntRange(0, len(stream)).Draw(t, "cut")
	half, err := pipeline.Fold(start, stream[:cut])
	require.NoError(t, err)
	var read S
	require.NoError(t, json.Unmarshal([]byte(asJSON(t, half)), &read))
	rest, err := pipeline.Fold(read, stream[cut:])
	require.NoError(t, err)
	require.Equal(t, asJSON(t, end), asJSON(t, rest))
	require.Equal(t, end.Allowed(), rest.Allowed())
}

func TestAnyWalkOfACustomerFoldsToWhereItWent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { walk(t, pipeline.NewCustomer(1, 12345)) })
}

func TestAnyWalkOfAProposalFoldsToWhereItWent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { walk(t, pipeline.NewProposal(1, 12345, 54321)) })
}

func TestEventIDsAreStableAndApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		stream := pipeline.StreamOf(pipeline.KindProposal, rapid.Int64Range(1, 1<<53).Draw(t, "id"))
		other := pipeline.StreamOf(pipeline.KindProposal, rapid.Int64Range(1, 1<<53).Draw(t, "other id"))
		command, another := rapid.String().Draw(t, "command"), rapid.String().Draw(t, "another")
		id := pipeline.EventID(stream, command)
		require.Equal(t, id, pipeline.EventID(stream, command))
		require.Equal(t, stream == other, id == pipeline.EventID(other, command))
		require.Equal(t, command == another, id == pipeline.EventID(stream, another))
	})
}

// Any object comes to one form, and stays in it.
func TestAnObjectsFormIsStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.MapOf(rapid.String(), rapid.OneOf(
			rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return f }),
			rapid.Map(rapid.String(), func(s string) any { return s }),
		)).Draw(t, "fields")
		var once, twice pipeline.Object
		require.NoError(t, json.Unmarshal([]byte(asJSON(t, fields)), &once))
		require.NoError(t, json.Unmarshal([]byte(asJSON(t, once)), &twice))
		require.Equal(t, once, twice)
		require.JSONEq(t, asJSON(t, fields), asJSON(t, once))
	})
}
