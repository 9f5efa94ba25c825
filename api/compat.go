package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

// A dialect is how the routes of another system are spoken: how the caller says who it is, and
// what an error looks like. Such routes answer as that system does, so that a client written
// against it works here too. They write the same webhooks as /v1/webhooks.
type dialect struct {
	root   string // of its paths
	secret func(r *http.Request) (string, error)
	fail   func(c *gin.Context, p problem)
	// challenge is what a 401 asks for.
	challenge string
	// keyLast: a request's key is looked at after its body, by the handler.
	keyLast bool
}

var dialects = []dialect{
	{root: "/apidata.php", secret: solarProofSecret, fail: failAsSolarProof, keyLast: true},
	{root: "/hooks", secret: basicSecret, fail: failAsSolve360, challenge: `Basic realm="dealwright", charset="UTF-8"`},
	{root: "/api_trigger_events", secret: bearer, fail: failAsSolo, challenge: bearerChallenge},
	{root: "/api/v1/document", secret: sightenKey, fail: failAsSighten, challenge: bearerChallenge},
}

// dialectOf a request, nil where it is for our own routes.
func dialectOf(c *gin.Context) *dialect { return dialectFor(c.Request.URL.Path) }

func dialectFor(path string) *dialect {
	for i, d := range dialects {
		if path == d.root || strings.HasPrefix(path, d.root+"/") {
			return &dialects[i]
		}
	}
	return nil
}

const (
	// maxCompatBody is how large a body of a compat route may be, in bytes: far more than a
	// webhook needs in any encoding.
	maxCompatBody = 64 << 10
	// maxURL is how long a webhook's URL may be; /v1/webhooks has the same bound.
	maxURL = 2000
	// placeholder stands for a credential in answers of systems that show theirs. Sent back, it
	// leaves the credential as it is.
	placeholder = "********"
)

// readCompat reads a body of any type. None is the same as an empty one.
func readCompat(r *http.Request) ([]byte, error) {
	if err := checkEncoding(r.Header); err != nil {
		return nil, err
	}
	return readAtMost(r, maxCompatBody)
}

// wholeURL reports that a text has the form of an address that a webhook may have. Whether it
// may be reached is for Targets to say, which looks names up: that is not done for strangers.
func wholeURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= maxURL && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		isVisibleASCII(text)
}

// subscribe records a webhook that a compat route has put together.
func (s *Server) subscribe(ctx context.Context, w pipeline.Webhook) (pipeline.Webhook, error) {
	if err := allInvalid(s.targets.VetURL(ctx, w.URL), s.vetTokens(ctx, w.Auth)); err != nil {
		return w, err
	}
	created, _, err := s.store.CreateWebhook(ctx, w, pipeline.Start{}, pipeline.Idempotency{})
	return created, err
}

// unsubscribe ends a webhook, and its workflow where that sleeps until a next attempt.
func (s *Server) unsubscribe(ctx context.Context, w pipeline.Webhook) error {
	if err := s.store.DeleteWebhook(ctx, w.CompanyID, w.ID); err != nil {
		return err
	}
	s.wake(ctx, w.ID)
	return nil
}

// compatWebhook reads the webhook that the path names, if the caller may see it and its system
// could have it.
func (s *Server) compatWebhook(c *gin.Context, format string) (pipeline.Webhook, error) {
	w, err := s.webhook(c)
	if err == nil && !isOf(w, format) {
		err = pipeline.Errorf(pipeline.CodeNotFound, "there is no such webhook")
	}
	return w, err
}

// isOf reports that a webhook is one that the system of a format could have: for one event. Those
// for several are made at /v1/webhooks, and are to be seen there alone.
func isOf(w pipeline.Webhook, format string) bool { return w.Format == format && w.EventName != "" }

// webhooksWhere lists the webhooks that the caller may see and that fit, oldest first.
func (s *Server) webhooksWhere(c *gin.Context, fits func(pipeline.Webhook) bool) ([]pipeline.Webhook, error) {
	var out []pipeline.Webhook
	page := pipeline.Page{Limit: maxLimit}
	for {
		rows, err := s.store.Webhooks(c.Request.Context(), caller(c).CompanyID, partnerKey(c), page)
		if err != nil {
			return nil, err
		}
		for _, w := range rows {
			if fits(w) {
				out = append(out, w)
			}
		}
		if len(rows) < page.Limit {
			return oldestFirst(out), nil
		}
		page.Cursor = rows[len(rows)-1].ID
	}
}

func oldestFirst(rows []pipeline.Webhook) []pipeline.Webhook {
	out := make([]pipeline.Webhook, len(rows))
	for i, w := range rows {
		out[len(rows)-1-i] = w
	}
	return out
}

// inWords says what is wrong in the words of a system, one sentence for each fault: fields are
// its names for ours, by pointer.
func inWords(p problem, fields map[string]string) []string {
	if len(p.Errors) == 0 {
		return []string{p.Detail}
	}
	out := make([]string, len(p.Errors))
	for i, fault := range p.Errors {
		name, ok := fields[fault.Pointer]
		if !ok {
			name = strings.ReplaceAll(strings.TrimPrefix(fault.Pointer, "/"), "/", ".")
		}
		out[i] = strings.TrimSpace(name + " " + fault.Detail)
	}
	return out
}

// wrong says what is wrong with a field, by its own system's name for it.
func wrong(field, format string, args ...any) error {
	return pipeline.Invalid(pipeline.FieldError{Pointer: "/" + field, Detail: fmt.Sprintf(format, args...)})
}

// isInvalid reports that an error is a refusal of the input.
func isInvalid(err error) bool {
	e, ok := errors.AsType[*pipeline.Error](err)
	return ok && e.Code == pipeline.CodeInvalid
}
