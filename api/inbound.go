package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// inboundReceipt is what a provider is answered.
type inboundReceipt struct {
	ID       int64                  `json:"id"`
	Status   pipeline.InboundStatus `json:"status"`
	Repeated bool                   `json:"repeated"`
}

// receiveInbound answers what a provider sends to an inbound_url: 2xx when it is kept, and not
// before. What is made of it is the workflow's matter. Of a token that is none of ours it says
// no more than of any other path that is not there.
func (s *Server) receiveInbound(c *gin.Context) error {
	token := c.Param("token")
	if err := s.gate.mayTry(c, token); err != nil {
		return err
	}
	connection, err := s.store.ConnectionByToken(c.Request.Context(), token)
	if pipeline.CodeOf(err) == pipeline.CodeNotFound {
		s.gate.failed(c)
		return pipeline.Errorf(pipeline.CodeNotFound, "there is no such route")
	}
	if err != nil {
		return err
	}
	s.gate.opened(token)
	s.scope(c, connection.CompanyID)
	in, hash, err := readInbound(c, connection)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	kept, repeated, err := s.store.KeepInbound(ctx, in, hash)
	if err != nil {
		return err
	}
	if kept.Status == pipeline.InboundUnmatched { // what it is about may be here by now
		if kept, err = s.store.RetryInbound(ctx, kept.CompanyID, kept.ID); err != nil {
			return err
		}
	}
	s.handleInbound(ctx, kept)
	return answer(c, http.StatusAccepted, inboundReceipt{ID: kept.ID, Status: kept.Status, Repeated: repeated})
}

// readInbound refuses what is no contract webhook. The hash is of the content: what is sent again
// may be spaced otherwise.
func readInbound(c *gin.Context, connection pipeline.Connection) (pipeline.Inbound, []byte, error) {
	var canonical pipeline.Object
	body, err := decode(c, schemas.SightenContract, &canonical)
	if err != nil {
		return pipeline.Inbound{}, nil, err
	}
	news, err := pipeline.ReadContractNews(body)
	if err != nil {
		return pipeline.Inbound{}, nil, err
	}
	hash := sha256.Sum256([]byte(canonical))
	return pipeline.Inbound{
		CompanyID: connection.CompanyID, ConnectionID: connection.ID, Body: pipeline.Object(body),
		DocumentStatus: pipeline.Text(news.Status), Quote: pipeline.Text(news.Quote), Site: pipeline.Text(news.Site),
		UpdatedAt: pipeline.Instant(news.UpdatedAt),
	}, hash[:], nil
}

// handleInbound starts the workflow for what is kept and not handled. It is committed, so a
// failure here is none of the caller's: the sweep will find it.
func (s *Server) handleInbound(ctx context.Context, in pipeline.Inbound) {
	if in.Status != pipeline.InboundReceived {
		return
	}
	if err := s.engine.HandleInbound(ctx, in.ID); err != nil {
		s.logger.WarnContext(ctx, "inbound not begun; the sweep will do it", "inbound_id", in.ID, "error", err)
	}
}

// listInbound answers GET /v1/inbound, newest first and without bodies.
func (s *Server) listInbound(c *gin.Context) error {
	query := newQuery(c)
	q := pipeline.InboundQuery{
		CompanyID: caller(c).CompanyID, ConnectionID: query.id("connection_id"),
		Status: pipeline.InboundStatus(query.oneOf("status",
			string(pipeline.InboundReceived), string(pipeline.InboundHandled), string(pipeline.InboundIgnored),
			string(pipeline.InboundUnmatched), string(pipeline.InboundFailed))),
		Page: query.page(),
	}
	if err := query.err(); err != nil {
		return err
	}
	rows, err := s.store.Inbox(c.Request.Context(), q)
	if err != nil {
		return err
	}
	out := make([]listedInbound, len(rows))
	for i, row := range rows {
		out[i] = listedInbound{Inbound: row}
	}
	return answer(c, http.StatusOK, newList(out, q.Page, func(in listedInbound) int64 { return in.ID }))
}

// listedInbound is one without its body.
type listedInbound struct {
	pipeline.Inbound

	Body json.RawMessage `json:"body,omitempty"`
}

// getInbound answers GET /v1/inbound/{id}.
func (s *Server) getInbound(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	in, err := s.store.Inbound(c.Request.Context(), caller(c).CompanyID, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, in)
}

// retryInbound answers POST /v1/inbound/{id}/retry: what came to nothing is handled again.
func (s *Server) retryInbound(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := decodeNothing(c); err != nil {
		return err
	}
	ctx := c.Request.Context()
	in, err := s.store.RetryInbound(ctx, caller(c).CompanyID, id)
	if err != nil {
		return err
	}
	s.handleInbound(ctx, in)
	return accepted(c, "/v1/inbound/"+strconv.FormatInt(in.ID, 10), in)
}
