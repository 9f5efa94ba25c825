package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// BenchmarkAdvanceReplay reports what a step of a replay costs that queues 500 deliveries, among
// 100,000 events: for a webhook that gets everything, and for one that gets one type in five.
func BenchmarkAdvanceReplay(b *testing.B) {
	const (
		events = 100_000
		step   = 500
	)
	d := newDatabase(b)
	fillEvents(b, d, events)
	for _, c := range []struct {
		name   string
		events []string
		filter string
	}{
		{"everything", []string{"*"}, ""},
		{"one type", []string{"proposal.sent"}, ""},
		{"everything, with a filter", []string{"*"}, `{"data.state.some":{"$ne":"other"},"data.payload.price.amount":null}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			var w pipeline.Webhook
			again := false
			for range b.N {
				if !again {
					b.StopTimer()
					w = newWebhook(b, d.Store, 1, c.events, withFilter(c.filter))
					_, _, err := d.Store.StartReplay(b.Context(), pipeline.NewReplay{CompanyID: 1, WebhookID: w.ID, Kind: pipeline.ReplayEvents}, noKey)
					require.NoError(b, err)
					b.StartTimer()
				}
				var err error
				again, err = d.Store.AdvanceReplay(b.Context(), w.ID, step)
				require.NoError(b, err)
			}
		})
	}
}

// fillEvents makes many events of one company.
func fillEvents(tb testing.TB, d database, n int) {
	tb.Helper()
	_, err := d.DB.Exec(`INSERT INTO events (stream, version, position, id, type, company_id, customer_id, proposal_id, payload, state,
			occurred_at, recorded_at)
		SELECT 'proposal-' || 1 + n / 5, 1 + n % 5, nextval('event_positions'), 'evt_' || n,
			(ARRAY['proposal.requested', 'proposal.sent', 'proposal.selected', 'contract.requested', 'contract.sent'])[1 + n % 5],
			1, 1 + n / 20, 1 + n / 5, '{}', '{"some":"state that is not very long"}', now(), now() + n * interval '1 ms'
		FROM generate_series(1, $1::int) n`, n)
	require.NoError(tb, err)
	_, err = d.DB.Exec(`ANALYZE events`)
	require.NoError(tb, err)
}
