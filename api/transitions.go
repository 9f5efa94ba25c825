package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
	"github.com/dealwright/dealwright/workflows"
)

// newTransition is the body of POST /v1/customers/{id}/transitions and of the proposals' one.
type newTransition struct {
	Type       pipeline.EventType `json:"type"`
	Data       json.RawMessage    `json:"data"`
	Actor      pipeline.Actor     `json:"actor"`
	OccurredAt *time.Time         `json:"occurred_at"`
}

// transitionAnswer is the event that happened, the entity after it, and what is legal next.
type transitionAnswer struct {
	Event   pipeline.Event       `json:"event"`
	State   json.RawMessage      `json:"state"`
	Allowed []pipeline.EventType `json:"allowed"`
}

// transition answers POST /v1/{customers,proposals}/{id}/transitions. This is the hot path:
// beside the caller's key it reads one row before the command goes to the workflow.
func (s *Server) transition(kind pipeline.Kind) handler {
	return func(c *gin.Context) error {
		id, err := pathID(c)
		if err != nil {
			return err
		}
		var in newTransition
		idem, err := decodeKeyed(c, schemas.Transition, &in)
		if err != nil {
			return err
		}
		ctx, companyID := c.Request.Context(), caller(c).CompanyID
		cmd, err := s.transitionCommand(ctx, companyID, kind, in)
		if err != nil {
			return err
		}
		stream := pipeline.StreamOf(kind, id)
		target, err := s.store.Target(ctx, companyID, stream, id, idem)
		if err != nil {
			return err
		}
		if target.EventID != "" {
			return s.replayTransition(c, target.EventID)
		}
		if target.Erased { // no workflow is to hear of it: what the command says would be kept there
			return pipeline.NotForErased()
		}
		command := commandID(idem)
		outcome, err := s.engine.Submit(ctx, workflows.Submission{
			Stream: stream, CompanyID: companyID, CustomerID: target.CustomerID, ID: id, StoreVersion: target.Version,
			Command: cmd, CommandID: command, Idempotency: idem,
		})
		if err == nil {
			return answerTransition(c, outcome.Event, outcome.Allowed)
		}
		e, err := s.happened(c, pipeline.EventID(stream, command), err)
		if err != nil {
			return err
		}
		allowed, err := allowedAfter(e)
		if err != nil {
			return err
		}
		return answerTransition(c, e, allowed)
	}
}

// happened gives the event of a command that was refused although it happened: where a workflow
// task is lost after its event was recorded, Temporal's client sends the update again, and that one
// is refused since it has happened already. Where there is no such event, the refusal stands.
func (s *Server) happened(c *gin.Context, eventID string, refusal error) (pipeline.Event, error) {
	if code := pipeline.CodeOf(refusal); code != pipeline.CodeIllegalTransition && code != pipeline.CodeInvalid {
		return pipeline.Event{}, refusal
	}
	e, err := s.store.Event(c.Request.Context(), caller(c).CompanyID, eventID)
	if pipeline.CodeOf(err) == pipeline.CodeNotFound {
		return pipeline.Event{}, refusal
	}
	return e, err
}

// transitionCommand checks what can be checked without knowing where the entity stands. The
// data of an event that this kind of entity never has is not looked at: the answer is what is
// legal, not what is missing.
func (s *Server) transitionCommand(
	ctx context.Context, companyID int64, kind pipeline.Kind, in newTransition,
) (pipeline.Command, error) {
	entry, ok := pipeline.Lookup(in.Type)
	if !ok {
		return pipeline.Command{}, pipeline.Invalid(pipeline.FieldError{Pointer: "/type", Detail: "is not an event type"})
	}
	at, err := s.occurredAt(in.OccurredAt)
	if err != nil {
		return pipeline.Command{}, err
	}
	cmd := pipeline.Command{Type: in.Type, Data: in.Data, Actor: in.Actor, OccurredAt: at}
	if !slices.Contains(entry.Kinds, kind) || in.Type == pipeline.TypeCustomerCreated {
		return cmd, nil // never legal here, whatever its data
	}
	if err := schemas.ValidateData(in.Type, in.Data, "/data"); err != nil {
		return pipeline.Command{}, err
	}
	if in.Type == pipeline.TypeCustomerStatusChanged {
		cmd.Data, err = s.statusChange(ctx, companyID, in.Data)
	}
	return cmd, err
}

// statusChange fills in the name of the new status, which the lifecycle cannot look up.
func (s *Server) statusChange(ctx context.Context, companyID int64, data json.RawMessage) (json.RawMessage, error) {
	var in struct {
		Status int    `json:"status"`
		Reason string `json:"reason"`
	}
	if err := unmarshal(data, &in); err != nil {
		return nil, err
	}
	name, err := s.statuses.name(ctx, companyID, in.Status, "/data/status")
	if err != nil {
		return nil, err
	}
	return json.Marshal(pipeline.CustomerStatusChanged{Status: in.Status, StatusName: name, Reason: in.Reason})
}

// The bounds of occurred_at: a caller's clock may be a little fast, and nothing in a pipeline
// is older than this century.
const maxAhead = 5 * time.Minute

var earliest = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// occurredAt is when the event happened: now, where the caller does not say.
func (s *Server) occurredAt(given *time.Time) (time.Time, error) {
	now := s.clock()
	if given == nil {
		return now, nil
	}
	at := given.UTC().Truncate(time.Millisecond)
	if at.Before(earliest) || at.After(now.Add(maxAhead)) {
		return time.Time{}, pipeline.Invalid(pipeline.FieldError{
			Pointer: "/occurred_at", Detail: "has to lie between the year 2000 and five minutes from now",
		})
	}
	return at, nil
}

// clock is the time in UTC to the millisecond, as it stands in events.
func (s *Server) clock() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// replayTransition answers what the first request with this idempotency key led to, with the
// state and what was legal then.
func (s *Server) replayTransition(c *gin.Context, eventID string) error {
	e, err := s.store.Event(c.Request.Context(), caller(c).CompanyID, eventID)
	if err != nil {
		return err
	}
	allowed, err := allowedAfter(e)
	if err != nil {
		return err
	}
	markReplayed(c)
	return answerTransition(c, e, allowed)
}

func allowedAfter(e pipeline.Event) ([]pipeline.EventType, error) {
	if e.Stream.Kind() == pipeline.KindCustomer {
		customer, err := stateAfter[pipeline.Customer](e)
		return customer.Allowed(), err
	}
	proposal, err := stateAfter[pipeline.Proposal](e)
	return proposal.Allowed(), err
}

// stateAfter is the entity after an event.
func stateAfter[S any](e pipeline.Event) (S, error) {
	var state S
	if err := json.Unmarshal(e.State, &state); err != nil {
		return state, fmt.Errorf("state after event %s: %w", e.ID, err)
	}
	return state, nil
}

func answerTransition(c *gin.Context, e pipeline.Event, allowed []pipeline.EventType) error {
	return answer(c, http.StatusCreated, transitionAnswer{Event: e, State: e.State, Allowed: allowed})
}
