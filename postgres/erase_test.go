package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// planted stands in every field that is personal.
const planted = "Wilhelmina"

// plantedDeal makes a customer and a proposal to whom everything has happened that there is.
func plantedDeal(t *testing.T, d database) (pipeline.Customer, pipeline.Proposal) {
	t.Helper()
	s := d.Store
	id := reserve(t, s, 1, pipeline.KindCustomer)
	c, _ := happen(t, s, pipeline.NewCustomer(1, id), pipeline.TypeCustomerCreated, fmt.Sprintf(`{"uuid":%q,"name":"Wilhelmina Doe",
		"email":"Wilhelmina@example.com","phone":"+61 Wilhelmina","type":"RESIDENTIAL","owner_id":7,"status":1,"status_name":"New Contacts",
		"address":{"street":"Wilhelmina St"},"attributes":{"a":["Wilhelmina"]}}`, uuidOf(1, id)))
	for _, h := range [][2]string{
		{"customer.updated", `{"name":"Wilhelmina Roe","attributes":{"pet":"Wilhelmina"}}`},
		{"customer.status_changed", `{"status":2,"status_name":"Signed","reason":"Wilhelmina"}`},
		{"appointment.set", `{"starts_at":"2026-11-22T09:00:00Z","location":"Wilhelmina","notes":"Wilhelmina"}`},
		{"email.sent", `{"to":"Wilhelmina@example.com","subject":"Wilhelmina","template":"t"}`},
		{"sms.sent", `{"to":"Wilhelmina","body":"Wilhelmina"}`},
		{"customer.deleted", `{"reason":"Wilhelmina"}`},
		{"customer.restored", `{"reason":"Wilhelmina"}`},
	} {
		c, _ = happen(t, s, c, pipeline.EventType(h[0]), h[1])
	}
	id = reserve(t, s, 1, pipeline.KindProposal)
	p, _ := happen(t, s, pipeline.NewProposal(1, c.ID, id), pipeline.TypeProposalDrafted, fmt.Sprintf(`{"uuid":%q,"customer_uuid":%q,
		"nickname":"Wilhelmina","site_address":"Wilhelmina","system":{"roof":"Wilhelmina"},"price":{"amount":"12345.00","currency":"AUD"}}`,
		uuidOf(2, id), c.UUID))
	doc := uuidOf(3, id)
	for _, h := range [][2]string{
		{"proposal.requested", `{"nickname":"Wilhelmina 2"}`},
		{"proposal.sent", `{"channel":"email"}`},
		{"proposal.link_published", `{"url":"https://p.example/Wilhelmina"}`},
		{"credit.ran", `{"outcome":"approved","reference":"Wilhelmina","score":712}`},
		{"proposal.selected", `{}`},
		{"contract.requested", `{}`},
		{"contract.sent", `{"envelope_id":"env"}`},
		{"contract.signed", `{"document_url":"https://p.example/Wilhelmina.pdf",
			"documents":[{"uuid":"` + doc + `","name":"Wilhelmina.pdf","creation_type":"UPLOADED"}]}`},
		{"contract.document_stored", `{"uuid":"` + doc + `","name":"Wilhelmina.pdf","content_type":"application/pdf","size":1,"sha256":"` +
			strings.Repeat("ab", 32) + `"}`},
		{"contract.voided", `{"reason":"Wilhelmina"}`},
	} {
		p, _ = happen(t, s, p, pipeline.EventType(h[0]), h[1])
	}
	return c, p
}

func eraseCustomer(t *testing.T, d database, c pipeline.Customer) (pipeline.Customer, pipeline.Event) {
	t.Helper()
	e, after := next(t, c, pipeline.TypeCustomerErased, `{"reason":"request"}`)
	_, err := d.Store.Append(t.Context(), e, noKey)
	require.NoError(t, err)
	return after, e
}

