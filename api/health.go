package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

// about answers GET /: a first sign of life for somebody who follows the address of the API. Which
// version this is, and so which faults it may have, is for those with a key.
func (s *Server) about(c *gin.Context) error {
	version := ""
	if c.GetHeader("Authorization") != "" && s.authenticate(c) == nil {
		version = s.version
	}
	return answer(c, http.StatusOK, aboutAnswer{"dealwright", version})
}

type aboutAnswer struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

type healthAnswer struct {
	Status string `json:"status"`
}

// healthz answers GET /healthz: the process is up. It asks nobody else, since a restart of
// this process would not help them.
func (*Server) healthz(c *gin.Context) error {
	return answer(c, http.StatusOK, healthAnswer{"ok"})
}

// readyPatience is how long what we depend on may take to say that it is there.
const readyPatience = 2 * time.Second

// readyz answers GET /readyz: requests sent here can succeed, or 503 with what is missing.
func (s *Server) readyz(c *gin.Context) error {
	select {
	case <-s.draining:
		return pipeline.Errorf(pipeline.CodeUnavailable, "not ready: the server is shutting down")
	default:
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyPatience)
	defer cancel()
	var store, engine error
	var checks sync.WaitGroup
	checks.Go(func() { store = s.store.Ping(ctx) })
	checks.Go(func() { engine = s.engine.Ping(ctx) })
	checks.Wait()
	if err := errors.Join(store, engine); err != nil {
		return fmt.Errorf("%w: %w", notReady(store, engine), err)
	}
	return answer(c, http.StatusOK, healthAnswer{"ready"})
}

// notReady is what the caller gets to see of why we are not ready.
func notReady(store, engine error) error {
	var missing []string
	if store != nil {
		missing = append(missing, "Postgres")
	}
	if engine != nil {
		missing = append(missing, "Temporal")
	}
	return pipeline.Errorf(pipeline.CodeUnavailable, "not ready: %s cannot be reached", strings.Join(missing, " and "))
}
