package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

const webhooksPath = "/v1/webhooks/"

// newWebhook is the body of POST /v1/webhooks.
type newWebhook struct {
	webhookSettings
	formatSettings

	URL         string        `json:"url"`
	Events      []string      `json:"events"`
	Format      string        `json:"format"`
	Start       place         `json:"start"`
	Secret      string        `json:"secret"`
	Active      *bool         `json:"active"`
	Description pipeline.Text `json:"description"`
}

// createdWebhook is a webhook at the one moment when its secret is shown.
type createdWebhook struct {
	pipeline.Webhook

	Secret pipeline.Text `json:"secret"` // null where it has none
}

// createWebhook answers POST /v1/webhooks. The webhook belongs to the caller's key.
func (s *Server) createWebhook(c *gin.Context) error {
	var in newWebhook
	idem, err := decodeKeyed(c, schemas.CreateWebhook, &in)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	w, err := s.newWebhook(ctx, caller(c), in)
	if err != nil {
		return err
	}
	start, err := s.start(ctx, in.Start)
	if err != nil {
		return err
	}
	w, replayed, err := s.store.CreateWebhook(ctx, w, start, idem)
	if err != nil {
		return err
	}
	if replayed {
		markReplayed(c)
	} else if start.Past {
		s.wake(ctx, w.ID)
	}
	return created(c, webhooksPath, w.ID, createdWebhook{Webhook: w, Secret: pipeline.Text(w.Signing.Secret)})
}

// newWebhook puts a webhook together, with what its owner left out filled in, and refuses what
// cannot be.
func (s *Server) newWebhook(ctx context.Context, owner pipeline.Key, in newWebhook) (pipeline.Webhook, error) {
	w := webhookOf(owner, in.Format, in.URL)
	w.Active, w.Description = in.Active == nil || *in.Active, in.Description
	var errs [4]error
	w = in.formatSettings.apply(w)
	errs[0] = pipeline.CheckFormat(w)
	w.Events, errs[1] = subscription(w, in.Events)
	w.Signing.Secret, errs[2] = secretOf(w.Format, in.Secret)
	w, errs[3] = in.webhookSettings.apply(w, s.now())
	if err := allInvalid(errs[:]...); err != nil {
		return w, err
	}
	return w, allInvalid(s.targets.VetURL(ctx, w.URL), s.vetTokens(ctx, w.Auth))
}

// webhookOf is a webhook of which its owner has said no more than this.
func webhookOf(owner pipeline.Key, format, url string) pipeline.Webhook {
	if format == "" {
		format = pipeline.FormatNative
	}
	return pipeline.Webhook{
		CompanyID: owner.CompanyID, KeyID: owner.ID, URL: url, Format: format,
		Timeout: pipeline.DefaultTimeout, MaxConcurrency: pipeline.DefaultMaxConcurrency, Active: true,
	}
}

// subscription is what a webhook subscribes to: the types that its EventName comes to, where it
// has one, or else the patterns, of which those that are there twice are dropped. Each has to
// stand for something that the webhook's format can say.
func subscription(w pipeline.Webhook, patterns []string) ([]string, error) {
	if w.EventName != "" {
		if patterns != nil {
			return nil, pipeline.Invalid(pipeline.FieldError{Pointer: "/events", Detail: "follow from event_name: give one of the two"})
		}
		return typesOf(w), nil
	}
	var wrong []pipeline.FieldError
	for i, pattern := range patterns {
		if fault := unspeakable(w.Format, pattern); fault != "" {
			wrong = append(wrong, pipeline.FieldError{Pointer: fmt.Sprintf("/events/%d", i), Detail: fault})
		}
	}
	return once(patterns), pipeline.Invalid(wrong...)
}

// unspeakable says why a pattern is nothing to subscribe to, and nothing where it is.
func unspeakable(format, pattern string) string {
	types := matching(pattern)
	if len(types) == 0 {
		return "is no event type and no family of them"
	}
	for _, t := range types {
		if pipeline.Speaks(format, pipeline.EventType(t)) {
			return ""
		}
	}
	return "is nothing that " + format + " has a name for"
}

