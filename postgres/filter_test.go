package postgres_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// filtered is the event that TestFilterMatches asks about, as an envelope.
const filtered = `{"type":"proposal.requested","timestamp":"2026-11-21T12:00:00.5Z","data":{
	"id":"evt_1","position":42,"company_id":1,"stream":"proposal-7","seq":3,"customer_id":5,"proposal_id":null,
	"actor":{"user_id":null},"cause":null,
	"state":{"type":"COMMERCIAL","active":true,"city":"Zürich","code":"007","size":6.60,"list":["a",2,{"x":"y"}],"0":"zero",
		"long":"12345678901234567890123456789012345678901","starts_at":"2026-11-21T12:00:00Z"},
	"payload":{"price":{"amount":"12345.00","currency":"AUD"},"huge":1e300,"gone":null,"empty":"","false":false,"object":{}}}}`

func TestFilterMatches(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for _, test := range []struct {
		filter string
		want   bool
	}{
		{`{}`, true},
		// A value.
		{`{"type":"proposal.requested"}`, true},
		{`{"type":"proposal"}`, false},
		{`{"data.state.type":"COMMERCIAL"}`, true},
		{`{"data.state.type":"commercial"}`, false},
		{`{"data.state.city":"Zürich"}`, true},
		{`{"data.position":42}`, true},
		{`{"data.position":"42.0"}`, true},
		{`{"data.position":43}`, false},
		{`{"data.state.active":true}`, true},
		{`{"data.state.active":"true"}`, false},
		{`{"data.state.active":1}`, false},
		{`{"data.payload.false":false}`, true},
		{`{"data.state.size":6.6}`, true},
		{`{"data.state.size":"6.600"}`, true},
		{`{"data.payload.price.amount":12345}`, true},
		{`{"data.payload.price.amount":"12345.0"}`, true},
		{`{"data.payload.price.amount":"12345"}`, true},
		{`{"data.payload.price.amount":-12345}`, false},
		{`{"data.state.code":7}`, true},
		{`{"data.state.code":"7"}`, true},
		{`{"data.state.code":"7x"}`, false},
		// Text that is too long for an amount is text.
		{`{"data.state.long":"12345678901234567890123456789012345678901"}`, true},
		{`{"data.state.long":"12345678901234567890123456789012345678901.0"}`, false},
		// What is not there is null.
		{`{"data.cause":null}`, true},
		{`{"data.cause.type":null}`, true},
		{`{"data.state.no.such":null}`, true},
		{`{"data.state.no.such":"a"}`, false},
		{`{"data.state.type":null}`, false},
		{`{"data.payload.empty":null}`, false},
		{`{"data.payload.empty":""}`, true},
		// Objects and arrays are no value.
		{`{"data.payload.object":null}`, false},
		{`{"data.payload.object":"{}"}`, false},
		{`{"data.state.list":"a"}`, false},
		// Places in an array.
		{`{"data.state.list.0":"a"}`, true},
		{`{"data.state.list.1":"2.0"}`, true},
		{`{"data.state.list.2.x":"y"}`, true},
		{`{"data.state.list.3":null}`, true},
		{`{"data.state.list.x":null}`, true},
		{`{"data.state.0":"zero"}`, true},
		{`{"data.state.type.0":null}`, true},
		// A list of values.
		{`{"data.state.type":["RESIDENTIAL","COMMERCIAL"]}`, true},
		{`{"data.state.type":["RESIDENTIAL",7]}`, false},
		{`{"data.payload.gone":["a",null]}`, true},
		{`{"data.payload.price.amount":[1,12345]}`, true},
		// Operators.
		{`{"data.state.type":{"$ne":"COMMERCIAL"}}`, false},
		{`{"data.state.type":{"$ne":"RESIDENTIAL"}}`, true},
		{`{"data.state.no":{"$ne":5}}`, true},
		{`{"data.state.no":{"$ne":null}}`, false},
		{`{"data.payload.price.amount":{"$ne":"12345"}}`, false},
		{`{"data.state.type":{"$in":["COMMERCIAL"]}}`, true},
		{`{"data.state.type":{"$in":["a","b"]}}`, false},
		{`{"data.state.no":{"$in":[null]}}`, true},
		{`{"data.state.type":{"$nin":["COMMERCIAL"]}}`, false},
		{`{"data.state.type":{"$nin":["a"]}}`, true},
		{`{"data.state.no":{"$nin":["a",1]}}`, true},
		{`{"data.state.no":{"$nin":[null]}}`, false},
		{`{"data.state.type":{"$exists":true}}`, true},
		{`{"data.state.type":{"$exists":false}}`, false},
		{`{"data.state.no":{"$exists":true}}`, false},
		{`{"data.state.no":{"$exists":false}}`, true},
		{`{"data.payload.gone":{"$exists":true}}`, false},
		{`{"data.payload.empty":{"$exists":true}}`, true},
		{`{"data.payload.object":{"$exists":true}}`, true},
		// Order, as numbers.
		{`{"data.payload.price.amount":{"$gte":10000}}`, true},
		{`{"data.payload.price.amount":{"$gte":"12345"}}`, true},
		{`{"data.payload.price.amount":{"$gt":12345}}`, false},
		{`{"data.payload.price.amount":{"$gt":9}}`, true},
		{`{"data.payload.price.amount":{"$lt":"9"}}`, false},
		{`{"data.payload.price.amount":{"$lte":12345.000}}`, true},
		{`{"data.payload.price.amount":{"$gte":10000,"$lt":20000}}`, true},
		{`{"data.payload.price.amount":{"$gte":10000,"$lt":12000}}`, false},
		{`{"data.payload.huge":{"$gt":1}}`, true},
		{`{"data.seq":{"$gt":-1}}`, true},
		// Order, as texts.
		{`{"data.state.type":{"$gt":"COM"}}`, true},
		{`{"data.state.type":{"$lt":"RES"}}`, true},
		{`{"data.state.type":{"$lt":"c"}}`, true},
		{`{"data.state.city":{"$gt":"Zz"}}`, true},
		{`{"data.state.type":{"$gte":"COMMERCIAL","$lte":"COMMERCIAL"}}`, true},
		// Order, as times in UTC.
		{`{"timestamp":{"$gt":"2026-11-21T12:00:00Z"}}`, true},
		{`{"timestamp":{"$gte":"2026-11-21T12:00:00.500Z","$lte":"2026-11-21T12:00:00.50Z"}}`, true},
		{`{"timestamp":{"$lt":"2026-11-21T12:00:01Z"}}`, true},
		{`{"timestamp":{"$lt":"2026-11-21T12:00:00.49Z"}}`, false},
		{`{"timestamp":{"$gte":"2026-11-22"}}`, false},
		{`{"timestamp":{"$gte":"2026-11-21"}}`, true},
		{`{"data.state.starts_at":{"$gte":"2026-11-21T12:00:00.000Z"}}`, true},
		{`{"data.state.starts_at":{"$lt":"2026-11-21T12:00:00.000001Z"}}`, true},
		{`{"data.state.starts_at":{"$gt":"2026-11-21T12:00:00.0Z"}}`, false},
		// What cannot be compared is on no side.
		{`{"data.state.type":{"$gt":5}}`, false},
		{`{"data.state.type":{"$lte":5}}`, false},
		{`{"data.position":{"$gt":"a"}}`, false},
		{`{"data.position":{"$lt":"a"}}`, false},
		{`{"data.state.no":{"$lt":5}}`, false},
		{`{"data.state.no":{"$gte":""}}`, false},
		{`{"data.payload.gone":{"$lte":5}}`, false},
		{`{"data.state.active":{"$gte":0}}`, false},
		{`{"data.state.list":{"$gte":"a"}}`, false},
		// All conditions count.
		{`{"type":"proposal.requested","data.state.type":"COMMERCIAL","data.payload.price.amount":{"$gte":10000}}`, true},
		{`{"type":"proposal.sent","data.state.type":"COMMERCIAL"}`, false},
		{`{"data.position":{"$exists":true,"$ne":42}}`, false},
	} {
		require.NoError(t, pipeline.CheckFilter(pipeline.Object(test.filter), ""), test.filter)
		require.Equal(t, test.want, matches(t, d, test.filter, filtered), test.filter)
	}

	// What CheckFilter refuses raises no error here either.
	for _, refused := range []string{
		`[]`, `"a"`, `null`, `7`, `{"":{"$x":1}}`, `{"type":{"$in":"a"}}`, `{"type":{"$nin":5,"$in":{}}}`, `{"type":{"$gt":[]}}`,
		`{"type":{"":null}}`, `{"type":[[]]}`, `{"type":{"$exists":7}}`, `{"data.payload.huge":1e1000}`, `{"data.state.list.99999999999":1}`,
	} {
		require.False(t, matches(t, d, refused, filtered), refused)
	}
}

