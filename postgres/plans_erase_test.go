package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// fillErased has every tenth customer erased long ago, and one in a thousand of those not cleaned
// up after.
func fillErased(t *testing.T, d database) {
	t.Helper()
	_, err := d.DB.Exec(`UPDATE data_keys SET sealed = NULL, erased_at = now() - interval '1 hour',
			cleaned_at = CASE WHEN customer_id % 1000 <> 0 THEN now() END
		WHERE company_id = 1 AND customer_id % 10 = 0`)
	require.NoError(t, err)
	_, err = d.DB.Exec(`ANALYZE data_keys`)
	require.NoError(t, err)
}

// plansOfErasure is the part of TestPlans about customers who are erased. It comes after
// plansOfProviders, which fills the inbox and the documents.
func plansOfErasure(t *testing.T, d database, store *postgres.Store, plans *planLog) {
	t.Helper()
	ctx := t.Context()
	fillErased(t, d)
	// A customer with a deal, made by the other store so that its plans are not heard.
	made := func() (pipeline.Customer, pipeline.Proposal) {
		c := newCustomer(t, d.Store, 1)
		return c, newProposal(t, d.Store, c)
	}
	gone, proposal := made()
	gone, _ = eraseCustomer(t, d, gone)
	streams := []pipeline.Stream{gone.Ref().Stream(), proposal.Ref().Stream()}

	for _, test := range []struct {
		name string
		rows int // that a run may touch
		call func() error
	}{
		{"Append, customer.erased", 200, func() error {
			c, _ := made()
			e, _ := next(t, c, pipeline.TypeCustomerErased, `{"reason":"request"}`)
			_, err := store.Append(ctx, e, noKey)
			return err
		}},
		{"ErasedTraces", 20, func() error { _, err := store.ErasedTraces(ctx, 1, gone.ID); return err }},
		{"BlankErased", 200, func() error { return store.BlankErased(ctx, 1, streams) }},
		{"ErasureDone", 20, func() error {
			return store.ErasureDone(ctx, pipeline.ErasedCustomer{CompanyID: 1, CustomerID: gone.ID}, nil)
		}},
		{"LeftErasures", 100, func() error { return read(store.LeftErasures(ctx, time.Minute, 100)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Seven times: from the sixth on a prepared statement may get a plan for any arguments.
			for range 7 {
				plans.forget()
				require.NoError(t, test.call())
				require.LessOrEqual(t, plans.requireIndexed(t), float64(test.rows), plans)
			}
			t.Logf("touched %.0f rows", plans.requireIndexed(t))
		})
	}
}