// typesOf are the event types that a webhook can be told of, as a subscription.
func typesOf(w pipeline.Webhook) []string {
	types := w.Types()
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = string(t)
	}
	return out
}

// once drops what is there twice.
func once(texts []string) []string {
	out := make([]string, 0, len(texts))
	for _, text := range texts {
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
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
	webhookSettings
	formatSettings

	URL         string                        `json:"url"`
	Events      []string                      `json:"events"`
	Format      string                        `json:"format"`
	Active      *bool                         `json:"active"`
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
	changed, err := s.changeWebhook(c.Request.Context(), w, func(w pipeline.Webhook) (pipeline.Webhook, error) {
		return in.applyTo(w, s.now())
	})
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, changed)
}

// changeWebhook vets what a change makes of a webhook, writes it, and wakes those that have
// something to do now. What is written is what the change makes of the webhook as it stands by
// then: what was changed since it was read, by another request or by an answer of 410, stays.
func (s *Server) changeWebhook(
	ctx context.Context, w pipeline.Webhook, change func(pipeline.Webhook) (pipeline.Webhook, error),
) (pipeline.Webhook, error) {
	wanted, err := change(w)
	if err != nil {
		return w, err
	}
	if err := s.vetChange(ctx, w, wanted); err != nil {
		return w, err
	}
	changed, wake, err := s.store.UpdateWebhook(ctx, w.CompanyID, w.ID, change)
	if err != nil {
		return w, err
	}
	s.wake(ctx, wake...)
	return changed, nil
}

// vetChange looks at new addresses alone: one that was fine may be saved with the rest again,
// though its name resolves to nothing at the moment.
func (s *Server) vetChange(ctx context.Context, before, after pipeline.Webhook) error {
	var errs [2]error
	if after.URL != before.URL {
		errs[0] = s.targets.VetURL(ctx, after.URL)
	}
	if after.Auth != before.Auth {
		errs[1] = s.vetTokens(ctx, after.Auth)
	}
	return allInvalid(errs[:]...)
}

// applyTo gives the webhook with what is to change changed.
func (in webhookPatch) applyTo(w pipeline.Webhook, now time.Time) (pipeline.Webhook, error) {
	if in.Format != "" && in.Format != w.Format {
		return w, pipeline.Invalid(pipeline.FieldError{Pointer: "/format", Detail: "cannot be changed: make another webhook"})
	}
	if in.URL != "" {
		w.URL = in.URL
	}
	if in.Active != nil {
		w.Active = *in.Active
	}
	if in.Description.Set {
		w.Description = in.Description.Value
	}
	var errs [3]error
	w = in.formatSettings.apply(w)
	errs[0] = pipeline.CheckFormat(w)
	if in.Events != nil || w.EventName != "" {
		w.Events, errs[1] = subscription(w, in.Events)
	}
	w, errs[2] = in.webhookSettings.apply(w, now)
	return w, allInvalid(errs[:]...)
}

// wake starts the workflows of webhooks, which have something to do now. The change that led
// to it is committed, so a failure here is none of the caller's: the sweep will find what is due.
func (s *Server) wake(ctx context.Context, webhookIDs ...int64) {
	for _, id := range webhookIDs {
		if err := s.engine.WakeWebhook(ctx, id); err != nil {
			s.logger.WarnContext(ctx, "webhook not woken; the sweep will do it", "webhook_id", id, "error", err)
		}
	}
}

// pathOf is where a webhook is to be found.
func pathOf(webhookID int64) string { return webhooksPath + strconv.FormatInt(webhookID, 10) }

// deleteWebhook answers DELETE /v1/webhooks/{id}.
func (s *Server) deleteWebhook(c *gin.Context) error {
	w, err := s.webhook(c) // whose it is
	if err != nil {
		return err
	}
	if err := s.unsubscribe(c.Request.Context(), w); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
