package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

func newConnection(tb testing.TB, store *postgres.Store, token string) pipeline.Connection {
	tb.Helper()
	c, _, err := store.CreateConnection(tb.Context(), pipeline.Connection{
		CompanyID: 1, Provider: pipeline.ProviderSighten, BaseURL: "https://sighten.example", Token: token,
		Auth: pipeline.Auth{Type: pipeline.AuthBearer, Token: "very-secret"}, CreateMissing: true,
	}, noKey)
	require.NoError(tb, err)
	return c
}

func TestConnections(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ctx, store := t.Context(), d.Store
	other := newCompany(t, store)
	c := newConnection(t, store, "token-1")
	require.Equal(t, "token-1", c.Token)
	require.Equal(t, pipeline.Auth{Type: pipeline.AuthBearer, Token: "very-secret"}, c.Auth)
	require.True(t, c.CreateMissing)

	found, err := store.ConnectionByToken(ctx, "token-1")
	require.NoError(t, err)
	require.Equal(t, c, found)
	_, err = store.ConnectionByToken(ctx, "token-2")
	require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(err))
	_, err = store.Connection(ctx, other, c.ID)
	require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(err))

	var kept string
	require.NoError(t, d.DB.Get(&kept, `SELECT connections::text FROM connections`))
	require.NotContains(t, kept, "token-1")
	require.NotContains(t, kept, "very-secret")

	idem := pipeline.Idempotency{Key: "k", Fingerprint: "f"}
	made := pipeline.Connection{CompanyID: 1, Provider: pipeline.ProviderSighten, BaseURL: "https://a.example", Token: "token-3"}
	first, replayed, err := store.CreateConnection(ctx, made, idem)
	require.NoError(t, err)
	require.False(t, replayed)
	require.Equal(t, pipeline.AuthNone, first.Auth.Type)
	made.Token = "token-4"
	again, replayed, err := store.CreateConnection(ctx, made, idem)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, first, again)

	all, err := store.Connections(ctx, 1, pipeline.Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []pipeline.Connection{first, c}, all)
	require.NoError(t, store.DeleteConnection(ctx, 1, c.ID))
	require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(store.DeleteConnection(ctx, 1, c.ID)))
	_, err = store.ConnectionByToken(ctx, "token-1")
	require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(err))
}

func told(c pipeline.Connection, quote, body string, at time.Time) (pipeline.Inbound, []byte) {
	hash := sha256.Sum256([]byte(body))
	return pipeline.Inbound{
		CompanyID: c.CompanyID, ConnectionID: c.ID, Body: pipeline.Object(body), DocumentStatus: "SIGN", Quote: pipeline.Text(quote),
		UpdatedAt: pipeline.Instant(at),
	}, hash[:]
}

func TestInbox(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ctx, store := t.Context(), d.Store
	other := newCompany(t, store)
	c, second := newConnection(t, store, "token-1"), newConnection(t, store, "token-2")
	in, hash := told(c, uuidOf(2, 7), `{ "a": 1 }`, noon)

	kept, repeated, err := store.KeepInbound(ctx, in, hash)
	require.NoError(t, err)
	require.False(t, repeated)
	require.Equal(t, pipeline.InboundReceived, kept.Status)
	again, repeated, err := store.KeepInbound(ctx, in, hash)
	require.NoError(t, err)
	require.True(t, repeated)
	require.Equal(t, kept.ID, again.ID)
	in.ConnectionID = second.ID
	elsewhere, repeated, err := store.KeepInbound(ctx, in, hash)
	require.NoError(t, err)
	require.False(t, repeated, "of another connection it is news")

	read, err := store.Inbound(ctx, 1, kept.ID)
	require.NoError(t, err)
	require.Equal(t, pipeline.Object(`{ "a": 1 }`), read.Body, "as it came")
	require.Equal(t, pipeline.Instant(noon), read.UpdatedAt)
	_, err = store.Inbound(ctx, other, kept.ID)
	require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(err))

	left, err := store.LeftInbound(ctx, time.Hour, 10)
	require.NoError(t, err)
	require.Empty(t, left)
	left, err = store.LeftInbound(ctx, -time.Hour, 10)
	require.NoError(t, err)
	require.Equal(t, []int64{kept.ID, elsewhere.ID}, left)

	begun, err := store.BeginInbound(ctx, kept.ID)
	require.NoError(t, err)
	require.True(t, begun.CreateMissing)
	require.NoError(t, store.SettleInbound(ctx, kept.ID, pipeline.InboundHandled, "two events", 42))
	require.NoError(t, store.SettleInbound(ctx, kept.ID, pipeline.InboundFailed, "too late", 43), "what is settled stays so")
	newest, err := store.NewestInbound(ctx, 1, 42)
	require.NoError(t, err)
	require.Equal(t, noon, newest)
	newest, err = store.NewestInbound(ctx, 1, 43)
	require.NoError(t, err)
	require.True(t, newest.IsZero() || newest.Year() == 1, newest)
	_, err = store.RetryInbound(ctx, 1, kept.ID)
	require.Equal(t, pipeline.CodeConflict, pipeline.CodeOf(err))

	require.NoError(t, store.SettleInbound(ctx, elsewhere.ID, pipeline.InboundUnmatched, "no such proposal", 0))
	unmatched, err := store.Inbox(ctx, pipeline.InboundQuery{CompanyID: 1, Status: pipeline.InboundUnmatched, Page: pipeline.Page{Limit: 10}})
	require.NoError(t, err)
	require.Len(t, unmatched, 1)
	require.Equal(t, elsewhere.ID, unmatched[0].ID)
	require.Empty(t, unmatched[0].Body)
	all, err := store.Inbox(ctx, pipeline.InboundQuery{CompanyID: 1, ConnectionID: c.ID, Page: pipeline.Page{Limit: 10}})
	require.NoError(t, err)
	require.Len(t, all, 1)
	none, err := store.Inbox(ctx, pipeline.InboundQuery{CompanyID: other, Page: pipeline.Page{Limit: 10}})
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = store.RetryInbound(ctx, other, elsewhere.ID)
	require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(err))
	retried, err := store.RetryInbound(ctx, 1, elsewhere.ID)
	require.NoError(t, err)
	require.Equal(t, pipeline.InboundReceived, retried.Status)
}

