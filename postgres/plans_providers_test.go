package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// fillProviders makes a company that heard from its provider once for every fifth event, with as
// many documents: of hundred, two wait to be handled or fetched, and one was in vain. A second
// connection says little, and many others were deleted. It answers the two.
func fillProviders(t *testing.T, d database, rows int) (busy, quiet pipeline.Connection) {
	t.Helper()
	busy, quiet = newConnection(t, d.Store, "busy"), newConnection(t, d.Store, "quiet")
	for _, statement := range []string{
		`INSERT INTO connections (company_id, provider, base_url, token_hash, token, create_missing, deleted_at)
			SELECT 1, 'sighten', 'https://sighten.example', sha256(('c' || n)::bytea), 'c', false, now()
			FROM generate_series(1, $1::int / 100) n`,
		fmt.Sprintf(`INSERT INTO inbox (company_id, connection_id, hash, body, document_status, quote, date_updated, status, proposal_id,
				received_at, begun_at, handled_at)
			SELECT 1, CASE WHEN n %% 5000 = 17 THEN %[2]d ELSE %[1]d END, sha256(('i' || n)::bytea), '{"quote":"…"}', 'SIGN',
				gen_random_uuid(), now() - make_interval(secs => n), s, CASE WHEN s IN ('handled', 'ignored') THEN 1 + n / 5 END,
				now() - make_interval(secs => n), now() - make_interval(secs => n),
				CASE WHEN s <> 'received' THEN now() - make_interval(secs => n) END
			FROM (SELECT n, CASE n %% 100 WHEN 1 THEN 'received' WHEN 2 THEN 'received' WHEN 3 THEN 'unmatched' WHEN 4 THEN 'failed'
				WHEN 5 THEN 'ignored' WHEN 17 THEN 'unmatched' ELSE 'handled' END AS s FROM generate_series(1, $1::int / 5) n) i`, busy.ID, quiet.ID),
		fmt.Sprintf(`INSERT INTO documents (company_id, uuid, proposal_id, connection_id, status, name, updated_at)
			SELECT 1, ('00000002-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, n, %d,
				CASE n %% 100 WHEN 1 THEN 'waiting' WHEN 2 THEN 'waiting' WHEN 3 THEN 'failed' ELSE 'stored' END, 'a.pdf',
				now() - make_interval(secs => n)
			FROM generate_series(1, $1::int / 5) n`, busy.ID),
	} {
		_, err := d.DB.Exec(statement, rows)
		require.NoError(t, err)
	}
	_, err := d.DB.Exec(`ANALYZE connections; ANALYZE inbox; ANALYZE documents`)
	require.NoError(t, err)
	return busy, quiet
}

