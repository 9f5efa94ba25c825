package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestBacklog(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	backlog := func() pipeline.Backlog {
		t.Helper()
		b, err := d.Store.Backlog(t.Context())
		require.NoError(t, err)
		return b
	}
	require.Equal(t, pipeline.Backlog{}, backlog())
	_, err := d.Store.Beat(t.Context(), "a worker")
	require.NoError(t, err)

	late := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	off := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	_, _, err = d.Store.DisableWebhook(t.Context(), 1, off.ID)
	require.NoError(t, err)
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	b := backlog()
	require.Equal(t, 1, b.Workers)
	require.Equal(t, []pipeline.Queue{{WebhookID: off.ID, Held: 1}}, b.Queues, "what is fresh is its entity's own to send")

	handOver(t, d, fresh(t, d, p)[0].DeliveryID)
	execute := func(statement string) {
		t.Helper()
		_, err := d.DB.Exec(statement)
		require.NoError(t, err)
	}
	execute(`UPDATE deliveries SET next_attempt_at = now() - interval '1 hour' WHERE status = 'pending'`)
	b = backlog()
	require.Equal(t, []pipeline.Queue{{WebhookID: late.ID, Due: 1}, {WebhookID: off.ID, Held: 1}}, b.Queues)
	require.InDelta(t, time.Hour.Seconds(), b.OldestDue.Seconds(), time.Minute.Seconds())

	execute(`UPDATE webhook_health SET failures = 10`)
	b = backlog()
	require.Contains(t, b.Queues, pipeline.Queue{WebhookID: late.ID, Due: 1, CircuitOpen: true})
	require.Zero(t, b.OldestDue, "what waits for an endpoint that is down waits for no worker")
}
