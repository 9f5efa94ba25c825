package pipeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestCheckFilter(t *testing.T) {
	t.Parallel()
	for _, fine := range []string{
		``, `{}`,
		`{"type":"contract.signed"}`,
		`{"timestamp":{"$gte":"2026-11-21T00:00:00Z"}}`,
		`{"data.state.type":"COMMERCIAL","data.payload.price.amount":{"$gte":10000}}`,
		`{"data.seq":1,"data.proposal_id":null,"data.state.active":true,"data.customer_id":-1.5}`,
		`{"data.state.type":["COMMERCIAL","RESIDENTIAL",7,null,false]}`,
		`{"data.payload.documents.0.name":{"$ne":"a"}}`,
		`{"data.position":{"$gt":1,"$lt":"100.00"},"data.stream":{"$in":["a"]},"data.cause":{"$exists":false}}`,
		`{"data.state.a~b/c":{"$nin":[1,"b",null]}}`,
		`{"data.actor.user_id":5,"data.cause.event_id":"e","data.id":"evt","data.company_id":1}`,
		`{"data.state.1.2.3.4.5.6.7.8":1}`,
		list(100), paths(20),
	} {
		require.NoError(t, pipeline.CheckFilter(pipeline.Object(fine), "/filter"), fine)
	}

	for _, test := range []struct{ filter, want string }{
		{`[]`, `/filter has to be an object such as {"data.state.type":"COMMERCIAL"}`},
		{`null`, `/filter has to be an object such as {"data.state.type":"COMMERCIAL"}`},
		{`"a"`, `/filter has to be an object such as {"data.state.type":"COMMERCIAL"}`},
		{`7`, `/filter has to be an object such as {"data.state.type":"COMMERCIAL"}`},
		{`{"":1}`, `/filter/ has an empty segment`},
		{`{"state.type":1}`, `/filter/state.type has to begin with type, timestamp or data, as the envelope does`},
		{`{"data":1}`, `/filter/data has to name a field of data, such as data.state`},
		{
			`{"data.price":1}`, `/filter/data.price names no field of data; there are ` +
				`id, position, company_id, stream, seq, customer_id, proposal_id, actor, cause, implied, erased, state, payload`,
		},
		{`{"type.x":1}`, `/filter/type.x goes below type, which is a text`},
		{`{"timestamp.0":1}`, `/filter/timestamp.0 goes below timestamp, which is a text`},
		{`{"data..type":1}`, `/filter/data..type has an empty segment`},
		{`{"data.state.":1}`, `/filter/data.state. has an empty segment`},
		{`{"data.state.a\u0000":1}`, "/filter/data.state.a\x00 must not hold the character NUL"},
		{`{"data.state.1.2.3.4.5.6.7.8.9":1}`, `/filter/data.state.1.2.3.4.5.6.7.8.9 is a path of 11 segments; at most 10 are possible`},
		{`{"a/b~c":1}`, `/filter/a~1b~0c has to begin with type, timestamp or data, as the envelope does`},
		{`{"data.state.a/b~c":{}}`, `/filter/data.state.a~1b~0c has no operator; there are $exists, $gt, $gte, $in, $lt, $lte, $ne, $nin`},
		{`{"data.id":{"$eq":1}}`, `/filter/data.id/$eq is no operator; there are $exists, $gt, $gte, $in, $lt, $lte, $ne, $nin`},
		{`{"data.id":{"a/b":1}}`, `/filter/data.id/a~1b is no operator; there are $exists, $gt, $gte, $in, $lt, $lte, $ne, $nin`},
		{`{"data.id":[]}`, `/filter/data.id has to list a value at least`},
		{`{"data.id":[1,[2]]}`, `/filter/data.id/1 has to be a text, a number, true, false or null`},
		{`{"data.id":[1,{"$gt":2}]}`, `/filter/data.id/1 has to be a text, a number, true, false or null`},
		{`{"data.id":{"$in":"a"}}`, `/filter/data.id/$in has to be a list of values`},
		{`{"data.id":{"$nin":[{}]}}`, `/filter/data.id/$nin/0 has to be a text, a number, true, false or null`},
		{`{"data.id":{"$ne":[1]}}`, `/filter/data.id/$ne has to be a text, a number, true, false or null`},
		{`{"data.id":{"$gt":true}}`, `/filter/data.id/$gt has to be a number, an amount or a time`},
		{`{"data.id":{"$gte":null}}`, `/filter/data.id/$gte has to be a number, an amount or a time`},
		{`{"data.id":{"$lt":[1]}}`, `/filter/data.id/$lt has to be a number, an amount or a time`},
		{`{"data.id":{"$lte":{}}}`, `/filter/data.id/$lte has to be a number, an amount or a time`},
		{`{"data.id":{"$exists":"yes"}}`, `/filter/data.id/$exists has to be true or false`},
		{`{"data.id":1e5}`, `/filter/data.id has to be a number without an exponent, of at most 40 characters`},
		{`{"data.id":{"$gt":1E400}}`, `/filter/data.id/$gt has to be a number without an exponent, of at most 40 characters`},
		{
			`{"data.id":` + strings.Repeat("1", 41) + `}`,
			`/filter/data.id has to be a number without an exponent, of at most 40 characters`,
		},
		{`{"data.id":"a\u0000"}`, `/filter/data.id must not hold the character NUL`},
		{list(101), `/filter/data.id lists 101 values; at most 100 are possible`},
		{paths(21), `/filter has 21 paths; at most 20 are possible`},
		{
			`{"data.state.` + strings.Repeat("é", 190) + `":1}`,
			`/filter/data.state.` + strings.Repeat("é", 190) + ` is a path of more than 200 characters`,
		},
		{`{"x":1,"data.id":{"$gt":null,"$x":1}}`, `/filter/data.id/$gt has to be a number, an amount or a time; ` +
			`/filter/data.id/$x is no operator; there are $exists, $gt, $gte, $in, $lt, $lte, $ne, $nin; ` +
			`/filter/x has to begin with type, timestamp or data, as the envelope does`},
	} {
		err := pipeline.CheckFilter(pipeline.Object(test.filter), "/filter")
		require.EqualError(t, err, "the input is not valid: "+test.want, test.filter)
		require.Equal(t, pipeline.CodeInvalid, pipeline.CodeOf(err))
	}
}

func list(n int) string { return `{"data.id":[1` + strings.Repeat(",1", n-1) + `]}` }

func paths(n int) string {
	conditions := make([]string, n)
	for i := range n {
		conditions[i] = fmt.Sprintf(`"data.state.%d":%d`, i, i)
	}
	return "{" + strings.Join(conditions, ",") + "}"
}

// FuzzCheckFilter: whatever it is given, each pointer finds what is wrong, or its parent.
func FuzzCheckFilter(f *testing.F) {
	for _, seed := range []string{`{}`, `{"data.id":{"$in":[1]}}`, `{"a~/":[[]]}`, `[`, `{"data.id":1e999999999}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		var canonical pipeline.Object
		if json.Unmarshal([]byte(filter), &canonical) != nil {
			t.Skip()
		}
		err := pipeline.CheckFilter(canonical, "/filter")
		if err == nil {
			return
		}
		invalid, ok := errors.AsType[*pipeline.Error](err)
		require.True(t, ok)
		for _, field := range invalid.Fields {
			require.True(t, strings.HasPrefix(field.Pointer, "/filter"))
			require.NotEmpty(t, field.Detail)
		}
	})
}
