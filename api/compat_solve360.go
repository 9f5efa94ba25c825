package api

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

// What Solve360 says of every answer, and the one type that its webhooks have.
const (
	solve360Success = "success"
	solve360Failed  = "failed"
	solve360Web     = "web"
)

// solve360Created is the answer to a creation, in the order of the sample ("Webhook
// Management", Create).
type solve360Created struct {
	XMLName     xml.Name `json:"-"           xml:"response"`
	Active      int      `json:"active"      xml:"active"`
	Type        string   `json:"type"        xml:"type"`
	Event       string   `json:"event"       xml:"event"`
	Title       string   `json:"title"       xml:"title"`
	URL         string   `json:"url"         xml:"url"`
	ContentType string   `json:"contenttype" xml:"contenttype"`
	Secret      string   `json:"secret"      xml:"secret"`
	Constraint  string   `json:"constrainttype" xml:"constrainttype"`
	ID          int64    `json:"id"          xml:"id"`
	Status      string   `json:"status"      xml:"status"`
}

// solve360Hook is a webhook in a list, in the order of the first one of the sample.
type solve360Hook struct {
	ID          int64  `json:"id"          xml:"id"`
	Type        string `json:"type"        xml:"type"`
	Title       string `json:"title"       xml:"title"`
	Event       string `json:"event"       xml:"event"`
	Active      int    `json:"active"      xml:"active"`
	URL         string `json:"url"         xml:"url"`
	ContentType string `json:"contenttype" xml:"contenttype"`
	Secret      string `json:"secret"      xml:"secret"`
	Constraint  string `json:"constrainttype" xml:"constrainttype"`
}

type solve360List struct {
	XMLName xml.Name      `json:"-"      xml:"response"`
	Hooks   solve360Hooks `json:"hooks"  xml:"hooks"`
	Status  string        `json:"status" xml:"status"`
}

// solve360Hooks is a list of elements in XML and a plain list in JSON.
type solve360Hooks struct {
	Hook []solve360Hook `xml:"hook"`
}

// MarshalJSON writes the list.
func (h solve360Hooks) MarshalJSON() ([]byte, error) { return json.Marshal(h.Hook) }

// solve360Done is the answer to a change or a deletion.
type solve360Done struct {
	XMLName xml.Name `json:"-"      xml:"response"`
	Status  string   `json:"status" xml:"status"`
}

// solve360Failure is an answer of which only the status is as Solve360 has it for certain.
type solve360Failure struct {
	XMLName xml.Name       `json:"-"      xml:"response"`
	Errors  solve360Errors `json:"errors" xml:"errors"`
	Status  string         `json:"status" xml:"status"`
}

type solve360Errors struct {
	Error []string `xml:"error"`
}

// MarshalJSON writes the list.
func (e solve360Errors) MarshalJSON() ([]byte, error) { return json.Marshal(e.Error) }

// hookOf is a webhook as Solve360 shows it, to whoever may see the hook: with its secret ("Webhook
// management", List).
func hookOf(w pipeline.Webhook) solve360Hook {
	h := solve360Hook{
		ID: w.ID, Type: solve360Web, Title: string(w.Description), Event: w.EventName, URL: w.URL,
		ContentType: w.ContentType, Constraint: w.Constraint, Secret: w.Signing.Secret,
	}
	if w.Active {
		h.Active = 1
	}
	if h.ContentType == "" {
		h.ContentType = pipeline.ContentXML
	}
	if h.Constraint == "" {
		h.Constraint = pipeline.ConstraintAll
	}
	return h
}

// detailsOf a hook are what the answers about it alone have.
func detailsOf(h solve360Hook) solve360Created {
	return solve360Created{
		Active: h.Active, Type: h.Type, Event: h.Event, Title: h.Title, URL: h.URL, ContentType: h.ContentType,
		Secret: h.Secret, Constraint: h.Constraint, ID: h.ID, Status: solve360Success,
	}
}

