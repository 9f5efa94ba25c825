package postgres_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestAppendCustomer(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	e, c := customerCreated(t, 1, 41)
	e.Cause = &pipeline.Cause{EventID: "evt_before", Type: pipeline.TypeContractSigned, Stream: "proposal-7"}
	appended, err := d.Store.Append(t.Context(), e, noKey)
	require.NoError(t, err)
	require.Positive(t, appended.Position)
	require.False(t, appended.RecordedAt.IsZero())
	require.Zero(t, appended.Deliveries)

	events, err := d.Store.EventsAfter(t.Context(), e.Stream, 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 1)
	e.Position, e.RecordedAt = appended.Position, appended.RecordedAt
	requireSameEvent(t, e, events[0])

	one, err := d.Store.Event(t.Context(), 1, e.ID)
	require.NoError(t, err)
	requireSameEvent(t, e, one)

	kept, err := d.Store.Customer(t.Context(), 1, 41)
	require.NoError(t, err)
	require.Equal(t, c, kept)

	c, _ = happen(t, d.Store, c, pipeline.TypeCustomerUpdated, `{"name":"Jo Moe","owner_id":null}`)
	kept, err = d.Store.Customer(t.Context(), 1, 41)
	require.NoError(t, err)
	require.Equal(t, c, kept)
	require.Equal(t, "Jo Moe", kept.Name)
	require.EqualValues(t, 2, kept.Version)
}

func TestAppendProposal(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	for _, step := range walk {
		p, _ = happen(t, d.Store, p, step, `{}`)
	}
	kept, err := d.Store.Proposal(t.Context(), 1, p.ID)
	require.NoError(t, err)
	require.Equal(t, p, kept)
	require.Equal(t, "signed", kept.ContractStatus)

	events, err := d.Store.EventsAfter(t.Context(), p.Ref().Stream(), 2, 3)
	require.NoError(t, err)
	require.Equal(t, []int64{3, 4, 5}, versions(events))
}

func TestAppendQueuesDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	matching := []pipeline.Webhook{
		newWebhook(t, d.Store, 1, []string{"*"}),
		newWebhook(t, d.Store, 1, []string{"proposal.*", "customer.created"}),
		newWebhook(t, d.Store, 1, []string{"customer.created", "proposal.requested"}),
	}
	held := newWebhook(t, d.Store, 1, []string{"proposal.requested"}, inactive)
	deleted := newWebhook(t, d.Store, 1, []string{"*"})
	require.NoError(t, d.Store.DeleteWebhook(t.Context(), 1, deleted.ID))
	newWebhook(t, d.Store, 1, []string{"contract.*", "proposal.sent", "proposal"})
	newWebhook(t, d.Store, other, []string{"*"})
	c := newCustomer(t, d.Store, 1)

	_, appended := happen(t, d.Store, pipeline.NewProposal(1, c.ID, 99), pipeline.TypeProposalRequested, proposalData(99, c.ID))

	require.Equal(t, len(matching), appended.Deliveries, "the held one is not waiting to be sent")
	var got []struct {
		WebhookID int64  `db:"webhook_id"`
		Status    string `db:"status"`
		Position  int64  `db:"event_position"`
	}
	require.NoError(t, d.DB.Select(&got, `SELECT webhook_id, status, event_position FROM deliveries
		WHERE stream = 'proposal-99' ORDER BY webhook_id`))
	require.Len(t, got, len(matching)+1)
	for i, w := range matching {
		require.Equal(t, w.ID, got[i].WebhookID)
		require.Equal(t, "pending", got[i].Status)
		require.Equal(t, appended.Position, got[i].Position)
	}
	require.Equal(t, held.ID, got[len(matching)].WebhookID)
	require.Equal(t, "held", got[len(matching)].Status)
}

// Two who append the same version: exactly one wins, whatever the version.
func TestAppendConflict(t *testing.T) {
	t.Parallel()
	const writers = 16
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"*"})
	for round := range 5 {
		c := pipeline.NewCustomer(1, int64(1000+round))
		for version := range int64(4) {
			won := make(chan pipeline.Customer, writers)
			failures := make(chan error, writers)
			var all sync.WaitGroup
			for w := range writers {
				command, data := pipeline.TypeCustomerCreated, customerData(c.ID, fmt.Sprint("Jo ", w), "jo@example.com")
				if version > 0 {
					command, data = pipeline.TypeCustomerUpdated, fmt.Sprintf(`{"name":"Jo %d %d"}`, version, w)
				}
				e, after := next(t, c, command, data)
				all.Go(func() {
					if _, err := d.Store.Append(t.Context(), e, noKey); err != nil {
						failures <- err
						return
					}
					won <- after
				})
			}
			all.Wait()
			require.Len(t, won, 1)
			c = <-won
			close(failures)
			for err := range failures {
				requireCode(t, pipeline.CodeConflict, err)
			}
		}
		events, err := d.Store.EventsAfter(t.Context(), c.Ref().Stream(), 0, 100)
		require.NoError(t, err)
		require.Equal(t, []int64{1, 2, 3, 4}, versions(events))
		require.Equal(t, 4, count(t, d, `SELECT count(*) FROM deliveries WHERE stream = $1`, c.Ref().Stream()))
	}
}

