package schemas_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

func allNames(t *testing.T) []string {
	t.Helper()
	names, err := schemas.Names()
	require.NoError(t, err)
	slices.Sort(names)
	return names
}

// read gives a schema as a tree of maps and lists.
func read(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := schemas.Schema(name)
	require.NoError(t, err)
	var schema map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&schema))
	return schema
}

func object(t *testing.T, v any) map[string]any {
	t.Helper()
	m, ok := v.(map[string]any)
	require.True(t, ok, "%v is not an object", v)
	return m
}

func texts(t *testing.T, v any) []string {
	t.Helper()
	list, ok := v.([]any)
	require.True(t, ok, "%v is not a list", v)
	out := make([]string, len(list))
	for i, item := range list {
		out[i], ok = item.(string)
		require.True(t, ok, "%v is not a text", item)
	}
	return out
}

func propertiesOf(t *testing.T, schema map[string]any) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(object(t, schema["properties"])))
}

func eventSchema(t pipeline.EventType) string { return "events/" + string(t) }

// everyEntry lists the lifecycles' event types and the operational ones.
func everyEntry() []pipeline.Entry { return append(pipeline.Catalogue(), pipeline.Notices()...) }

func TestEveryEventTypeHasASchemaAndNothingElseHas(t *testing.T) {
	t.Parallel()
	catalogue := everyEntry()
	want := make([]string, len(catalogue))
	for i, e := range catalogue {
		want[i] = eventSchema(e.Type)
	}
	var got []string
	for _, name := range allNames(t) {
		if strings.HasPrefix(name, "events/") {
			got = append(got, name)
		}
	}
	require.ElementsMatch(t, want, got)
}

func TestEverySchemaExplainsItself(t *testing.T) {
	t.Parallel()
	for _, name := range allNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema := read(t, name)
			require.Equal(t, "https://json-schema.org/draft/2020-12/schema", schema["$schema"])
			require.Equal(t, "https://github.com/dealwright/dealwright/schemas/"+name+".json", schema["$id"])
			require.NotEmpty(t, schema["title"])
			require.NotEmpty(t, schema["description"])
			require.NotEmpty(t, schema["examples"])
			if eventType, ok := strings.CutPrefix(name, "events/"); ok {
				require.Equal(t, eventType, schema["title"])
			}
		})
	}
}

func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	for _, name := range allNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			examples, ok := read(t, name)["examples"].([]any)
			require.True(t, ok)
			for i, example := range examples {
				body, err := json.Marshal(example)
				require.NoError(t, err)
				require.NoError(t, schemas.Validate(name, body), "example %d", i)
			}
		})
	}
}

// Every value is bounded: nothing that a caller sends may grow without an end.
func TestEverythingIsBounded(t *testing.T) {
	t.Parallel()
	for _, name := range allNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bounded(t, "", read(t, name))
		})
	}
}

func bounded(t *testing.T, at string, schema map[string]any) {
	t.Helper()
	types := typesOf(t, schema)
	_, isEnum := schema["enum"]
	needs := func(keywords ...string) {
		for _, keyword := range keywords {
			require.Contains(t, schema, keyword, "%s wants %s", at, keyword)
		}
	}
	if slices.Contains(types, "string") && !isEnum {
		needs("maxLength")
	}
	if slices.Contains(types, "integer") || slices.Contains(types, "number") {
		needs("minimum", "maximum")
	}
	if slices.Contains(types, "array") {
		needs("maxItems", "items")
		bounded(t, at+"/items", object(t, schema["items"]))
	}
	if properties, ok := schema["properties"]; ok {
		// What a provider sends is for the provider to say.
		isLenient := strings.HasSuffix(t.Name(), schemas.SightenContract)
		require.Equal(t, isLenient, schema["additionalProperties"], "%s lets unknown fields pass", at)
		for name, property := range object(t, properties) {
			sub := object(t, property)
			if _, ref := sub["$ref"]; !ref {
				require.NotEmpty(t, sub["description"], "%s/%s has no description", at, name)
			}
			bounded(t, at+"/"+name, sub)
		}
	}
	if defs, ok := schema["$defs"]; ok {
		bounded(t, at+"/$defs/data", object(t, object(t, defs)["data"]))
	}
	if others, ok := schema["additionalProperties"].(map[string]any); ok {
		needs("maxProperties")
		bounded(t, at+"/*", others)
	}
	if pattern, ok := schema["pattern"].(string); ok {
		require.Contains(t, schemas.Patterns, pattern, "%s has a pattern that no sentence explains", at)
	}
}

