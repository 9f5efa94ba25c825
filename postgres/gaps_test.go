package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func gaps(t *testing.T, d database, w pipeline.Webhook, change ...func(*pipeline.GapQuery)) pipeline.Gaps {
	t.Helper()
	q := pipeline.GapQuery{CompanyID: 1, WebhookID: w.ID, Limit: 100}
	for _, c := range change {
		c(&q)
	}
	out, err := d.Store.Gaps(t.Context(), q)
	require.NoError(t, err)
	return out
}

// gapLines are the streams' versions and what became of the deliveries.
func gapLines(g pipeline.Gaps) []string {
	out := make([]string, len(g.Gaps))
	for i, gap := range g.Gaps {
		out[i] = entries([]pipeline.Dispatch{{Event: pipeline.Event{Stream: gap.Stream, Version: gap.Version}}})[0] + " " + string(gap.Status)
	}
	return out
}

func TestGaps(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	w := newWebhook(t, d.Store, 1, []string{"*"})
	some := newWebhook(t, d.Store, 1, []string{"proposal.sent", "webhook.*"}, withFilter(`{"data.seq":{"$gt":2}}`))
	p := newProposal(t, d.Store, c)
	positions := make([]int64, 0, 7)
	for range cap(positions) {
		var appended pipeline.Appended
		p, appended = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
		positions = append(positions, appended.Position)
	}
	for i, set := range []string{
		"status = 'delivered', delivered_at = now()", "status = 'exhausted'", "status = 'pending', delivered_at = now()",
		"status = 'held'", "status = 'superseded'", "status = 'discarded'", "status = 'pending'",
	} {
		_, err := d.DB.Exec(`UPDATE deliveries SET `+set+` WHERE webhook_id = $1 AND version = $2`, w.ID, i+1)
		require.NoError(t, err)
	}
	_, err := d.DB.Exec(`DELETE FROM deliveries WHERE version = 8`)
	require.NoError(t, err)

	all := []string{
		entry(p, 2) + " exhausted", entry(p, 4) + " held", entry(p, 5) + " superseded", entry(p, 6) + " discarded", entry(p, 7) + " pending",
		entry(p, 8) + " ",
	}
	got := gaps(t, d, w)
	require.Equal(t, all, gapLines(got), "what was acknowledged once is no gap, and neither is what was before its time")
	require.Zero(t, got.Next)
	require.Equal(t, positions[0], got.Gaps[0].Position)
	require.Equal(t, pipeline.TypeProposalSent, got.Gaps[0].EventType)
	require.Equal(t, noon, got.Gaps[0].Timestamp)
	require.Positive(t, got.Gaps[0].Delivery)
	require.Zero(t, got.Gaps[5].Delivery)

	// Page by page.
	first := gaps(t, d, w, func(q *pipeline.GapQuery) { q.Limit = 4 })
	require.Equal(t, all[:4], gapLines(first))
	second := gaps(t, d, w, func(q *pipeline.GapQuery) { q.Limit, q.After = 4, first.Next })
	require.Equal(t, all[4:], gapLines(second))
	require.Zero(t, second.Next)
	require.Equal(t, all[1:3], gapLines(gaps(t, d, w, func(q *pipeline.GapQuery) { q.After, q.Until = positions[0], positions[3] })))

	// The filter, and what is there although it would not pass it now.
	require.Equal(t, []string{
		entry(p, 3) + " pending", entry(p, 4) + " pending", entry(p, 5) + " pending", entry(p, 6) + " pending", entry(p, 7) + " pending",
		entry(p, 8) + " ",
	}, gapLines(gaps(t, d, some)))
	some.Filter = `{"data.seq":{"$lt":4}}`
	_, _, err = d.Store.UpdateWebhook(t.Context(), some.CompanyID, some.ID, as(some))
	require.NoError(t, err)
	require.Equal(t, []string{
		entry(p, 2) + " ", entry(p, 3) + " pending", entry(p, 4) + " pending", entry(p, 5) + " pending", entry(p, 6) + " pending",
		entry(p, 7) + " pending",
	}, gapLines(gaps(t, d, some)))

	// Never about itself.
	_, _, err = d.Store.DisableWebhook(t.Context(), 1, some.ID)
	require.NoError(t, err)
	require.Len(t, gaps(t, d, some).Gaps, 6)

	for _, company := range []int64{newCompany(t, d.Store), 999} {
		_, err = d.Store.Gaps(t.Context(), pipeline.GapQuery{CompanyID: company, WebhookID: w.ID, Limit: 1})
		requireCode(t, pipeline.CodeNotFound, err)
	}
}

