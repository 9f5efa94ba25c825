package worker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/worker"
)

// backlog is what waits, or why that is not known.
type backlog struct {
	now pipeline.Backlog
	err error
}

func (b *backlog) Backlog(context.Context) (pipeline.Backlog, error) { return b.now, b.err }

// appends answers appends with what a test wants.
type appends struct {
	worker.Store

	err error
}

func (a *appends) Append(context.Context, pipeline.Event, pipeline.Idempotency) (pipeline.Appended, error) {
	return pipeline.Appended{}, a.err
}

type sends struct{ result pipeline.Result }

func (s *sends) Deliver(context.Context, pipeline.Dispatch) pipeline.Result { return s.result }

func TestNumbers(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	waits := &backlog{now: pipeline.Backlog{
		Queues:    []pipeline.Queue{{WebhookID: 4, Due: 3, Held: 2}, {WebhookID: 5, CircuitOpen: true}},
		OldestDue: time.Minute, Workers: 2,
	}}
	numbers, err := worker.NewNumbers(registry, waits)
	require.NoError(t, err)

	store := &appends{}
	counted := worker.Counted(numbers, store)
	sender := &sends{}
	countedSender := worker.CountedSender(numbers, sender)
	for _, failure := range []error{nil, pipeline.Errorf(pipeline.CodeConflict, "x"), pipeline.Errorf(pipeline.CodeUnavailable, "x")} {
		store.err = failure
		_, err := counted.Append(t.Context(), pipeline.Event{Type: pipeline.TypeProposalSent}, pipeline.Idempotency{})
		require.Equal(t, failure, err)
	}
	d := pipeline.Dispatch{Webhook: pipeline.Webhook{ID: 4, Format: "solo"}, Event: pipeline.Event{RecordedAt: time.Now()}}
	for _, status := range []pipeline.DeliveryStatus{pipeline.DeliveryPending, pipeline.DeliveryDelivered, pipeline.DeliveryExhausted} {
		sender.result = pipeline.Result{Status: status}
		require.Equal(t, status, countedSender.Deliver(t.Context(), d).Status)
	}
	d.Test = true
	countedSender.Deliver(t.Context(), d)

	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP dealwright_appends_total Events by type and outcome: recorded, conflict (the stream had moved on) or failed.
# TYPE dealwright_appends_total counter
dealwright_appends_total{outcome="conflict",type="proposal.sent"} 1
dealwright_appends_total{outcome="failed",type="proposal.sent"} 1
dealwright_appends_total{outcome="recorded",type="proposal.sent"} 1
# HELP dealwright_circuit_open 1 where an endpoint is probed instead of sent to, by webhook.
# TYPE dealwright_circuit_open gauge
dealwright_circuit_open{webhook="4"} 0
dealwright_circuit_open{webhook="5"} 1
# HELP dealwright_deliveries_due Deliveries whose time has come, by webhook.
# TYPE dealwright_deliveries_due gauge
dealwright_deliveries_due{webhook="4"} 3
dealwright_deliveries_due{webhook="5"} 0
# HELP dealwright_deliveries_due_oldest_seconds For how long a delivery has been due at an endpoint that takes deliveries, the longest.
# TYPE dealwright_deliveries_due_oldest_seconds gauge
dealwright_deliveries_due_oldest_seconds 60
# HELP dealwright_deliveries_held Deliveries that wait for their webhook to be switched on, by webhook.
# TYPE dealwright_deliveries_held gauge
dealwright_deliveries_held{webhook="4"} 2
dealwright_deliveries_held{webhook="5"} 0
# HELP dealwright_delivery_attempts_total Attempts by webhook, format and outcome: delivered, failed, exhausted or discarded.
# TYPE dealwright_delivery_attempts_total counter
dealwright_delivery_attempts_total{format="solo",outcome="delivered",webhook="4"} 1
dealwright_delivery_attempts_total{format="solo",outcome="exhausted",webhook="4"} 1
dealwright_delivery_attempts_total{format="solo",outcome="failed",webhook="4"} 1
# HELP dealwright_workers_alive Workers that have said so within the last half minute.
# TYPE dealwright_workers_alive gauge
dealwright_workers_alive 2
`), "dealwright_appends_total", "dealwright_circuit_open", "dealwright_deliveries_due", "dealwright_deliveries_due_oldest_seconds",
		"dealwright_deliveries_held", "dealwright_delivery_attempts_total", "dealwright_workers_alive"))

	// Without the store the rest is there all the same, and what is not known is absent.
	waits.err = pipeline.Errorf(pipeline.CodeUnavailable, "x")
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		require.NotEqual(t, "dealwright_workers_alive", family.GetName())
	}
}