// everyTable is all that the database holds, as text.
func everyTable(t *testing.T, d database) string {
	t.Helper()
	var tables []string
	require.NoError(t, d.DB.Select(&tables, `SELECT relname FROM pg_class
		WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace ORDER BY 1`))
	require.Contains(t, tables, "events")
	var all strings.Builder
	for _, table := range tables {
		var rows []string
		require.NoError(t, d.DB.Select(&rows, `SELECT t::text FROM `+pq.QuoteIdentifier(table)+` t`))
		fmt.Fprintf(&all, "== %s\n%s\n", table, strings.Join(rows, "\n"))
	}
	return all.String()
}

// Before the customer is erased, what is personal is in clear in the projections alone.
func TestEventsKeepNothingPersonalInClear(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c, p := plantedDeal(t, d)
	require.Zero(t, count(t, d, `SELECT count(*) FROM events e WHERE e::text LIKE '%Wilhelmina%' OR e.personal IS NULL`))
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM customers c WHERE c.state::text LIKE '%Wilhelmina%'`))
	for _, stream := range []pipeline.Stream{c.Ref().Stream(), p.Ref().Stream()} {
		events, err := d.Store.EventsAfter(t.Context(), stream, 0, 100)
		require.NoError(t, err)
		require.Contains(t, string(events[0].Payload), planted, "whoever reads events reads them whole")
		require.Contains(t, string(events[len(events)-1].State), planted)
		require.False(t, events[0].Erased)
	}
	sum, err := d.Store.Rebuild(t.Context(), true, func(postgres.Rebuilt) {})
	require.NoError(t, err)
	require.Zero(t, sum.Differing)
}

func TestErase(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	live := newWebhook(t, d.Store, 1, []string{"*"})
	off := newWebhook(t, d.Store, 1, []string{"*"}, inactive)
	c, p := plantedDeal(t, d)
	other, _ := plantedDeal(t, d)
	_, err := d.DB.Exec(`UPDATE customers SET state = replace(state::text, 'Wilhelmina', 'Other')::jsonb WHERE id = $1`, other.ID)
	require.NoError(t, err)
	_, err = d.DB.Exec(`UPDATE proposals SET state = replace(state::text, 'Wilhelmina', 'Other')::jsonb WHERE customer_id = $1`, other.ID)
	require.NoError(t, err)
	for _, dispatch := range fresh(t, d, p)[:2] {
		record(t, d, pipeline.Result{
			DeliveryID: dispatch.DeliveryID, WebhookID: dispatch.Webhook.ID, Status: pipeline.DeliveryDelivered,
			Attempt: pipeline.Attempt{At: noon, Status: 200, ResponseBody: "thanks, Wilhelmina"},
		})
	}
	connection := inboxOf(t, d, p)
	_, err = d.DB.Exec(`INSERT INTO documents (company_id, uuid, proposal_id, connection_id, status, name, note, sha256)
		VALUES (1, $1, $2, $3, 'stored', 'Wilhelmina.pdf', '', $4), (1, $5, $2, $3, 'waiting', 'Wilhelmina (2).pdf', '', '')`,
		uuidOf(3, p.ID), p.ID, connection, strings.Repeat("ab", 32), uuidOf(4, p.ID))
	require.NoError(t, err)
	_, err = d.DB.Exec(`INSERT INTO documents (company_id, uuid, proposal_id, url, name) VALUES (1, $1, $2, 'sealed', 'Wilhelmina (3).pdf')`,
		uuidOf(5, p.ID), p.ID)
	require.NoError(t, err)
	require.Contains(t, everyTable(t, d), planted)

	after, erased := eraseCustomer(t, d, c)

	require.NotContains(t, everyTable(t, d), planted)
	kept, err := d.Store.Customer(t.Context(), 1, c.ID)
	require.NoError(t, err)
	require.Equal(t, after, kept)
	require.True(t, kept.Erased)
	proposal, err := d.Store.Proposal(t.Context(), 1, p.ID)
	require.NoError(t, err)
	require.True(t, proposal.Erased)
	require.Equal(t, p.Price, proposal.Price)
	require.Equal(t, p.Version, proposal.Version)
	found, err := d.Store.Customers(t.Context(), pipeline.CustomerQuery{CompanyID: 1, Search: planted, Page: pipeline.Page{Limit: 10}})
	require.NoError(t, err)
	require.Empty(t, found)

	// The streams are gapless and fold to what is shown.
	sum, err := d.Store.Rebuild(t.Context(), true, func(postgres.Rebuilt) {})
	require.NoError(t, err)
	for _, difference := range sum.Differences {
		require.Contains(t, []pipeline.Stream{other.Ref().Stream(), pipeline.StreamOf(pipeline.KindProposal, p.ID+1)}, difference.Stream)
	}
	events, err := d.Store.EventsAfter(t.Context(), c.Ref().Stream(), 0, 100)
	require.NoError(t, err)
	require.Len(t, events, int(after.Version))
	for i, e := range events {
		require.EqualValues(t, i+1, e.Version)
		require.Equal(t, e.Type != pipeline.TypeCustomerErased, e.Erased)
	}
	story, _, err := d.Store.Timeline(t.Context(), 1, c.Ref().Stream(), 0, 100)
	require.NoError(t, err)
	require.Len(t, story, int(after.Version+p.Version))
	feed, err := d.Store.Feed(t.Context(), pipeline.FeedQuery{CompanyID: 1, Limit: 1000})
	require.NoError(t, err)
	require.NotEmpty(t, feed)

	// Partners get the end, and nothing from before it.
	told := fresh(t, d, p)
	require.Empty(t, told)
	sent, err := d.Store.FreshDeliveries(t.Context(), c.Ref().Stream(), 100)
	require.NoError(t, err)
	require.Len(t, sent, 1)
	require.Equal(t, erased.ID, sent[0].Event.ID)
	require.Equal(t, live.ID, sent[0].Webhook.ID)
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM deliveries WHERE webhook_id = $1 AND status = 'held' AND stream = $2`,
		off.ID, string(c.Ref().Stream())))
	require.Zero(t, count(t, d, `SELECT count(*) FROM deliveries WHERE stream = $1 AND status IN ('pending', 'held')`,
		string(p.Ref().Stream())))

	// The bytes of documents and the histories of workflows are somewhere else.
	traces, err := d.Store.ErasedTraces(t.Context(), 1, c.ID)
	require.NoError(t, err)
	require.True(t, traces.Sending)
	require.Equal(t, []int64{p.ID}, traces.Proposals)
	require.Len(t, traces.Inbound, 2)
	require.Equal(t, []string{uuidOf(3, p.ID), uuidOf(4, p.ID), uuidOf(5, p.ID)}, traces.Documents)
	require.Equal(t, []string{strings.Repeat("ab", 32)}, traces.Contents)
	for _, doc := range traces.Documents {
		_, err = d.Store.Document(t.Context(), 1, 0, doc)
		requireCode(t, pipeline.CodeNotFound, err)
	}
	left, err := d.Store.LeftErasures(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Equal(t, []pipeline.ErasedCustomer{{CompanyID: 1, CustomerID: c.ID}}, left)
	gone := pipeline.ErasedCustomer{CompanyID: 1, CustomerID: c.ID}
	require.NoError(t, d.Store.ErasureDone(t.Context(), gone, traces.Contents))
	left, err = d.Store.LeftErasures(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Empty(t, left)

	// A document that was still on its way is cleaned up after as well.
	late := pipeline.File{Name: planted, ContentType: "application/pdf", SHA256: strings.Repeat("cd", 32)}
	require.NoError(t, d.Store.DocumentStored(t.Context(), 1, uuidOf(4, p.ID), late))
	require.NotContains(t, everyTable(t, d), planted)
	left, err = d.Store.LeftErasures(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, left, 1)
	traces, err = d.Store.ErasedTraces(t.Context(), 1, c.ID)
	require.NoError(t, err)
	require.Equal(t, []string{late.SHA256}, traces.Contents)

	// Even where it came between the clean-up and its end.
	require.NoError(t, d.Store.ErasureDone(t.Context(), gone, nil))
	left, err = d.Store.LeftErasures(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.NoError(t, d.Store.ErasureDone(t.Context(), gone, traces.Contents))
	left, err = d.Store.LeftErasures(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = d.Store.ErasedTraces(t.Context(), 1, other.ID)
	requireCode(t, pipeline.CodeNotFound, err)
}

// inboxOf keeps what a provider told of a proposal: one that is handled, one of which it is not
// known yet what it is about.
func inboxOf(t *testing.T, d database, p pipeline.Proposal) (connection int64) {
	t.Helper()
	require.NoError(t, d.DB.Get(&connection, `INSERT INTO connections (company_id, provider, base_url, token_hash, token, create_missing)
		VALUES (1, 'sighten', 'https://s.example', 'h', 't', false) RETURNING id`))
	_, err := d.DB.Exec(`INSERT INTO inbox (company_id, connection_id, hash, body, document_status, quote, site, status, proposal_id)
		VALUES (1, $1, 'a', '{"name":"Wilhelmina"}', 'SIGN', $2, NULL, 'handled', $3),
		       (1, $1, 'b', '{"name":"Wilhelmina"}', 'SIGN', NULL, $4, 'received', NULL)`,
		connection, p.UUID, p.ID, p.CustomerUUID)
	require.NoError(t, err)
	return connection
}

func TestWhatAnErasedCustomerTakes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c, p := plantedDeal(t, d)
	before := c
	begun, _ := proposalRequested(t, c, reserve(t, d.Store, 1, pipeline.KindProposal))
	c, _ = eraseCustomer(t, d, c)

	again, _ := next(t, before, pipeline.TypeCustomerErased, `{}`)
	_, err := d.Store.Append(t.Context(), again, noKey)
	requireCode(t, pipeline.CodeConflict, err)
	stale, _ := next(t, before, pipeline.TypeSMSSent, `{"body":"Wilhelmina"}`)
	appends := map[string]pipeline.Event{"new proposal": begun}
	appends["proposal"], _ = next(t, p, pipeline.TypeEmailSent, `{"to":"Wilhelmina"}`)
	for name, e := range appends {
		_, err = d.Store.Append(t.Context(), e, noKey)
		requireCode(t, pipeline.CodeIllegalTransition, err)
		var refusal *pipeline.Error
		require.ErrorAs(t, err, &refusal, name)
		require.Equal(t, []pipeline.EventType{}, refusal.Allowed)
	}
	_, err = d.Store.Append(t.Context(), stale, noKey)
	require.Error(t, err)
	require.NotContains(t, everyTable(t, d), planted)

	for _, ref := range []pipeline.Ref{c.Ref(), p.Ref()} {
		target, err := d.Store.Target(t.Context(), 1, ref.Stream(), ref.ID, noKey)
		require.NoError(t, err)
		require.True(t, target.Erased)
	}
}

// What a provider says of an erased customer, or has of it, is not kept: it may have come a moment
// before, and been on its way since.
func TestWhatComesOfAnErasedCustomerLater(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c, p := plantedDeal(t, d)
	_, other := plantedDeal(t, d)
	connection := inboxOf(t, d, p)
	eraseCustomer(t, d, c)

	doc := pipeline.KeptDocument{CompanyID: 1, UUID: uuidOf(6, p.ID), ProposalID: p.ID, ConnectionID: connection}
	require.NoError(t, d.Store.AddDocument(t.Context(), doc))
	_, err := d.Store.Document(t.Context(), 1, 0, doc.UUID)
	requireCode(t, pipeline.CodeNotFound, err)

	for _, test := range []struct {
		name, quote, site string
		proposal          int64
		kept              bool
	}{
		{name: "of its site", site: p.CustomerUUID},
		{name: "of its proposal", quote: p.UUID},
		{name: "found to be of its proposal", proposal: p.ID},
		{name: "of somebody else", quote: other.UUID, site: other.CustomerUUID, proposal: other.ID, kept: true},
		{name: "of nobody", kept: true},
	} {
		in := pipeline.Inbound{
			CompanyID: 1, ConnectionID: connection, Body: `{"name":"somebody"}`, Quote: pipeline.Text(test.quote), Site: pipeline.Text(test.site),
		}
		in, _, err := d.Store.KeepInbound(t.Context(), in, []byte(test.name))
		require.NoError(t, err)
		require.NoError(t, d.Store.SettleInbound(t.Context(), in.ID, pipeline.InboundUnmatched, "", test.proposal))
		in, err = d.Store.Inbound(t.Context(), 1, in.ID)
		require.NoError(t, err)
		require.Equal(t, test.kept, in.Body != "", test.name)
	}
}

// Another process has the key at hand and does not know that it was destroyed.
func TestAnAppendWithADestroyedKey(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := openStore(t, d.URL, encryptionKey)
	c, p := plantedDeal(t, d)
	p, _ = happen(t, other, p, pipeline.TypeSMSSent, `{"body":"hello"}`)
	eraseCustomer(t, d, c)
	for _, e := range []pipeline.Event{
		func() pipeline.Event { e, _ := next(t, p, pipeline.TypeEmailSent, `{"to":"Wilhelmina"}`); return e }(),
		func() pipeline.Event { e, _ := proposalRequested(t, c, 77_000); return e }(),
	} {
		_, err := other.Append(t.Context(), e, noKey)
		requireCode(t, pipeline.CodeIllegalTransition, err)
	}
	e, _ := next(t, c, pipeline.TypeEmailSent, `{"to":"Wilhelmina"}`)
	_, err := other.Append(t.Context(), e, noKey)
	requireCode(t, pipeline.CodeConflict, err)
	require.NotContains(t, everyTable(t, d), planted)
}

// Whoever appends while a customer is erased comes before it or is refused.
func TestEraseAgainstAppends(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"*"})
	for range 10 {
		c, p := plantedDeal(t, d)
		var writers sync.WaitGroup
		start := make(chan struct{})
		refused := func(err error) {
			code := pipeline.CodeOf(err)
			if err != nil && code != pipeline.CodeIllegalTransition && code != pipeline.CodeConflict {
				t.Errorf("unexpected: %v", err)
			}
		}
		writers.Go(func() {
			<-start
			for range 20 {
				e, after := next(t, p, pipeline.TypeSMSSent, `{"body":"Wilhelmina"}`)
				_, err := d.Store.Append(context.WithoutCancel(t.Context()), e, noKey)
				refused(err)
				if err != nil {
					return
				}
				p = after
			}
		})
		writers.Go(func() {
			<-start
			for range 5 {
				e, _ := proposalRequested(t, c, reserve(t, d.Store, 1, pipeline.KindProposal))
				_, err := d.Store.Append(context.WithoutCancel(t.Context()), e, noKey)
				refused(err)
			}
		})
		close(start)
		eraseCustomer(t, d, c)
		writers.Wait()
	}
	require.NotContains(t, everyTable(t, d), planted)
	require.NotContains(t, everyTable(t, d), "1 High St")
	sum, err := d.Store.Rebuild(t.Context(), true, func(postgres.Rebuilt) {})
	require.NoError(t, err)
	require.Zero(t, sum.Differing, "%v", sum.Differences)
}