// The process died between the append and hearing of it: the same command runs again.
func TestAppendTwice(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	idem := pipeline.Idempotency{Key: "K", Fingerprint: "f"}
	e, _ := nextOf(t, p, pipeline.TypeProposalSent, `{}`, "K")
	_, err := d.Store.Append(t.Context(), e, idem)
	require.NoError(t, err)

	_, err = d.Store.Append(t.Context(), e, idem)
	requireCode(t, pipeline.CodeConflict, err)
	missed, err := d.Store.EventsAfter(t.Context(), e.Stream, p.Version, 10)
	require.NoError(t, err)
	require.Len(t, missed, 1)
	require.Equal(t, e.ID, missed[0].ID)

	// Also by a workflow that believes the stream to be elsewhere.
	e.Version = 3
	_, err = d.Store.Append(t.Context(), e, noKey)
	requireCode(t, pipeline.CodeConflict, err)
}

func TestAppendWithKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"*"})
	c := newCustomer(t, d.Store, 1)
	first, second := newProposal(t, d.Store, c), newProposal(t, d.Store, c)
	idem := pipeline.Idempotency{Key: "K", Fingerprint: "f"}
	e, _ := next(t, first, pipeline.TypeProposalSent, `{}`)
	_, err := d.Store.Append(t.Context(), e, idem)
	require.NoError(t, err)
	before := everything(t, d)

	e, _ = next(t, second, pipeline.TypeProposalSent, `{}`)
	_, err = d.Store.Append(t.Context(), e, idem)

	requireCode(t, pipeline.CodeIdempotencyKeyReused, err)
	require.Equal(t, before, everything(t, d), "neither event nor projection nor delivery")
	kept, err := d.Store.Proposal(t.Context(), 1, second.ID)
	require.NoError(t, err)
	require.Equal(t, second, kept)
	// Another scope's key is another key.
	_, err = d.Store.Append(t.Context(), e, pipeline.Idempotency{Scope: 5, Key: "K", Fingerprint: "f"})
	require.NoError(t, err)
}

func TestAppendRefusals(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"*"})
	other := newCompany(t, d.Store)
	c := newCustomer(t, d.Store, 1)
	p := newProposal(t, d.Store, c)
	foreign := c
	foreign.CompanyID = other

	taken := func(s string, id int64) string { return fmt.Sprintf(s, uuidOf(1, c.ID), id) }
	cases := []struct {
		name  string
		event func() pipeline.Event
		code  pipeline.Code
	}{
		{"uuid of another customer", func() pipeline.Event {
			e, _ := next(t, pipeline.NewCustomer(1, 500), pipeline.TypeCustomerCreated,
				taken(`{"uuid":%q,"name":"Jo %d","email":"jo@example.com","status":1,"status_name":"New Contacts"}`, 500))
			return e
		}, pipeline.CodeInvalid},
		{"uuid of another proposal", func() pipeline.Event {
			e, _ := next(t, pipeline.NewProposal(1, c.ID, 500), pipeline.TypeProposalRequested, proposalData(p.ID, c.ID))
			return e
		}, pipeline.CodeInvalid},
		{"not a uuid", func() pipeline.Event {
			e, _ := next(t, pipeline.NewProposal(1, c.ID, 500), pipeline.TypeProposalRequested, `{"uuid":"x","customer_uuid":"y"}`)
			return e
		}, pipeline.CodeInvalid},
		{"unknown customer", func() pipeline.Event {
			e, _ := next(t, pipeline.NewProposal(1, 12345, 500), pipeline.TypeProposalRequested, proposalData(500, 12345))
			return e
		}, pipeline.CodeNotFound},
		{"customer of another company", func() pipeline.Event {
			e, _ := proposalRequested(t, foreign, 500)
			return e
		}, pipeline.CodeNotFound},
		{"unknown company", func() pipeline.Event {
			e, _ := customerCreated(t, 999, 500)
			return e
		}, pipeline.CodeNotFound},
		{"another company's proposal", func() pipeline.Event {
			stolen := p
			stolen.CompanyID = other
			e, _ := next(t, stolen, pipeline.TypeProposalSent, `{}`)
			return e
		}, pipeline.CodeConflict},
		{"an id that another company has", func() pipeline.Event {
			e, _ := customerCreated(t, other, c.ID)
			return e
		}, pipeline.CodeConflict},
		{"text that Postgres cannot hold", func() pipeline.Event {
			e, _ := next(t, p, pipeline.TypeProposalSent, `{"channel":"\u0000"}`)
			return e
		}, pipeline.CodeInvalid},
		{"a number that Postgres cannot hold", func() pipeline.Event {
			e, _ := next(t, p, pipeline.TypeProposalSaved, `{"system":{"kw":1e999999}}`)
			return e
		}, pipeline.CodeInvalid},
		{"a version too far", func() pipeline.Event {
			e, _ := next(t, p, pipeline.TypeProposalSent, `{}`)
			e.Version++
			return e
		}, pipeline.CodeConflict},
	}
	before := everything(t, d)
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := d.Store.Append(t.Context(), test.event(), noKey)
			requireCode(t, test.code, err)
			require.Equal(t, before, everything(t, d), "nothing is written")
		})
	}
}

