package worker

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// tracedSender makes a span of each attempt, of which the partner gets the traceparent. Without a
// tracer provider it does nothing.
type tracedSender struct{ activities.Sender }

// Deliver makes one attempt; see package webhook.
func (s tracedSender) Deliver(ctx context.Context, d pipeline.Dispatch) pipeline.Result {
	ctx, span := otel.Tracer("dealwright/worker").Start(ctx, "deliver "+string(d.Event.Type), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			attribute.Int64("dealwright.webhook_id", d.Webhook.ID), attribute.Int64("dealwright.delivery_id", d.DeliveryID),
			attribute.String("dealwright.event_id", d.Event.ID), attribute.String("dealwright.format", d.Webhook.Format)))
	defer span.End()
	result := s.Sender.Deliver(ctx, d)
	span.SetAttributes(attribute.Int64("http.response.status_code", int64(result.Attempt.Status)),
		attribute.String("dealwright.delivery_status", string(result.Status)))
	if !result.OK() {
		span.SetStatus(codes.Error, string(result.Attempt.Error))
	}
	return result
}
