package worker

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dealwright/dealwright/pipeline"
)

// Backlog says what waits to be delivered.
type Backlog interface {
	Backlog(ctx context.Context) (pipeline.Backlog, error)
}

// backlogPatience bounds a look at the backlog: Prometheus waits 10 s by default.
const backlogPatience = 5 * time.Second

// backlogCollector asks for the backlog when Prometheus does. Every worker sees the same one, so of
// several take the largest: max by (webhook).
type backlogCollector struct {
	backlog                            Backlog
	due, held, circuit, oldest, worker *prometheus.Desc
}

func newBacklogCollector(b Backlog) *backlogCollector {
	each := []string{"webhook"}
	return &backlogCollector{
		backlog: b,
		due: prometheus.NewDesc("dealwright_deliveries_due",
			"Deliveries whose time has come, by webhook.", each, nil),
		held: prometheus.NewDesc("dealwright_deliveries_held",
			"Deliveries that wait for their webhook to be switched on, by webhook.", each, nil),
		circuit: prometheus.NewDesc("dealwright_circuit_open",
			"1 where an endpoint is probed instead of sent to, by webhook.", each, nil),
		oldest: prometheus.NewDesc("dealwright_deliveries_due_oldest_seconds",
			"For how long a delivery has been due at an endpoint that takes deliveries, the longest.", nil, nil),
		worker: prometheus.NewDesc("dealwright_workers_alive",
			"Workers that have said so within the last half minute.", nil, nil),
	}
}

// Describe says which metrics there are.
func (c *backlogCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.due, c.held, c.circuit, c.oldest, c.worker} {
		to <- d
	}
}

// Collect gives them as they are now. Where the store cannot be asked they are absent, which
// alerts can tell from zero, and the others are there all the same.
func (c *backlogCollector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), backlogPatience)
	defer cancel()
	b, err := c.backlog.Backlog(ctx)
	if err != nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, q := range b.Queues {
		id := strconv.FormatInt(q.WebhookID, 10)
		gauge(c.due, float64(q.Due), id)
		gauge(c.held, float64(q.Held), id)
		gauge(c.circuit, boolean(q.CircuitOpen), id)
	}
	gauge(c.oldest, b.OldestDue.Seconds())
	gauge(c.worker, float64(b.Workers))
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
