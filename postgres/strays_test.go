package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestStrays(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	strays := func(grace time.Duration) ([]pipeline.Ref, []int64) {
		t.Helper()
		entities, webhooks, err := d.Store.Strays(t.Context(), grace, 10)
		require.NoError(t, err)
		return entities, webhooks
	}
	execute := func(statement string) {
		t.Helper()
		_, err := d.DB.Exec(statement)
		require.NoError(t, err)
	}
	entities, webhooks := strays(time.Hour)
	require.Empty(t, entities, "it has not lain for long")
	require.Empty(t, webhooks)
	execute(`UPDATE deliveries SET created_at = now() - interval '2 hours'`)
	entities, webhooks = strays(time.Hour)
	want := p.Ref()
	want.Version = 0
	require.Equal(t, []pipeline.Ref{want}, entities)
	require.Empty(t, webhooks)

	mine := fresh(t, d, p)
	handOver(t, d, mine[0].DeliveryID)
	entities, webhooks = strays(time.Hour)
	require.Empty(t, entities, "it is its webhook's now")
	require.Empty(t, webhooks, "it has not been due for long")
	execute(`UPDATE deliveries SET next_attempt_at = now() - interval '2 hours'`)
	_, webhooks = strays(time.Hour)
	require.Equal(t, []int64{w.ID}, webhooks, "nobody woke it")

	_, err := d.Store.BeginDrain(t.Context(), w.ID)
	require.NoError(t, err)
	_, webhooks = strays(time.Hour)
	require.Empty(t, webhooks, "its workflow is at work")
	require.False(t, nextDue(t, d, w).IsZero())
	_, webhooks = strays(time.Hour)
	require.Empty(t, webhooks, "it looks again")
	execute(`UPDATE webhook_health SET wakes_at = now() + interval '1 minute'`)
	_, webhooks = strays(time.Hour)
	require.Equal(t, []int64{w.ID}, webhooks, "it looks too late")
	execute(`UPDATE webhook_health SET rest_until = now() + interval '1 minute'`)
	_, webhooks = strays(time.Hour)
	require.Empty(t, webhooks, "the endpoint rests")

	execute(`UPDATE deliveries SET status = 'held', next_attempt_at = NULL`) // as after half of EnableWebhook
	_, webhooks = strays(time.Hour)
	require.Equal(t, []int64{w.ID}, webhooks, "what was held is released")
	execute(`UPDATE webhook_health SET rest_until = NULL`)
	require.Equal(t, []string{send(w, 1, false)}, sends(due(t, d, w)))
}

// Between the moment in which a webhook is switched on and that in which what was held is released,
// nothing newer is sent.
func TestNothingOvertakesWhatIsHeld(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	p := backlog(t, d, 3)
	set := func(version int, status string) {
		t.Helper()
		_, err := d.DB.Exec(`UPDATE deliveries SET status = $2 WHERE version = $1`, version, status)
		require.NoError(t, err)
	}
	set(1, "delivered")
	set(2, "held")
	mine := fresh(t, d, p)
	require.Len(t, mine, 1)
	require.True(t, mine[0].Later)
	handOver(t, d, mine[0].DeliveryID)
	require.Empty(t, due(t, d, w))
	_, webhooks, err := d.Store.Strays(t.Context(), time.Hour, 10)
	require.NoError(t, err)
	require.Equal(t, []int64{w.ID}, webhooks)
	require.Equal(t, []string{send(w, 2, false), send(w, 3, false)}, sends(due(t, d, w)))
}
