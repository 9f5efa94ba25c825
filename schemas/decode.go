package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What a body may be at most, whatever its schema says. The limits keep a small body from
// costing much: a number of a million digits, a thousand lists inside of each other, half a
// million values that are each wrong, an answer that repeats a name of a million letters.
const (
	maxDepth        = 32
	maxValues       = 10_000
	maxKeyLength    = 256
	maxNumberLength = 40
	maxExponent     = 308
)

// flaw is what is wrong with a body that is no use to any schema.
type flaw struct {
	pointer string
	detail  string
}

// in says that a flaw was found one level further down.
func (f *flaw) in(token string) *flaw {
	f.pointer = "/" + escape(token) + f.pointer
	return f
}

// escape writes a key as a token of a JSON pointer (RFC 6901).
func escape(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}

// decode reads one JSON value into maps, slices, strings, json.Numbers and booleans, and
// refuses what encoding/json would let pass and something later would choke on, or would
// change without saying so: Postgres on NUL characters, Go on numbers that fit no float,
// everybody on duplicate keys and on text that is not Unicode.
func decode(body []byte) (any, *flaw) {
	r := &reader{body: body, tokens: json.NewDecoder(bytes.NewReader(body))}
	r.tokens.UseNumber()
	value, f := r.value(1)
	if f != nil {
		return nil, f
	}
	if _, err := r.tokens.Token(); !errors.Is(err, io.EOF) {
		return nil, &flaw{detail: "has something after the JSON value"}
	}
	return value, nil
}

type reader struct {
	body   []byte
	tokens *json.Decoder
	values int
}

// value reads what comes next, and all that is inside of it.
func (r *reader) value(depth int) (any, *flaw) {
	r.values++
	if r.values > maxValues {
		return nil, &flaw{detail: fmt.Sprintf("has more than %d values in all", maxValues)}
	}
	token, f := r.next()
	if f != nil {
		return nil, f
	}
	switch token := token.(type) {
	case json.Number:
		return token, checkNumber(string(token))
	case json.Delim:
		if depth > maxDepth {
			return nil, &flaw{detail: fmt.Sprintf("is nested deeper than %d levels", maxDepth)}
		}
		if token == '{' {
			return r.object(depth)
		}
		return r.array(depth)
	default:
		return token, nil
	}
}

func (r *reader) object(depth int) (any, *flaw) {
	object := map[string]any{}
	for r.tokens.More() {
		token, f := r.next()
		if f != nil {
			return nil, f
		}
		key, ok := token.(string)
		if !ok { // the tokens of an object alternate, so this is out of reach
			return nil, &flaw{detail: "has a key that is not a text"}
		}
		if len(key) > maxKeyLength { // keys come back in pointers
			return nil, &flaw{detail: fmt.Sprintf("has a field whose name is longer than %d bytes", maxKeyLength)}
		}
		if _, twice := object[key]; twice {
			return nil, (&flaw{detail: "is there twice"}).in(key)
		}
		value, f := r.value(depth + 1)
		if f != nil {
			return nil, f.in(key)
		}
		object[key] = value
	}
	_, f := r.next()
	return object, f
}

func (r *reader) array(depth int) (any, *flaw) {
	array := []any{}
	for r.tokens.More() {
		value, f := r.value(depth + 1)
		if f != nil {
			return nil, f.in(strconv.Itoa(len(array)))
		}
		array = append(array, value)
	}
	_, f := r.next()
	return array, f
}

// next reads a token and looks at the bytes that it was read from.
func (r *reader) next() (json.Token, *flaw) {
	start := r.tokens.InputOffset()
	token, err := r.tokens.Token()
	if err != nil {
		return nil, malformed(err)
	}
	text, ok := token.(string)
	if !ok {
		return token, nil
	}
	return token, checkText(text, r.body[start:r.tokens.InputOffset()])
}

func malformed(err error) *flaw {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &flaw{detail: "is not JSON: it ends too early"}
	case errors.As(err, &syntax):
		return &flaw{detail: fmt.Sprintf("is not JSON: %s, at byte %d", syntax.Error(), syntax.Offset)}
	default:
		return &flaw{detail: "is not JSON: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
}

// checkText compares a text with how it was written. The decoder puts U+FFFD in place of what
// is not Unicode, so there is something wrong if the text has more of them than were written.
func checkText(text string, written []byte) *flaw {
	if strings.ContainsRune(text, 0) {
		return &flaw{detail: "has a NUL character (\\u0000), which cannot be stored"}
	}
	if !utf8.Valid(written) {
		return &flaw{detail: "is not valid UTF-8"}
	}
	replaced := strings.Count(text, "\uFFFD")
	if replaced == 0 {
		return nil
	}
	honest := bytes.Count(written, []byte("\uFFFD")) + bytes.Count(bytes.ToLower(written), []byte(`\ufffd`))
	if replaced > honest {
		return &flaw{detail: "has one half of a surrogate pair (\\ud800 to \\udfff) without the other"}
	}
	return nil
}

func checkNumber(number string) *flaw {
	if len(number) > maxNumberLength {
		return &flaw{detail: fmt.Sprintf("is a number of more than %d characters", maxNumberLength)}
	}
	if _, exponent, ok := strings.Cut(strings.ToLower(number), "e"); ok {
		n, err := strconv.Atoi(exponent)
		if err != nil || n > maxExponent || n < -maxExponent {
			return &flaw{detail: fmt.Sprintf("is a number with an exponent beyond %d", maxExponent)}
		}
	}
	if f, err := strconv.ParseFloat(number, 64); err != nil || math.IsInf(f, 0) {
		return &flaw{detail: "is a number too large to be kept"}
	}
	return nil
}
