package worker

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// Numbers counts what is recorded and delivered, and measures how long it takes, for Prometheus. It
// stands between the activities and what they use, so that neither knows of it.
type Numbers struct {
	appends    *prometheus.CounterVec
	appendTime prometheus.Histogram
	attempts   *prometheus.CounterVec
	answerTime *prometheus.HistogramVec
	delay      prometheus.Histogram
}

// NewNumbers makes the metrics and registers them, with those of the backlog, which are read from
// the store when Prometheus asks. It fails where the registry has others of these names.
func NewNumbers(registry prometheus.Registerer, backlog Backlog) (*Numbers, error) {
	n := &Numbers{
		appends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dealwright_appends_total",
			Help: "Events by type and outcome: recorded, conflict (the stream had moved on) or failed.",
		}, []string{"type", "outcome"}),
		appendTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "dealwright_append_duration_seconds",
			Help:    "How long it took to record an event with its projection and deliveries.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 6},
		}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dealwright_delivery_attempts_total",
			Help: "Attempts by webhook, format and outcome: delivered, failed, exhausted or discarded.",
		}, []string{"webhook", "format", "outcome"}),
		answerTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dealwright_delivery_attempt_duration_seconds",
			Help:    "How long a partner took to answer, by outcome.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"outcome"}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "dealwright_delivery_delay_seconds",
			Help:    "From the moment an event was recorded until its partner had it, retries and replays included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 300, 3600, 21600, 86400, 432000},
		}),
	}
	all := []prometheus.Collector{n.appends, n.appendTime, n.attempts, n.answerTime, n.delay, newBacklogCollector(backlog)}
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return n, nil
}

// countedStore is a store whose appends are counted.
type countedStore struct {
	Store

	numbers *Numbers
}

// Append records an event; see package postgres.
func (s countedStore) Append(ctx context.Context, e pipeline.Event, idem pipeline.Idempotency) (pipeline.Appended, error) {
	began := time.Now()
	appended, err := s.Store.Append(ctx, e, idem)
	s.numbers.appendTime.Observe(time.Since(began).Seconds())
	s.numbers.appends.WithLabelValues(string(e.Type), appendOutcome(err)).Inc()
	return appended, err
}

func appendOutcome(err error) string {
	switch {
	case err == nil:
		return "recorded"
	case pipeline.CodeOf(err) == pipeline.CodeConflict:
		return "conflict"
	default:
		return "failed"
	}
}

// countedSender is a sender whose attempts are counted.
type countedSender struct {
	activities.Sender

	numbers *Numbers
}

// Deliver makes one attempt; see package webhook.
func (s countedSender) Deliver(ctx context.Context, d pipeline.Dispatch) pipeline.Result {
	began := time.Now()
	result := s.Sender.Deliver(ctx, d)
	if d.Test {
		return result
	}
	outcome := attemptOutcome(result)
	s.numbers.attempts.WithLabelValues(strconv.FormatInt(d.Webhook.ID, 10), d.Webhook.Format, outcome).Inc()
	s.numbers.answerTime.WithLabelValues(outcome).Observe(time.Since(began).Seconds())
	if result.Status == pipeline.DeliveryDelivered {
		s.numbers.delay.Observe(time.Since(d.Event.RecordedAt).Seconds())
	}
	return result
}

func attemptOutcome(r pipeline.Result) string {
	if r.Status == pipeline.DeliveryPending || r.Status == pipeline.DeliveryHeld {
		return "failed"
	}
	return string(r.Status)
}
