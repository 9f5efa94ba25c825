package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	// Requests is how many requests may work on the store at a time, 0 means DefaultMaxRequests. More
	// than there are connections only wait for one.
	Requests int
}

// What the limits are where nobody says otherwise. Sixteen clients that each wait for their
// answer are what a machine with two cores can serve, and a faster one answers sooner rather
// than serving more at a time.
const (
	DefaultMaxCommands = 64
	DefaultMaxRequests = 40
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

// How the number of places follows what those who have one meet: halved where that takes long,
// once in shrinkPause at most, and one more for as many as there are that were quick. Places on
// what is too slow are worse than none: everybody in them is given up before the answer, and what
// was done for them was done in vain.
const (
	slowCommand  = 2 * time.Second
	quickCommand = time.Second
	shrinkPause  = time.Second
	fewestPlaces = 4
)

// errTurnedAway is in the chain of what a limiter answers.
var errTurnedAway = errors.New("turned away")

// limiter has so many places. Who comes when all of them are taken waits for one, but not for
// long, and only while no more than there are places wait already: more of them would wait in
// vain.
type limiter struct {
	places  chan struct{}
	waiting atomic.Int64
	refused atomic.Int64
	what    string // for the caller who is refused

	mu       sync.Mutex
	withheld int // places that are taken by nobody, since things are slow
	owed     int // those that are to be withheld when they are left
	quick    int // in a row, since the number last changed
	shrunk   time.Time
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
	if l.waiting.Add(1) > int64(l.size()) {
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

func (l *limiter) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owed > 0 {
		l.owed--
		l.withheld++
		return
	}
	<-l.places
}

// size is how many places there are now.
func (l *limiter) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sizeNow()
}

func (l *limiter) sizeNow() int { return cap(l.places) - l.withheld - l.owed }

// learn changes the number of places after what one who has a place met.
func (l *limiter) learn(took time.Duration, failed bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := l.sizeNow()
	if failed || took > slowCommand {
		l.quick = 0
		if now.Sub(l.shrunk) > shrinkPause {
			l.shrunk = now
			l.owed += size - max(size/2, min(fewestPlaces, size))
		}
		return
	}
	if took > quickCommand {
		return
	}
	l.quick++
	if l.quick < size {
		return
	}
	l.quick = 0
	switch {
	case l.owed > 0:
		l.owed--
	case l.withheld > 0:
		l.withheld--
		<-l.places
	}
}

func (l *limiter) taken() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.places) - l.withheld
}

// check refuses where enter would at once, without taking a place.
func (l *limiter) check() error {
	if l.waiting.Load() < int64(l.size()) {
		return nil
	}
	return l.refuse()
}

func (l *limiter) refuse() error {
	l.refused.Add(1)
	return fmt.Errorf("%w: %w", errTurnedAway,
		pipeline.Errorf(pipeline.CodeUnavailable, "too many %s are under way; nothing was done: try again", l.what))
}

// register shows a limiter under /metrics.
func (l *limiter) register(registry prometheus.Registerer, limit string) error {
	labels := prometheus.Labels{"limit": limit}
	all := []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dealwright_limit_places", ConstLabels: labels, Help: "How many may be under way at a time, by limit.",
		}, func() float64 { return float64(l.size()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dealwright_limit_taken", ConstLabels: labels, Help: "How many are under way, by limit.",
		}, func() float64 { return float64(l.taken()) }),
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
