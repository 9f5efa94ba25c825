package postgres_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

func TestNothingHasToBeUnderWay(t *testing.T) {
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

func TestBusyWebhooks(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	none := []string{"no.such"}
	newWebhook(t, d.Store, 1, none) // has nothing to do
	waiting, held := newWebhook(t, d.Store, 1, []string{"*"}), newWebhook(t, d.Store, 1, []string{"*"}, inactive)
	deleted := newWebhook(t, d.Store, 1, []string{"*"})
	newCustomer(t, d.Store, 1)
	replayed, believed := newWebhook(t, d.Store, 1, none), newWebhook(t, d.Store, 1, none)
	replay := startReplay(t, d, replayed)
	adjustHealth(t, d, believed, "wakes_at = now()")
	require.NoError(t, d.Store.DeleteWebhook(t.Context(), 1, deleted.ID))
	busy := func(after int64, limit int) []int64 {
		t.Helper()
		ids, err := d.Store.BusyWebhooks(t.Context(), after, limit)
		require.NoError(t, err)
		return ids
	}
	require.Equal(t, []int64{waiting.ID, replayed.ID, believed.ID}, busy(0, 10))
	require.NotContains(t, busy(0, 10), held.ID, "it waits until somebody switches it on")
	require.Equal(t, []int64{waiting.ID, replayed.ID}, busy(0, 2))
	require.Equal(t, []int64{believed.ID}, busy(replayed.ID, 2))

	_, err := d.DB.Exec(`UPDATE deliveries SET status = 'delivered' WHERE webhook_id = $1`, waiting.ID)
	require.NoError(t, err)
	_, err = d.Store.SetReplayStatus(t.Context(), 1, replayed.ID, replay.ID, pipeline.ReplayCancelled)
	require.NoError(t, err)
	adjustHealth(t, d, believed, "wakes_at = NULL")
	adjustHealth(t, d, replayed, "wakes_at = NULL")
	require.Empty(t, busy(0, 10))
}

func TestOpenInbound(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newConnection(t, d.Store, "token")
	ids := make([]int64, 3)
	for i, body := range []string{`{"n":1}`, `{"n":2}`, `{"n":3}`} {
		in, hash := told(c, uuidOf(2, 1), body, noon)
		kept, _, err := d.Store.KeepInbound(t.Context(), in, hash)
		require.NoError(t, err)
		ids[i] = kept.ID
	}
	require.NoError(t, d.Store.SettleInbound(t.Context(), ids[1], pipeline.InboundUnmatched, "", 0))
	open, err := d.Store.OpenInbound(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Equal(t, []int64{ids[0], ids[2]}, open)
	open, err = d.Store.OpenInbound(t.Context(), 0, 1)
	require.NoError(t, err)
	require.Equal(t, ids[:1], open)
	open, err = d.Store.OpenInbound(t.Context(), ids[0], 10)
	require.NoError(t, err)
	require.Equal(t, ids[2:], open)
}

func TestWaitingDocuments(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	c := newConnection(t, d.Store, "token")
	for i, company := range []int64{1, 1, 1, other} {
		require.NoError(t, d.Store.AddDocument(t.Context(), pipeline.KeptDocument{
			CompanyID: company, UUID: uuidOf(3, int64(i)), ProposalID: 7, ConnectionID: c.ID,
		}))
	}
	require.NoError(t, d.Store.DocumentStored(t.Context(), 1, uuidOf(3, 1), pipeline.File{Name: "a.pdf"}))
	want := []postgres.WaitingDocument{
		{ID: 1, CompanyID: 1, UUID: uuidOf(3, 0)}, {ID: 3, CompanyID: 1, UUID: uuidOf(3, 2)}, {ID: 4, CompanyID: other, UUID: uuidOf(3, 3)},
	}
	found, err := d.Store.WaitingDocuments(t.Context(), postgres.WaitingDocument{}, 2)
	require.NoError(t, err)
	require.Equal(t, want[:2], found)
	found, err = d.Store.WaitingDocuments(t.Context(), found[1], 2)
	require.NoError(t, err)
	require.Equal(t, want[2:], found, "those of the next company")
}

func TestUndelivered(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"proposal.*"})
	newWebhook(t, d.Store, 1, []string{"proposal.*"})
	c := newCustomer(t, d.Store, 1)
	sending, handedOver, unasked := newProposal(t, d.Store, c), newProposal(t, d.Store, c), newProposal(t, d.Store, c)
	for _, dispatch := range fresh(t, d, handedOver) {
		handOver(t, d, dispatch.DeliveryID)
	}
	require.NotEmpty(t, fresh(t, d, unasked))
	found, err := d.Store.Undelivered(t.Context(), []pipeline.Stream{c.Ref().Stream(), sending.Ref().Stream(), handedOver.Ref().Stream()})
	require.NoError(t, err)
	require.Equal(t, []pipeline.Stream{sending.Ref().Stream()}, found)
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	toSign := []pipeline.EventType{"proposal.sent", "proposal.selected", "contract.requested", "contract.sent"}
	walk := func(types ...pipeline.EventType) pipeline.Proposal {
		t.Helper()
		p := newProposal(t, d.Store, c)
		for _, typ := range append(toSign, types...) {
			p, _ = happen(t, d.Store, p, typ, `{}`)
		}
		return p
	}
	document := `{"uuid":"` + uuidOf(3, 1) + `","name":"a.pdf","content_type":"application/pdf","size":1,
		"sha256":"` + strings.Repeat("ab", 32) + `"}`
	unsigned, signed := walk(), walk("contract.signed")
	stored, _ := happen(t, d.Store, walk("contract.signed"), pipeline.TypeContractDocumentStored, document)
	again := walk("contract.signed", "contract.voided", "contract.requested", "contract.sent", "contract.signed")
	found, err := d.Store.Signatures(t.Context(), []pipeline.Stream{
		unsigned.Ref().Stream(), signed.Ref().Stream(), stored.Ref().Stream(), again.Ref().Stream(),
	})
	require.NoError(t, err)
	last := func(p pipeline.Proposal, back int64) string {
		t.Helper()
		events, err := d.Store.EventsAfter(t.Context(), p.Ref().Stream(), p.Version-1-back, 1)
		require.NoError(t, err)
		require.Equal(t, pipeline.TypeContractSigned, events[0].Type)
		return events[0].ID
	}
	require.ElementsMatch(t, []postgres.Signature{
		{EventID: last(signed, 0)}, {EventID: last(stored, 1), Stored: true}, {EventID: last(again, 0)},
	}, found)
}
