package postgres_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// rowsVariable says how many events and deliveries TestPlans fills in. The default is enough
// for Postgres to prefer its indexes; before a release, or after a change to a query, run
//
//	DEALWRIGHT_TEST_ROWS=1000000 .bin/withpostgres go test ./postgres -run TestPlans -v
const rowsVariable = "DEALWRIGHT_TEST_ROWS"

const usualRows = 100_000

// bigTables are those that grow with the business; the others a query may read from end to end.
var bigTables = []string{
	"events", "deliveries", "attempts", "customers", "proposals", "idempotency", "inbox", "documents", "connections", "data_keys",
}

// TestPlans runs every query of the package against big tables and looks at the plans that
// Postgres really chose: none may read a big table from end to end, and none may touch more
// rows than its page needs, which catches an index that is walked to find a needle.
//
//nolint:tparallel,paralleltest // the plans are heard over one connection
func TestPlans(t *testing.T) {
	t.Parallel()
	rows := usualRows
	if given := os.Getenv(rowsVariable); given != "" {
		var err error
		rows, err = strconv.Atoi(given)
		require.NoError(t, err)
	}
	d := newDatabase(t)
	big := fill(t, d, rows)
	store, api, plans := watched(t, d)
	ctx := t.Context()
	ours := postgres.ForCompany(ctx, 1)
	page := pipeline.Page{Limit: 100}
	middle := pipeline.Page{Limit: 100, Cursor: int64(rows) / 10}

	c := big.customer
	p := pipeline.NewProposal(1, c.ID, 900_000_000)
	cases := []struct {
		name string
		rows int // that a run may touch
		call func() error
	}{
		{"Append, new customer", 40, func() error {
			reserved, err := api.Reserve(ours, 1, pipeline.KindCustomer, noKey)
			if err != nil {
				return err
			}
			e, _ := next(t, pipeline.NewCustomer(1, reserved.ID), pipeline.TypeCustomerCreated, customerData(reserved.ID, "Jo", "jo@example.com"))
			_, err = store.Append(ctx, e, pipeline.Idempotency{Key: e.ID, Fingerprint: "f"})
			return err
		}},
		{"Append, customer", 60, func() error {
			var e pipeline.Event
			e, c = next(t, c, pipeline.TypeEmailSent, `{}`)
			_, err := store.Append(ctx, e, pipeline.Idempotency{Key: e.ID, Fingerprint: "f"})
			return err
		}},
		{"Append, proposal", 60, func() error {
			command, data := pipeline.TypeProposalSaved, `{}`
			if p.Version == 0 {
				command, data = pipeline.TypeProposalRequested, proposalData(p.ID, c.ID)
			}
			var e pipeline.Event
			e, p = next(t, p, command, data)
			_, err := store.Append(ctx, e, noKey)
			return err
		}},
		{"Append, refused", 40, func() error {
			e, _ := next(t, pipeline.NewCustomer(1, 910_000_000), pipeline.TypeCustomerCreated, customerData(1, "Jo", "jo@example.com"))
			_, err := store.Append(ctx, e, noKey)
			return expect(err, pipeline.CodeInvalid)
		}},
		{"Reserve", 10, func() error {
			_, err := api.Reserve(ours, 1, pipeline.KindProposal, pipeline.Idempotency{Key: "key-5"})
			return err
		}},
		{"Target", 10, func() error {
			_, err := api.Target(ours, 1, "proposal-7", 7, pipeline.Idempotency{Key: "key-5"})
			return err
		}},
		{"Target, its key was forgotten", 10, func() error {
			_, err := api.Target(ours, 1, "proposal-7", 7, pipeline.Idempotency{Key: "no such key"})
			return err
		}},
		{"EventsAfter", 100, func() error { _, err := api.EventsAfter(ours, "proposal-7", 1, 10); return err }},
		{"Event", 10, func() error { _, err := api.Event(ours, 1, "evt_777"); return err }},
		{"Customer", 10, func() error { _, err := api.Customer(ours, 1, 7); return err }},
		{"Proposal", 10, func() error { _, err := api.Proposal(ours, 1, 7); return err }},
		{"Feed", 300, func() error { return read(api.Feed(ours, pipeline.FeedQuery{CompanyID: 1, Limit: 100})) }},
		{"Feed, from the middle", 300, func() error {
			return read(api.Feed(ours, pipeline.FeedQuery{CompanyID: 1, After: int64(rows) / 2, Limit: 100}))
		}},
		{"Feed of a small company", 300, func() error {
			return read(api.Feed(postgres.ForCompany(ctx, 2), pipeline.FeedQuery{CompanyID: 2, After: 1, Limit: 100}))
		}},
		{"Feed by a rare type", 1000, func() error {
			return read(api.Feed(ours, pipeline.FeedQuery{CompanyID: 1, Types: []string{"credit.ran"}, Limit: 100}))
		}},
		{"Feed by types", 4000, func() error {
			return read(api.Feed(ours, pipeline.FeedQuery{
				CompanyID: 1, After: int64(rows) / 3, Limit: 100,
				Types: []string{"credit.ran", "proposal.sent", "proposal.sold", "no.such"},
			}))
		}},
		{"Feed of a partner", 1500, func() error {
			return read(api.Feed(ours, pipeline.FeedQuery{CompanyID: 1, PartnerKey: big.wellKey, Limit: 100}))
		}},
		{"Feed of a partner with little to see", 1500, func() error {
			return read(api.Feed(ours, pipeline.FeedQuery{CompanyID: 1, PartnerKey: big.rareKey, Limit: 100}))
		}},
		{"Feed of a partner by types", 3000, func() error {
			return read(api.Feed(ours, pipeline.FeedQuery{
				CompanyID: 1, PartnerKey: big.wellKey, After: int64(rows) / 2, Limit: 100,
				Types: []string{"proposal.sent"},
			}))
		}},
		{"LastPosition", 10, func() error { _, err := api.LastPosition(ctx); return err }},
		{"Timeline of a customer", 3000, func() error { _, _, err := api.Timeline(ours, 1, "customer-7", 0, 100); return err }},
		{"Timeline of a proposal", 1000, func() error { _, _, err := api.Timeline(ours, 1, "proposal-7", 0, 100); return err }},
		{"FreshDeliveries", 300, func() error { return read(store.FreshDeliveries(ctx, big.freshStream, 500)) }},
		{"FreshDeliveries, none", 50, func() error { _, err := store.FreshDeliveries(ctx, "proposal-7", 500); return err }},
		{"Strays", 500, func() error { _, _, err := store.Strays(ctx, time.Minute, 100); return err }},
		// It counts what waits, and reads that and no more.
		{"Backlog", 50_000, func() error { _, err := store.Backlog(ctx); return err }},
		{"DueDeliveries", 2000, func() error { return read(store.DueDeliveries(ctx, big.dead, 200)) }},
		{"BeginDrain", 100, func() error { _, err := store.BeginDrain(ctx, big.dead); return err }},
		{"EndDrain", 100, func() error { _, err := store.EndDrain(ctx, big.dead, time.Time{}); return err }},
		{"EndDrain, nothing due", 100, func() error { _, err := store.EndDrain(ctx, big.well, time.Now()); return err }},
		{"EndDrain, ordered", 100, func() error { _, err := store.EndDrain(ctx, big.ordered, time.Time{}); return err }},
		{"DueDeliveries, ordered", 4000, func() error { return read(store.DueDeliveries(ctx, big.ordered, 200)) }},
		{"HandOver", 100, func() error { _, err := store.HandOver(ctx, []int64{5, 6, 7}); return err }},
		{"HandOver, behind what the clock left ahead", 2000, func() error {
			// 100 of one stream wait for an hour, and more than that of others do not.
			var last []int64
			err := d.DB.Select(&last, `WITH deep AS (
					SELECT id, row_number() OVER (ORDER BY version) AS n FROM deliveries
					WHERE webhook_id = $1 AND stream = 'proposal-1' AND status = 'pending' ORDER BY version LIMIT 101)
				UPDATE deliveries d SET attempts_before = attempts, next_attempt_at = CASE WHEN n <= 100 THEN now() + interval '1 hour' END
				FROM deep WHERE d.id = deep.id RETURNING CASE WHEN n = 101 THEN d.id ELSE 0 END`, big.ordered)
			if err != nil {
				return err
			}
			_, err = store.HandOver(ctx, last)
			return err
		}},
		{"DueDeliveries, latest only", 6000, func() error { return read(store.DueDeliveries(ctx, big.latest, 200)) }},
		{"DueDeliveries, resting", 100, func() error { _, err := store.DueDeliveries(ctx, big.resting, 200); return err }},
		{"DueDeliveries, probing", 100, func() error { return read(store.DueDeliveries(ctx, big.probed, 200)) }},
		{"RecordAttempts, success", 100, func() error {
			_, err := store.RecordAttempts(ctx, []pipeline.Result{
				{DeliveryID: 11, WebhookID: big.well, Status: pipeline.DeliveryDelivered, Attempt: pipeline.Attempt{At: noon}},
				{DeliveryID: 12, WebhookID: big.well, Status: pipeline.DeliveryDelivered, Attempt: pipeline.Attempt{At: noon}},
			}, nil)
			return err
		}},
		{"RecordAttempts, given up", 500, func() error {
			given, err := store.DueDeliveries(ctx, big.probed, 1)
			if err != nil {
				return err
			}
			_, err = store.RecordAttempts(ctx, []pipeline.Result{exhausted(given[0])}, nil)
			if err != nil {
				return err
			}
			_, err = d.DB.Exec(`UPDATE webhook_health SET rest_until = NULL WHERE webhook_id = $1`, big.probed)
			return err
		}},
		{"RecordAttempts", 100, func() error {
			_, err := store.RecordAttempts(ctx, []pipeline.Result{
				{DeliveryID: 11, WebhookID: big.well, Status: pipeline.DeliveryDelivered, Attempt: pipeline.Attempt{At: noon}},
				{DeliveryID: 12, WebhookID: big.well, Status: pipeline.DeliveryPending, Attempt: pipeline.Attempt{At: noon}, NextAttemptAt: noon},
			}, nil)
			return err
		}},
		{"RecordAttempts, ordered", 4000, func() error {
			heads, err := store.DueDeliveries(ctx, big.ordered, 1)
			if err != nil {
				return err
			}
			_, err = store.RecordAttempts(ctx, []pipeline.Result{delivered(heads[0])}, nil)
			return err
		}},
		{"Deliveries", 3000, func() error { return read(api.Deliveries(ours, pipeline.DeliveryQuery{CompanyID: 1, Page: page})) }},
		{"Deliveries, from the middle", 3000, func() error {
			return read(api.Deliveries(ours, pipeline.DeliveryQuery{CompanyID: 1, Page: middle}))
		}},
		{"Deliveries of a webhook", 1000, func() error {
			return read(api.Deliveries(ours, pipeline.DeliveryQuery{CompanyID: 1, WebhookID: big.well, Page: page}))
		}},
		{"Deliveries of a partner", 1000, func() error {
			return read(api.Deliveries(ours, pipeline.DeliveryQuery{CompanyID: 1, PartnerKey: big.rareKey, Page: page}))
		}},
		{"Deliveries of an event", 100, func() error {
			return read(api.Deliveries(ours, pipeline.DeliveryQuery{CompanyID: 1, EventID: "evt_777", Page: page}))
		}},
		{"Deliveries, delivered", 3000, func() error {
			return read(api.Deliveries(ours, pipeline.DeliveryQuery{
				CompanyID: 1, Status: pipeline.DeliveryDelivered, WebhookID: big.well, Page: page,
			}))
		}},
		{"Deliveries, exhausted", 1000, func() error {
			return read(api.Deliveries(ours, pipeline.DeliveryQuery{CompanyID: 1, Status: pipeline.DeliveryExhausted, Page: page}))
		}},
		{"Deliveries, held", 1000, func() error {
			return read(api.Deliveries(ours, pipeline.DeliveryQuery{CompanyID: 1, Status: pipeline.DeliveryHeld, Page: page}))
		}},
		// Whose the attempts are goes by the company's webhooks, of which there are few.
		{"Delivery", 50, func() error { _, err := api.Delivery(ours, 1, 0, 7); return err }},
		{"PruneAttempts", 2000, func() error {
			return some(store.PruneAttempts(ctx, time.Now().Add(time.Hour), 100))
		}},
		{"PruneDeliveries", 5000, func() error {
			return some(store.PruneDeliveries(ctx, time.Now().Add(time.Hour), 100))
		}},
		{"PruneDeliveries, none", 500, func() error {
			_, err := store.PruneDeliveries(ctx, noon.AddDate(-1, 0, 0), 100)
			return err
		}},
		{"Beat", 10, func() error { _, err := store.Beat(ctx, "one"); return err }},
		{"Customers", 300, func() error { return read(api.Customers(ours, pipeline.CustomerQuery{CompanyID: 1, Page: page})) }},
		{"Customers by status", 300, func() error {
			return read(api.Customers(ours, pipeline.CustomerQuery{CompanyID: 1, Status: pipeline.Give(3), Page: page}))
		}},
		{"Customers by owner", 300, func() error {
			return read(api.Customers(ours, pipeline.CustomerQuery{CompanyID: 1, OwnerID: 5, Page: page}))
		}},
		{"Customers by a rare word", 300, func() error {
			return read(api.Customers(ours, pipeline.CustomerQuery{CompanyID: 1, Search: "name777", Page: page}))
		}},
		{"Customers by a word that all of them share", rows / 5, func() error {
			return read(api.Customers(ours, pipeline.CustomerQuery{CompanyID: 1, Search: "common", Page: page}))
		}},
		{"Proposals", 300, func() error { return read(api.Proposals(ours, pipeline.ProposalQuery{CompanyID: 1, Page: page})) }},
		{"Proposals of a customer", 300, func() error {
			return read(api.Proposals(ours, pipeline.ProposalQuery{CompanyID: 1, CustomerID: 7, Page: page}))
		}},
		{"Proposals by status", 300, func() error {
			return read(api.Proposals(ours, pipeline.ProposalQuery{CompanyID: 1, Status: "sold", Page: page}))
		}},
		{"Proposals by contract", 300, func() error {
			return read(api.Proposals(ours, pipeline.ProposalQuery{CompanyID: 1, ContractStatus: "signed", Page: page}))
		}},
		{"Proposals without contract", 300, func() error {
			return read(api.Proposals(ours, pipeline.ProposalQuery{CompanyID: 1, ContractStatus: "none", Page: page}))
		}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) { plans.requireWithin(t, test.rows, test.call) })
	}

	t.Run("formats", func(t *testing.T) { plansOfFormats(t, d, store, plans) })
	t.Run("providers", func(t *testing.T) { plansOfProviders(t, d, store, api, plans, rows) })
	t.Run("recovery", func(t *testing.T) { plansOfRecovery(t, store, plans, rows) })
	t.Run("erasure", func(t *testing.T) { plansOfErasure(t, d, store, plans) })
	t.Run("past", func(t *testing.T) { plansOfThePast(t, d, store, api, plans, big) })

	// These go over all that waits, on purpose; they must still not read what does not.
	for _, test := range []struct {
		name string
		rows int
		call func() error
	}{
		{"SweepDeliveries", 20_000, func() error { _, err := store.SweepDeliveries(ctx, time.Minute, 1000); return err }},
		{"UpdateWebhook, off", rows, func() error { return update(api, big.dead, false, false)(t) }},
		{"UpdateWebhook, on", rows, func() error { return update(api, big.dead, true, false)(t) }},
		{"UpdateWebhook, not ordered", rows, func() error { return update(api, big.ordered, true, false)(t) }},
		{"DeleteWebhook", rows, func() error { return api.DeleteWebhook(ours, 1, big.dead) }},
		{"DeleteWebhook, held", rows, func() error { return api.DeleteWebhook(ours, 1, big.off) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			plans.forget()
			start := time.Now()
			require.NoError(t, test.call())
			touched := plans.requireIndexed(t)
			t.Logf("%s touched %.0f rows and took %s", test.name, touched, time.Since(start))
			require.LessOrEqual(t, touched, float64(test.rows), plans)
		})
	}
}