func matches(t *testing.T, d database, filter, envelope string) bool {
	t.Helper()
	var out bool
	require.NoError(t, d.DB.Get(&out, `SELECT filter_matches($1::jsonb, $2::jsonb)`, filter, envelope), filter)
	return out
}

// The rules once more, in Go, against values of every kind beside each other.
func TestFilterMatchesLikeItsModel(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	values := []any{
		nil, true, false, "", "a", "A", "Z", "é", "5", "05", "5.0", "-5", "-0", "5x", "1e3", "+5", ".5", "5.", " 5",
		json.Number("5"), json.Number("5.0"), json.Number("-5"), json.Number("0"), json.Number("4.999999999999999999999"),
		json.Number("1000"), strings.Repeat("9", 40), strings.Repeat("9", 41), "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.1Z",
		"2026-01-01T00:00:00.10Z", "2026-01-01T00:00:00+01:00", "2026-01-01",
	}
	operators := []string{"$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", ""}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	type question struct {
		Filter, Envelope json.RawMessage
		want             bool
	}
	const questions = 4000
	asked := make([]question, 0, questions)
	for range questions {
		value, operand, other := values[random.IntN(len(values))], values[random.IntN(len(values))], values[random.IntN(len(values))]
		q := question{}
		condition := operand
		switch operator := operators[random.IntN(len(operators))]; operator {
		case "":
			q.want = modelEqual(value, operand)
		case "$in", "$nin":
			q.want = (modelEqual(value, operand) || modelEqual(value, other)) == (operator == "$in")
			condition = map[string]any{operator: []any{operand, other}}
		case "$exists":
			q.want = value != nil
			condition = map[string]any{operator: true}
		case "$ne":
			q.want = !modelEqual(value, operand)
			condition = map[string]any{operator: operand}
		default:
			order, ordered := modelOrder(value, operand)
			q.want = ordered && map[string]bool{"$gt": order > 0, "$gte": order >= 0, "$lt": order < 0, "$lte": order <= 0}[operator]
			condition = map[string]any{operator: operand}
		}
		q.Filter = encode(t, map[string]any{"data.id": condition})
		data := map[string]any{"id": value}
		if value == nil && random.IntN(2) == 0 {
			data = map[string]any{}
		}
		q.Envelope = encode(t, map[string]any{"data": data})
		asked = append(asked, q)
	}
	var got []bool
	require.NoError(t, d.DB.Select(&got, `SELECT filter_matches(q -> 'Filter', q -> 'Envelope')
		FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS t (q, n) ORDER BY n`, string(encode(t, asked))))
	require.Len(t, got, len(asked))
	for i, q := range asked {
		require.Equal(t, q.want, got[i], "seed %d: %s of %s", seed, q.Filter, q.Envelope)
	}
}

