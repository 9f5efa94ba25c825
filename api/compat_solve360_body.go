package api

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dealwright/dealwright/pipeline"
)

// solve360Fields are the fields of a request that were given, whatever it was written in.
type solve360Fields map[string]string

// solve360Longest are the fields that a request may have ("Webhook Management", Parameters, and
// the id of the answers), and how many characters each may have.
var solve360Longest = map[string]int{
	"id": 20, "type": 20, "title": 500, "active": 20, "event": 50, "constrainttype": 50, "url": maxURL, "contenttype": 20, "secret": 255,
}

// solve360Root is the element around the fields.
const solve360Root = "request"

// apply gives the webhook with what the fields say; what they leave out stays. A secret is replaced
// at once, since Solve360's deliveries have one signature; an empty one means that there is none
// from now on.
func (f solve360Fields) apply(w pipeline.Webhook) (pipeline.Webhook, error) {
	var errs [6]error
	if id, given := f["id"]; given && id != strconv.FormatInt(w.ID, 10) {
		errs[0] = wrong("id", "is not for you to choose")
	}
	if kind, given := f["type"]; given && kind != solve360Web {
		errs[1] = wrong("type", "has to be %s", solve360Web)
	}
	if active, given := f["active"]; given {
		w.Active = active == "1"
		if active != "0" && active != "1" {
			errs[2] = wrong("active", "has to be 0 or 1")
		}
	}
	if title, given := f["title"]; given {
		w.Description = pipeline.Text(title)
	}
	if secret, given := f["secret"]; given {
		w.Signing.Secret = secret
	}
	for name, into := range map[string]*string{
		"event": &w.EventName, "constrainttype": &w.Constraint, "contenttype": &w.ContentType, "url": &w.URL,
	} {
		if value, given := f[name]; given {
			*into = value
		}
	}
	if w.EventName == "" {
		errs[3] = wrong("event", "is missing")
	}
	if !wholeURL(w.URL) {
		errs[4] = wrong("url", "has to be a whole http:// or https:// address")
	}
	errs[5] = pipeline.CheckFormat(w)
	w.Events = typesOf(w)
	return w, allInvalid(errs[:]...)
}

// readSolve360 reads a body in the encoding that its Content-Type says, XML where it says none.
func readSolve360(r *http.Request) (solve360Fields, error) {
	parse, err := solve360Parser(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	body, err := readCompat(r)
	if err != nil {
		return nil, err
	}
	return parseSolve360(parse, body)
}

type solve360Parse func(body []byte, add func(name, value string) error) error

func solve360Parser(contentType string) (solve360Parse, error) {
	if contentType == "" {
		return parseSolve360XML, nil
	}
	kind, params, err := mime.ParseMediaType(contentType)
	charset, given := params["charset"]
	if err != nil || (given && !strings.EqualFold(charset, "utf-8")) {
		kind = ""
	}
	switch kind {
	case "application/xml", "text/xml":
		return parseSolve360XML, nil
	case "application/json":
		return parseSolve360JSON, nil
	case "application/x-www-form-urlencoded":
		return parseSolve360Form, nil
	default:
		return nil, pipeline.Errorf(pipeline.CodeUnsupportedMediaType,
			"send XML, JSON or a form, in UTF-8: Content-Type: application/xml, application/json or application/x-www-form-urlencoded")
	}
}

func parseSolve360(parse solve360Parse, body []byte) (solve360Fields, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, invalid("the body is missing")
	}
	if !utf8.Valid(body) {
		return nil, invalid("the body is not UTF-8")
	}
	fields := solve360Fields{}
	if err := parse(body, fields.add); err != nil {
		return nil, err
	}
	return fields, nil
}