// One question looks at so many events; who asks goes on from there, though there was no gap yet.
func TestGapsLookAtSoMuch(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	wide := newWebhook(t, d.Store, 1, []string{"*"})
	one := newWebhook(t, d.Store, 1, []string{"proposal.sent"})
	const events = 150_000
	fillEvents(t, d, events)
	for _, w := range []pipeline.Webhook{wide, one} {
		_, err := d.DB.Exec(`INSERT INTO deliveries (company_id, webhook_id, event_position, stream, version, status, delivered_at)
			SELECT 1, $1, position, stream, version, 'delivered', now() FROM events
			WHERE company_id = 1 AND position < (SELECT max(position) FROM events)`, w.ID)
		require.NoError(t, err)
	}
	newest := int64(count(t, d, `SELECT max(position) FROM events`))
	_, err := d.DB.Exec(`DELETE FROM deliveries WHERE event_position = (SELECT max(position) FROM events WHERE type = 'proposal.sent')`)
	require.NoError(t, err)
	questions := func(w pipeline.Webhook) (found []int64, asked int) {
		t.Helper()
		for after := int64(-1); after != 0; asked++ {
			part := gaps(t, d, w, func(q *pipeline.GapQuery) { q.After = max(after, 0) })
			for _, g := range part.Gaps {
				found = append(found, g.Position)
			}
			require.True(t, part.Next == 0 || part.Next > after)
			after = part.Next
		}
		return found, asked
	}
	found, asked := questions(wide)
	require.Len(t, found, 2)
	require.Equal(t, newest, found[1])
	require.Equal(t, events/20_000+1, asked)
	found, asked = questions(one)
	require.Len(t, found, 1)
	require.Equal(t, events/5/20_000+1, asked, "it looks at the one type only")
}

func TestStatsByHour(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w, other := newWebhook(t, d.Store, 1, []string{"*"}), newWebhook(t, d.Store, 1, []string{"*"})
	stats := func(company int64, w pipeline.Webhook, since time.Time) []pipeline.StatsHour {
		t.Helper()
		out, err := d.Store.Stats(t.Context(), company, w.ID, since)
		require.NoError(t, err)
		return out
	}
	require.Empty(t, stats(1, w, noon))
	_, err := d.DB.Exec(`INSERT INTO attempts (delivery_id, n, at, status, latency_ms, error, response_body, webhook_id, ok)
		SELECT n, 1, $1::timestamptz + (n % 2) * interval '1 hour' + n * interval '1 second', 200, CASE WHEN n % 2 = 0 THEN n ELSE 7 END, '', '',
			$2, n % 10 <> 0
		FROM generate_series(1, 200) n`, noon, w.ID)
	require.NoError(t, err)
	_, err = d.DB.Exec(`INSERT INTO attempts (delivery_id, n, at, latency_ms, error, response_body, webhook_id, ok)
		VALUES (1000, 1, $1, 1, '', '', $2, true), (1001, 1, $1::timestamptz - interval '1 minute', 1, '', '', $3, true)`, noon, other.ID, w.ID)
	require.NoError(t, err)
	hour := noon.Truncate(time.Hour)
	require.Equal(t, []pipeline.StatsHour{
		{Hour: hour, Attempts: 100, Succeeded: 80, SuccessRate: 0.8, P50MS: 100, P95MS: 190},
		{Hour: hour.Add(time.Hour), Attempts: 100, Succeeded: 100, SuccessRate: 1, P50MS: 7, P95MS: 7},
	}, stats(1, w, noon))
	require.Len(t, stats(1, w, noon.Add(-time.Hour)), 3)
	require.Empty(t, stats(newCompany(t, d.Store), w, noon))
}

// BenchmarkStats reports what the statistics of a day with a million attempts cost.
func BenchmarkStats(b *testing.B) {
	d := newDatabase(b)
	w := newWebhook(b, d.Store, 1, []string{"*"})
	_, err := d.DB.Exec(`INSERT INTO attempts (delivery_id, n, at, status, latency_ms, error, response_body, webhook_id, ok)
		SELECT n, 1, $1::timestamptz + n * interval '86 ms', 200, (random() * random() * 5000)::int, '', 'ok', $2, n % 10 <> 0
		FROM generate_series(1, 1000000) n`, noon, w.ID)
	require.NoError(b, err)
	_, err = d.DB.Exec(`VACUUM ANALYZE attempts`)
	require.NoError(b, err)
	b.ResetTimer()
	for range b.N {
		hours, err := d.Store.Stats(b.Context(), 1, w.ID, noon)
		require.NoError(b, err)
		require.Len(b, hours, 24)
	}
}