func update(store *postgres.Store, id int64, active, ordered bool) func(t *testing.T) error {
	return func(t *testing.T) error {
		t.Helper()
		w, err := store.Webhook(postgres.ForCompany(t.Context(), 1), 1, 0, id)
		require.NoError(t, err)
		w.Active, w.Ordered = active, ordered
		_, _, err = store.UpdateWebhook(postgres.ForCompany(t.Context(), 1), w.CompanyID, w.ID, as(w))
		return err
	}
}

// read demands that a page is not empty, or its plan would show nothing.
func read[R any](page []R, err error) error {
	if err == nil && len(page) == 0 {
		return errors.New("an empty page")
	}
	return err
}

// some demands that a batch had something to change.
func some(n int64, err error) error {
	if err == nil && n == 0 {
		return errors.New("nothing changed")
	}
	return err
}

func expect(err error, code pipeline.Code) error {
	if err != nil && pipeline.CodeOf(err) == code {
		return nil
	}
	return fmt.Errorf("wanted %s, got %w", code, err)
}

// filled is what fill made.
type filled struct {
	customer                 pipeline.Customer
	well, dead, ordered, off int64 // webhooks
	latest, resting, probed  int64
	wellKey, rareKey         int64
	freshStream              pipeline.Stream
}

// fill makes a company with many events and a delivery for most of them: seven in ten delivered
// to a webhook that is well, one in ten waiting for one that is dead, one in ten (half of them of
// one stream) for an ordered one, some held, some exhausted.
func fill(t *testing.T, d database, rows int) filled {
	t.Helper()
	newCompany(t, d.Store)
	well := newWebhook(t, d.Store, 1, []string{"*"})
	dead := newWebhook(t, d.Store, 1, []string{"no.such"})
	inOrder := newWebhook(t, d.Store, 1, []string{"no.such"}, ordered)
	off := newWebhook(t, d.Store, 1, []string{"no.such"}, inactive)
	rare := newWebhook(t, d.Store, 1, []string{"no.such"})
	latest := newWebhook(t, d.Store, 1, []string{"no.such"}, func(w *pipeline.Webhook) { w.LatestOnly = true })
	resting, probed := newWebhook(t, d.Store, 1, []string{"no.such"}), newWebhook(t, d.Store, 1, []string{"no.such"})
	adjustHealth(t, d, resting, "failures = 20, failing_since = now(), rest_until = now() + interval '1 day'")
	adjustHealth(t, d, probed, "failures = 20, failing_since = now()")
	newWebhook(t, d.Store, 1, []string{"delivery.*"}, ofAdmin(t, d))
	for range 6 {
		newWebhook(t, d.Store, 1, []string{"no.such"})
	}
	customer := pipeline.NewCustomer(1, 1_000_000_000)
	customer, _ = happen(t, d.Store, customer, pipeline.TypeCustomerCreated, customerData(customer.ID, "Jo", "jo@example.com"))
	for _, statement := range []string{
		`INSERT INTO customers (company_id, id, uuid, state)
			SELECT 1 + (n % 50 = 0)::int, n, ('00000001-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
				jsonb_build_object('id', n, 'version', 1, 'status', n % 4, 'owner_id', n % 100,
					'name', 'Name' || n || ' Common', 'email', 'mail' || n || '@x.example')
			FROM generate_series(1, $1::int / 10) n`,
		`INSERT INTO data_keys (company_id, customer_id, sealed)
			SELECT 1 + (n % 50 = 0)::int, n, repeat('k', 60)::bytea FROM generate_series(1, $1::int / 10) n`,
		`INSERT INTO proposals (company_id, id, customer_id, uuid, state)
			SELECT 1 + (c % 50 = 0)::int, n, c, gen_random_uuid(), jsonb_build_object('id', n, 'version', 5,
				'status', (ARRAY['draft', 'requested', 'sent', 'selected', 'sold'])[1 + n % 5],
				'contract_status', CASE WHEN n % 20 = 0 THEN 'signed' ELSE 'none' END)
			FROM (SELECT n, 1 + n % ($1::int / 10) AS c FROM generate_series(1, $1::int / 5) n) p`,
		`INSERT INTO events (stream, version, position, id, type, company_id, customer_id, proposal_id, payload, state,
				occurred_at, recorded_at)
			SELECT 'proposal-' || 1 + n / 5, 1 + n % 5, nextval('event_positions'), 'evt_' || n,
				CASE WHEN n % 10000 = 7 THEN 'credit.ran' ELSE (ARRAY['proposal.requested', 'proposal.sent', 'proposal.selected',
					'contract.requested', 'contract.sent'])[1 + n % 5] END,
				1 + (n % 100 = 3)::int, 1 + (1 + n / 5) % ($1::int / 10), 1 + n / 5, '{}',
				'{"some":"state that is not very long"}', now(), now()
			FROM generate_series(1, $1::int) n`,
		fmt.Sprintf(`INSERT INTO deliveries (company_id, webhook_id, event_position, attempts, stream, version, status,
				next_attempt_at, created_at)
			SELECT 1, w, position, 1, CASE WHEN deep THEN 'proposal-1' ELSE stream END, CASE WHEN deep THEN position ELSE version END,
				CASE WHEN w IN (%[2]d, %[3]d, %[6]d, %[7]d, %[8]d) THEN 'pending' WHEN w = %[4]d THEN 'held'
					WHEN position %% 1000 = 5 THEN 'exhausted' ELSE 'delivered' END,
				CASE WHEN w IN (%[2]d, %[3]d, %[6]d, %[7]d, %[8]d) THEN now() - make_interval(secs => position / 1000) END, now() - interval '1 hour'
			FROM (SELECT e.position, e.stream, e.version, position %% 20 = 9 AS deep, CASE WHEN position %% 10 < 7 THEN %[1]d
					WHEN position %% 10 = 8 THEN %[2]d WHEN position %% 10 = 9 THEN %[3]d
					WHEN position %% 100 = 7 THEN %[4]d WHEN position %% 5000 = 17 THEN %[5]d
					WHEN position %% 100 = 27 THEN %[6]d WHEN position %% 100 = 37 THEN %[7]d WHEN position %% 100 = 47 THEN %[8]d END AS w
				FROM events e WHERE company_id = 1 AND position BETWEEN 10 AND $1::int) e
			WHERE w IS NOT NULL ORDER BY position`, well.ID, dead.ID, inOrder.ID, off.ID, rare.ID, latest.ID, resting.ID, probed.ID),
		`INSERT INTO attempts (delivery_id, n, at, status, latency_ms, error, response_body, webhook_id, ok)
			SELECT id, 1, now(), 200, 12, '', 'ok', webhook_id, true FROM deliveries
			WHERE status IN ('delivered', 'exhausted') AND id <= $1::bigint`,
		`INSERT INTO idempotency (company_id, scope, key, fingerprint, event_id)
			SELECT 1, 0, 'key-' || n, '', 'evt_' || n FROM generate_series(1, $1::int / 5) n`,
	} {
		start := time.Now()
		_, err := d.DB.Exec(statement, rows)
		require.NoError(t, err)
		t.Logf("%s… took %s", statement[:len("INSERT INTO customers")], time.Since(start))
	}
	_, err := d.DB.Exec(`SELECT setval('customer_ids', 2000000000); SELECT setval('proposal_ids', 2000000000); ANALYZE`)
	require.NoError(t, err)
	happen(t, d.Store, customer, pipeline.TypeSMSSent, `{}`)
	customer.Version = 2
	return filled{
		customer: customer, well: well.ID, dead: dead.ID, ordered: inOrder.ID, off: off.ID,
		latest: latest.ID, resting: resting.ID, probed: probed.ID,
		wellKey: well.KeyID, rareKey: rare.KeyID, freshStream: customer.Ref().Stream(),
	}
}

