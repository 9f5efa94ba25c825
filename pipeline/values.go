package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ID is the integer id of an entity; zero stands for "none" and is null in JSON.
type ID int64

// MarshalJSON writes null for "none".
func (id ID) MarshalJSON() ([]byte, error) { return nullableInt(int64(id)), nil }

// UserID is a user of the sales app; zero stands for "nobody" and is null in JSON.
type UserID int64

// MarshalJSON writes null for "nobody".
func (id UserID) MarshalJSON() ([]byte, error) { return nullableInt(int64(id)), nil }

func nullableInt(n int64) []byte {
	if n == 0 {
		return []byte("null")
	}
	return strconv.AppendInt(nil, n, 10)
}

// Text is an optional text; the empty text is null in JSON.
type Text string

// MarshalJSON writes null for the empty text.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// Money is an amount in decimal digits, never a float: {"amount":"12345.00","currency":"AUD"}.
// The zero Money stands for "no price" and is null in JSON.
type Money struct {
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
}

// MarshalJSON writes null for "no price".
func (m Money) MarshalJSON() ([]byte, error) {
	if m == (Money{}) {
		return []byte("null"), nil
	}
	type plain Money
	return json.Marshal(plain(m))
}

// Given is a field that a caller may leave out, give, or clear with null. Left out, it is
// absent from JSON too (with the omitzero option).
type Given[T any] struct {
	Value T
	Set   bool
}

// Give makes a field that is set.
func Give[T any](v T) Given[T] { return Given[T]{Value: v, Set: true} }

// IsZero reports that the field was left out.
func (g Given[T]) IsZero() bool { return !g.Set }

// MarshalJSON writes the value alone.
func (g Given[T]) MarshalJSON() ([]byte, error) { return json.Marshal(g.Value) }

// UnmarshalJSON marks the field as set; null gives the zero value.
func (g *Given[T]) UnmarshalJSON(b []byte) error {
	g.Set = true
	return json.Unmarshal(b, &g.Value)
}

// into overwrites dst where the field was given.
func (g Given[T]) into(dst *T) {
	if g.Set {
		*dst = g.Value
	}
}

// changes leaves the field out where it equals the present value.
func changes[T comparable](g Given[T], present T) Given[T] {
	if g.Set && g.Value == present {
		return Given[T]{}
	}
	return g
}

// Object is a JSON value that the engine carries and does not look into. It is kept in one
// canonical form (no white space, keys sorted), so that equal values are equal bytes.
type Object string

// MarshalJSON writes the value, null where there is none.
func (o Object) MarshalJSON() ([]byte, error) {
	if o == "" {
		return []byte("null"), nil
	}
	return []byte(o), nil
}

// UnmarshalJSON keeps the value in its canonical form; numbers keep their digits.
func (o *Object) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("decode object: %w", err)
	}
	if v == nil {
		*o = ""
		return nil
	}
	canonical, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode object: %w", err)
	}
	*o = Object(canonical)
	return nil
}

// Instant is an optional point in time; the zero Instant is null in JSON.
type Instant time.Time

// MarshalJSON writes RFC 3339, or null for "not yet".
func (i Instant) MarshalJSON() ([]byte, error) {
	if time.Time(i).IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(time.Time(i))
}

// UnmarshalJSON reads RFC 3339, or null for "not yet".
func (i *Instant) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*time.Time)(i)) }

// Duration is a span of time, in JSON a text such as "5m" or a number of seconds.
type Duration time.Duration

// String is the shortest form that time.ParseDuration reads: "5m", not "5m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalJSON writes the text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads the text or a number of seconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var seconds float64
	if json.Unmarshal(b, &seconds) == nil {
		*d = Duration(seconds * float64(time.Second))
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("decode duration: %w", err)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 30s or 5m", text)
	}
	*d = Duration(parsed)
	return nil
}

// Rate is a number of requests per second; zero stands for "no limit" and is null in JSON.
type Rate float64

// MarshalJSON writes null for "no limit".
func (r Rate) MarshalJSON() ([]byte, error) {
	if r == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(float64(r))
}