// A filter looks into what is personal, in past events too, as long as that is there.
func TestFiltersOfThePastSeeWhatIsSealed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c, _ := plantedDeal(t, d)
	gone, _ := plantedDeal(t, d)
	eraseCustomer(t, d, gone)
	filters := map[string]int{
		`{"data.state.name":"Wilhelmina Roe"}`:                           7,
		`{"data.payload.to":"Wilhelmina@example.com"}`:                   1,
		`{"data.state.erased":true,"data.customer_id":` + id(gone) + `}`: int(gone.Version) + 1,
		`{"data.erased":true,"data.customer_id":` + id(gone) + `}`:       int(gone.Version),
	}
	require.NotZero(t, c.ID)
	for filter, want := range filters {
		w := newWebhook(t, d.Store, 1, []string{"customer.*", "appointment.set", "email.sent", "sms.sent"}, withFilter(filter))
		adjust(t, d, w, "from_position = 0")
		require.Len(t, gaps(t, d, w).Gaps, want, filter)
		replay, _, err := d.Store.StartReplay(t.Context(), pipeline.NewReplay{CompanyID: 1, WebhookID: w.ID, Kind: pipeline.ReplayEvents}, noKey)
		require.NoError(t, err)
		for queued := true; queued; {
			queued, err = d.Store.AdvanceReplay(t.Context(), w.ID, 5)
			require.NoError(t, err)
		}
		require.Equal(t, want, count(t, d, `SELECT count(*) FROM deliveries WHERE webhook_id = $1`, w.ID), filter)
		done, err := d.Store.Replay(t.Context(), 1, w.ID, replay.ID)
		require.NoError(t, err)
		require.Equal(t, pipeline.ReplayDone, done.Status)
	}
}