// plan is what auto_explain reports of a statement that ran.
//
//nolint:tagliatelle // the names are PostgreSQL's
type plan struct {
	Text string `json:"Query Text"`
	Plan node   `json:"Plan"`
}

//nolint:tagliatelle // the names are PostgreSQL's
type node struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Removed  float64 `json:"Rows Removed by Filter"`
	Recheck  float64 `json:"Rows Removed by Index Recheck"`
	Children []node  `json:"Plans"`
}

// touched sums the rows that the scans of a plan came by.
func (n node) touched() float64 {
	sum := 0.0
	if n.Relation != "" {
		sum = (n.Rows + n.Removed + n.Recheck) * n.Loops
	}
	for _, c := range n.Children {
		sum += c.touched()
	}
	return sum
}

// readThrough lists the tables that were read from end to end.
func (n node) readThrough() []string {
	var out []string
	if n.Type == "Seq Scan" && n.Loops > 0 {
		out = append(out, n.Relation)
	}
	for _, c := range n.Children {
		out = append(out, c.readThrough()...)
	}
	return out
}

func (n node) tree(indent string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s%s %s %s rows=%.0f removed=%.0f loops=%.0f\n",
		indent, n.Type, n.Relation, n.Index, n.Rows, n.Removed+n.Recheck, n.Loops)
	for _, c := range n.Children {
		out.WriteString(c.tree(indent + "  "))
	}
	return out.String()
}

