package api

import (
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
)

// saneRequestID is what we take over from a caller's X-Request-ID: nothing in it can break a
// log line or a header.
var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// nameRequest gives the request its id: the caller's, or a new one.
func nameRequest(c *gin.Context) {
	id := c.GetHeader("X-Request-ID")
	if !saneRequestID.MatchString(id) {
		id = uuid.NewString()
	}
	c.Set(requestKey, id)
	c.Header("X-Request-ID", id)
}

func requestID(c *gin.Context) string { return c.GetString(requestKey) }

// observe logs and counts a request when it has been answered: one line, with neither the
// query nor a header nor the body, since keys and personal data are in those.
func (s *Server) observe(c *gin.Context) {
	start := time.Now()
	c.Next()
	took := time.Since(start)
	s.metrics.observe(c, took)
	status := c.Writer.Status()
	attrs := []slog.Attr{
		slog.String("method", knownMethod(c.Request.Method)),
		slog.String("route", routePattern(c)),
		slog.Int("status", status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.String("request_id", requestID(c)),
	}
	if key := caller(c); key.ID != 0 {
		attrs = append(attrs, slog.Int64("company_id", key.CompanyID), slog.Int64("key_id", key.ID))
	}
	level := levelOf(status)
	if failure, ok := c.Value(failureKey).(error); ok {
		attrs = append(attrs, slog.Any("error", failure))
		if errors.Is(failure, errTurnedAway) { // thousands of them are one piece of news, and there are metrics
			level = slog.LevelInfo
		}
	}
	s.logger.LogAttrs(c.Request.Context(), level, "request", attrs...)
}

// levelOf: what the caller did wrong is no news to us, what we did wrong is.
func levelOf(status int) slog.Level {
	switch {
	case status == http.StatusServiceUnavailable:
		return slog.LevelWarn
	case status >= http.StatusInternalServerError:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}
