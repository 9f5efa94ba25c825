package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

const webhooksPath = "/v1/webhooks/"

// newWebhook is the body of POST /v1/webhooks.
type newWebhook struct {
	URL         string        `json:"url"`
	Events      []string      `json:"events"`
	Format      string        `json:"format"`
	Secret      string        `json:"secret"`
	Active      *bool         `json:"active"`
	Ordered     bool          `json:"ordered"`
	Description pipeline.Text `json:"description"`
}

// createdWebhook is a webhook at the one moment when its secret is shown.
type createdWebhook struct {
	pipeline.Webhook
	Secret string `json:"secret"`
}

// createWebhook answers POST /v1/webhooks. The webhook belongs to the caller's key.
func (s *Server) createWebhook(c *gin.Context) error {
	var in newWebhook
	idem, err := decodeKeyed(c, schemas.CreateWebhook, &in)
	if err != nil {
		return err
	}
	w := pipeline.Webhook{
		CompanyID: caller(c).CompanyID, KeyID: caller(c).ID,
		URL: in.URL, Format: in.Format, Signing: pipeline.Signing{Secret: in.Secret},
		Active: in.Active == nil || *in.Active, Ordered: in.Ordered, Description: in.Description,
	}
	if w.Format == "" {
		w.Format = pipeline.FormatNative
	}
	if w.Signing.Secret == "" {
		w.Signing.Secret = newSecret()
	}
	if w.Events, err = subscription(in.Events); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.targets.VetURL(ctx, w.URL); err != nil {
		return err
	}
	w, replayed, err := s.store.CreateWebhook(ctx, w, idem)
	if err != nil {
		return err
	}
	if replayed {
		markReplayed(c)
	}
	return created(c, webhooksPath, w.ID, createdWebhook{Webhook: w, Secret: w.Signing.Secret})
}

// newSecret makes a signing secret in the form that Standard Webhooks gives it.
func newSecret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

// subscription checks the patterns of a webhook and drops those that are there twice.
func subscription(patterns []string) ([]string, error) {
	seen := map[string]bool{}
	once := make([]string, 0, len(patterns))
	for i, pattern := range patterns {
		if len(matching(pattern)) == 0 {
			return nil, pipeline.Invalid(pipeline.FieldError{
				Pointer: fmt.Sprintf("/events/%d", i), Detail: "is no event type and no family of them",
			})
		}
		if !seen[pattern] {
			seen[pattern] = true
			once = append(once, pattern)
		}
	}
	return once, nil
}

// listWebhooks answers GET /v1/webhooks, newest first.
func (s *Server) listWebhooks(c *gin.Context) error {
	query := newQuery(c)
	page := query.page()
	if err := query.err(); err != nil {
		return err
	}
	rows, err := s.store.Webhooks(c.Request.Context(), caller(c).CompanyID, partnerKey(c), page)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, newList(rows, page, func(w pipeline.Webhook) int64 { return w.ID }))
}

// getWebhook answers GET /v1/webhooks/{id}.
func (s *Server) getWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, w)
}

// webhook reads the webhook that the path names, if the caller may see it.
func (s *Server) webhook(c *gin.Context) (pipeline.Webhook, error) {
	id, err := pathID(c)
	if err != nil {
		return pipeline.Webhook{}, err
	}
	return s.store.Webhook(c.Request.Context(), caller(c).CompanyID, partnerKey(c), id)
}

// webhookPatch is the body of PATCH /v1/webhooks/{id}: what is there is changed.
type webhookPatch struct {
	URL         string                        `json:"url"`
	Events      []string                      `json:"events"`
	Format      string                        `json:"format"`
	Active      *bool                         `json:"active"`
	Ordered     *bool                         `json:"ordered"`
	Description pipeline.Given[pipeline.Text] `json:"description"`
}

// patchWebhook answers PATCH /v1/webhooks/{id}.
func (s *Server) patchWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	var in webhookPatch
	if _, err := decode(c, schemas.PatchWebhook, &in); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if in.URL != "" && in.URL != w.URL {
		if err := s.targets.VetURL(ctx, in.URL); err != nil {
			return err
		}
	}
	if w, err = in.apply(w); err != nil {
		return err
	}
	w, released, err := s.store.UpdateWebhook(ctx, w)
	if err != nil {
		return err
	}
	if released {
		s.wake(ctx, w.ID)
	}
	return answer(c, http.StatusOK, w)
}

// apply gives the webhook with what is to change changed.
func (in webhookPatch) apply(w pipeline.Webhook) (pipeline.Webhook, error) {
	if in.Format != "" && in.Format != w.Format {
		return w, pipeline.Invalid(pipeline.FieldError{Pointer: "/format", Detail: "cannot be changed: make another webhook"})
	}
	if in.URL != "" {
		w.URL = in.URL
	}
	if in.Active != nil {
		w.Active = *in.Active
	}
	if in.Ordered != nil {
		w.Ordered = *in.Ordered
	}
	if in.Description.Set {
		w.Description = in.Description.Value
	}
	if in.Events == nil {
		return w, nil
	}
	var err error
	w.Events, err = subscription(in.Events)
	return w, err
}

// wake starts a webhook's workflow, which has something to do now. The change that led to it
// is committed, so a failure here is none of the caller's: the sweep will find what is due.
func (s *Server) wake(ctx context.Context, webhookID int64) {
	if err := s.engine.WakeWebhook(ctx, webhookID); err != nil {
		s.logger.WarnContext(ctx, "webhook not woken; the sweep will do it", "webhook_id", webhookID, "error", err)
	}
}

// deleteWebhook answers DELETE /v1/webhooks/{id}.
func (s *Server) deleteWebhook(c *gin.Context) error {
	w, err := s.webhook(c) // whose it is
	if err != nil {
		return err
	}
	if err := s.store.DeleteWebhook(c.Request.Context(), w.CompanyID, w.ID); err != nil {
		return err
	}
	s.wake(c.Request.Context(), w.ID) // a workflow that sleeps until a next attempt ends now
	c.Status(http.StatusNoContent)
	return nil
}