func typesOf(t *testing.T, schema map[string]any) []string {
	t.Helper()
	switch v := schema["type"].(type) {
	case string:
		return []string{v}
	case nil:
		return nil
	default:
		return texts(t, v)
	}
}

// A customer is the same whether it comes by its own route or as an event's data.
func TestCreateCustomerIsTheDataOfCustomerCreated(t *testing.T) {
	t.Parallel()
	event := read(t, eventSchema(pipeline.TypeCustomerCreated))
	payload := object(t, event["properties"])
	data := object(t, object(t, event["$defs"])["data"])
	want := map[string]any{}
	for name, property := range object(t, data["properties"]) {
		want[name] = map[string]any{}
		for keyword, v := range object(t, property) {
			if keyword == "$ref" {
				require.Equal(t, "#/properties/"+name, v)
				maps.Copy(object(t, want[name]), object(t, payload[name]))
				continue
			}
			object(t, want[name])[keyword] = v
		}
	}
	request := read(t, schemas.CreateCustomer)
	require.Equal(t, want, request["properties"])
	require.Equal(t, data["required"], request["required"])
}

// What may be said when a webhook is made may be said later, but for what is settled then.
func TestPatchWebhookHasTheSettingsOfCreateWebhook(t *testing.T) {
	t.Parallel()
	created := object(t, read(t, schemas.CreateWebhook)["properties"])
	patched := object(t, read(t, schemas.PatchWebhook)["properties"])
	for name, property := range created {
		if name == "start" || name == "secret" {
			require.NotContains(t, patched, name)
			continue
		}
		want, got := maps.Clone(object(t, property)), object(t, patched[name])
		delete(want, "default") // what is left out of a change stays
		if name == "format" {   // which may be repeated, and not changed
			want["description"] = got["description"]
		}
		require.Equal(t, want, got, name)
		delete(patched, name)
	}
	require.Empty(t, patched)
}

func TestTypesInTheSchemasAreTheCatalogue(t *testing.T) {
	t.Parallel()
	lifecycles := typesIn(pipeline.Catalogue())
	all := append(slices.Clone(lifecycles), typesIn(pipeline.Notices())...)
	subscriptions := []string{"*"}
	for _, e := range everyEntry() {
		for _, pattern := range pipeline.Patterns(e.Type) {
			if !slices.Contains(subscriptions, pattern) {
				subscriptions = append(subscriptions, pattern)
			}
		}
	}
	enum := func(name string, path ...string) []string {
		at := read(t, name)
		for _, token := range path {
			at = object(t, at[token])
		}
		return texts(t, at["enum"])
	}
	erasing := slices.Index(lifecycles, string(pipeline.TypeCustomerErased)) // has a route of its own
	require.Equal(t, slices.Delete(slices.Clone(lifecycles), erasing, erasing+1), enum(schemas.Transition, "properties", "type"))
	require.Equal(t, all, enum(schemas.Envelope, "properties", "type"))
	require.Equal(t, all, enum(schemas.TestWebhook, "properties", "type"))
	require.Equal(t, lifecycles, enum(eventSchema(pipeline.TypeDeliveryExhausted), "properties", "event_type"))
	require.ElementsMatch(t, subscriptions, enum(schemas.CreateWebhook, "properties", "events", "items"))
	require.ElementsMatch(t, subscriptions, enum(schemas.PatchWebhook, "properties", "events", "items"))
	require.ElementsMatch(t, subscriptions, enum(schemas.Replay, "properties", "types", "items"))
}

func typesIn(entries []pipeline.Entry) []string {
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = string(e.Type)
	}
	return out
}