// planLog gathers the plans of one connection's statements.
type planLog struct {
	mu    sync.Mutex
	plans []plan
	err   error
}

func (l *planLog) hear(notice *pq.Error) {
	_, text, found := strings.Cut(notice.Message, "plan:\n")
	if !found {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var p plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		l.err = err
	}
	l.plans = append(l.plans, p)
}

func (l *planLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.plans = nil
}

func (l *planLog) seen() []plan {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.plans)
}

// requireIndexed demands that no big table was read from end to end, and counts the rows that
// were come by.
func (l *planLog) requireIndexed(t *testing.T) float64 {
	t.Helper()
	require.NotEmpty(t, l.seen())
	touched := 0.0
	for _, p := range l.seen() {
		for _, table := range p.Plan.readThrough() {
			require.NotContains(t, bigTables, table, "%s\n%s", p.Text, p.Plan.tree(""))
		}
		touched += p.Plan.touched()
	}
	return touched
}

// requireWithin demands that a call comes by so many rows at most, and reads no big table from end
// to end, seven times over: from the sixth on a prepared statement may get a plan for any arguments.
func (l *planLog) requireWithin(t *testing.T, rows int, call func() error) {
	t.Helper()
	for range 7 {
		l.forget()
		require.NoError(t, call())
		require.LessOrEqual(t, l.requireIndexed(t), float64(rows), l)
	}
	t.Logf("touched %.0f rows", l.requireIndexed(t))
}