func encode(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

var (
	modelDecimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	modelTime    = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)
)

func modelNumber(v any) *big.Rat {
	switch v := v.(type) {
	case json.Number:
		r, _ := new(big.Rat).SetString(string(v))
		return r
	case string:
		if len(v) <= 40 && modelDecimal.MatchString(v) {
			r, _ := new(big.Rat).SetString(v)
			return r
		}
	}
	return nil
}

func modelEqual(a, b any) bool {
	if x, y := modelNumber(a), modelNumber(b); x != nil && y != nil {
		return x.Cmp(y) == 0
	}
	return a == b
}

func modelOrder(a, b any) (order int, ordered bool) {
	if x, y := modelNumber(a), modelNumber(b); x != nil && y != nil {
		return x.Cmp(y), true
	}
	s, isText := a.(string)
	other, isTextToo := b.(string)
	if !isText || !isTextToo {
		return 0, false
	}
	return strings.Compare(modelText(s), modelText(other)), true
}

func modelText(s string) string {
	if !modelTime.MatchString(s) {
		return s
	}
	s = strings.TrimSuffix(s, "Z")
	if strings.Contains(s, ".") {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// What a filter sees is what is sent: the same fields, and the time written the same way.
func TestEventEnvelope(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for _, at := range []time.Time{
		noon, noon.Truncate(time.Second), noon.Truncate(time.Second).Add(120 * time.Millisecond), noon.Add(789 * time.Nanosecond),
		noon.In(time.FixedZone("AWST", 8*60*60)),
	} {
		for _, cause := range []*pipeline.Cause{nil, {EventID: "evt_before", Type: pipeline.TypeContractSigned, Stream: "proposal-7"}} {
			c := newCustomer(t, d.Store, 1)
			e, p := proposalRequested(t, c, reserve(t, d.Store, 1, pipeline.KindProposal))
			e.Timestamp, e.Cause, e.Implied = at, cause, cause != nil
			_, err := d.Store.Append(t.Context(), e, noKey)
			require.NoError(t, err)
			kept, err := d.Store.Event(t.Context(), 1, e.ID)
			require.NoError(t, err)
			require.EqualValues(t, p.ID, kept.ProposalID)

			bare, err := pipeline.EventWithoutPersonal(kept)
			require.NoError(t, err)
			for _, e := range []pipeline.Event{kept, bare} {
				var got string
				require.NoError(t, d.DB.Get(&got, `SELECT event_envelope(type, occurred_at, id, position, company_id, stream, version,
					customer_id, proposal_id, user_id, cause, $2::jsonb, $3::jsonb, implied, $4) FROM events WHERE id = $1`,
					e.ID, string(e.State), string(e.Payload), e.Erased))
				require.JSONEq(t, envelopeOf(t, e), got)
			}
		}
	}
}

// envelopeOf is the envelope as package webhook writes it.
func envelopeOf(t *testing.T, e pipeline.Event) string {
	t.Helper()
	data := map[string]any{
		"id": e.ID, "position": e.Position, "company_id": e.CompanyID, "stream": e.Stream, "seq": e.Version,
		"customer_id": e.CustomerID, "proposal_id": e.ProposalID, "actor": e.Actor, "cause": e.Cause,
		"state": e.State, "payload": e.Payload,
	}
	if e.Implied {
		data["implied"] = true
	}
	if e.Erased {
		data["erased"] = true
	}
	return string(encode(t, map[string]any{"type": e.Type, "timestamp": e.Timestamp, "data": data}))
}

func withFilter(filter string) func(*pipeline.Webhook) {
	return func(w *pipeline.Webhook) { w.Filter = pipeline.Object(filter) }
}

// A filter is evaluated with the event, once: a webhook gets what fits, and what it says later
// changes nothing about that.
func TestAppendHeedsFilters(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	everything := newWebhook(t, d.Store, 1, []string{"*"})
	large := newWebhook(t, d.Store, 1, []string{"proposal.*"}, withFilter(`{"data.payload.price.amount":{"$gte":10000}}`))
	larger := newWebhook(t, d.Store, 1, []string{"proposal.*"}, withFilter(`{"data.payload.price.amount":{"$gte":20000}}`))
	off := newWebhook(t, d.Store, 1, []string{"*"}, inactive, withFilter(`{"data.state.nickname":"Roof","type":"proposal.requested"}`))
	exact := newWebhook(t, d.Store, 1, []string{"*"}, withFilter(`{"timestamp":"2026-11-21T12:00:00.123456Z","data.seq":2}`))
	c := newCustomer(t, d.Store, 1)

	e, p := proposalRequested(t, c, reserve(t, d.Store, 1, pipeline.KindProposal))
	appended, err := d.Store.Append(t.Context(), e, noKey)
	require.NoError(t, err)
	require.Equal(t, 2, appended.Deliveries)
	sent, appended := happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	require.Equal(t, 2, appended.Deliveries)
	require.Len(t, statuses(t, d, everything), 3)
	require.Equal(t, []string{"pending"}, statuses(t, d, large))
	require.Empty(t, statuses(t, d, larger))
	require.Equal(t, []string{"held"}, statuses(t, d, off))
	require.Equal(t, []string{"pending"}, statuses(t, d, exact))

	larger.Filter = pipeline.Object(fmt.Sprintf(`{"data.position":{"$in":[%d]}}`, appended.Position+1))
	_, _, err = d.Store.UpdateWebhook(t.Context(), larger.CompanyID, larger.ID, as(larger))
	require.NoError(t, err)
	require.Empty(t, statuses(t, d, larger))
	happen(t, d.Store, sent, pipeline.TypeProposalSent, `{}`)
	require.Equal(t, []string{"pending"}, statuses(t, d, larger), "the position is that of the event itself")
}

// The row as it is locked counts: a filter that is changed while an append waits for the row.
func TestFilterChangedDuringAppend(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*"}, withFilter(`{"type":"no.such"}`))
	tx, err := d.DB.Beginx()
	require.NoError(t, err)
	_, err = tx.Exec(`UPDATE webhooks SET filter = '{"type":"customer.created"}' WHERE id = $1`, w.ID)
	require.NoError(t, err)
	done := make(chan error, 1)
	e, _ := customerCreated(t, 1, 41)
	go func() {
		_, err := d.Store.Append(t.Context(), e, noKey)
		done <- err
	}()
	requireBlocked(t, d, "WITH moved")
	require.NoError(t, tx.Commit())
	require.NoError(t, <-done)
	require.Equal(t, []string{"pending"}, statuses(t, d, w))
}