func id(c pipeline.Customer) string { return strconv.FormatInt(c.ID, 10) }

// What is sealed of one event opens as no other's, and not at all once a byte was changed.
func TestSealedEventsAreTheirOwn(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c, p := plantedDeal(t, d)
	_, err := d.DB.Exec(`ALTER TABLE events DISABLE TRIGGER USER;
		UPDATE events e SET personal = o.personal FROM events o WHERE e.stream = o.stream AND o.version = e.version % 2 + 1 AND e.version <= 2;
		UPDATE events SET personal = 'x' WHERE version = 3;
		UPDATE events SET personal = set_byte(personal, 40, get_byte(personal, 40) # 1) WHERE version = 4`)
	require.NoError(t, err)
	for _, stream := range []pipeline.Stream{c.Ref().Stream(), p.Ref().Stream()} {
		for version := range int64(4) {
			_, err := d.Store.EventsAfter(t.Context(), stream, version, 1)
			require.ErrorContains(t, err, "does not open")
			require.NotContains(t, err.Error(), planted)
		}
	}
}

// A customer from before there were data keys gets one with its next event; what it had in clear
// cannot be taken back, and is not said to be.
func TestCustomersFromBeforeThereWereKeys(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	_, err := d.DB.Exec(`DELETE FROM data_keys; ALTER TABLE events DISABLE TRIGGER USER;
		UPDATE events SET personal = NULL, state = c.state FROM customers c; ALTER TABLE events ENABLE TRIGGER USER`)
	require.NoError(t, err)
	store := openStore(t, d.URL, encryptionKey)
	c, _ = happen(t, store, c, pipeline.TypeSMSSent, `{"body":"Wilhelmina"}`)
	events, err := store.EventsAfter(t.Context(), c.Ref().Stream(), 0, 10)
	require.NoError(t, err)
	require.Contains(t, string(events[0].State), "Jo Doe")
	require.Contains(t, string(events[1].Payload), planted)
	require.NotContains(t, everyTable(t, d), planted)

	e, _ := next(t, c, pipeline.TypeCustomerErased, `{}`)
	_, err = store.Append(t.Context(), e, noKey)
	requireCode(t, pipeline.CodeInvalid, err)
	kept, err := store.Customer(t.Context(), 1, c.ID)
	require.NoError(t, err)
	require.Equal(t, c, kept, "nothing happened")
}

// What is read is what was appended, to the byte.
func TestEventsComeBackToTheByte(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	e, _ := next(t, c, pipeline.TypeCustomerUpdated, `{"name":"A <b> & \"c\" ü","attributes":{"z":1.50,"a":[null]}}`)
	_, err := d.Store.Append(t.Context(), e, noKey)
	require.NoError(t, err)
	kept := mustEvent(t, d, e.ID)
	require.Equal(t, string(e.Payload), string(kept.Payload))
	require.Equal(t, string(e.State), string(kept.State))
	require.True(t, json.Valid(kept.State))
	require.WithinDuration(t, noon, kept.Timestamp, time.Microsecond)
}
