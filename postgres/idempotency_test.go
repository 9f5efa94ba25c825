package postgres_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestReserve(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	idem := pipeline.Idempotency{Key: "K", Fingerprint: "f"}
	first, err := d.Store.Reserve(t.Context(), 1, pipeline.KindCustomer, idem)
	require.NoError(t, err)
	require.Positive(t, first.ID)
	require.Empty(t, first.EventID)

	again, err := d.Store.Reserve(t.Context(), 1, pipeline.KindCustomer, idem)
	require.NoError(t, err)
	require.Equal(t, first, again)

	_, err = d.Store.Reserve(t.Context(), 1, pipeline.KindCustomer, pipeline.Idempotency{Key: "K", Fingerprint: "other"})
	requireCode(t, pipeline.CodeIdempotencyKeyReused, err)

	// The same key of another company, of another scope, and no key at all: other ids.
	ids := map[int64]bool{first.ID: true}
	for _, r := range []struct {
		company int64
		idem    pipeline.Idempotency
	}{
		{other, idem}, {1, pipeline.Idempotency{Scope: 3, Key: "K", Fingerprint: "f"}}, {1, noKey}, {1, noKey},
	} {
		reserved, err := d.Store.Reserve(t.Context(), r.company, pipeline.KindCustomer, r.idem)
		require.NoError(t, err)
		require.False(t, ids[reserved.ID])
		ids[reserved.ID] = true
	}

	e, _ := customerCreated(t, 1, first.ID)
	_, err = d.Store.Append(t.Context(), e, idem)
	require.NoError(t, err)
	made, err := d.Store.Reserve(t.Context(), 1, pipeline.KindCustomer, idem)
	require.NoError(t, err)
	require.Equal(t, pipeline.Reservation{ID: first.ID, EventID: e.ID}, made)
}

func TestReserveAtOnce(t *testing.T) {
	t.Parallel()
	const callers = 16
	d := newDatabase(t)
	ids := make([]int64, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			r, err := d.Store.Reserve(t.Context(), 1, pipeline.KindProposal, pipeline.Idempotency{Key: "K", Fingerprint: "f"})
			if err != nil {
				t.Error(err)
			}
			ids[i] = r.ID
		})
	}
	all.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	c := newCustomer(t, d.Store, 1)
	p := newProposal(t, d.Store, c)
	idem := pipeline.Idempotency{Key: "K", Fingerprint: "f"}
	e, p := next(t, p, pipeline.TypeProposalSent, `{}`)
	_, err := d.Store.Append(t.Context(), e, idem)
	require.NoError(t, err)
	forgotten := pipeline.Idempotency{Key: "forgotten", Fingerprint: "f"}
	old, p := next(t, p, pipeline.TypeProposalSent, `{}`)
	old.ID = pipeline.EventID(p.Ref().Stream(), forgotten.Key)
	_, err = d.Store.Append(t.Context(), old, forgotten)
	require.NoError(t, err)
	_, err = d.DB.Exec(`DELETE FROM idempotency WHERE key = 'forgotten'`)
	require.NoError(t, err)

	for _, test := range []struct {
		name    string
		company int64
		stream  pipeline.Stream
		id      int64
		idem    pipeline.Idempotency
		want    pipeline.Target
		code    pipeline.Code
	}{
		{name: "a customer", company: 1, stream: c.Ref().Stream(), id: c.ID, want: pipeline.Target{Version: 1, CustomerID: c.ID}},
		{name: "a proposal", company: 1, stream: p.Ref().Stream(), id: p.ID, want: pipeline.Target{Version: 3, CustomerID: c.ID}},
		{
			name: "the request came before", company: 1, stream: p.Ref().Stream(), id: p.ID, idem: idem,
			want: pipeline.Target{Version: 3, CustomerID: c.ID, EventID: e.ID},
		},
		{
			name: "a new key", company: 1, stream: p.Ref().Stream(), id: p.ID, idem: pipeline.Idempotency{Key: "L"},
			want: pipeline.Target{Version: 3, CustomerID: c.ID},
		},
		{
			name: "the key of another request", company: 1, stream: p.Ref().Stream(), id: p.ID,
			idem: pipeline.Idempotency{Key: "K", Fingerprint: "other"}, code: pipeline.CodeIdempotencyKeyReused,
		},
		{
			name: "a key that was forgotten", company: 1, stream: p.Ref().Stream(), id: p.ID, idem: forgotten,
			want: pipeline.Target{Version: 3, CustomerID: c.ID, EventID: old.ID},
		},
		{
			name: "a key that was forgotten of another entity", company: 1, stream: c.Ref().Stream(), id: c.ID, idem: forgotten,
			want: pipeline.Target{Version: 1, CustomerID: c.ID},
		},
		{name: "unknown", company: 1, stream: "proposal-555", id: 555, code: pipeline.CodeNotFound},
		{name: "somebody else's", company: other, stream: p.Ref().Stream(), id: p.ID, code: pipeline.CodeNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := d.Store.Target(t.Context(), test.company, test.stream, test.id, test.idem)
			if test.code != "" {
				requireCode(t, test.code, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestPruneIdempotency(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	reserve := func(key string) pipeline.Reservation {
		r, err := d.Store.Reserve(t.Context(), 1, pipeline.KindCustomer, pipeline.Idempotency{Key: key, Fingerprint: "f"})
		require.NoError(t, err)
		return r
	}
	for _, key := range []string{"a", "b", "c"} {
		reserve(key)
	}
	_, err := d.DB.Exec(`UPDATE idempotency SET created_at = now() - interval '31 days'`)
	require.NoError(t, err)
	young := reserve("d")
	prune := func() int64 {
		n, err := d.Store.PruneIdempotency(t.Context(), time.Now().AddDate(0, 0, -30), 2)
		require.NoError(t, err)
		return n
	}
	require.EqualValues(t, 2, prune(), "a batch")
	require.EqualValues(t, 1, prune(), "the rest")
	require.Zero(t, prune())
	require.Equal(t, young, reserve("d"), "a young one stays")
}
