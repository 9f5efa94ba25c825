package pipeline_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// roundTrip writes a value, expects the JSON, and reads it back.
func roundTrip[V any](t *testing.T, value V, want string) {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	require.Equal(t, want, string(text))
	var back V
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, value, back)
}

func TestNullStandsForNone(t *testing.T) {
	t.Parallel()
	roundTrip(t, pipeline.ID(0), `null`)
	roundTrip(t, pipeline.ID(54321), `54321`)
	roundTrip(t, pipeline.UserID(0), `null`)
	roundTrip(t, pipeline.UserID(1<<53-1), `9007199254740991`)
	roundTrip(t, pipeline.Text(""), `null`)
	roundTrip(t, pipeline.Text("null \"é\""), `"null \"é\""`)
	roundTrip(t, pipeline.Money{}, `null`)
	roundTrip(t, pipeline.Money{Amount: "12345.00", Currency: "AUD"}, `{"amount":"12345.00","currency":"AUD"}`)
	roundTrip(t, pipeline.Object(""), `null`)
	roundTrip(t, pipeline.Object(`"12 Banksia Avenue"`), `"12 Banksia Avenue"`)
	roundTrip(t, pipeline.Instant{}, `null`)
	roundTrip(t, pipeline.Instant(time.Date(2026, 11, 20, 10, 0, 0, 5000, time.UTC)), `"2026-11-20T10:00:00.000005Z"`)
}

func TestAnObjectHasOneForm(t *testing.T) {
	t.Parallel()
	for written, canonical := range map[string]string{
		`null`:                         ``,
		`{}`:                           `{}`,
		`{ "b" : 1, "a" : [ 1 , 2 ] }`: `{"a":[1,2],"b":1}`,
		`{"n":1.50,"m":12345678901234567890,"e":1e2}`: `{"e":1e2,"m":12345678901234567890,"n":1.50}`,
		`{"a":{"d":null,"c":true}}`:                   `{"a":{"c":true,"d":null}}`,
		`"\u0041\/"`:                                  `"A/"`,
		`""`:                                          `""`,
		`"<&>"`:                                       `"\u003c\u0026\u003e"`,
	} {
		var o pipeline.Object
		require.NoError(t, json.Unmarshal([]byte(written), &o))
		require.Equal(t, pipeline.Object(canonical), o, written)
		if canonical != "" {
			roundTrip(t, o, canonical)
		}
	}
}

func TestGivenTellsLeftOutFromCleared(t *testing.T) {
	t.Parallel()
	type fields struct {
		Phone  pipeline.Given[pipeline.Text]   `json:"phone,omitzero"`
		Owner  pipeline.Given[pipeline.UserID] `json:"owner,omitzero"`
		Price  pipeline.Given[pipeline.Money]  `json:"price,omitzero"`
		System pipeline.Given[pipeline.Object] `json:"system,omitzero"`
	}
	roundTrip(t, fields{}, `{}`)
	roundTrip(t, fields{
		Phone: pipeline.Give(pipeline.Text("")), Owner: pipeline.Give(pipeline.UserID(0)),
		Price: pipeline.Give(pipeline.Money{}), System: pipeline.Give(pipeline.Object("")),
	}, `{"phone":null,"owner":null,"price":null,"system":null}`)
	roundTrip(t, fields{
		Phone: pipeline.Give(pipeline.Text("1")), Owner: pipeline.Give(pipeline.UserID(7)),
		Price: pipeline.Give(pipeline.Money{Amount: "1", Currency: "AUD"}), System: pipeline.Give(pipeline.Object(`{"kw":6.6}`)),
	}, `{"phone":"1","owner":7,"price":{"amount":"1","currency":"AUD"},"system":{"kw":6.6}}`)
}

func TestAScoreKeepsItsDigits(t *testing.T) {
	t.Parallel()
	s := givenProposal(t, "proposal.requested").when("credit.ran", `{"outcome":"approved","score":742.50}`)
	require.NoError(t, s.err)
	require.Contains(t, string(s.event.Payload), `"score":742.50`)
}

func TestEventID(t *testing.T) {
	t.Parallel()
	id := pipeline.EventID("proposal-54321", "k-1")
	require.Regexp(t, `^evt_[0-9a-hjkmnp-tv-z]{26}$`, id)
	require.Equal(t, "evt_xfjfw70tm5dtpb5veqb1wg6k58", id, "an event's id must never change between releases")
	require.NotEqual(t, id, pipeline.EventID("proposal-54321", "k-2"))
	require.NotEqual(t, id, pipeline.EventID("proposal-54322", "k-1"))
	require.NotEqual(t, pipeline.EventID("customer-1", "1"), pipeline.EventID("customer-11", ""))
}

func TestStream(t *testing.T) {
	t.Parallel()
	require.Equal(t, pipeline.Stream("proposal-54321"), pipeline.StreamOf(pipeline.KindProposal, 54321))
	require.Equal(t, pipeline.KindProposal, pipeline.Stream("proposal-54321").Kind())
	require.Equal(t, pipeline.KindCustomer, pipeline.NewCustomer(1, 2).Ref().Stream().Kind())
}

func TestErrors(t *testing.T) {
	t.Parallel()
	require.NoError(t, pipeline.Invalid())
	err := pipeline.Invalid(pipeline.FieldError{Pointer: "/name", Detail: "is missing"})
	require.EqualError(t, err, "the input is not valid: /name is missing")
	require.Equal(t, pipeline.CodeInvalid, pipeline.CodeOf(err))
	require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(pipeline.Errorf(pipeline.CodeNotFound, "there is no customer %d", 7)))
	require.Equal(t, pipeline.CodeInternal, pipeline.CodeOf(json.Unmarshal([]byte(`{`), &struct{}{})))
}
