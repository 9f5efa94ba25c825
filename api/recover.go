package api

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/gin-gonic/gin"
)

// survive answers a request whose handler panicked with an internal error. The caller learns
// nothing of it but the request id, under which the log has the stack.
func (s *Server) survive(c *gin.Context) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		s.logger.ErrorContext(c.Request.Context(), "a handler panicked",
			slog.String("request_id", requestID(c)), slog.Any("cause", cause), slog.String("stack", string(debug.Stack())))
		if c.Writer.Written() { // too late to say anything else
			c.Abort()
			return
		}
		s.fail(c, fmt.Errorf("panic: %v", cause))
	}()
	c.Next()
}
