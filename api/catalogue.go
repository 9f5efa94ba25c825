package api

import (
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// eventType describes an event type: what it means, what other systems call it, the schema of
// its payload, and an example of a payload and of the data that a caller gives: null for an
// operational event, which nobody asks for.
type eventType struct {
	pipeline.Entry
	Schema      json.RawMessage `json:"schema"`
	Example     json.RawMessage `json:"example"`
	DataExample json.RawMessage `json:"data_example"`
}

// describeEventTypes puts the catalogue and the schemas together.
func describeEventTypes() ([]eventType, error) {
	entries := append(pipeline.Catalogue(), pipeline.Notices()...)
	types := make([]eventType, len(entries))
	for i, entry := range entries {
		schema, err := schemas.Payload(entry.Type)
		if err != nil {
			return nil, err
		}
		example, err := schemas.Example(entry.Type)
		if err != nil {
			return nil, err
		}
		types[i] = eventType{Entry: entry, Schema: schema, Example: example}
		if entry.Type.Operational() {
			continue
		}
		if types[i].DataExample, err = schemas.DataExample(entry.Type); err != nil {
			return nil, err
		}
	}
	return types, nil
}

// listEventTypes answers GET /v1/event-types.
func (s *Server) listEventTypes(c *gin.Context) error {
	return answer(c, http.StatusOK, whole(s.eventTypes))
}
