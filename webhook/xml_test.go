package webhook_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dealwright/dealwright/webhook"
)

func TestJSONAsXML(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ value, want string }{
		"a text":             {`"a"`, `<x>a</x>`},
		"a number":           {`1.50`, `<x>1.50</x>`},
		"a long number":      {`12345678901234567890`, `<x>12345678901234567890</x>`},
		"true":               {`true`, `<x>true</x>`},
		"null":               {`null`, `<x></x>`},
		"nothing":            {`{}`, `<x></x>`},
		"an empty list":      {`[]`, `<x></x>`},
		"a list":             {`[1,[2,null],{"a":"b"}]`, `<x><item>1</item><item><item>2</item><item></item></item><item><a>b</a></item></x>`},
		"in the order given": {`{"b":1,"a":{"c":[]}}`, `<x><b>1</b><a><c></c></a></x>`},
		"markup":             {`"<a b=\"c\">&amp;</a>"`, `<x>&lt;a b=&#34;c&#34;&gt;&amp;amp;&lt;/a&gt;</x>`},
		"the end of CDATA":   {`"]]>"`, `<x>]]&gt;</x>`},
		"white space":        {`"a\tb\nc\rd"`, `<x>a&#x9;b&#xA;c&#xD;d</x>`},
		"what XML has not":   {`"\u0001\ufffe"`, "<x>\uFFFD\uFFFD</x>"},
		"half a pair":        {`"\ud800"`, "<x>\uFFFD</x>"},
		"an odd name":        {`{"roof type":1}`, `<x><entry name="roof type">1</entry></x>`},
		"a hostile name":     {`{"a><b x=\"":1}`, `<x><entry name="a&gt;&lt;b x=&#34;">1</entry></x>`},
		"an empty name":      {`{"":1}`, `<x><entry name="">1</entry></x>`},
		"a number as name":   {`{"2nd":1}`, `<x><entry name="2nd">1</entry></x>`},
		"a prefixed name":    {`{"a:b":1}`, `<x><entry name="a:b">1</entry></x>`},
		"a reserved name":    {`{"xmlns":1,"XMLfoo":2}`, `<x><entry name="xmlns">1</entry><entry name="XMLfoo">2</entry></x>`},
		"a foreign name":     {`{"größe":1}`, `<x><entry name="größe">1</entry></x>`},
		"a name called item": {`{"item":1,"entry":2}`, `<x><item>1</item><entry>2</entry></x>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := webhook.XML("x", []byte(c.value))
			require.NoError(t, err)
			require.Equal(t, c.want, string(got))
		})
	}
}

func TestWhatIsNotJSONIsNoXML(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{``, `{`, `{"a"`, `{"a":`, `{"a":1`, `[`, `[1`, `"a`, `nul`} {
		_, err := webhook.XML("x", []byte(broken))
		require.Error(t, err, broken)
	}
}

// node is an element as a partner's parser sees it.
type node struct {
	name     string
	text     string
	children []node
}

// parse reads a whole document, as strictly as encoding/xml can.
func parse(body []byte) (node, error) {
	dec := xml.NewDecoder(bytes.NewReader(body))
	open := []node{{}}
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return node{}, err
		}
		last := len(open) - 1
		switch v := token.(type) {
		case xml.StartElement:
			name := v.Name.Local
			for _, a := range v.Attr {
				if v.Name.Local != "entry" || a.Name.Local != "name" {
					return node{}, fmt.Errorf("attribute %v of %v", a.Name, v.Name)
				}
				name = "entry " + a.Value
			}
			open = append(open, node{name: name})
		case xml.EndElement:
			open[last-1].children = append(open[last-1].children, open[last])
			open = open[:last]
		case xml.CharData:
			open[last].text += string(v)
		default:
			return node{}, fmt.Errorf("unexpected %T", token)
		}
	}
	if len(open) != 1 || len(open[0].children) != 1 {
		return node{}, errors.New("not one document")
	}
	return open[0].children[0], nil
}

// storableXML is what XML can hold of a text.
func storableXML(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r', r >= 0x20 && r <= 0xD7FF, r >= 0xE000 && r <= 0xFFFD, r >= 0x10000:
			return r
		default:
			return '\uFFFD'
		}
	}, s)
}

// nodeOf is the element that a JSON value should be. Fields are sorted, as encoding/json sorts
// those of a map.
func nodeOf(name string, value any) node {
	n := node{name: name}
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.children = append(n.children, nodeOf(nameOf(key), v[key]))
		}
	case []any:
		for _, item := range v {
			n.children = append(n.children, nodeOf("item", item))
		}
	case nil:
	case string:
		n.text = storableXML(v)
	default:
		n.text = fmt.Sprint(v)
	}
	return n
}

const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

func nameOf(key string) string {
	plain := key != "" && strings.Trim(key, nameCharacters+"0123456789.-") == "" && strings.Contains(nameCharacters, key[:1])
	if plain && !strings.HasPrefix(strings.ToLower(key), "xml") {
		return key
	}
	return "entry " + storableXML(key)
}

// values are JSON values of any shape, with the texts and names that are hard to write.
func values(depth int) *rapid.Generator[any] {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"", "a", "item", "entry", "xml", "XmlNs", "a b", "2", "<", "&#0;", "]]>", "\x00", "\uFFFE", "-", "ß", `"'`,
	}))
	leaf := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil),
	)
	if depth == 0 {
		return leaf
	}
	inner := values(depth - 1)
	return rapid.OneOf(leaf,
		rapid.Map(rapid.MapOfN(text, inner, 0, 4), func(m map[string]any) any { return m }),
		rapid.Map(rapid.SliceOfN(inner, 0, 4), func(s []any) any { return s }),
	)
}

// Whatever a record holds, its XML is well-formed and says the same.
func TestAnyRecordIsWellFormedXML(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := values(3).Draw(t, "value")
		text, err := json.Marshal(value)
		require.NoError(t, err)
		body, err := webhook.XML("content", text)
		require.NoError(t, err)
		got, err := parse(body)
		require.NoError(t, err, "%s", body)
		require.Equal(t, nodeOf("content", value), got, "%s", body)
	})
}

// Whatever JSON a state is, its XML is well-formed.
func FuzzXML(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,"<&>",null,{"b c":true}]}`, `"\u0000\ud800\uffff"`, `{"xml":{"":{}}}`, `[[[[]]]]`, `1e999`, "\"\xff\"", `{"a":1}{"b":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		body, err := webhook.XML("content", value)
		if !json.Valid(value) {
			return // a state is always JSON; of what is not there is only to be no panic
		}
		require.NoError(t, err)
		_, err = parse(body)
		require.NoError(t, err, "%q", body)
		again, err := webhook.XML("content", value)
		require.NoError(t, err)
		require.Equal(t, body, again)
	})
}
