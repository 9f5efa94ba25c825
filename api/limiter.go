package api

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dealwright/dealwright/pipeline"
)

// Limits bound what one process does at a time, so that its memory is bounded whatever comes,
// and so that who cannot be served soon hears so soon.
type Limits struct {
	// Commands is how many commands may be with Temporal at a time; 0 means DefaultMaxCommands.
	Commands int
	// Requests is how many requests may work on the store at a time; 0 means DefaultMaxRequests.
	Requests int
}

// What the limits are where nobody says otherwise. Sixteen clients that each wait for their
// answer are what a machine with two cores can serve, and a faster one answers sooner rather
// than serving more at a time.
const (
	DefaultMaxCommands = 64
	DefaultMaxRequests = 256
)

// Those that are not for anybody to set.
const (
	// maxTests is how many samples may be on their way to endpoints, each for 40 s at most.
	maxTests = 16
	// maxLargeBodies is how many bodies of more than smallBody may be in memory.
	maxLargeBodies = 32
	// queuePatience is how long a request waits for a place. One that waited longer would be
	// answered when its caller has given up.
	queuePatience = time.Second
)

// limiter has so many places. Who comes when all of them are taken waits for one, but not for
// long, and only while no more than there are places wait already: more of them would wait in
// vain.
type limiter struct {
	places  chan struct{}
	waiting atomic.Int64
	refused atomic.Int64
	what    string // for the caller who is refused
}

func newLimiter(places int, what string) *limiter {
	return &limiter{places: make(chan struct{}, places), what: what}
}

// enter takes a place, which leave gives back. It fails with CodeUnavailable.
func (l *limiter) enter(ctx context.Context) (leave func(), err error) {
	select {
	case l.places <- struct{}{}:
		return l.leave, nil
	default:
	}
	if l.waiting.Add(1) > int64(cap(l.places)) {
		l.waiting.Add(-1)
		return nil, l.refuse()
	}
	defer l.waiting.Add(-1)
	patience := time.NewTimer(queuePatience)
	defer patience.Stop()
	select {
	case l.places <- struct{}{}:
		return l.leave, nil
	case <-patience.C:
		return nil, l.refuse()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", l.refuse(), ctx.Err())
	}
}

func (l *limiter) leave() { <-l.places }

// check refuses where enter would at once, without taking a place.
func (l *limiter) check() error {
	if l.waiting.Load() < int64(cap(l.places)) {
		return nil
	}
	return l.refuse()
}

func (l *limiter) refuse() error {
	l.refused.Add(1)
	return pipeline.Errorf(pipeline.CodeUnavailable, "too many %s are under way; nothing was done: try again", l.what)
}

// register shows a limiter under /metrics.
func (l *limiter) register(registry prometheus.Registerer, limit string) error {
	labels := prometheus.Labels{"limit": limit}
	all := []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dealwright_limit_places", ConstLabels: labels, Help: "How many may be under way at a time, by limit.",
		}, func() float64 { return float64(cap(l.places)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dealwright_limit_taken", ConstLabels: labels, Help: "How many are under way, by limit.",
		}, func() float64 { return float64(len(l.places)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dealwright_limit_waiting", ConstLabels: labels, Help: "How many wait for a place, by limit.",
		}, func() float64 { return float64(l.waiting.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "dealwright_limit_refused_total", ConstLabels: labels, Help: "How many were refused with 503, by limit.",
		}, func() float64 { return float64(l.refused.Load()) }),
	}
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return fmt.Errorf("register the metrics of a limit: %w", err)
		}
	}
	return nil
}