func (l *planLog) String() string {
	var out strings.Builder
	for _, p := range l.seen() {
		out.WriteString(p.Text + "\n" + p.Plan.tree(""))
	}
	return out.String()
}

// watched opens a store with one connection that reports the plan of whatever it runs, those
// of foreign key checks too; and one more in the role that the API has.
func watched(t *testing.T, d database) (store, api *postgres.Store, plans *planLog) {
	t.Helper()
	if _, err := d.DB.Exec(`LOAD 'auto_explain'`); err != nil {
		t.Skipf("this server has no auto_explain, which is in PostgreSQL's contrib: %v", err)
	}
	u, err := url.Parse(d.URL)
	require.NoError(t, err)
	q := u.Query()
	q.Set("options", "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 -c auto_explain.log_level=notice"+
		" -c auto_explain.log_format=json -c auto_explain.log_analyze=on -c auto_explain.log_timing=off"+
		" -c auto_explain.log_nested_statements=on -c client_min_messages=notice")
	u.RawQuery = q.Encode()
	connector, err := pq.NewConnector(u.String())
	require.NoError(t, err)
	log := &planLog{}
	sealer, err := keyring.New(encryptionKey)
	require.NoError(t, err)
	heard := pq.ConnectorWithNoticeHandler(connector, log.hear)
	store, err = postgres.OpenWith(heard, sealer)
	require.NoError(t, err)
	api, err = postgres.OpenWalled(heard, sealer)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, log.err)
		require.NoError(t, store.Close())
		require.NoError(t, api.Close())
	})
	return store, api, log
}