func TestAppendWithUUIDTaken(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	again := func(company int64) error {
		e, _ := next(t, pipeline.NewCustomer(company, 500), pipeline.TypeCustomerCreated, customerData(c.ID, "Jo", "jo@example.com"))
		_, err := d.Store.Append(t.Context(), e, noKey)
		return err
	}
	var refusal *pipeline.Error
	require.ErrorAs(t, again(1), &refusal)
	require.Equal(t, pipeline.CodeInvalid, refusal.Code)
	require.Equal(t, []pipeline.FieldError{{Pointer: "/uuid", Detail: "is taken"}}, refusal.Fields)
	require.NoError(t, again(newCompany(t, d.Store)), "in another company it is another customer's")
}

func TestEventsAreAppendOnly(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newCustomer(t, d.Store, 1)
	for _, change := range []string{
		`UPDATE events SET type = 'customer.deleted'`, `DELETE FROM events`, `TRUNCATE events`, `TRUNCATE events CASCADE`,
		`INSERT INTO events SELECT * FROM events ON CONFLICT (stream, version) DO UPDATE SET type = 'x'`,
	} {
		_, err := d.DB.Exec(change)
		require.ErrorContains(t, err, "append-only", change)
	}
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM events WHERE type = 'customer.created'`))
}

// A projection's columns are computed, so nobody can make them differ from its state.
func TestProjectionColumnsFollowState(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	for _, change := range []string{
		`UPDATE customers SET status = 9`, `UPDATE customers SET version = 9`, `UPDATE customers SET owner_id = 9`,
		`UPDATE proposals SET status = 'sold'`, `UPDATE proposals SET contract_status = 'signed'`,
	} {
		_, err := d.DB.Exec(change)
		require.ErrorContains(t, err, "can only be updated to DEFAULT", change)
	}
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM proposals WHERE status = $1 AND version = $2`, p.Status, p.Version))
}

// A transition that moves no column of a list writes no index (a heap-only update).
func TestUnmovedProjectionWritesNoIndex(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	tx, err := d.DB.Beginx()
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback()) }()
	e, _ := next(t, c, pipeline.TypeAppointmentSet, `{"starts_at":"2026-11-22T09:00:00Z"}`)
	_, err = d.Store.AppendIn(t.Context(), tx, e, noKey)
	require.NoError(t, err)
	var updates, heapOnly int
	require.NoError(t, tx.QueryRow(`SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables
		WHERE relname = 'customers'`).Scan(&updates, &heapOnly))
	require.Equal(t, 1, updates)
	require.Equal(t, 1, heapOnly)
}

func TestEventOfAnotherCompany(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	e, c := customerCreated(t, 1, 7)
	_, err := d.Store.Append(t.Context(), e, noKey)
	require.NoError(t, err)
	_, err = d.Store.Event(t.Context(), other, e.ID)
	requireCode(t, pipeline.CodeNotFound, err)
	_, err = d.Store.Customer(t.Context(), other, c.ID)
	requireCode(t, pipeline.CodeNotFound, err)
	_, err = d.Store.Proposal(t.Context(), 1, c.ID)
	requireCode(t, pipeline.CodeNotFound, err)
}

func requireSameEvent(t *testing.T, want, got pipeline.Event) {
	t.Helper()
	require.JSONEq(t, string(want.State), string(got.State))
	require.JSONEq(t, string(want.Payload), string(got.Payload))
	want.State, want.Payload, got.State, got.Payload = nil, nil, nil, nil
	require.Equal(t, want, got)
}

func requireCode(tb testing.TB, code pipeline.Code, err error) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, code, pipeline.CodeOf(err), err)
	var coded *pipeline.Error
	require.ErrorAs(tb, err, &coded, "an error without a code")
}

func versions(events []pipeline.Event) []int64 {
	out := make([]int64, len(events))
	for i, e := range events {
		out[i] = e.Version
	}
	return out
}

func positions(events []pipeline.Event) []int64 {
	out := make([]int64, len(events))
	for i, e := range events {
		out[i] = e.Position
	}
	return out
}

func count(tb testing.TB, d database, query string, args ...any) int {
	tb.Helper()
	var n int
	require.NoError(tb, d.DB.Get(&n, query, args...))
	return n
}

// everything is a digest of all that an append could write.
func everything(tb testing.TB, d database) string {
	tb.Helper()
	var rows []json.RawMessage
	require.NoError(tb, d.DB.Select(&rows, `SELECT jsonb_build_array(
		(SELECT jsonb_agg(e ORDER BY position) FROM events e), (SELECT jsonb_agg(c ORDER BY id) FROM customers c),
		(SELECT jsonb_agg(p ORDER BY id) FROM proposals p), (SELECT jsonb_agg(d ORDER BY id) FROM deliveries d),
		(SELECT jsonb_agg(i ORDER BY key) FROM idempotency i))`))
	return string(rows[0])
}
