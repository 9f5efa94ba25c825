package postgres_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// plansOfRecovery is the part of TestPlans about going through everything after Temporal was lost.
// It comes after plansOfProviders, which fills the inbox and the documents.
func plansOfRecovery(t *testing.T, store *postgres.Store, plans *planLog, rows int) {
	t.Helper()
	ctx := t.Context()
	const page = 100
	streams := make([]pipeline.Stream, page)
	for i := range streams {
		streams[i] = pipeline.Stream(fmt.Sprintf("proposal-%d", rows/10+i))
	}
	middle := postgres.WaitingDocument{ID: int64(rows) / 10}
	for _, test := range []struct {
		name string
		rows int // that a run may touch
		call func() error
	}{
		{"CompaniesFrom", 10, func() error { return read(store.CompaniesFrom(ctx, 0, 1)) }},
		{"BusyWebhooks", 5 * page, func() error { return read(store.BusyWebhooks(ctx, 0, page)) }},
		{"OpenInbound", page, func() error { return read(store.OpenInbound(ctx, 0, page)) }},
		{"OpenInbound, from the middle", page, func() error { return read(store.OpenInbound(ctx, int64(rows)/10, page)) }},
		{"WaitingDocuments", page, func() error { return read(store.WaitingDocuments(ctx, postgres.WaitingDocument{}, page)) }},
		{"WaitingDocuments, from the middle", page, func() error { return read(store.WaitingDocuments(ctx, middle, page)) }},
		{"Undelivered", page, func() error { _, err := store.Undelivered(ctx, streams); return err }},
		{"Signatures", 6 * page, func() error { _, err := store.Signatures(ctx, streams); return err }},
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
