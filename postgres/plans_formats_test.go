package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// plansOfFormats is the part of TestPlans about webhooks of other systems, whose deliveries are
// read with the customer beside them.
func plansOfFormats(t *testing.T, d database, store *postgres.Store, plans *planLog) {
	t.Helper()
	ctx := t.Context()
	const step = 200
	solo := newWebhook(t, d.Store, 1, []string{"*"}, inFormat(pipeline.FormatSolo))
	solarProof := newWebhook(t, d.Store, 1, []string{"*"}, inFormat(pipeline.FormatSolarProof))
	hooks := make([]pipeline.Webhook, 0, 5)
	for range cap(hooks) {
		hooks = append(hooks, newWebhook(t, d.Store, 1, []string{"*"}, solve360("activities.update", "opportunity")))
	}
	hook := hooks[0]
	c := newCustomer(t, d.Store, 1)
	p := newProposal(t, d.Store, c)
	// The customers of the proposals were filled in without events.
	_, err := d.DB.Exec(`INSERT INTO events (stream, version, position, id, type, company_id, customer_id, payload, state,
			occurred_at, recorded_at)
		SELECT 'customer-' || id, 1, -id, 'evt_c' || id, 'customer.created', company_id, id, '{}', state::json, now(), now()
		FROM customers WHERE id < 1000000000; ANALYZE events`)
	require.NoError(t, err)
	for _, w := range []pipeline.Webhook{solo, solarProof, hook} {
		adjust(t, d, w, "from_position = 0")
		startReplay(t, d, w)
	}

	advancing := func(w pipeline.Webhook) func() error {
		return func() error { _, err := store.AdvanceReplay(ctx, w.ID, step); return err }
	}
	for _, test := range []struct {
		name string
		rows int // that a run may touch
		call func() error
	}{
		{"Append", 100, func() error {
			var e pipeline.Event
			e, p = next(t, p, pipeline.TypeProposalSent, `{}`)
			_, err := store.Append(ctx, e, noKey)
			return err
		}},
		{"FreshDeliveries", 1500, func() error {
			given, err := store.FreshDeliveries(ctx, p.Ref().Stream(), 500)
			for _, g := range given {
				require.Equal(t, g.Webhook.Format != pipeline.FormatNative, g.Customer != nil)
			}
			return read(given, err)
		}},
		{"AdvanceReplay", 10 * step, advancing(solo)},
		{"AdvanceReplay, by what an event is like", 10 * step, advancing(solarProof)},
		{"AdvanceReplay, one hook", 10 * step, advancing(hook)},
		{"DueDeliveries", 10 * step, func() error {
			given, err := store.DueDeliveries(ctx, solo.ID, step)
			for _, g := range given {
				require.Equal(t, g.Event.Stream.Kind() == pipeline.KindProposal, g.Customer != nil)
			}
			return read(given, err)
		}},
		{"Gaps", 100_000, func() error {
			found, err := store.Gaps(ctx, pipeline.GapQuery{CompanyID: 1, WebhookID: solarProof.ID, Limit: 100})
			require.NotZero(t, found.Next)
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) { plans.requireWithin(t, test.rows, test.call) })
	}
}