// What came to its end long ago goes, a batch at a time; what waits stays. Of what led to something
// for a proposal there stays just enough to know that what is older is no news.
func TestPruneInbox(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ctx, store := t.Context(), d.Store
	c := newConnection(t, store, "token-1")
	keep := func(n int, at time.Time) (int64, bool) {
		in, hash := told(c, uuidOf(2, 7), fmt.Sprintf(`{"n":%d}`, n), at)
		kept, repeated, err := store.KeepInbound(ctx, in, hash)
		require.NoError(t, err)
		return kept.ID, repeated
	}
	settled := func(n int, at time.Time, status pipeline.InboundStatus, proposal int64) int64 {
		id, _ := keep(n, at)
		require.NoError(t, store.SettleInbound(ctx, id, status, "Jo Bloggs", proposal))
		return id
	}
	settled(1, noon, pipeline.InboundHandled, 5)
	newest := settled(2, noon.Add(time.Hour), pipeline.InboundHandled, 5)
	settled(3, noon.Add(-time.Hour), pipeline.InboundIgnored, 5)
	settled(4, time.Time{}, pipeline.InboundHandled, 6)
	settled(5, noon, pipeline.InboundUnmatched, 0)
	settled(6, noon, pipeline.InboundFailed, 0)
	waiting, _ := keep(7, noon)
	_, err := d.DB.Exec(`UPDATE inbox SET handled_at = handled_at - interval '91 days', received_at = received_at - interval '91 days'`)
	require.NoError(t, err)
	young := settled(8, noon, pipeline.InboundUnmatched, 0)
	prune := func() int64 {
		n, err := store.PruneInbox(ctx, time.Now().AddDate(0, 0, -90), 4)
		require.NoError(t, err)
		return n
	}
	require.EqualValues(t, 4, prune(), "a batch")
	require.EqualValues(t, 2, prune(), "the rest")
	require.Zero(t, prune(), "what was emptied is not looked at again")
	var left []int64
	require.NoError(t, d.DB.Select(&left, `SELECT id FROM inbox ORDER BY id`))
	require.Equal(t, []int64{newest, waiting, young}, left)
	read, err := store.Inbound(ctx, 1, newest)
	require.NoError(t, err)
	require.Empty(t, read.Body)
	require.Empty(t, read.Note)
	at, err := store.NewestInbound(ctx, 1, 5)
	require.NoError(t, err)
	require.Equal(t, noon.Add(time.Hour), at, "what is older is still no news")
	_, repeated := keep(2, noon.Add(time.Hour))
	require.True(t, repeated)
	_, repeated = keep(8, noon)
	require.True(t, repeated)
	_, repeated = keep(1, noon)
	require.False(t, repeated, "it comes anew, and is seen to be old")

	// When something newer has been forgotten too, one row for the proposal is left.
	newer := settled(9, noon.Add(2*time.Hour), pipeline.InboundHandled, 5)
	_, err = d.DB.Exec(`UPDATE inbox SET handled_at = now() - interval '91 days' WHERE id = $1`, newer)
	require.NoError(t, err)
	require.EqualValues(t, 1, prune())
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM inbox WHERE status = 'handled' AND proposal_id = 5 AND id = $1`, newer))
	require.Zero(t, count(t, d, `SELECT count(*) FROM inbox WHERE id = $1`, newest))
}

func TestEntitiesByUUID(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	p := newProposal(t, d.Store, c)
	foundC, err := d.Store.CustomerByUUID(t.Context(), 1, c.UUID)
	require.NoError(t, err)
	require.Equal(t, c.ID, foundC.ID)
	foundP, err := d.Store.ProposalByUUID(t.Context(), 1, p.UUID)
	require.NoError(t, err)
	require.Equal(t, p.ID, foundP.ID)
	_, err = d.Store.ProposalByUUID(t.Context(), newCompany(t, d.Store), p.UUID)
	require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(err))
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ctx, store := t.Context(), d.Store
	connection := newConnection(t, store, "token-1")
	partner, stranger := newKey(t, store, 1, pipeline.RolePartner), newKey(t, store, 1, pipeline.RolePartner)
	owned := func(key pipeline.NewKey) func(*pipeline.Webhook) {
		return func(w *pipeline.Webhook) { w.KeyID = key.ID }
	}
	newWebhook(t, store, 1, []string{"contract.signed"}, owned(partner))
	newWebhook(t, store, 1, []string{"proposal.*"}, owned(stranger))
	p := newProposal(t, store, newCustomer(t, store, 1))
	for _, typ := range []pipeline.EventType{
		pipeline.TypeProposalSent, pipeline.TypeProposalSelected, pipeline.TypeContractRequested, pipeline.TypeContractSent,
	} {
		p, _ = happen(t, store, p, typ, `{}`)
	}
	id := uuidOf(9, 1)
	signed, _ := next(t, p, pipeline.TypeContractSigned, `{"documents":[{"uuid":"`+id+`","name":"a.pdf","creation_type":"UPLOADED"}]}`)
	_, err := store.Append(ctx, signed, noKey)
	require.NoError(t, err)

	waiting := pipeline.KeptDocument{CompanyID: 1, UUID: id, ProposalID: p.ID, ConnectionID: connection.ID, File: pipeline.File{Name: "a.pdf"}}
	require.NoError(t, store.AddDocument(ctx, waiting))
	require.NoError(t, store.AddDocument(ctx, waiting))
	read, err := store.Document(ctx, 1, 0, id)
	require.NoError(t, err)
	require.Equal(t, pipeline.KeptWaiting, read.Status)
	_, err = store.Document(ctx, 1, partner.ID, id)
	require.NoError(t, err)
	for _, c := range []struct{ company, key int64 }{{1, stranger.ID}, {newCompany(t, store), 0}} {
		_, err = store.Document(ctx, c.company, c.key, id)
		require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(err))
	}

	left, err := store.LeftDocuments(ctx, -time.Hour, 10)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.NoError(t, store.DocumentMissing(ctx, 1, id, "answered 404"))
	_, err = store.FailDocument(ctx, 1, id, "one", pipeline.FailureRefused, "answered 401")
	require.NoError(t, err)
	read, err = store.Document(ctx, 1, 0, id)
	require.NoError(t, err)
	require.Equal(t, pipeline.KeptFailed, read.Status)
	require.Equal(t, "answered 401", read.Note)
	retried, err := store.RetryDocument(ctx, 1, id)
	require.NoError(t, err)
	require.Equal(t, pipeline.KeptWaiting, retried.Status)
	_, err = store.FailDocument(ctx, 1, id, "two", pipeline.FailureRefused, "answered 401")
	require.NoError(t, err)
	require.NoError(t, store.AddDocument(ctx, waiting), "named again, there is new hope")

	file := pipeline.File{Name: "b.pdf", ContentType: "application/pdf", Size: 3, SHA256: "ab"}
	require.NoError(t, store.DocumentStored(ctx, 1, id, file))
	require.NoError(t, store.DocumentStored(ctx, 1, id, pipeline.File{Name: "other"}))
	_, err = store.FailDocument(ctx, 1, id, "three", pipeline.FailureUnavailable, "too late")
	require.NoError(t, err)
	require.NoError(t, store.AddDocument(ctx, waiting))
	read, err = store.Document(ctx, 1, partner.ID, id)
	require.NoError(t, err)
	require.Equal(t, pipeline.KeptStored, read.Status)
	require.Equal(t, file, read.File)

	_, err = store.RetryDocument(ctx, 1, id)
	require.Equal(t, pipeline.CodeConflict, pipeline.CodeOf(err))

	// One that the signature gave the URL of, which is sealed.
	at := uuidOf(9, 2)
	require.NoError(t, store.AddDocument(ctx, pipeline.KeptDocument{
		CompanyID: 1, UUID: at, ProposalID: p.ID, URL: "https://files.example/secret-link", EventID: signed.ID,
	}))
	read, err = store.Document(ctx, 1, partner.ID, at)
	require.NoError(t, err)
	require.Equal(t, "https://files.example/secret-link", read.URL)
	_, err = store.Document(ctx, 1, stranger.ID, at)
	require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(err))
	require.Zero(t, count(t, d, `SELECT count(*) FROM documents WHERE documents::text LIKE '%secret-link%'`))
}