// createHook answers POST /hooks/.
func (s *Server) createHook(c *gin.Context) error {
	in, err := readSolve360(c.Request)
	if err != nil {
		return err
	}
	w, err := in.apply(webhookOf(caller(c), pipeline.FormatSolve360, ""))
	if err != nil {
		return err
	}
	if w, err = s.subscribe(c.Request.Context(), w); err != nil {
		return err
	}
	return answerSolve360(c, http.StatusOK, detailsOf(hookOf(w)))
}

// listHooks answers GET /hooks/ with all of them.
func (s *Server) listHooks(c *gin.Context) error {
	found, err := s.webhooksWhere(c, func(w pipeline.Webhook) bool { return isOf(w, pipeline.FormatSolve360) })
	if err != nil {
		return err
	}
	hooks := make([]solve360Hook, len(found))
	for i, w := range found {
		hooks[i] = hookOf(w)
	}
	return answerSolve360(c, http.StatusOK, solve360List{Hooks: solve360Hooks{hooks}, Status: solve360Success})
}

// getHook answers GET /hooks/{id}, which Solve360's page does not have and its other records do.
func (s *Server) getHook(c *gin.Context) error {
	w, err := s.compatWebhook(c, pipeline.FormatSolve360)
	if err != nil {
		return err
	}
	return answerSolve360(c, http.StatusOK, detailsOf(hookOf(w)))
}

// changeHook answers PUT /hooks/{id}.
func (s *Server) changeHook(c *gin.Context) error {
	w, err := s.compatWebhook(c, pipeline.FormatSolve360)
	if err != nil {
		return err
	}
	in, err := readSolve360(c.Request)
	if err != nil {
		return err
	}
	if _, err := s.changeWebhook(c.Request.Context(), w, in.apply); err != nil {
		return err
	}
	return answerSolve360(c, http.StatusOK, solve360Done{Status: solve360Success})
}

// deleteHook answers DELETE /hooks/{id}.
func (s *Server) deleteHook(c *gin.Context) error {
	w, err := s.compatWebhook(c, pipeline.FormatSolve360)
	if err != nil {
		return err
	}
	if err := s.unsubscribe(c.Request.Context(), w); err != nil {
		return err
	}
	return answerSolve360(c, http.StatusOK, solve360Done{Status: solve360Success})
}

// basicSecret reads the key from where Solve360 has the user's API token: the password of HTTP
// Basic. The user is the client's e-mail address, which is nothing to us.
func basicSecret(r *http.Request) (string, error) {
	_, secret, ok := r.BasicAuth()
	if !ok {
		return "", pipeline.Errorf(pipeline.CodeUnauthenticated, "send an API key as the password of HTTP Basic")
	}
	return checkSecret(secret)
}

// solve360Names are Solve360's names for what our own checks point at.
var solve360Names = map[string]string{
	"/event_name": "event", "/constraint": "constrainttype", "/content_type": "contenttype",
}

func failAsSolve360(c *gin.Context, p problem) {
	failure := solve360Failure{Errors: solve360Errors{inWords(p, solve360Names)}, Status: solve360Failed}
	if err := answerSolve360(c, p.Status, failure); err != nil { // texts: it cannot fail
		c.AbortWithStatus(http.StatusInternalServerError)
	}
}

// answerSolve360 writes XML, laid out as in the samples, or JSON for those who prefer it.
func answerSolve360(c *gin.Context, status int, v any) error {
	c.Header("Vary", "Accept")
	if prefersJSON(c.Request.Header.Values("Accept")) {
		return answer(c, status, v)
	}
	b, err := xml.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	c.Data(status, "application/xml; charset=utf-8", append(b, '\n'))
	return nil
}

// prefersJSON reports that an Accept header names application/json, and XML not before it or
// with more weight (RFC 9110, section 12.5.1).
func prefersJSON(accept []string) bool {
	var asJSON, asXML float64
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		weight := 1.0
		if q, ok := params["q"]; ok {
			weight, _ = strconv.ParseFloat(q, 64) // what is no number has no weight
		}
		switch {
		case kind == "application/json" && weight > asXML:
			asJSON = weight
		case (kind == "application/xml" || kind == "text/xml") && weight > asJSON:
			asXML = weight
		}
	}
	return asJSON > asXML
}
