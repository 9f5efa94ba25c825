package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

// answers is the one map from an error's code to what the caller gets. A code that is not
// here is an internal error.
var answers = map[pipeline.Code]struct {
	status int
	title  string
}{
	pipeline.CodeInvalid:              {http.StatusUnprocessableEntity, "The input is not valid"},
	pipeline.CodeIdempotencyKeyReused: {http.StatusUnprocessableEntity, "The Idempotency-Key was used for another request"},
	pipeline.CodeIllegalTransition:    {http.StatusConflict, "This may not happen now"},
	pipeline.CodeConflict:             {http.StatusConflict, "This does not go with how things stand"},
	pipeline.CodeNotFound:             {http.StatusNotFound, "Not found"},
	pipeline.CodeUnauthenticated:      {http.StatusUnauthorized, "A valid API key is needed"},
	pipeline.CodeForbidden:            {http.StatusForbidden, "The API key does not reach that far"},
	pipeline.CodeMethodNotAllowed:     {http.StatusMethodNotAllowed, "Method not allowed"},
	pipeline.CodeRequestTimeout:       {http.StatusRequestTimeout, "The request took too long to come"},
	pipeline.CodeTooLarge:             {http.StatusRequestEntityTooLarge, "The body is too large"},
	pipeline.CodeUnsupportedMediaType: {http.StatusUnsupportedMediaType, "Unsupported media type"},
	pipeline.CodeRateLimited:          {http.StatusTooManyRequests, "Too many requests"},
	pipeline.CodeUnavailable:          {http.StatusServiceUnavailable, "Not available now"},
	pipeline.CodeInternal:             {http.StatusInternalServerError, "Something failed on our side"},
}

// problem is an error as a caller gets it (RFC 9457).
type problem struct {
	Type      string               `json:"type"`
	Title     string               `json:"title"`
	Status    int                  `json:"status"`
	Detail    string               `json:"detail"`
	Code      pipeline.Code        `json:"code"`
	RequestID string               `json:"request_id"`
	Errors    []fault              `json:"errors,omitempty"`
	Allowed   []pipeline.EventType `json:"allowed,omitzero"` // there for an illegal transition, even if nothing is legal
}

// fault is one thing that is wrong with the input: in the body at Pointer, or with the query
// parameter of that name.
type fault struct {
	Pointer   string `json:"pointer"`
	Parameter string `json:"parameter,omitempty"`
	Detail    string `json:"detail"`
}

const contentTypeProblem = "application/problem+json"

// fail answers with the problem that an error stands for.
func (s *Server) fail(c *gin.Context, err error) {
	p := newProblem(err, requestID(c))
	if p.Status >= http.StatusInternalServerError {
		c.Set(failureKey, err)
	}
	c.Abort()
	if d := dialectOf(c); d != nil {
		explainStatus(c, p.Status, d.challenge)
		d.fail(c, p)
		return
	}
	challenge := bearerChallenge
	if c.FullPath() == codecRoot+"login" {
		challenge = basicChallenge
	}
	explainStatus(c, p.Status, challenge)
	writeAs(c, p.Status, contentTypeProblem, p)
}

// writeJSON sends a value that has nothing in it but texts, numbers and the like, as JSON.
func writeJSON(c *gin.Context, status int, v any) { writeAs(c, status, "application/json", v) }

func writeAs(c *gin.Context, status int, contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil { // which cannot be
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.Data(status, contentType, b)
}

// bearerChallenge asks for a key as our own routes take it.
const bearerChallenge = `Bearer realm="dealwright"` //nolint:gosec // it asks for a credential and is none

// longestRetry is after how many seconds at most those who are turned away are to try again: not
// all of them at the same time.
const longestRetry = 3

// explainStatus sets the headers that go with a status; challenge is for those who did not say
// who they are.
func explainStatus(c *gin.Context, status int, challenge string) {
	switch status {
	case http.StatusUnauthorized:
		c.Header("WWW-Authenticate", challenge)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if c.Writer.Header().Get("Retry-After") == "" {
			c.Header("Retry-After", strconv.Itoa(1+rand.IntN(longestRetry)))
		}
	}
}

func newProblem(err error, requestID string) problem {
	e := known(err)
	kind := answers[e.Code]
	p := problem{
		Type:      "urn:dealwright:problem:" + string(e.Code),
		Title:     kind.title,
		Status:    kind.status,
		Detail:    e.Message,
		Code:      e.Code,
		RequestID: requestID,
		Errors:    faults(e.Fields),
	}
	if e.Code == pipeline.CodeIllegalTransition {
		p.Allowed = append([]pipeline.EventType{}, e.Allowed...)
	}
	return p
}

// known finds the error that a caller may see. What an internal error says is for the log.
func known(err error) *pipeline.Error {
	var e *pipeline.Error
	if errors.As(err, &e) && e.Code != pipeline.CodeInternal {
		if _, ok := answers[e.Code]; ok {
			return e
		}
	}
	return pipeline.Errorf(pipeline.CodeInternal, "the request id leads to what happened in our log")
}

// parameterMark begins the pointer of a FieldError that is about a query parameter. No JSON
// pointer begins with it, so the two cannot be mistaken for each other.
const parameterMark = "?"

func badParameter(name, format string, args ...any) pipeline.FieldError {
	return pipeline.FieldError{Pointer: parameterMark + name, Detail: fmt.Sprintf(format, args...)}
}

func faults(fields []pipeline.FieldError) []fault {
	out := make([]fault, len(fields))
	for i, f := range fields {
		out[i] = fault{Pointer: f.Pointer, Detail: f.Detail}
		if name, ok := strings.CutPrefix(f.Pointer, parameterMark); ok {
			out[i] = fault{Parameter: name, Detail: "the parameter " + name + " " + f.Detail}
		}
	}
	return out
}

// invalid says that the input as a whole, or a header of it, is wrong.
func invalid(format string, args ...any) error {
	return pipeline.Invalid(pipeline.FieldError{Detail: fmt.Sprintf(format, args...)})
}

// allInvalid makes one refusal of several. An error that is no refusal of the input comes
// first.
func allInvalid(errs ...error) error {
	var fields []pipeline.FieldError
	for _, err := range errs {
		if err == nil {
			continue
		}
		e, ok := errors.AsType[*pipeline.Error](err)
		if !ok || e.Code != pipeline.CodeInvalid {
			return err
		}
		fields = append(fields, e.Fields...)
	}
	return pipeline.Invalid(fields...)
}
