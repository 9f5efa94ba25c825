package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// Only what has ended goes, with its attempts; what waits or is held stays however old it is,
// and events stay always.
func TestPruneDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	other := newWebhook(t, d.Store, newCompany(t, d.Store), []string{"customer.*"})
	old := fresh(t, d, backlog(t, d, 6))
	for _, f := range old[:5] {
		record(t, d, delivered(f))
	}
	for i, status := range []string{"delivered", "exhausted", "superseded", "discarded", "held", "pending"} {
		_, err := d.DB.Exec(`UPDATE deliveries SET status = $2, created_at = now() - interval '9 days' WHERE id = $1`, old[i].DeliveryID, status)
		require.NoError(t, err)
	}
	var cut time.Time
	require.NoError(t, d.DB.Get(&cut, `SELECT clock_timestamp()`))
	young := fresh(t, d, backlog(t, d, 1))
	record(t, d, delivered(young[0]))
	newCustomer(t, d.Store, other.CompanyID)
	events := count(t, d, `SELECT count(*) FROM events`)

	n, err := d.Store.PruneDeliveries(t.Context(), cut, 3)
	require.NoError(t, err)
	require.EqualValues(t, 3, n, "a batch")
	n, err = d.Store.PruneDeliveries(t.Context(), cut, 3)
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "the rest")
	n, err = d.Store.PruneDeliveries(t.Context(), cut, 3)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, []string{"held", "pending", "delivered"}, statuses(t, d, w))
	require.Equal(t, []string{"pending"}, statuses(t, d, other))
	require.Equal(t, 2, count(t, d, `SELECT count(*) FROM attempts`), "of what is held, and of the young one")
	require.Equal(t, events, count(t, d, `SELECT count(*) FROM events`))
}

// An event whose delivery was pruned is no gap; one whose delivery is still held is.
func TestPrunedDeliveriesAreNoGaps(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	old := fresh(t, d, backlog(t, d, 3))
	record(t, d, delivered(old[0]), delivered(old[2]))
	_, err := d.DB.Exec(`UPDATE deliveries SET created_at = now() - interval '9 days'`)
	require.NoError(t, err)
	gaps := func() []int64 {
		t.Helper()
		found, err := d.Store.Gaps(t.Context(), pipeline.GapQuery{CompanyID: 1, WebhookID: w.ID, Limit: 10})
		require.NoError(t, err)
		out := make([]int64, len(found.Gaps))
		for i, g := range found.Gaps {
			out[i] = g.Version
		}
		return out
	}
	require.Equal(t, []int64{2}, gaps())
	n, err := d.Store.PruneDeliveries(t.Context(), time.Now().Add(time.Minute), 10)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Equal(t, []int64{2}, gaps())
}

// What a replay has queued of old events is not old.
func TestPruneDeliveriesSparesReplays(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	record(t, d, delivered(fresh(t, d, backlog(t, d, 1))[0]))
	_, err := d.DB.Exec(`UPDATE deliveries SET created_at = now() + interval '1 minute'`)
	require.NoError(t, err)
	n, err := d.Store.PruneDeliveries(t.Context(), time.Now().Add(time.Second), 10)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, []string{"delivered"}, statuses(t, d, w))
}

func TestPruneAttempts(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	mine := fresh(t, d, backlog(t, d, 2))
	start := time.Now().AddDate(0, 0, -4)
	at := func(r pipeline.Result, days int) pipeline.Result {
		r.Attempt.At = start.AddDate(0, 0, days)
		return r
	}
	for day := range 4 {
		record(t, d, at(failed(mine[0], noon), day))
	}
	record(t, d, at(delivered(mine[1]), 1))

	n, err := d.Store.PruneAttempts(t.Context(), start.AddDate(0, 0, 2), 2)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	n, err = d.Store.PruneAttempts(t.Context(), start.AddDate(0, 0, 2), 2)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.Len(t, one(t, d, mine[0].DeliveryID).Attempts, 2)
	require.Equal(t, pipeline.DeliveryDelivered, one(t, d, mine[1].DeliveryID).Status)
	require.Equal(t, 4, due(t, d, w)[0].Attempts, "they count all the same")
}

func TestPositionBefore(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	const many = 10
	want, times := make([]int64, 0, many), make([]time.Time, 0, many)
	for range many {
		c := newCustomer(t, d.Store, 1)
		newCustomer(t, d.Store, other)
		events := feed(t, d, pipeline.FeedQuery{CompanyID: 1, After: lastOf(want), Limit: 10})
		require.Len(t, events, 1)
		require.EqualValues(t, c.ID, events[0].CustomerID)
		want, times = append(want, events[0].Position), append(times, events[0].RecordedAt)
	}
	before := func(company int64, at time.Time) int64 {
		var n int64
		require.NoError(t, d.DB.Get(&n, `SELECT position_before($1, $2)`, company, at))
		return n
	}
	require.Zero(t, before(1, noon))
	for i, at := range times {
		require.Equal(t, want[i], before(1, at.Add(time.Microsecond)))
		require.Equal(t, lastOf(want[:i]), before(1, at))
	}
	require.Equal(t, lastOf(want), before(1, time.Now().Add(time.Hour)))
	require.Zero(t, before(newCompany(t, d.Store), time.Now()))
}

func lastOf(positions []int64) int64 {
	if len(positions) == 0 {
		return 0
	}
	return positions[len(positions)-1]
}
