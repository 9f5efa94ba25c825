package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// openAPIVersion is the form of the document. From 3.1 on a schema in it is JSON Schema 2020-12, as
// our files are, and it can tell of webhooks.
const openAPIVersion = "3.1.0"

// contractVersion is that of the API. Which build answers is not for everybody to know.
const contractVersion = "1"

// newOpenAPI writes the document of all routes but those of other systems: what may be asked comes
// from the table of routes and the request schemas, what is answered from the types that handlers encode.
func newOpenAPI(routes []Route) ([]byte, error) {
	known, c := operations(), newComponents()
	paths := object{}
	for _, route := range routes {
		o, ok := known[route.Method+" "+route.Path]
		if !ok {
			if isCompat(route) {
				continue
			}
			return nil, fmt.Errorf("nothing is written about the operation of %s %s", route.Method, route.Path)
		}
		described, err := c.operation(route, o)
		if err != nil {
			return nil, fmt.Errorf("describe %s %s: %w", route.Method, route.Path, err)
		}
		path, _ := templated(route.Path)
		item, ok := paths[path].(object)
		if !ok {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(route.Method)] = described
	}
	hooks, err := c.webhooks()
	if err != nil {
		return nil, err
	}
	if _, err := value[problem]()(c); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(object{
		"openapi": openAPIVersion,
		"info": object{
			"title": "Dealwright", "version": contractVersion,
			"description": "An event-sourced workflow engine for sales pipelines. Errors are problem documents (RFC 9457) with a stable code.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []object{{"url": "/"}},
		"security": []object{{"key": []string{}}},
		"paths":    paths,
		"webhooks": hooks,
		"components": object{
			"schemas": c.schemas,
			"securitySchemes": object{"key": object{
				"type": "http", "scheme": "bearer", "description": "An API key: dw_…. It belongs to one company and has a role.",
			}},
			"responses": refusals(),
		},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode openapi document: %w", err)
	}
	return append(b, '\n'), nil
}

// isCompat reports a route that is another system's, whose documents describe it; Temporal's UI is
// one of them.
func isCompat(route Route) bool {
	return dialectFor(route.Path) != nil || strings.HasPrefix(route.Path, codecRoot)
}

// templated writes a router's path as OpenAPI does, and names its parameters.
func templated(path string) (string, []string) {
	parts := strings.Split(path, "/")
	var names []string
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			parts[i] = "{" + name + "}"
			names = append(names, name)
		}
	}
	return strings.Join(parts, "/"), names
}

func (c *components) operation(route Route, o operation) (object, error) {
	responses, err := c.responses(route, o)
	if err != nil {
		return nil, err
	}
	out := object{"operationId": o.id, "summary": o.summary, "tags": []string{o.tag}, "responses": responses}
	if parameters := parametersOf(route); len(parameters) > 0 {
		out["parameters"] = parameters
	}
	if len(route.Roles) == 0 {
		out["security"] = []object{}
	} else {
		roles := make([]string, len(route.Roles))
		for i, role := range route.Roles {
			roles[i] = string(role)
		}
		out["description"] = "For keys with the role " + strings.Join(roles, " or ") + "."
	}
	if o.body == "" {
		return out, nil
	}
	body, err := c.file(o.body)
	if err != nil {
		return nil, err
	}
	out["requestBody"] = object{"required": !o.spare, "content": object{"application/json": object{"schema": body}}}
	return out, nil
}

// statusesOf are those of refusals that follow from what a route takes.
func statusesOf(route Route, o operation) []int {
	all := append([]int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusTooManyRequests}, o.refuses...)
	if len(route.Roles) > 0 {
		all = append(all, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity)
	}
	if strings.Contains(route.Path, ":") {
		all = append(all, http.StatusNotFound)
	}
	if o.body != "" {
		all = append(all, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity)
	}
	return all
}

func (c *components) responses(route Route, o operation) (object, error) {
	success := object{"description": http.StatusText(o.status)}
	if o.answer != nil {
		schema, err := o.answer(c)
		if err != nil {
			return nil, err
		}
		media := o.media
		if media == "" {
			media = "application/json"
		}
		success["content"] = object{media: object{"schema": schema}}
	}
	out := object{strconv.Itoa(o.status): success}
	for _, status := range statusesOf(route, o) {
		name := strconv.Itoa(status)
		if status < http.StatusBadRequest {
			out[name] = object{"description": http.StatusText(status)}
			continue
		}
		out[name] = object{"$ref": "#/components/responses/" + name}
	}
	return out, nil
}

