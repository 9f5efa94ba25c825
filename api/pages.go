package api

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

const (
	defaultLimit = 100
	maxLimit     = 500
	maxParameter = 500 // characters in a parameter
)

// refuseUnknown checks a query before anything looks at it: a parameter that we do not know
// was meant to do something, and would silently do nothing.
func refuseUnknown(rawQuery string, known []string) error {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return invalid("the query of the URL is not well-formed")
	}
	var wrong []pipeline.FieldError
	for name, given := range values {
		switch {
		case !slices.Contains(known, name):
			wrong = append(wrong, badParameter(printable(name), "is not known here"))
		case len(given) > 1:
			wrong = append(wrong, badParameter(name, "is there more than once"))
		case len(given[0]) > maxParameter || !utf8.ValidString(given[0]) || strings.ContainsRune(given[0], 0):
			wrong = append(wrong, badParameter(name, "has to be up to %d characters of text", maxParameter))
		}
	}
	slices.SortFunc(wrong, func(a, b pipeline.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	return pipeline.Invalid(wrong...)
}

// printable is a caller's text that an answer may repeat.
func printable(s string) string {
	const enough = 50
	return strings.ToValidUTF8(s[:min(len(s), enough)], "?")
}

// query reads the parameters of a request, which refuseUnknown has seen, and gathers what is
// wrong with them. A parameter that is empty counts as left out.
type query struct {
	values url.Values
	wrong  []pipeline.FieldError
}

func newQuery(c *gin.Context) *query { return &query{values: c.Request.URL.Query()} }

// err says what is wrong with all that was read, nil where nothing is.
func (q *query) err() error { return pipeline.Invalid(q.wrong...) }

func (q *query) text(name string) string { return q.values.Get(name) }

func (q *query) refusef(name, format string, args ...any) {
	q.wrong = append(q.wrong, badParameter(name, format, args...))
}

// id reads an id, 0 where it was left out.
func (q *query) id(name string) int64 {
	text := q.text(name)
	if text == "" {
		return 0
	}
	id, ok := parseID(text)
	if !ok {
		q.refusef(name, "has to be an id: a whole number from 1 on")
	}
	return id
}

// number reads a whole number from lowest to highest, or gives the default.
func (q *query) number(name string, lowest, highest, otherwise int64) int64 {
	text := q.text(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < lowest || n > highest {
		q.refusef(name, "has to be a whole number from %d to %d", lowest, highest)
		return otherwise
	}
	return n
}

// oneOf reads a word, "" where it was left out.
func (q *query) oneOf(name string, words ...string) string {
	text := q.text(name)
	if text != "" && !slices.Contains(words, text) {
		q.refusef(name, "has to be one of %s", strings.Join(words, ", "))
	}
	return text
}

func (q *query) limit() int { return int(q.number("limit", 1, maxLimit, defaultLimit)) }

// page reads limit and cursor. One row more than the limit is asked for: whether it is there
// says whether there is a next page.
func (q *query) page() pipeline.Page {
	page := pipeline.Page{Limit: q.limit() + 1}
	text := q.text("cursor")
	if text == "" {
		return page
	}
	cursor, ok := parseCursor(text)
	if !ok {
		q.refusef("cursor", "is not one that we gave: take next_cursor of the page before")
	}
	page.Cursor = cursor
	return page
}

// A cursor is the last id of a page, wrapped so that nobody computes with it.
func newCursor(id int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, id, 10))
}

func parseCursor(text string) (int64, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return 0, false
	}
	return parseID(string(b))
}

// list is a page of things; next_cursor is null on the last one.
type list[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

// newList makes the answer out of a page and the one row more. id is what the next page
// starts after.
func newList[T any](rows []T, page pipeline.Page, id func(T) int64) list[T] {
	limit := page.Limit - 1
	if len(rows) <= limit {
		return whole(rows)
	}
	next := newCursor(id(rows[limit-1]))
	return list[T]{Data: rows[:limit], NextCursor: &next}
}

// whole is a list that has no further pages.
func whole[T any](rows []T) list[T] {
	if rows == nil {
		rows = []T{} // [] in JSON, not null
	}
	return list[T]{Data: rows}
}
