package postgres_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// Everything at once: events happen and are sent, with failures, while webhooks are switched,
// changed, replayed, recovered and rotated. Nobody waits for another in a circle, and in the end
// each event has its delivery, and none of them waits at a webhook that is off.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	const (
		writers = 4
		events  = 60 // of each
		changes = 40
	)
	d := newDatabase(t)
	webhooks := []pipeline.Webhook{
		newWebhook(t, d.Store, 1, []string{"*"}),
		newWebhook(t, d.Store, 1, []string{"*", "webhook.*", "delivery.*"}, ordered, ofAdmin(t, d)),
		newWebhook(t, d.Store, 1, []string{"email.sent"}, withFilter(`{"data.seq":{"$gt":0}}`), ofAdmin(t, d)),
	}
	fine := func(err error) {
		// A replay at a webhook that has one, or is off, is refused; a deadlock is no refusal.
		if err != nil && (pipeline.CodeOf(err) != pipeline.CodeConflict || strings.Contains(err.Error(), "deadlock")) {
			t.Error(err)
		}
	}
	ctx := t.Context()
	var all sync.WaitGroup
	for range writers {
		c := newCustomer(t, d.Store, 1)
		all.Go(func() {
			for range events {
				var e pipeline.Event
				e, c = next(t, c, pipeline.TypeEmailSent, `{}`)
				_, err := d.Store.Append(ctx, e, noKey)
				if err != nil {
					t.Error(err)
					return
				}
				mine, err := d.Store.FreshDeliveries(ctx, e.Stream, 100)
				fine(err)
				_, err = d.Store.RecordAttempts(ctx, atRandom(mine), nil)
				fine(err)
			}
		})
	}
	for _, w := range webhooks {
		all.Go(func() {
			for range changes {
				_, err := d.Store.BeginDrain(ctx, w.ID)
				fine(err)
				waiting, err := d.Store.DueDeliveries(ctx, w.ID, 50)
				fine(err)
				_, err = d.Store.RecordAttempts(ctx, atRandom(waiting), nil)
				fine(err)
				_, err = d.Store.AdvanceReplay(ctx, w.ID, 20)
				fine(err)
				_, err = d.Store.EndDrain(ctx, w.ID, time.Time{})
				fine(err)
			}
		})
		all.Go(func() {
			for range changes {
				var err error
				switch rand.IntN(6) {
				case 0:
					_, _, err = d.Store.DisableWebhook(ctx, 1, w.ID)
				case 1:
					_, _, err = d.Store.EnableWebhook(ctx, 1, w.ID, rand.IntN(2) == 0)
				case 2:
					changed := w
					changed.Ordered = rand.IntN(2) == 0
					_, _, err = d.Store.UpdateWebhook(ctx, changed.CompanyID, changed.ID, as(changed))
				case 3:
					_, _, err = d.Store.StartReplay(ctx, pipeline.NewReplay{CompanyID: 1, WebhookID: w.ID, Kind: pipeline.ReplayEvents}, noKey)
				case 4:
					_, _, err = d.Store.StartReplay(ctx, pipeline.NewReplay{CompanyID: 1, WebhookID: w.ID, Kind: pipeline.ReplayRecover}, noKey)
				case 5:
					_, err = d.Store.SweepDeliveries(ctx, 0, 100)
				}
				fine(err)
			}
		})
	}
	all.Wait()
	require.Zero(t, count(t, d, `SELECT count(*) FROM events e CROSS JOIN webhooks w LEFT JOIN deliveries d
		ON d.webhook_id = w.id AND d.event_position = e.position WHERE e.type = 'email.sent' AND d.id IS NULL`))
	sweep(t, d, time.Hour)
	require.Zero(t, count(t, d, `SELECT count(*) FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
		WHERE d.status = CASE WHEN w.active THEN 'held' ELSE 'pending' END`))
}

// atRandom is what comes of sending something to endpoints that now and then fail.
func atRandom(dispatches []pipeline.Dispatch) []pipeline.Result {
	out := make([]pipeline.Result, len(dispatches))
	for i, sent := range dispatches {
		switch rand.IntN(4) {
		case 0:
			out[i] = failed(sent, time.Now())
		case 1:
			out[i] = exhausted(sent)
		default:
			out[i] = delivered(sent)
		}
	}
	return out
}
