package postgres_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

func TestRebuild(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	c := newCustomer(t, d.Store, 1)
	c, _ = happen(t, d.Store, c, pipeline.TypeCustomerUpdated, `{"attributes":{"b":1.50,"a":"<&>"},"phone":null}`)
	p := newProposal(t, d.Store, c)
	for _, step := range walk {
		p, _ = happen(t, d.Store, p, step, `{}`)
	}
	gone := newProposal(t, d.Store, newCustomer(t, d.Store, other))
	intact := projections(t, d)
	require.Empty(t, rebuild(t, d, false).Differences)
	require.Equal(t, postgres.Rebuilt{Streams: 4, Events: 2 + 6 + 1 + 1}, rebuild(t, d, true))

	for _, tamper := range []string{
		`UPDATE customers SET state = state || '{"name":"Mallory"}' WHERE company_id = 1`,
		`UPDATE customers SET uuid = gen_random_uuid() WHERE company_id = 1`,
		`UPDATE proposals SET state = state || '{"status":"sold","version":99}' WHERE company_id = 1`,
	} {
		_, err := d.DB.Exec(tamper)
		require.NoError(t, err)
	}
	_, err := d.DB.Exec(`DELETE FROM proposals WHERE id = $1`, gone.ID)
	require.NoError(t, err)
	tampered := projections(t, d)

	dry := rebuild(t, d, true)
	require.Equal(t, tampered, projections(t, d), "a dry run repairs nothing")
	require.EqualValues(t, 3, dry.Differing)
	require.Equal(t, postgres.Difference{Stream: c.Ref().Stream(), Field: "name", Was: `"Mallory"`, Is: `"Jo Doe"`}, dry.Differences[0])
	require.Equal(t, postgres.Difference{Stream: p.Ref().Stream(), Field: "status", Was: `"sold"`, Is: `"selected"`}, dry.Differences[1])
	require.Equal(t, gone.Ref().Stream(), dry.Differences[2].Stream)
	require.Equal(t, "row", dry.Differences[2].Field)
	require.Empty(t, dry.Differences[2].Was)

	require.Equal(t, dry, rebuild(t, d, false))
	require.Equal(t, intact, projections(t, d))
	require.Zero(t, rebuild(t, d, true).Differing)
}

// Operational events tell no entity's story.
func TestRebuildPassesOverOperationalEvents(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"proposal.*"})
	record(t, d, exhausted(fresh(t, d, backlog(t, d, 1))[0]))
	require.Equal(t, postgres.Rebuilt{Streams: 2, Events: 2}, rebuild(t, d, true))
}

func TestRebuildSeesColumns(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c, neighbour := newCustomer(t, d.Store, 1), newCustomer(t, d.Store, 1)
	p := newProposal(t, d.Store, c)
	intact := projections(t, d)
	_, err := d.DB.Exec(`UPDATE proposals SET customer_id = $1`, neighbour.ID)
	require.NoError(t, err)
	_, err = d.DB.Exec(`UPDATE customers SET uuid = gen_random_uuid() WHERE id = $1`, c.ID)
	require.NoError(t, err)

	found := rebuild(t, d, false)
	require.Len(t, found.Differences, 2)
	require.Equal(t, c.Ref().Stream(), found.Differences[0].Stream)
	require.Equal(t, "column uuid", found.Differences[0].Field)
	require.Equal(t, p.Ref().Stream(), found.Differences[1].Stream)
	require.Equal(t, "column customer_id", found.Differences[1].Field)
	require.Equal(t, intact, projections(t, d))
}

// The state beside the last event is not what the events fold to: that is reported, and cannot
// be repaired, since events stay as they are.
func TestRebuildSeesStateOfEvents(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	e, _ := customerCreated(t, 1, 1)
	e.State = []byte(`{"id":1,"uuid":"` + uuidOf(1, 1) + `","company_id":1,"version":1,"status":1,"name":"Mallory","email":"x"}`)
	_, err := d.Store.Append(t.Context(), e, noKey)
	require.NoError(t, err)

	found := rebuild(t, d, false)
	require.Len(t, found.Differences, 2)
	require.Equal(t, "events.state/address", found.Differences[0].Field)
	require.Equal(t, "address", found.Differences[1].Field)
	again := rebuild(t, d, false)
	require.Len(t, again.Differences, 1, "the projection is repaired")
	require.Equal(t, "events.state/address", again.Differences[0].Field)
	kept, err := d.Store.Customer(t.Context(), 1, 1)
	require.NoError(t, err)
	require.Equal(t, "Jo Doe", kept.Name)
}

// A rebuild while the engine appends neither reports nor spoils anything.
func TestRebuildWhileAppending(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() {
		state := c
		for ctx.Err() == nil {
			e, after, err := pipeline.Next(state, pipeline.Command{Type: pipeline.TypeEmailSent, OccurredAt: noon}, string(rune(state.Version)))
			if err == nil {
				_, err = d.Store.Append(context.WithoutCancel(ctx), e, noKey)
			}
			if err != nil {
				stopped <- err
				return
			}
			state = after
		}
		stopped <- nil
	}()
	for range 30 {
		require.Empty(t, rebuild(t, d, false).Differences)
	}
	cancel()
	require.NoError(t, <-stopped)
	require.Empty(t, rebuild(t, d, false).Differences)
}

func rebuild(t *testing.T, d database, dryRun bool) postgres.Rebuilt {
	t.Helper()
	calls := 0
	sum, err := d.Store.Rebuild(t.Context(), dryRun, func(postgres.Rebuilt) { calls++ })
	require.NoError(t, err)
	require.Positive(t, calls)
	return sum
}

func projections(t *testing.T, d database) string {
	t.Helper()
	var all string
	require.NoError(t, d.DB.Get(&all, `SELECT jsonb_pretty(jsonb_build_array(
		(SELECT jsonb_agg(c ORDER BY id) FROM customers c), (SELECT jsonb_agg(p ORDER BY id) FROM proposals p)))`))
	return all
}
