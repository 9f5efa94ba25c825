package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// drainBatch is how many deliveries are read and recorded at a time.
const drainBatch = 500

// BenchmarkDrainBatch reports how many deliveries per second a webhook's workflow reads and
// records in batches, the receiver left out: what a replay can reach at most. Run it as
// BenchmarkAppend.
func BenchmarkDrainBatch(b *testing.B) {
	d := newDatabase(b)
	w := newWebhook(b, d.Store, 1, []string{"proposal.*"})
	p := newProposal(b, d.Store, newCustomer(b, d.Store, 1))
	queue(b, d, p, w, b.N*drainBatch)
	cpu := postgresCPU(b, d)
	var reading time.Duration
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		due, err := d.Store.DueDeliveries(b.Context(), w.ID, drainBatch)
		require.NoError(b, err)
		require.Len(b, due, drainBatch)
		reading += time.Since(start)
		results := make([]pipeline.Result, len(due))
		for i, dispatch := range due {
			results[i] = delivered(dispatch)
		}
		_, err = d.Store.RecordAttempts(b.Context(), results, nil)
		require.NoError(b, err)
	}
	b.StopTimer()
	rows := float64(b.N * drainBatch)
	b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(reading.Seconds()*1000/float64(b.N), "ms/read")
	b.ReportMetric((b.Elapsed()-reading).Seconds()*1000/float64(b.N), "ms/record")
	b.ReportMetric(float64(postgresCPU(b, d)-cpu)*10_000/rows, "pgcpu-µs/row")
}

// queue puts due deliveries in the tables, each of an event of a stream of its own, as large as
// those of a proposal usually are.
func queue(b *testing.B, d database, p pipeline.Proposal, w pipeline.Webhook, n int) {
	b.Helper()
	_, err := d.DB.Exec(`WITH e AS (
			INSERT INTO events (stream, version, position, id, type, company_id, customer_id, proposal_id, payload, state, occurred_at, recorded_at)
			SELECT 'proposal-9' || n, 1, nextval('event_positions'), id || n, type, company_id, customer_id, proposal_id, payload, state,
				occurred_at, recorded_at
			FROM events, generate_series(1, $2::bigint) n WHERE stream = $1 AND version = 1
			RETURNING company_id, stream, version, position)
		INSERT INTO deliveries (company_id, webhook_id, event_position, stream, version, status, next_attempt_at)
		SELECT company_id, $3::bigint, position, stream, version, 'pending', now() FROM e`, string(p.Ref().Stream()), n, w.ID)
	require.NoError(b, err)
	_, err = d.DB.Exec(`DELETE FROM deliveries WHERE next_attempt_at IS NULL`)
	require.NoError(b, err)
	_, err = d.DB.Exec(`ANALYZE`)
	require.NoError(b, err)
}
