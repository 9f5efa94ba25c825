package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// A webhook's health is written only when it changes: success after success leaves its row be.
func TestWebhookHealth(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w, other := newWebhook(t, d.Store, 1, []string{"proposal.*"}), newWebhook(t, d.Store, 1, []string{"*"})
	p := backlog(t, d, 6)
	mine := fresh(t, d, p)[:6]
	untouched := rowVersion(t, d, other)
	requireHealth := func(failures int, slow bool) {
		t.Helper()
		got := health(t, d, w)
		require.Equal(t, failures, got.Failures)
		require.Equal(t, slow, got.Slow)
	}

	before := rowVersion(t, d, w)
	record(t, d, delivered(mine[0]))
	recordSlow(t, d, []int64{other.ID}, delivered(mine[1])) // slow is of no account for a webhook without results
	require.Equal(t, before, rowVersion(t, d, w))
	requireHealth(0, false)
	record(t, d, failed(mine[2], noon))
	record(t, d, failed(mine[2], noon))
	requireHealth(2, false)
	recordSlow(t, d, []int64{w.ID}, failed(mine[2], noon), delivered(mine[3]))
	requireHealth(0, true)
	record(t, d, delivered(mine[4]), failed(mine[5], noon))
	requireHealth(1, false)
	record(t, d, delivered(mine[5]))
	require.Equal(t, pipeline.Health{}, health(t, d, w))
	require.Equal(t, untouched, rowVersion(t, d, other))
}

func health(t *testing.T, d database, w pipeline.Webhook) pipeline.Health {
	t.Helper()
	var h pipeline.Health
	require.NoError(t, d.DB.QueryRow(`SELECT failures, slow, told, probes FROM webhook_health WHERE webhook_id = $1`, w.ID).
		Scan(&h.Failures, &h.Slow, &h.Told, &h.Probes))
	return h
}
