// Package schemas holds the JSON Schemas (2020-12) of everything that is on the wire, and
// checks bodies against them.
//
//	events/    the payload of each event type; "$defs/data" is what a caller gives, where
//	           that is not the same
//	state/     customers, proposals, webhooks and documents, as they are beside an event
//	requests/  the bodies of requests
//	envelope   the native form of a webhook
//	partners/  the forms of other systems' webhooks, in a folder for each format; where they
//	           have a customer or a proposal as it is here, they refer to state/
//
// The files are meant to be read by partners as well: each stands alone, but for what partners/
// and Solo's trigger refer to, and has examples.
package schemas

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/dealwright/dealwright/pipeline"
)

// The names under which Validate knows the schemas, beside "events/<event type>".
const (
	Envelope       = "envelope"
	Customer       = "state/customer"
	Proposal       = "state/proposal"
	Webhook        = "state/webhook"
	Document       = "state/document"
	CreateCustomer = "requests/create_customer"
	CreateProposal = "requests/create_proposal"
	Transition     = "requests/transition"
	EraseCustomer  = "requests/erase_customer"
	CreateWebhook  = "requests/create_webhook"
	PatchWebhook   = "requests/patch_webhook"
	CreateKey      = "requests/create_key"
	RotateSecret   = "requests/rotate_secret"
	TestWebhook    = "requests/test_webhook"
	EnableWebhook  = "requests/enable_webhook"
	Replay         = "requests/replay"
	Recover        = "requests/recover"
	SoloTrigger    = "requests/solo_trigger"
	// SightenContract is what Sighten sends; see pipeline.ReadContractNews.
	SightenContract  = "requests/sighten_contract"
	CreateConnection = "requests/create_connection"
	Nothing          = "requests/nothing" // where there is nothing to say
)

// baseURL makes a file's name its "$id".
const baseURL = "https://github.com/dealwright/dealwright/schemas/"

//go:embed *.json events/*.json requests/*.json state/*.json partners/*/*.json
var files embed.FS

// document is a schema as it was written and as it was compiled. Data is what a caller may
// give for an event; it is Root where the file makes no difference.
type document struct {
	raw         json.RawMessage
	root, data  *jsonschema.Schema
	example     json.RawMessage
	dataExample json.RawMessage
}

// documents reads and compiles the schemas, once, when the first of them is wanted.
var documents = sync.OnceValues(load)

// Names lists the schemas.
func Names() ([]string, error) {
	all, err := documents()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	return names, nil
}

// Validate checks a body against the schema of that name. What is wrong with it is said by a
// *pipeline.Error with CodeInvalid, whose Fields point into the body; any other error is
// ours: there is no such schema, or the schemas do not compile.
//
// A body that passes is safe to decode with encoding/json and to keep in Postgres.
func Validate(name string, body []byte) error {
	doc, err := find(name)
	if err != nil {
		return err
	}
	return validate(doc.root, body, "")
}

// ValidateData checks what a caller gives as the data of an event; no data at all is the
// same as {}. Pointers begin with prefix, which says where in the request the data was.
func ValidateData(t pipeline.EventType, data []byte, prefix string) error {
	doc, err := find("events/" + string(t))
	if err != nil {
		return err
	}
	if len(data) == 0 {
		data = []byte("{}")
	}
	return validate(doc.data, data, prefix)
}

// Payload is the schema of an event's payload, as its file has it.
func Payload(t pipeline.EventType) (json.RawMessage, error) {
	doc, err := find("events/" + string(t))
	return bytes.Clone(doc.raw), err
}

// Example is a payload as a partner may get it.
func Example(t pipeline.EventType) (json.RawMessage, error) {
	doc, err := find("events/" + string(t))
	return bytes.Clone(doc.example), err
}

// DataExample is what a caller may give as the data of the event.
func DataExample(t pipeline.EventType) (json.RawMessage, error) {
	doc, err := find("events/" + string(t))
	return bytes.Clone(doc.dataExample), err
}

// StateExample is an entity as a partner may get it beside an event.
func StateExample(kind pipeline.Kind) (json.RawMessage, error) {
	doc, err := find("state/" + string(kind))
	return bytes.Clone(doc.example), err
}

// Schema is the schema of that name, as its file has it.
func Schema(name string) (json.RawMessage, error) {
	doc, err := find(name)
	return bytes.Clone(doc.raw), err
}

func find(name string) (document, error) {
	all, err := documents()
	if err != nil {
		return document{}, err
	}
	doc, ok := all[name]
	if !ok {
		return document{}, fmt.Errorf("there is no schema %q", name)
	}
	return doc, nil
}

func validate(schema *jsonschema.Schema, body []byte, prefix string) error {
	value, flaw := decode(body)
	if flaw != nil {
		return pipeline.Invalid(pipeline.FieldError{Pointer: prefix + flaw.pointer, Detail: flaw.detail})
	}
	err := schema.Validate(value)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return fmt.Errorf("validate against %s: %w", schema.Location, err)
	}
	return pipeline.Invalid(explain(invalid, prefix)...)
}

func load() (map[string]document, error) {
	compiler := newCompiler()
	texts := map[string][]byte{}
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		if err != nil {
			return fmt.Errorf("schema %s: %w", path, err)
		}
		texts[strings.TrimSuffix(path, ".json")] = text
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("schema %s: %w", path, err)
		}
		return compiler.AddResource(baseURL+path, value)
	})
	if err != nil {
		return nil, fmt.Errorf("read schemas: %w", err)
	}
	all := make(map[string]document, len(texts))
	for name, text := range texts {
		if all[name], err = compile(compiler, name, text); err != nil {
			return nil, fmt.Errorf("compile schema %s: %w", name, err)
		}
	}
	return all, nil
}

func compile(compiler *jsonschema.Compiler, name string, text []byte) (document, error) {
	type examples struct {
		Examples []json.RawMessage `json:"examples"`
	}
	var written struct {
		examples
		Defs struct {
			Data *examples `json:"data"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &written); err != nil {
		return document{}, err
	}
	url := baseURL + name + ".json"
	root, err := compiler.Compile(url)
	if err != nil {
		return document{}, fmt.Errorf("root: %w", err)
	}
	doc := document{raw: text, root: root, data: root}
	if len(written.Examples) > 0 {
		doc.example, doc.dataExample = written.Examples[0], written.Examples[0]
	}
	if written.Defs.Data == nil {
		return doc, nil
	}
	if doc.data, err = compiler.Compile(url + "#/$defs/data"); err != nil {
		return document{}, fmt.Errorf("data: %w", err)
	}
	if given := written.Defs.Data.Examples; len(given) > 0 {
		doc.dataExample = given[0]
	}
	return doc, nil
}
