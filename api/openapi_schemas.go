package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// components gathers the schemas of an OpenAPI document, each under one name.
type components struct {
	schemas object
}

// object is JSON as it is put together here.
type object = map[string]any

func newComponents() *components { return &components{schemas: object{}} }

// shape gives the schema of a body, and sees to it that what it refers to is there.
type shape func(*components) (object, error)

// componentsPath is where references to schemas lead.
const componentsPath = "#/components/schemas/"

func reference(name string) object { return object{"$ref": componentsPath + name} }

// value is the shape of what encoding/json makes of a T.
func value[T any]() shape {
	return func(c *components) (object, error) { return c.goType(reflect.TypeFor[T]()) }
}

// file is the shape that a file of package schemas describes.
func file(name string) shape {
	return func(c *components) (object, error) { return c.file(name) }
}

// file takes a schema in, with those that it refers to. What is under its "$defs" becomes a schema
// of its own, since generators look nowhere else.
func (c *components) file(name string) (object, error) {
	component := componentName(name)
	if _, ok := c.schemas[component]; ok {
		return reference(component), nil
	}
	raw, err := schemas.Schema(name)
	if err != nil {
		return nil, err
	}
	var schema object
	if err := json.Unmarshal(raw, &schema); err != nil {
		return nil, fmt.Errorf("decode schema %s: %w", name, err)
	}
	c.schemas[component] = schema // before what it refers to, which may refer to it
	delete(schema, "$schema")
	delete(schema, "$id")
	definitions, _ := schema["$defs"].(object)
	delete(schema, "$defs")
	for key, definition := range definitions {
		c.schemas[component+camel(key)] = definition
	}
	for _, part := range append([]any{schema}, values(definitions)...) {
		if err := c.refer(part, name, component); err != nil {
			return nil, err
		}
	}
	return reference(component), nil
}

func isNull(kind any) bool { return kind == "null" }

func values(m object) []any {
	out := make([]any, 0, len(m))
	for v := range maps.Values(m) {
		out = append(out, v)
	}
	return out
}

// refer makes the references within a file lead into the document.
func (c *components) refer(v any, name, component string) error {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if err := c.refer(item, name, component); err != nil {
				return err
			}
		}
	case object:
		for key, item := range v {
			if key == "examples" || key == "default" {
				continue // these are data
			}
			if err := c.refer(item, name, component); err != nil {
				return err
			}
		}
		return c.adapt(v, name, component)
	}
	return nil
}

// adapt changes what a schema says of itself, without those inside of it.
func (c *components) adapt(schema object, name, component string) error {
	if kinds, ok := schema["type"].([]any); ok && len(slices.DeleteFunc(slices.Clone(kinds), isNull)) > 1 {
		schema["x-go-type"] = "any" // the generator of package client knows one kind, or null
	}
	ref, ok := schema["$ref"].(string)
	if !ok {
		return nil
	}
	target, err := c.target(ref, name, component)
	schema["$ref"] = target
	return err
}

func (c *components) target(ref, name, component string) (string, error) {
	if key, ok := strings.CutPrefix(ref, "#/$defs/"); ok {
		return componentsPath + component + camel(key), nil
	}
	if inside, ok := strings.CutPrefix(ref, "#"); ok {
		return componentsPath + component + inside, nil
	}
	where, err := url.Parse(ref)
	if err != nil || where.Fragment != "" {
		return "", fmt.Errorf("schema %s refers to %q, which is no file of ours", name, ref)
	}
	other := path.Join(path.Dir(name), strings.TrimSuffix(where.Path, ".json"))
	if _, err := c.file(other); err != nil {
		return "", err
	}
	return componentsPath + componentName(other), nil
}

// componentName keeps files from the names of our own types: "requests/replay" is ReplayRequest,
// "events/credit.ran" CreditRanPayload, "state/customer" Customer.
func componentName(name string) string {
	base := camel(path.Base(name))
	switch path.Dir(name) {
	case "requests":
		return base + "Request"
	case "events":
		return base + "Payload"
	default:
		return base
	}
}

func camel(name string) string {
	var out strings.Builder
	upper := true
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			upper = true
			continue
		}
		if upper {
			r = unicode.ToUpper(r)
		}
		upper = false
		out.WriteRune(r)
	}
	return out.String()
}

// pageOf is the shape of a list.
func pageOf(item shape) shape {
	return func(c *components) (object, error) {
		items, err := item(c)
		if err != nil {
			return nil, err
		}
		return object{
			"type": "object",
			"properties": object{
				"data": object{"type": "array", "items": items},
				"next_cursor": object{
					"type": []string{"string", "null"}, "description": "The cursor of the next page; null on the last one.",
				},
			},
			"required": []string{"data", "next_cursor"},
		}, nil
	}
}

// feedShape is a page of the feed; see feedAnswer.
func feedShape(c *components) (object, error) {
	page, err := pageOf(value[pipeline.Event]())(c)
	if err != nil {
		return nil, err
	}
	fields, ok := page["properties"].(object)
	if !ok {
		return nil, fmt.Errorf("a page has no properties: %v", page)
	}
	fields["position"] = object{"type": "integer", "format": "int64", "description": "The after of the next question."}
	page["required"] = []string{"data", "next_cursor", "position"}
	return page, nil
}

func textShape(*components) (object, error) { return object{"type": "string"}, nil }

func bytesShape(*components) (object, error) {
	return object{"type": "string", "format": "binary"}, nil
}

func anyShape(*components) (object, error) { return object{"type": "object"}, nil }
