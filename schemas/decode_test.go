package schemas_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/schemas"
)

func nested(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, pointer, detail string }{
		"nothing":              {``, "", "is not JSON: it ends too early"},
		"white space":          {" \n", "", "is not JSON: it ends too early"},
		"no JSON":              {`{not json`, "", "is not JSON: invalid character 'n', at byte 1"},
		"a cut":                {`{"a":{"b":"c`, "/a/b", "is not JSON: it ends too early"},
		"a cut list":           {`[1`, "", "is not JSON: it ends too early"},
		"a comma too many":     {`{"a":1,}`, "", "is not JSON: invalid character '}' looking for beginning of object key string, at byte 7"},
		"the wrong bracket":    {`[1}`, "", "is not JSON"},
		"a bare closing":       {`]`, "", "is not JSON"},
		"more after it":        {`{} {}`, "", "has something after the JSON value"},
		"a bracket after it":   {`{}]`, "", "has something after the JSON value"},
		"NUL in a text":        {`{"a":["x","\u0000"]}`, "/a/1", "has a NUL character (\\u0000), which cannot be stored"},
		"NUL in a key":         {`{"a":{"\u0000":1}}`, "/a", "has a NUL character (\\u0000), which cannot be stored"},
		"a raw NUL":            {"{\"a\":\"\x00\"}", "/a", "is not JSON"},
		"broken UTF-8":         {"{\"a\":\"caf\xe9\"}", "/a", "is not valid UTF-8"},
		"broken UTF-8 in keys": {"{\"caf\xe9\":1}", "", "is not valid UTF-8"},
		"half a pair":          {`["\ud83d"]`, "/0", "has one half of a surrogate pair (\\ud800 to \\udfff) without the other"},
		"the pair turned":      {`["\udd06\ud83d"]`, "/0", "has one half of a surrogate pair (\\ud800 to \\udfff) without the other"},
		"half a pair, honest":  {`["\ud83d \ufffd"]`, "/0", "has one half of a surrogate pair (\\ud800 to \\udfff) without the other"},
		"a huge exponent":      {`{"a":1e999999999}`, "/a", "is a number with an exponent beyond 308"},
		"a huger exponent":     {`{"a":1E+99999999999999999999}`, "/a", "is a number with an exponent beyond 308"},
		"a tiny exponent":      {`{"a":1e-309}`, "/a", "is a number with an exponent beyond 308"},
		"no float":             {`{"a":10e308}`, "/a", "is a number too large to be kept"},
		"many digits":          {`[` + strings.Repeat("1", 41) + `]`, "/0", "is a number of more than 40 characters"},
		"deep lists":           {nested(33), strings.Repeat("/0", 32), "is nested deeper than 32 levels"},
		"very deep lists":      {strings.Repeat(`[`, 100_000), strings.Repeat("/0", 32), "is nested deeper than 32 levels"},
		"twice":                {`{"a":{"b/c":1,"b/c":2}}`, "/a/b~1c", "is there twice"},
		"twice, written apart": {`{"a":1,"\u0061":2}`, "/a", "is there twice"},
		"a long name":          {`{"` + strings.Repeat("a", 257) + `":1}`, "", "has a field whose name is longer than 256 bytes"},
		"many values":          {`[[0` + strings.Repeat(`,0`, 10_000) + `]]`, "/0/9998", "has more than 10000 values in all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, pointer, detail := schemas.Decode([]byte(c.body))
			require.Equal(t, c.pointer, pointer)
			require.Contains(t, detail, c.detail)
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`null`, ` {} `, `[]`, `"x"`, `-0`, `1e308`, `1E-308`, `0.1`, strings.Repeat("1", 40), nested(32),
		`{"a":[{"b":null},true,false,"é","\u00e9","\ud83d\ude06"]}`,
		`"\ufffd \uFFFD ` + "\uFFFD" + `"`, `{"":1}`, `"\\ud800"`,
		`{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}`,
	} {
		_, pointer, detail := schemas.Decode([]byte(body))
		require.Empty(t, pointer+detail, body)
	}
}

// Whatever is accepted means the same to encoding/json, and can be written again.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"name":"John Doe","email":"john.doe@example.com","owner_id":67890}`,
		`{"a":1,"a":2}`, `[1e999999999]`, `"\ud800"`, `"\u0000"`, `{"a":[{"b":null}]}`, nested(40), "\"\xff\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		value, pointer, detail := schemas.Decode(body)
		if detail != "" {
			require.True(t, pointer == "" || strings.HasPrefix(pointer, "/"), pointer)
			return
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		var same any
		require.NoError(t, dec.Decode(&same))
		require.Equal(t, same, value)
		require.True(t, json.Valid(body))

		var asFloats any
		require.NoError(t, json.Unmarshal(body, &asFloats))
		again, err := json.Marshal(value)
		require.NoError(t, err)
		require.NotContains(t, string(again), `\u0000`)
		back, pointer, detail := schemas.Decode(again)
		require.Empty(t, pointer+detail)
		require.Equal(t, value, back)
	})
}

// No body makes validation panic, and what is refused is refused with a code and a reason.
func FuzzValidate(f *testing.F) {
	for name, list := range refused {
		for _, b := range list {
			f.Add(name, []byte(b.body))
		}
	}
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		if _, known := refused[name]; !known {
			return
		}
		err := schemas.Validate(name, body)
		if err == nil {
			return
		}
		found := fields(t, err)
		require.NotEmpty(t, found)
		require.LessOrEqual(t, len(found), 20)
		for _, field := range found {
			require.NotEmpty(t, field.Detail)
			require.True(t, field.Pointer == "" || strings.HasPrefix(field.Pointer, "/"))
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	for name, body := range map[string]string{
		schemas.CreateCustomer: `{"name":"John Doe","email":"john.doe@example.com","owner_id":67890}`,
		schemas.Transition:     `{"type":"contract.signed","data":{"signed_at":"2026-11-20T10:00:00Z"},"actor":{"user_id":67890}}`,
		"events/credit.ran":    `{"outcome":"approved","provider":"Brighte","score":742}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := schemas.Validate(name, []byte(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
