package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traceRequest makes a span of the request, as part of the caller's trace where it has one. Its
// name is the route's pattern; nothing of the query is in it, since one of the systems that we
// speak for has its keys there. Without a tracer provider this does nothing.
func traceRequest(c *gin.Context) {
	ctx := otel.GetTextMapPropagator().Extract(c.Request.Context(), propagation.HeaderCarrier(c.Request.Header))
	ctx, span := otel.Tracer("dealwright/api").Start(ctx, knownMethod(c.Request.Method)+" "+routePattern(c),
		trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
	status := c.Writer.Status()
	span.SetAttributes(attribute.Int("http.response.status_code", status), attribute.String("http.route", routePattern(c)),
		attribute.String("dealwright.request_id", requestID(c)))
	if key := caller(c); key.ID != 0 {
		span.SetAttributes(attribute.Int64("dealwright.company_id", key.CompanyID))
	}
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(status))
	}
}
