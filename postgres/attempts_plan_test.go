package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// Every transition that has a partner records an attempt, and planning the statement costs more
// than running it: after the first few calls, one plan has to serve all.
func TestRecordAttemptsIsPlannedOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	session := d.Store.OneConnection()
	result := pipeline.Result{Status: pipeline.DeliveryDelivered, Attempt: pipeline.Attempt{Status: 200}}
	for range 20 {
		record(t, d, result)
	}
	var generic int
	require.NoError(t, session.GetContext(t.Context(), &generic,
		`SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE '%tried AS%'`))
	require.GreaterOrEqual(t, generic, 15)
}
