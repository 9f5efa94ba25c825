package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// replaying is the body of POST /v1/webhooks/{id}/replay.
type replaying struct {
	After place    `json:"after"`
	Until place    `json:"until"`
	Types patterns `json:"types"`
}

// patterns are event types and families: a list, or a text with commas as in a query.
type patterns []string

// UnmarshalJSON reads what a schema has passed.
func (p *patterns) UnmarshalJSON(b []byte) error {
	var text string
	if b[0] != '"' {
		return json.Unmarshal(b, (*[]string)(p))
	}
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("decode types: %w", err)
	}
	*p = strings.Split(text, ",")
	return nil
}

// check refuses what a text may hold and a list may not.
func (p patterns) check(pointer string) error {
	for _, pattern := range p {
		if len(matching(pattern)) == 0 {
			return pipeline.Invalid(pipeline.FieldError{
				Pointer: pointer, Detail: fmt.Sprintf("has %q, which is no event type and no family of them", printable(pattern)),
			})
		}
	}
	return nil
}

// check refuses a range that has nothing in it.
func (in replaying) check(s *Server) error {
	var empty error
	positions := in.Until.position > 0 && in.After.position >= in.Until.position
	times := !in.Until.time.IsZero() && !in.After.time.Before(in.Until.time)
	if positions || times {
		empty = pipeline.Invalid(pipeline.FieldError{Pointer: "/until", Detail: "has to lie after the beginning of the range"})
	}
	return allInvalid(s.past(in.After.time, "/after"), in.Types.check("/types"), empty)
}

// replayEvents answers POST /v1/webhooks/{id}/replay: a range of the event store is sent once
// more, whether it was delivered or not.
func (s *Server) replayEvents(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	var in replaying
	idem, err := decodeOptionalKeyed(c, schemas.Replay, &in)
	if err != nil {
		return err
	}
	if err := in.check(s); err != nil {
		return err
	}
	return s.startReplay(c, pipeline.NewReplay{
		CompanyID: w.CompanyID, WebhookID: w.ID, Kind: pipeline.ReplayEvents,
		After: in.After.position, Since: in.After.time, Until: in.Until.position, UntilTime: in.Until.time, Types: once(in.Types),
	}, idem)
}

// recoverDeliveries answers POST /v1/webhooks/{id}/recover: what was given up, held or
// discarded since a time is sent once more.
func (s *Server) recoverDeliveries(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	var in struct {
		Since time.Time `json:"since"`
	}
	idem, err := decodeKeyed(c, schemas.Recover, &in)
	if err != nil {
		return err
	}
	if err := s.past(in.Since, "/since"); err != nil {
		return err
	}
	return s.startReplay(c, pipeline.NewReplay{
		CompanyID: w.CompanyID, WebhookID: w.ID, Kind: pipeline.ReplayRecover, Since: in.Since,
	}, idem)
}

// startReplay answers with the replay, which the webhook's workflow goes through by itself.
func (s *Server) startReplay(c *gin.Context, r pipeline.NewReplay, idem pipeline.Idempotency) error {
	ctx := c.Request.Context()
	replay, replayed, err := s.store.StartReplay(ctx, r, idem)
	if err != nil {
		return err
	}
	if replayed {
		markReplayed(c)
	} else {
		s.wake(ctx, r.WebhookID)
	}
	return accepted(c, fmt.Sprintf("%s/replays/%d", pathOf(r.WebhookID), replay.ID), replay)
}

// listReplays answers GET /v1/webhooks/{id}/replays, newest first.
func (s *Server) listReplays(c *gin.Context) error {
	query := newQuery(c)
	page := query.page()
	if err := query.err(); err != nil {
		return err
	}
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	rows, err := s.store.Replays(c.Request.Context(), w.CompanyID, w.ID, page)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, newList(rows, page, func(r pipeline.Replay) int64 { return r.ID }))
}

// getReplay answers GET /v1/webhooks/{id}/replays/{rid}: how far it has come.
func (s *Server) getReplay(c *gin.Context) error {
	w, id, err := s.replayInPath(c)
	if err != nil {
		return err
	}
	replay, err := s.store.Replay(c.Request.Context(), w.CompanyID, w.ID, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, replay)
}

// setReplay answers POST /v1/webhooks/{id}/replays/{rid}/pause, …/resume and …/cancel.
func (s *Server) setReplay(status pipeline.ReplayStatus) handler {
	return func(c *gin.Context) error {
		w, id, err := s.replayInPath(c)
		if err != nil {
			return err
		}
		if err := decodeNothing(c); err != nil {
			return err
		}
		ctx := c.Request.Context()
		replay, err := s.store.SetReplayStatus(ctx, w.CompanyID, w.ID, id, status)
		if err != nil {
			return err
		}
		if status == pipeline.ReplayRunning {
			s.wake(ctx, w.ID)
		}
		return answer(c, http.StatusOK, replay)
	}
}

// replayInPath gives the webhook and the replay's id that the path names.
func (s *Server) replayInPath(c *gin.Context) (pipeline.Webhook, int64, error) {
	id, err := pathPart(c, "rid")
	if err != nil {
		return pipeline.Webhook{}, 0, err
	}
	w, err := s.webhook(c)
	return w, id, err
}
