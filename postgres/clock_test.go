package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// Two deliveries became due while Postgres' clock was ahead by an hour. Now it goes right again,
// and the third becomes due: it does not overtake them, and none of them waits.
func TestClockThatGoesBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		third func(t *testing.T, d database, w pipeline.Webhook, id int64)
	}{
		{"its entity hands it over", func(t *testing.T, d database, w pipeline.Webhook, id int64) {
			t.Helper()
			nextDue(t, d, w)
			require.Equal(t, []int64{w.ID}, handOver(t, d, id), "the workflow would look in an hour")
		}},
		{"the sweep hands it over", func(t *testing.T, d database, _ pipeline.Webhook, id int64) {
			t.Helper()
			adjustDelivery(t, d, id, "created_at = now() - interval '1 hour'")
			sweep(t, d, time.Minute)
		}},
		{"it is released", func(t *testing.T, d database, _ pipeline.Webhook, id int64) {
			t.Helper()
			adjustDelivery(t, d, id, "status = 'held'")
			sweep(t, d, time.Hour)
		}},
		{"it is sent anew", func(t *testing.T, d database, _ pipeline.Webhook, id int64) {
			t.Helper()
			adjustDelivery(t, d, id, "status = 'exhausted', attempts = 3")
			_, err := d.Store.Resend(t.Context(), 1, 0, id)
			require.NoError(t, err)
		}},
		{"it is replayed", func(t *testing.T, d database, w pipeline.Webhook, id int64) {
			t.Helper()
			adjustDelivery(t, d, id, "status = 'discarded'")
			startReplay(t, d, w, ofTypes(string(pipeline.TypeProposalSaved)))
			advance(t, d, w, 100)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
			p := backlog(t, d, 2)
			handOverAll(t, d)
			p, _ = happen(t, d.Store, p, pipeline.TypeProposalSaved, `{}`)
			third := fresh(t, d, p)
			require.Equal(t, []string{send(w, 3, true)}, sends(third))
			fallDue(t, d, w, p, 1, 60)
			fallDue(t, d, w, p, 2, 60)
			require.Empty(t, due(t, d, w))

			test.third(t, d, w, third[0].DeliveryID)
			require.Equal(t, []string{entry(p, 1), entry(p, 2), entry(p, 3)}, entries(due(t, d, w)))
		})
	}
}

// What was tried waits for its retry, as before.
func TestRetriesAreNotBroughtForward(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	p := backlog(t, d, 3)
	mine := fresh(t, d, p)
	record(t, d, failed(mine[0], time.Now().Add(time.Hour)))
	handOver(t, d, mine[1].DeliveryID)
	fallDue(t, d, w, p, 2, 60)
	handOver(t, d, mine[2].DeliveryID)
	require.Equal(t, []string{entry(p, 2), entry(p, 3)}, entries(due(t, d, w)))
}

// What waits for its first attempt and is sent anew stays in front of what came after it.
func TestSentAnewKeepsItsPlace(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	p := backlog(t, d, 2)
	mine := fresh(t, d, p)
	fallDue(t, d, w, p, 1, -2)
	fallDue(t, d, w, p, 2, -1)
	_, err := d.Store.Resend(t.Context(), 1, 0, mine[0].DeliveryID)
	require.NoError(t, err)
	first, err := d.Store.DueDeliveries(t.Context(), w.ID, 1)
	require.NoError(t, err)
	require.Equal(t, []string{entry(p, 1)}, entries(first))
}

// Operational events have no entity that would hand them over.
func TestClockThatGoesBackBetweenNotices(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"proposal.*"})
	told := newWebhook(t, d.Store, 1, []string{"delivery.*"}, ofAdmin(t, d))
	mine := fresh(t, d, backlog(t, d, 2))
	record(t, d, exhausted(mine[0]))
	_, err := d.DB.Exec(`UPDATE deliveries SET next_attempt_at = now() + interval '1 hour' WHERE webhook_id = $1`, told.ID)
	require.NoError(t, err)
	require.Empty(t, due(t, d, told))
	record(t, d, exhausted(mine[1]))
	notices := due(t, d, told)
	require.Len(t, notices, 2)
	require.EqualValues(t, 1, notices[0].Event.Version)
	require.EqualValues(t, 2, notices[1].Event.Version)
}

func adjustDelivery(t *testing.T, d database, id int64, set string) {
	t.Helper()
	_, err := d.DB.Exec(`UPDATE deliveries SET `+set+` WHERE id = $1`, id)
	require.NoError(t, err)
}
