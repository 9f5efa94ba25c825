package api

import (
	"encoding/json"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
	"github.com/dealwright/dealwright/workflows"
)

// newErasure is the body of POST /v1/customers/{id}/erase.
type newErasure struct {
	Reason string         `json:"reason"`
	Actor  pipeline.Actor `json:"actor"`
}

// eraseCustomer answers POST /v1/customers/{id}/erase: what is personal of the customer is gone
// for good when the answer comes, but for the histories of workflows and the bytes of documents,
// which are deleted right after it.
func (s *Server) eraseCustomer(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var in newErasure
	idem, err := decodeOptionalKeyed(c, schemas.EraseCustomer, &in)
	if err != nil {
		return err
	}
	data, err := json.Marshal(pipeline.CustomerErased{Reason: in.Reason})
	if err != nil {
		return err
	}
	ctx, companyID, stream := c.Request.Context(), caller(c).CompanyID, pipeline.StreamOf(pipeline.KindCustomer, id)
	target, err := s.store.Target(ctx, companyID, stream, id, idem)
	if err != nil {
		return err
	}
	switch {
	case target.EventID != "":
		return s.replayTransition(c, target.EventID)
	case target.Erased:
		return pipeline.NotForErased()
	}
	command := commandID(idem)
	outcome, err := s.engine.Submit(ctx, workflows.Submission{
		Stream: stream, CompanyID: companyID, CustomerID: id, ID: id, StoreVersion: target.Version,
		Command:   pipeline.Command{Type: pipeline.TypeCustomerErased, Data: data, Actor: in.Actor, OccurredAt: s.clock()},
		CommandID: command, Idempotency: idem,
	})
	if err == nil {
		return answerTransition(c, outcome.Event, outcome.Allowed)
	}
	e, err := s.happened(c, pipeline.EventID(stream, command), err)
	if err != nil {
		return err
	}
	return answerTransition(c, e, []pipeline.EventType{}) // nothing is legal any more
}
