package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// plansOfThePast is the part of TestPlans about what goes through events that have happened:
// however many there are, a step looks at so many and no more.
func plansOfThePast(t *testing.T, d database, store, api *postgres.Store, plans *planLog, big filled) {
	t.Helper()
	ctx := t.Context()
	ours := postgres.ForCompany(ctx, 1)
	const step = 200
	// A webhook for each replay, made by the other store so that its plans are not heard.
	replaying := func(events []string, filter string, changes ...func(*pipeline.NewReplay)) int64 {
		w := newWebhook(t, d.Store, 1, events, withFilter(filter))
		startReplay(t, d, w, changes...)
		return w.ID
	}
	advancing := func(id int64) func() error {
		return func() error {
			again, err := store.AdvanceReplay(ctx, id, step)
			if err == nil {
				require.True(t, again)
			}
			return err
		}
	}
	everything, one := replaying([]string{"*"}, ""), replaying([]string{"proposal.sent"}, "")
	filtered := replaying([]string{"*"}, `{"data.seq":{"$lt":3}}`)
	typed := replaying([]string{"*"}, "", ofTypes("proposal.selected"))
	rare := replaying([]string{"credit.ran"}, "")
	starting := newStarting(t, d, []string{"credit.ran", "customer.deleted"}, pipeline.Start{})
	recovered, err := d.Store.Webhook(ctx, 1, 0, big.well)
	require.NoError(t, err)
	startReplay(t, d, recovered, recovery)
	idle := newWebhook(t, d.Store, 1, []string{"*"})
	asked := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	newWebhook(t, d.Store, 1, []string{"*"}, withFilter(`{"data.seq":1}`))
	c := newCustomer(t, d.Store, 1)
	given := int64(count(t, d, `SELECT max(id) FROM deliveries WHERE webhook_id = $1`, big.well))
	newest := int64(count(t, d, `SELECT max(position) FROM events WHERE company_id = 1`))
	_, err = d.DB.Exec(`UPDATE webhooks SET from_position = 0; ANALYZE replays`)
	require.NoError(t, err)

	for _, test := range []struct {
		name string
		rows int // that a run may touch
		call func() error
	}{
		{"Append, with filters", 100, func() error {
			var e pipeline.Event
			e, c = next(t, c, pipeline.TypeEmailSent, `{}`)
			_, err := store.Append(ctx, e, noKey)
			return err
		}},
		{"AdvanceReplay, none", 10, func() error { _, err := store.AdvanceReplay(ctx, idle.ID, step); return err }},
		{"AdvanceReplay", 10 * step, advancing(everything)},
		{"AdvanceReplay, one type", 5 * step, advancing(one)},
		{"AdvanceReplay, asked for one type", 5 * step, advancing(typed)},
		{"AdvanceReplay, filter", 15 * step, advancing(filtered)},
		{"AdvanceReplay, rare", 5 * step, func() error { _, err := store.AdvanceReplay(ctx, rare, step); return err }},
		{"AdvanceReplay, start", 5 * step, func() error { _, err := store.AdvanceReplay(ctx, starting.ID, step); return err }},
		{"AdvanceReplay, recovery", 10 * step, func() error { _, err := store.AdvanceReplay(ctx, big.well, 10); return err }},
		// The events of seven types are counted, up to so many of each.
		{"StartReplay, cancelled", 150_000, func() error {
			r, _, err := api.StartReplay(ours, pipeline.NewReplay{CompanyID: 1, WebhookID: asked.ID, Kind: pipeline.ReplayEvents}, noKey)
			if err != nil {
				return err
			}
			_, err = api.SetReplayStatus(ours, 1, asked.ID, r.ID, pipeline.ReplayCancelled)
			return err
		}},
		{"Replays", 200, func() error { return read(api.Replays(ours, 1, asked.ID, pipeline.Page{Limit: 100})) }},
		{"Gaps", 100_000, func() error {
			_, err := api.Gaps(ours, pipeline.GapQuery{CompanyID: 1, WebhookID: everything, After: newest / 2, Limit: 100})
			return err
		}},
		{"Gaps, one type", 100_000, func() error {
			_, err := api.Gaps(ours, pipeline.GapQuery{CompanyID: 1, WebhookID: one, Limit: 100})
			return err
		}},
		{"Gaps, rare", 500, func() error {
			_, err := api.Gaps(ours, pipeline.GapQuery{CompanyID: 1, WebhookID: rare, Limit: 100})
			return err
		}},
		{"Stats", 200, func() error { _, err := api.Stats(ours, 1, big.dead, time.Now().Add(-time.Hour)); return err }},
		{"Resend", 50, func() error { _, err := api.Resend(ours, 1, big.wellKey, given); return err }},
		{"Webhook", 60, func() error { _, err := api.Webhook(ours, 1, 0, big.well); return err }},
		{"RotateSecret", 10, func() error {
			_, _, _, err := api.RotateSecret(ours, 1, asked.ID, "whsec_bmV3", time.Hour, noKey)
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) { plans.requireWithin(t, test.rows, test.call) })
	}
}
