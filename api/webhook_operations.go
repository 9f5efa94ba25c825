package api

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
	"github.com/dealwright/dealwright/workflows"
)

// enabling is the body of POST /v1/webhooks/{id}/enable.
type enabling struct {
	SkipHeld bool `json:"skip_held"`
}

// enableWebhook answers POST /v1/webhooks/{id}/enable: what was held is sent, in order, or
// discarded.
func (s *Server) enableWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	var in enabling
	if _, err := decodeOptional(c, schemas.EnableWebhook, &in); err != nil {
		return err
	}
	ctx := c.Request.Context()
	w, wake, err := s.store.EnableWebhook(ctx, w.CompanyID, w.ID, in.SkipHeld)
	if err != nil {
		return err
	}
	s.wake(ctx, wake...)
	return answer(c, http.StatusOK, w)
}

// disableWebhook answers POST /v1/webhooks/{id}/disable: from now on events are held.
func (s *Server) disableWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	if err := decodeNothing(c); err != nil {
		return err
	}
	ctx := c.Request.Context()
	w, wake, err := s.store.DisableWebhook(ctx, w.CompanyID, w.ID)
	if err != nil {
		return err
	}
	s.wake(ctx, wake...)
	return answer(c, http.StatusOK, w)
}

// sampleSent says what came of a sample.
type sampleSent struct {
	Delivered bool             `json:"delivered"`
	Attempt   pipeline.Attempt `json:"attempt"`
}

// canBeTold reports that the format of a webhook has a name for events of the type, and that the
// webhook, where it is for one name only, is for that one.
func canBeTold(w pipeline.Webhook, t pipeline.EventType) bool {
	return w.Format == pipeline.FormatNative || slices.Contains(w.Types(), t)
}

// testWebhook answers POST /v1/webhooks/{id}/test: it sends a sample of a type, whether or not
// the webhook is active or its events name it, and answers with what came of it.
func (s *Server) testWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	var in struct {
		Type pipeline.EventType `json:"type"`
	}
	if _, err := decode(c, schemas.TestWebhook, &in); err != nil {
		return err
	}
	if !canBeTold(w, in.Type) {
		return pipeline.Invalid(pipeline.FieldError{
			Pointer: "/type", Detail: "is nothing that this webhook, of the format " + w.Format + ", can be told of",
		})
	}
	e, customer, err := sample(w, in.Type, s.clock())
	if err != nil {
		return err
	}
	result, err := s.engine.SendTest(c.Request.Context(), workflows.TestInput{
		CompanyID: w.CompanyID, WebhookID: w.ID, Event: e, Customer: customer,
	})
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, sampleSent{Delivered: result.Delivered, Attempt: result.Attempt})
}
