package webhook

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
)

// xmlWriter writes a message as XML. The zero value is ready to use.
//
// JSON becomes XML like this: a field becomes an element of its name, an entry of a list an
// <item>, null an element without content, any other value text. A field whose name cannot
// be an element's becomes <entry name="…">; only what a company keeps in its own attributes
// can have such names. Characters that XML cannot have become U+FFFD.
type xmlWriter struct {
	out bytes.Buffer
}

const (
	xmlItem  = "item"
	xmlEntry = "entry"
)

// xmlName is narrower than what XML permits, so that every parser takes it.
var xmlName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

func (w *xmlWriter) open(name string) { w.out.WriteString("<" + name + ">") }

func (w *xmlWriter) close(name string) { w.out.WriteString("</" + name + ">") }

// text writes an element with text in it.
func (w *xmlWriter) text(name, text string) {
	w.open(name)
	w.escape(text)
	w.close(name)
}

func (w *xmlWriter) escape(text string) {
	_ = xml.EscapeText(&w.out, []byte(text)) // a buffer takes everything
}

// json writes an element with a JSON value in it.
func (w *xmlWriter) json(name string, value json.RawMessage) error {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber() // numbers keep their digits
	w.open(name)
	if err := w.value(dec); err != nil {
		return err
	}
	w.close(name)
	return nil
}

func (w *xmlWriter) value(dec *json.Decoder) error {
	token, err := dec.Token()
	if err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return w.fields(dec)
		}
		return w.items(dec)
	case nil:
	case string:
		w.escape(v)
	default: // a number, true or false
		fmt.Fprint(&w.out, v)
	}
	return nil
}

func (w *xmlWriter) fields(dec *json.Decoder) error {
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return fmt.Errorf("read JSON: %w", err)
		}
		end := w.field(fmt.Sprint(key))
		if err := w.value(dec); err != nil {
			return err
		}
		w.close(end)
	}
	return w.end(dec)
}

// field opens the element of a field, and says by which name to close it.
func (w *xmlWriter) field(key string) string {
	// Names that begin with xml are reserved (XML 1.0, section 2.3).
	if xmlName.MatchString(key) && !strings.HasPrefix(strings.ToLower(key), "xml") {
		w.open(key)
		return key
	}
	w.out.WriteString("<" + xmlEntry + ` name="`)
	w.escape(key)
	w.out.WriteString(`">`)
	return xmlEntry
}

func (w *xmlWriter) items(dec *json.Decoder) error {
	for dec.More() {
		w.open(xmlItem)
		if err := w.value(dec); err != nil {
			return err
		}
		w.close(xmlItem)
	}
	return w.end(dec)
}

// end reads the bracket that closes an object or a list.
func (*xmlWriter) end(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	return nil
}