// plansOfProviders is the part of TestPlans about what providers tell us and about documents.
func plansOfProviders(t *testing.T, d database, store, api *postgres.Store, plans *planLog, rows int) {
	t.Helper()
	ctx := t.Context()
	ours := postgres.ForCompany(ctx, 1)
	busy, quiet := fillProviders(t, d, rows)
	watcher := newWebhook(t, d.Store, 1, []string{"document.failed"}, ofAdmin(t, d))
	partner := newKey(t, d.Store, 1, pipeline.RolePartner)
	newWebhook(t, d.Store, 1, []string{"contract.*"}, func(w *pipeline.Webhook) { w.KeyID = partner.ID })
	page := pipeline.Page{Limit: 100}
	document := func(n int) string { return uuidOf(2, int64(n)) }
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	var turn int
	next := func() int { turn++; return turn }

	for _, test := range []struct {
		name string
		rows int // that a run may touch
		call func() error
	}{
		{"KeepInbound", 10, func() error {
			hash := sha256.Sum256([]byte{byte(next())})
			_, _, err := api.KeepInbound(ours, pipeline.Inbound{CompanyID: 1, ConnectionID: busy.ID, Body: "{}"}, hash[:])
			return err
		}},
		{"KeepInbound, repeated", 10, func() error {
			hash := sha256.Sum256([]byte("i77"))
			_, repeated, err := api.KeepInbound(ours, pipeline.Inbound{CompanyID: 1, ConnectionID: busy.ID, Body: "{}"}, hash[:])
			require.True(t, repeated)
			return err
		}},
		{"Inbound", 10, func() error { _, err := api.Inbound(ours, 1, 7); return err }},
		{"Inbox", 300, func() error { return read(api.Inbox(ours, pipeline.InboundQuery{CompanyID: 1, Page: page})) }},
		{"Inbox, from the middle", 300, func() error {
			return read(api.Inbox(ours, pipeline.InboundQuery{CompanyID: 1, Page: pipeline.Page{Limit: 100, Cursor: int64(rows) / 10}}))
		}},
		{"Inbox, unmatched", 300, func() error {
			return read(api.Inbox(ours, pipeline.InboundQuery{CompanyID: 1, Status: pipeline.InboundUnmatched, Page: page}))
		}},
		{"Inbox of a connection", 300, func() error {
			return read(api.Inbox(ours, pipeline.InboundQuery{CompanyID: 1, ConnectionID: busy.ID, Page: page}))
		}},
		{"Inbox of a connection that says little", 300, func() error {
			return read(api.Inbox(ours, pipeline.InboundQuery{CompanyID: 1, ConnectionID: quiet.ID, Page: page}))
		}},
		{"Inbox of a connection that says little, unmatched", 300, func() error {
			return read(api.Inbox(ours, pipeline.InboundQuery{
				CompanyID: 1, ConnectionID: quiet.ID, Status: pipeline.InboundUnmatched, Page: page,
			}))
		}},
		{"RetryInbound", 20, func() error { _, err := api.RetryInbound(ours, 1, 3); return err }},
		{"BeginInbound", 20, func() error { _, err := store.BeginInbound(ctx, 7); return err }},
		{"SettleInbound", 20, func() error {
			return store.SettleInbound(ctx, int64(100*next()+1), pipeline.InboundHandled, "", 42)
		}},
		{"NewestInbound", 20, func() error { _, err := store.NewestInbound(ctx, 1, 42); return err }},
		{"LeftInbound", 300, func() error { return read(store.LeftInbound(ctx, time.Minute, 100)) }},
		{"ProposalByUUID", 20, func() error { _, err := store.ProposalByUUID(ctx, 1, p.UUID); return err }},
		{"CustomerByUUID", 20, func() error { _, err := store.CustomerByUUID(ctx, 1, p.CustomerUUID); return err }},
		{"PruneInbox", 3000, func() error { return some(store.PruneInbox(ctx, time.Now(), 100)) }},
		{"PruneInbox, none", 20, func() error { _, err := store.PruneInbox(ctx, noon.AddDate(-1, 0, 0), 100); return err }},
		{"PruneIdempotency", 1000, func() error { return some(store.PruneIdempotency(ctx, time.Now().Add(time.Hour), 100)) }},
		{"PruneIdempotency, none", 20, func() error { _, err := store.PruneIdempotency(ctx, noon.AddDate(-1, 0, 0), 100); return err }},
		{"Connection", 20, func() error { _, err := store.Connection(ctx, 1, busy.ID); return err }},
		{"ConnectionByToken", 20, func() error { _, err := api.ConnectionByToken(ctx, "busy"); return err }},
		{"Connections", 20, func() error { return read(api.Connections(ours, 1, page)) }},
		{"AddDocument", 50, func() error {
			return store.AddDocument(ctx, pipeline.KeptDocument{CompanyID: 1, UUID: document(rows + next()), ProposalID: 7, ConnectionID: busy.ID})
		}},
		{"AddDocument, there already", 50, func() error {
			return store.AddDocument(ctx, pipeline.KeptDocument{CompanyID: 1, UUID: document(77), ProposalID: 7, ConnectionID: busy.ID})
		}},
		{"Document", 20, func() error { _, err := store.Document(ctx, 1, 0, document(77)); return err }},
		{"Document, for a partner", 100, func() error {
			_, err := api.Document(ours, 1, partner.ID, document(77))
			return expect(err, pipeline.CodeNotFound)
		}},
		{"DocumentMissing", 20, func() error { return store.DocumentMissing(ctx, 1, document(101), "answered 404") }},
		{"DocumentStored", 20, func() error { return store.DocumentStored(ctx, 1, document(201), pipeline.File{Name: "a"}) }},
		{"FailDocument", 100, func() error {
			if _, err := api.RetryDocument(ours, 1, document(3)); err != nil {
				return err
			}
			return read(store.FailDocument(ctx, 1, document(3), strconv.Itoa(next()), pipeline.FailureRefused, "answered 401"))
		}},
		{"LeftDocuments", 300, func() error { return read(store.LeftDocuments(ctx, time.Minute, 100)) }},
		{"DueDeliveries of document.failed", 100, func() error { return read(store.DueDeliveries(ctx, watcher.ID, 200)) }},
		{"DeleteConnection", 20, func() error { return expect(api.DeleteConnection(ours, 1, 999_999_999), pipeline.CodeNotFound) }},
	} {
		t.Run(test.name, func(t *testing.T) { plans.requireWithin(t, test.rows, test.call) })
	}
}
