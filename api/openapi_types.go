package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// goType describes what encoding/json makes of a type. Structs become schemas of their own; they
// leave open that an answer has more fields one day.
func (c *components) goType(t reflect.Type) (object, error) {
	if known, ok := ownForms[t]; ok {
		return known(), nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}, nil
	case reflect.String:
		return object{"type": "string"}, nil
	case reflect.Int, reflect.Int64:
		return object{"type": "integer", "format": "int64"}, nil
	case reflect.Float64:
		return object{"type": "number", "format": "double"}, nil
	case reflect.Pointer:
		inner, err := c.goType(t.Elem())
		return orNull(inner), err
	case reflect.Slice:
		items, err := c.goType(t.Elem())
		return object{"type": "array", "items": items}, err
	case reflect.Struct:
		return c.structType(t)
	default:
		return nil, fmt.Errorf("%s has no form in JSON that is known here", t)
	}
}

func (c *components) structType(t reflect.Type) (object, error) {
	name := camel(t.Name())
	if _, ok := c.schemas[name]; ok {
		return reference(name), nil
	}
	fields, required := object{}, []string{}
	whole := object{"type": "object", "properties": fields}
	c.schemas[name] = whole // before its fields, which may refer to it
	for _, field := range reflect.VisibleFields(t) {
		key, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if key == "-" || !field.IsExported() || (field.Anonymous && key == "") {
			continue
		}
		schema, err := c.goType(field.Type)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", name, field.Name, err)
		}
		may := strings.Contains(options, "omit")
		switch {
		case may && field.Type.Kind() == reflect.Pointer:
			schema, err = c.goType(field.Type.Elem())
		case slices.Contains(nullLists, name+"."+key):
			schema = orNull(schema)
		}
		if err != nil {
			return nil, err
		}
		if fields[key] = schema; !may && !slices.Contains(required, key) {
			required = append(required, key)
		}
	}
	if len(required) > 0 {
		whole["required"] = required
	}
	return reference(name), nil
}

// nullLists are the lists for which null has a meaning of its own: "the system has no name for
// it", and "all that the webhook subscribes to".
var nullLists = []string{"Names.solo", "Names.solarproof", "Names.solve360", "Names.sighten", "Replay.types"}

// orNull is a schema that takes null too.
func orNull(schema object) object {
	kind, ok := schema["type"].(string)
	if !ok {
		return object{"oneOf": []object{schema, {"type": "null"}}}
	}
	schema["type"] = []string{kind, "null"}
	return schema
}

// ownForms are the types whose JSON is not what their fields say.
var ownForms = map[reflect.Type]func() object{
	reflect.TypeFor[time.Time]():                  func() object { return object{"type": "string", "format": "date-time"} },
	reflect.TypeFor[pipeline.Instant]():           func() object { return orNull(object{"type": "string", "format": "date-time"}) },
	reflect.TypeFor[pipeline.ID]():                func() object { return orNull(object{"type": "integer", "format": "int64"}) },
	reflect.TypeFor[pipeline.UserID]():            func() object { return orNull(object{"type": "integer", "format": "int64"}) },
	reflect.TypeFor[pipeline.Text]():              func() object { return orNull(object{"type": "string"}) },
	reflect.TypeFor[pipeline.Rate]():              func() object { return orNull(object{"type": "number", "format": "double"}) },
	reflect.TypeFor[pipeline.Duration]():          func() object { return object{"type": "string", "description": "Such as 5m."} },
	reflect.TypeFor[pipeline.Object]():            func() object { return object{"description": "Any JSON value."} },
	reflect.TypeFor[json.RawMessage]():            func() object { return object{"description": "Any JSON value."} },
	reflect.TypeFor[pipeline.Headers]():           shownHeaders,
	reflect.TypeFor[[]pipeline.Duration]():        shownSchedule,
	reflect.TypeFor[pipeline.Auth]():              shownAuth,
	reflect.TypeFor[pipeline.ClientCertificate](): shownCertificate,
	reflect.TypeFor[pipeline.Role]():              words(pipeline.RoleAdmin, pipeline.RoleApp, pipeline.RolePartner),
	reflect.TypeFor[pipeline.DeliveryStatus](): words(pipeline.DeliveryPending, pipeline.DeliveryDelivered,
		pipeline.DeliveryExhausted, pipeline.DeliveryHeld, pipeline.DeliverySuperseded, pipeline.DeliveryDiscarded),
	reflect.TypeFor[pipeline.InboundStatus](): words(pipeline.InboundReceived, pipeline.InboundHandled,
		pipeline.InboundIgnored, pipeline.InboundUnmatched, pipeline.InboundFailed),
	reflect.TypeFor[pipeline.KeptStatus](): words(pipeline.KeptWaiting, pipeline.KeptStored, pipeline.KeptFailed),
}

func words[T ~string](all ...T) func() object {
	return func() object { return object{"type": "string", "enum": all} }
}

func shownHeaders() object {
	return object{"type": "array", "items": object{"type": "string"}, "description": "The names; the values are never shown."}
}

func shownSchedule() object {
	return object{
		"type": []string{"array", "null"}, "items": object{"type": "string"},
		"description": "The waits between attempts; null: the engine's own.",
	}
}

func shownAuth() object {
	fields := object{}
	for _, name := range []string{"type", "username", "name", "in", "token_url", "client_id", "scope"} {
		fields[name] = object{"type": "string"}
	}
	return object{
		"type": "object", "properties": fields, "required": []string{"type"},
		"description": "How requests authenticate; secrets are never shown.",
	}
}

func shownCertificate() object {
	return object{
		"type": []string{"object", "null"},
		"properties": object{
			"subject": object{"type": "string"}, "not_after": object{"type": "string", "format": "date-time"},
		},
		"required": []string{"subject", "not_after"},
	}
}
