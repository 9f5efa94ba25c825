package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// place is where in the event store something begins or ends, in the words of a request: a
// position, a time, or "beginning". It is absent where the request has none.
type place struct {
	given    bool
	position int64
	time     time.Time
}

// beginning stands for the position before the first event.
const beginning = "beginning"

// UnmarshalJSON reads what a schema has passed.
func (p *place) UnmarshalJSON(b []byte) error {
	*p = place{given: string(b) != "null"}
	if b[0] != '"' {
		return json.Unmarshal(b, &p.position)
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil || text == beginning {
		return err
	}
	return json.Unmarshal(b, &p.time)
}

// past refuses a time that has not come yet, by any clock: nobody can mean it.
func (s *Server) past(t time.Time, pointer string) error {
	if !t.After(s.now().Add(maxAhead)) {
		return nil
	}
	return pipeline.Invalid(pipeline.FieldError{Pointer: pointer, Detail: "lies in the future"})
}

// start says where a new webhook begins.
func (s *Server) start(ctx context.Context, p place) (pipeline.Start, error) {
	start := pipeline.Start{Past: p.given, After: p.position, Since: p.time}
	if err := s.past(p.time, "/start"); err != nil || p.position == 0 {
		return start, err
	}
	last, err := s.store.LastPosition(ctx)
	if err != nil {
		return start, err
	}
	if p.position > last {
		return start, pipeline.Invalid(pipeline.FieldError{Pointer: "/start", Detail: "is a position that no event has had yet"})
	}
	return start, nil
}