// add takes a field in, once, if it is one that is known.
func (f solve360Fields) add(name, value string) error {
	longest, known := solve360Longest[name]
	if !known {
		return wrong(printable(name), "is not a field that is known here")
	}
	if _, again := f[name]; again {
		return wrong(name, "is there more than once")
	}
	if name != "secret" {
		value = strings.TrimSpace(value)
	}
	if utf8.RuneCountInString(value) > longest {
		return wrong(name, "is too long: at most %d characters", longest)
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return wrong(name, "has characters that are not for text")
	}
	f[name] = value
	return nil
}

// parseSolve360XML reads <request> with elements that hold text, and nothing else: no document
// type, and so no entities but XML's own five, no elements within elements. Attributes count for
// nothing.
func parseSolve360XML(body []byte, add func(name, value string) error) error {
	dec := xml.NewDecoder(bytes.NewReader(body))
	root, err := nextElement(dec)
	if err != nil {
		return err
	}
	if root == nil || root.Name != (xml.Name{Local: solve360Root}) {
		return invalid("the body has to be a <%s>", solve360Root)
	}
	for {
		field, err := nextElement(dec)
		if err != nil {
			return err
		}
		if field == nil {
			break
		}
		value, err := textOf(dec, field.Name.Local)
		if err != nil {
			return err
		}
		if field.Name.Space != "" {
			return wrong(printable(field.Name.Local), "is not a field that is known here")
		}
		if err := add(field.Name.Local, value); err != nil {
			return err
		}
	}
	if after, err := nextElement(dec); err != nil || after != nil {
		return invalid("the body has to be one <%s> and nothing after it", solve360Root)
	}
	return nil
}

// nextElement finds the next element, nil where the one around it, or the document, ends.
func nextElement(dec *xml.Decoder) (*xml.StartElement, error) {
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil, nil //nolint:nilnil // there is none, and nothing went wrong
		}
		if err != nil {
			return nil, badXML(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			return &token, nil
		case xml.EndElement:
			return nil, nil //nolint:nilnil // as above
		case xml.CharData:
			if len(bytes.TrimSpace(token)) > 0 {
				return nil, invalid("there is text outside of the fields")
			}
		case xml.Directive:
			return nil, badDirective()
		default: // comments; the declaration, which the decoder has looked at
		}
	}
}

// textOf reads to the end of an element that has nothing but text in it.
func textOf(dec *xml.Decoder, name string) (string, error) {
	var text strings.Builder
	for {
		token, err := dec.Token()
		if err != nil {
			return "", badXML(err)
		}
		switch token := token.(type) {
		case xml.EndElement:
			return text.String(), nil
		case xml.CharData:
			text.Write(token)
		case xml.StartElement:
			return "", wrong(printable(name), "has to be text")
		case xml.Directive:
			return "", badDirective()
		default: // comments, processing instructions
		}
	}
}

func badXML(err error) error {
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return invalid("the body is not well-formed XML (line %d)", syntax.Line)
	}
	return invalid("the body is not XML in UTF-8")
}

func badDirective() error { return invalid("a document type is not allowed") }

// parseSolve360JSON reads an object of texts and numbers.
func parseSolve360JSON(body []byte, add func(name, value string) error) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return invalid("the body has to be a JSON object")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return badJSON()
		}
		token, err := dec.Token()
		if err != nil {
			return badJSON()
		}
		value, err := plainValue(fmt.Sprint(name), token)
		if err != nil {
			return err
		}
		if err := add(fmt.Sprint(name), value); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return badJSON()
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badJSON()
	}
	return nil
}

func badJSON() error { return invalid("the body is not well-formed JSON") }

// plainValue is a value as the other encodings write it: true is 1, and null is empty.
func plainValue(name string, token json.Token) (string, error) {
	switch v := token.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		if v {
			return "1", nil
		}
		return "0", nil
	case nil:
		return "", nil
	default:
		return "", wrong(printable(name), "has to be text")
	}
}

// parseSolve360Form reads a form as browsers send it.
func parseSolve360Form(body []byte, add func(name, value string) error) error {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return invalid("the body is not a well-formed form")
	}
	for name, given := range values {
		for _, value := range given {
			if err := add(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}