// refusals are the answers to what went wrong, one for each status.
func refusals() object {
	out := object{}
	for _, a := range answers {
		response := object{
			"description": a.title + ".",
			"content":     object{contentTypeProblem: object{"schema": reference("Problem")}},
		}
		if a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable {
			response["headers"] = object{"Retry-After": object{
				"description": "After how many seconds it is worth trying again.", "schema": object{"type": "integer"},
			}}
		}
		out[strconv.Itoa(a.status)] = response
	}
	// 422 and 409 have two codes each; the title of neither says both.
	for status, description := range map[int]string{
		http.StatusUnprocessableEntity: "The input is not valid, or the Idempotency-Key was used for another request.",
		http.StatusConflict:            "This may not happen now; of a transition, allowed says what may.",
	} {
		if response, ok := out[strconv.Itoa(status)].(object); ok {
			response["description"] = description
		}
	}
	for _, status := range []int{http.StatusRequestedRangeNotSatisfiable} {
		out[strconv.Itoa(status)] = object{"description": http.StatusText(status)}
	}
	return out
}

// parametersOf a route: those in its path, its query and its headers.
func parametersOf(route Route) []object {
	var out []object
	_, names := templated(route.Path)
	for _, name := range names {
		schema := object{"type": "integer", "format": "int64", "minimum": 1}
		switch name {
		case "uuid":
			schema = object{"type": "string", "format": "uuid"}
		case "token", "file":
			schema = object{"type": "string"}
		}
		out = append(out, object{"name": name, "in": "path", "required": true, "schema": schema})
	}
	for _, name := range route.Query {
		out = append(out, object{
			"name": name, "in": "query", "description": parameterMeanings[name], "schema": parameterSchema(route.Path, name),
		})
	}
	if strings.HasSuffix(route.Path, "/stream") {
		out = append(out, object{
			"name": "Last-Event-ID", "in": "header", "schema": object{"type": "integer", "format": "int64"},
			"description": "The position of the last event that was read, as browsers send it; it goes before after.",
		})
	}
	if route.Method == http.MethodPost && len(route.Roles) > 0 {
		out = append(out, object{
			"name": "Idempotency-Key", "in": "header", "schema": object{"type": "string", "maxLength": maxIdempotencyKey},
			"description": "A name for this request: a second one with the same name and body gets the same answer, and does nothing.",
		})
	}
	return out
}

// parameterMeanings say what query parameters are for.
var parameterMeanings = map[string]string{
	"limit":           "How many to answer at most.",
	"cursor":          "The next_cursor of the page before.",
	"status":          "Only those with this status.",
	"contract_status": "Only those whose contract stands there.",
	"q":               "Words of name, e-mail address or phone number.",
	"owner_id":        "Only those that this user looks after.",
	"customer_id":     "Only those of this customer.",
	"connection_id":   "Only what came by this connection.",
	"webhook_id":      "Only those of this webhook.",
	"event_id":        "Only those of this event.",
	"after":           "Only what has a position after this one.",
	"until":           "Only what has a position up to this one.",
	"types":           "Event types or patterns such as proposal.*, with commas between them.",
	"wait":            "How long to wait for an event where there is none yet, such as 20s.",
	"hours":           "How many hours to go back.",
}

// parameterSchema says what a query parameter may be. Where the API refuses a value beyond that,
// the refusal says why.
func parameterSchema(path, name string) object {
	switch name {
	case "limit":
		return object{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit}
	case "hours":
		return object{"type": "integer", "minimum": 1, "maximum": maxHours, "default": defaultHours}
	case "owner_id", "customer_id", "connection_id", "webhook_id", "after", "until":
		return object{"type": "integer", "format": "int64"}
	case "status":
		if path == "/v1/customers" {
			return object{"type": "integer"}
		}
	}
	return object{"type": "string"}
}

// webhooks tells what the native format sends, for each event type.
func (c *components) webhooks() (object, error) {
	envelope, err := c.file(schemas.Envelope)
	if err != nil {
		return nil, err
	}
	out := object{}
	for _, entry := range append(pipeline.Catalogue(), pipeline.Notices()...) {
		payload, err := c.file("events/" + string(entry.Type))
		if err != nil {
			return nil, err
		}
		out[string(entry.Type)] = object{"post": object{
			"summary": entry.Description, "tags": []string{tagEvents},
			"requestBody": object{"content": object{"application/json": object{"schema": object{"allOf": []object{envelope, {
				"properties": object{
					"type": object{"const": entry.Type},
					"data": object{"properties": object{"payload": payload}},
				},
			}}}}}},
			"responses": object{"2XX": object{"description": "The partner has it."}},
		}}
	}
	return out, nil
}

// showOpenAPI answers GET /openapi.json.
func (s *Server) showOpenAPI(c *gin.Context) error {
	c.Data(http.StatusOK, "application/json", s.openAPI)
	return nil
}
