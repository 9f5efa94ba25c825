package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

func TestWhatHasToBeUnderWayIsFound(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ctx := t.Context()
	none, err := d.Store.BusyWebhooks(ctx, 0, 10)
	require.NoError(t, err)
	require.Empty(t, none)
	companies, err := d.Store.CompaniesFrom(ctx, 0, 10)
	require.NoError(t, err)
	require.NotEmpty(t, companies)
	later, err := d.Store.CompaniesFrom(ctx, companies[len(companies)-1]+1, 10)
	require.NoError(t, err)
	require.Empty(t, later)
	inbox, err := d.Store.OpenInbound(ctx, 0, 10)
	require.NoError(t, err)
	require.Empty(t, inbox)
	documents, err := d.Store.WaitingDocuments(ctx, postgres.WaitingDocument{}, 10)
	require.NoError(t, err)
	require.Empty(t, documents)
	fresh, err := d.Store.Undelivered(ctx, []pipeline.Stream{"customer-1"})
	require.NoError(t, err)
	require.Empty(t, fresh)
	signatures, err := d.Store.Signatures(ctx, []pipeline.Stream{"proposal-1"})
	require.NoError(t, err)
	require.Empty(t, signatures)
}
