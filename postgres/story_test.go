package postgres_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// noKey is a request without an Idempotency-Key.
var noKey = pipeline.Idempotency{}

// noon is when things happen, unless a test says otherwise.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 123456000, time.UTC)

var commands atomic.Int64

// next decides a command on a state and gives the event to append and the state after it.
func next[S pipeline.State[S]](tb testing.TB, s S, t pipeline.EventType, data string) (pipeline.Event, S) {
	tb.Helper()
	return nextOf(tb, s, t, data, fmt.Sprint("command ", commands.Add(1)))
}

func nextOf[S pipeline.State[S]](tb testing.TB, s S, t pipeline.EventType, data, commandID string) (pipeline.Event, S) {
	tb.Helper()
	command := pipeline.Command{Type: t, Data: json.RawMessage(data), Actor: pipeline.Actor{UserID: 67890}, OccurredAt: noon}
	e, after, err := pipeline.Next(s, command, commandID)
	require.NoError(tb, err)
	return e, after
}

// happen decides and appends.
func happen[S pipeline.State[S]](tb testing.TB, store *postgres.Store, s S, t pipeline.EventType, data string) (S, pipeline.Appended) {
	tb.Helper()
	e, after := next(tb, s, t, data)
	appended, err := store.Append(tb.Context(), e, noKey)
	require.NoError(tb, err)
	return after, appended
}

// uuidOf makes a uuid out of a number.
func uuidOf(kind, id int64) string { return fmt.Sprintf("%08d-0000-4000-8000-%012d", kind, id) }

// customerData is what customer.created carries.
func customerData(id int64, name, email string) string {
	return fmt.Sprintf(`{"uuid":%q,"name":%q,"email":%q,"phone":"+61 400 123 456","owner_id":7,"status":1,"status_name":"New Contacts",
		"address":{"city":"Perth"}}`, uuidOf(1, id), name, email)
}

func customerCreated(tb testing.TB, company, id int64) (pipeline.Event, pipeline.Customer) {
	tb.Helper()
	return next(tb, pipeline.NewCustomer(company, id), pipeline.TypeCustomerCreated, customerData(id, "Jo Doe", "jo@example.com"))
}

func newCustomer(tb testing.TB, store *postgres.Store, company int64) pipeline.Customer {
	tb.Helper()
	e, c := customerCreated(tb, company, reserve(tb, store, company, pipeline.KindCustomer))
	_, err := store.Append(tb.Context(), e, noKey)
	require.NoError(tb, err)
	return c
}

// proposalData is what the first event of a proposal carries.
func proposalData(id, customer int64) string {
	return fmt.Sprintf(`{"uuid":%q,"customer_uuid":%q,"nickname":"Roof","site_address":"1 High St",
		"price":{"amount":"12345.00","currency":"AUD"}}`,
		uuidOf(2, id), uuidOf(1, customer))
}

func proposalRequested(tb testing.TB, c pipeline.Customer, id int64) (pipeline.Event, pipeline.Proposal) {
	tb.Helper()
	return next(tb, pipeline.NewProposal(c.CompanyID, c.ID, id), pipeline.TypeProposalRequested, proposalData(id, c.ID))
}

func newProposal(tb testing.TB, store *postgres.Store, c pipeline.Customer) pipeline.Proposal {
	tb.Helper()
	e, p := proposalRequested(tb, c, reserve(tb, store, c.CompanyID, pipeline.KindProposal))
	_, err := store.Append(tb.Context(), e, noKey)
	require.NoError(tb, err)
	return p
}

func reserve(tb testing.TB, store *postgres.Store, company int64, kind pipeline.Kind) int64 {
	tb.Helper()
	r, err := store.Reserve(tb.Context(), company, kind, noKey)
	require.NoError(tb, err)
	return r.ID
}

func newCompany(tb testing.TB, store *postgres.Store) int64 {
	tb.Helper()
	id, err := store.CreateCompany(tb.Context(), "Other")
	require.NoError(tb, err)
	return id
}

func newKey(tb testing.TB, store *postgres.Store, company int64, role pipeline.Role) pipeline.NewKey {
	tb.Helper()
	key, _, err := store.CreateKey(tb.Context(), pipeline.Key{CompanyID: company, Name: "test", Role: role}, noKey)
	require.NoError(tb, err)
	return key
}

// newWebhook makes a webhook of a key of its own, with changes to the usual.
func newWebhook(tb testing.TB, store *postgres.Store, company int64, events []string, changes ...func(*pipeline.Webhook)) pipeline.Webhook {
	tb.Helper()
	w := pipeline.Webhook{
		CompanyID: company, URL: "https://partner.example/hook", Events: events,
		Format: pipeline.FormatNative, Signing: pipeline.Signing{Secret: "whsec_c2VjcmV0"}, Active: true,
	}
	for _, change := range changes {
		change(&w)
	}
	if w.KeyID == 0 {
		w.KeyID = newKey(tb, store, company, pipeline.RolePartner).ID
	}
	made, _, err := store.CreateWebhook(tb.Context(), w, pipeline.Start{}, noKey)
	require.NoError(tb, err)
	return made
}

func inactive(w *pipeline.Webhook) { w.Active = false }
func ordered(w *pipeline.Webhook)  { w.Ordered = true }
