package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
)

// load is what keeps the process within its limits.
type load struct {
	commands *limiter // with Temporal
	requests *limiter // with the store
	tests    *limiter // on their way to an endpoint
	large    *limiter // bodies in memory
}

func newLoad(limits Limits, registry prometheus.Registerer) (*load, error) {
	l := &load{
		commands: newLimiter(cmp.Or(limits.Commands, DefaultMaxCommands), "commands"),
		requests: newLimiter(cmp.Or(limits.Requests, DefaultMaxRequests), "requests"),
		tests:    newLimiter(maxTests, "tests"),
		large:    newLimiter(maxLargeBodies, "large requests"),
	}
	for name, limit := range map[string]*limiter{
		"commands": l.commands, "requests": l.requests, "tests": l.tests, "large_bodies": l.large,
	} {
		if err := limit.register(registry, name); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// commandPatterns are the routes that end in a command. Where no command is taken any more they
// are refused before anything is looked at: looking costs what is short then.
var commandPatterns = []string{
	"/v1/customers", "/v1/customers/:id/transitions", "/v1/customers/:id/proposals", "/v1/customers/:id/erase",
	"/v1/proposals/:id/transitions",
}

func isCommand(r Route) bool {
	return r.Method == http.MethodPost && slices.Contains(commandPatterns, r.Path)
}

// The time that a request has for all that it does. It ends what Postgres or Temporal leave
// hanging.
const (
	readPatience  = 8 * time.Second
	writePatience = 20 * time.Second // a command may take 12 s of it
	testPatience  = 50 * time.Second // a sample's 45 s and what comes before
)

func (r Route) patience() time.Duration {
	switch {
	case slices.Contains(r.Query, "wait"):
		return readPatience + maxWait
	case strings.HasSuffix(r.Path, "/stream"):
		return streamSpan
	case strings.Contains(r.Path, "/:uuid/"): // the bytes of a document
		return downloadPatience
	case strings.HasSuffix(r.Path, "/test"):
		return testPatience
	case r.Method == http.MethodGet:
		return readPatience
	default:
		return writePatience
	}
}

// claim is what a request holds of the limits. It has a place among the requests while it works,
// and gives it back while it waits for something that is not ours: the rest of its body, news, an
// endpoint. It belongs to one goroutine.
type claim struct {
	load    *load
	command bool   // it is one, whose place is among the commands once its body is there
	entered func() // leaves the commands; nil where it has no place
	leave   func() // the requests; nil where it has no place
	release func() // the large bodies; nil where its own is none
}

type claimKey struct{}

// claimOf gives the claim of a request, one without limits where it has none.
func claimOf(ctx context.Context) *claim {
	if c, ok := ctx.Value(claimKey{}).(*claim); ok {
		return c
	}
	return &claim{}
}

// work takes a place among the requests.
func (c *claim) work(ctx context.Context) error {
	if c.load == nil || c.leave != nil {
		return nil
	}
	var err error
	c.leave, err = c.load.requests.enter(ctx)
	return err
}

// goOn takes a place once the body is there: among the commands for what is one, so that nothing is
// read from the store for a command that will then be refused.
func (c *claim) goOn(ctx context.Context) error {
	if !c.command {
		return c.work(ctx)
	}
	if c.entered != nil {
		return nil
	}
	var err error
	c.entered, err = c.load.commands.enter(ctx)
	return err
}

// rest gives it back.
func (c *claim) rest() {
	if c.leave != nil {
		c.leave()
		c.leave = nil
	}
}

// holdLarge takes a place among the large bodies, until the request is answered.
func (c *claim) holdLarge(ctx context.Context) error {
	if c.load == nil || c.release != nil {
		return nil
	}
	var err error
	c.release, err = c.load.large.enter(ctx)
	return err
}

func (c *claim) end() {
	c.rest()
	if c.entered != nil {
		c.entered()
	}
	if c.release != nil {
		c.release()
	}
}

// unlimited are the routes that say how the process is doing. They have to answer when nothing
// else does.
var unlimited = []string{"/", "/healthz", "/readyz", "/metrics"}

// within runs a request within the limits.
func (s *Server) within(c *gin.Context, route Route, f func() error) error {
	if slices.Contains(unlimited, route.Path) {
		return f()
	}
	if isCommand(route) {
		if err := s.load.commands.check(); err != nil {
			return err
		}
	}
	mine := &claim{load: s.load, command: isCommand(route)}
	defer mine.end()
	ctx, cancel := context.WithTimeout(context.WithValue(c.Request.Context(), claimKey{}, mine), route.patience())
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	if err := mine.work(ctx); err != nil {
		return err
	}
	return f()
}

// boundedEngine is an engine that is asked no more at a time than it can answer.
type boundedEngine struct {
	Engine

	load *load
}

// Submit takes a place among the commands, where the request has none, and learns from how long
// the command took.
func (e boundedEngine) Submit(ctx context.Context, s workflows.Submission) (workflows.Outcome, error) {
	mine := claimOf(ctx)
	mine.rest()
	if mine.entered == nil {
		leave, err := e.load.commands.enter(ctx)
		if err != nil {
			return workflows.Outcome{}, err
		}
		defer leave()
	}
	began := time.Now()
	out, err := e.Engine.Submit(ctx, s)
	now := time.Now()
	took := now.Sub(began)
	if err != nil && errors.Is(context.Cause(ctx), context.Canceled) && took <= slowCommand {
		return out, err // the caller hung up, which says nothing about how long it would have taken
	}
	e.load.commands.learn(took, pipeline.CodeOf(err) == pipeline.CodeUnavailable, now)
	return out, err
}

// SendTest waits for a place among the tests: a slow endpoint is no reason to refuse commands.
func (e boundedEngine) SendTest(ctx context.Context, t workflows.TestInput) (workflows.TestResult, error) {
	claimOf(ctx).rest()
	leave, err := e.load.tests.enter(ctx)
	if err != nil {
		return workflows.TestResult{}, err
	}
	defer leave()
	return e.Engine.SendTest(ctx, t)
}
