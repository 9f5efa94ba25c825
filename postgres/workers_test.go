package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWorkers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	beat := func(worker string) int {
		t.Helper()
		alive, err := d.Store.Beat(t.Context(), worker)
		require.NoError(t, err)
		return alive
	}
	require.Equal(t, 1, beat("one"))
	require.Equal(t, 1, beat("one"))
	require.Equal(t, 2, beat("two"))
	require.Equal(t, 3, beat("three"))
	require.NoError(t, d.Store.Leave(t.Context(), "two"))
	require.NoError(t, d.Store.Leave(t.Context(), "nobody"))
	require.Equal(t, 2, beat("one"))

	_, err := d.DB.Exec(`UPDATE workers SET seen_at = now() - interval '31 seconds'`)
	require.NoError(t, err)
	require.Equal(t, 1, beat("one"), "the other is not heard of any more, and one itself is back")
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM workers`))
}
