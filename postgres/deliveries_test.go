package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestFreshDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	failing := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	behind := newWebhook(t, d.Store, 1, []string{"proposal.*"}, ordered)
	slow := newWebhook(t, d.Store, 1, []string{"proposal.sent"})
	well := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	limited := newWebhook(t, d.Store, 1, []string{"proposal.saved"}, func(w *pipeline.Webhook) { w.RateLimit = 5 })
	patient := newWebhook(t, d.Store, 1, []string{"proposal.saved"}, func(w *pipeline.Webhook) { w.Timeout = pipeline.MaxTimeout })
	newWebhook(t, d.Store, 1, []string{"*"}, inactive)
	c := newCustomer(t, d.Store, 1)
	bystander := newProposal(t, d.Store, c)
	p := newProposal(t, d.Store, c)

	first := fresh(t, d, p)
	require.Equal(t, []string{
		send(failing, 1, false), send(behind, 1, false), send(well, 1, false),
	}, sends(first))
	require.Equal(t, "whsec_c2VjcmV0", first[0].Webhook.Signing.Secret)
	require.Equal(t, "https://partner.example/hook", first[0].Webhook.URL)
	require.Equal(t, pipeline.TypeProposalRequested, first[0].Event.Type)
	require.JSONEq(t, string(mustEvent(t, d, first[0].Event.ID).State), string(first[0].Event.State))
	require.True(t, first[1].Webhook.Ordered)

	record(t, d, failed(first[0], time.Now().Add(time.Hour)), delivered(first[2]))
	handOver(t, d, first[1].DeliveryID)
	require.Empty(t, fresh(t, d, p))

	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	sent := fresh(t, d, p)
	recordSlow(t, d, []int64{slow.ID}, delivered(sent[2]))
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)

	require.Equal(t, []string{
		send(failing, 2, true), send(failing, 3, true), send(behind, 2, true), send(behind, 3, true),
		send(slow, 3, true), send(well, 2, false), send(well, 3, false),
	}, sends(fresh(t, d, p)))
	page, err := d.Store.FreshDeliveries(t.Context(), p.Ref().Stream(), 2)
	require.NoError(t, err)
	require.Len(t, page, 2)
	// What a webhook is behind with at one entity does not hold back the others.
	require.Equal(t, []string{send(failing, 1, true), send(behind, 1, false), send(well, 1, false)}, sends(fresh(t, d, bystander)))

	saved, _ := happen(t, d.Store, bystander, pipeline.TypeProposalSaved, `{}`)
	require.Contains(t, sends(fresh(t, d, saved)), send(limited, 2, true), "only its own workflow keeps the rate limit")
	require.Contains(t, sends(fresh(t, d, saved)), send(patient, 2, true), "an entity does not wait for half a minute")
}

// A dispatch has all that sending needs, however it comes to be sent.
func TestDispatchesCarryTheirWebhook(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"}, func(w *pipeline.Webhook) {
		w.Auth = pipeline.Auth{Type: pipeline.AuthBasic, Username: "u", Password: "p"}
		w.Headers = pipeline.Headers{"X-Tenant": "7"}
		w.ClientCertificate = pipeline.ClientCertificate{Certificate: "cert", Key: "key", Subject: "CN=us", NotAfter: noon}
		w.Timeout, w.RateLimit, w.MaxConcurrency = pipeline.Duration(7*time.Second), 2.5, 3
		w.RetrySchedule = []pipeline.Duration{pipeline.Duration(time.Second), pipeline.Duration(time.Minute)}
		w.Ordered, w.LatestOnly = true, true
	})
	_, err := d.DB.Exec(`UPDATE webhooks SET previous_secret = secret, previous_until = $2 WHERE id = $1`, w.ID, noon)
	require.NoError(t, err)
	p := backlog(t, d, 1)
	want, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.NotEmpty(t, want.Signing.Seed)
	require.Equal(t, noon, want.Signing.PreviousUntil)
	// These are of no use to who sends.
	want.Events, want.Health, want.CreatedAt, want.UpdatedAt = nil, pipeline.Health{}, time.Time{}, time.Time{}

	mine := fresh(t, d, p)
	require.Equal(t, want, mine[0].Webhook)
	handOver(t, d, mine[0].DeliveryID)
	require.Equal(t, want, due(t, d, w)[0].Webhook)
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*"})
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	mine := fresh(t, d, p)
	require.Empty(t, due(t, d, w))
	require.Zero(t, nextDue(t, d, w))

	handOver(t, d, mine[0].DeliveryID)
	require.Equal(t, []string{send(w, 1, false)}, sends(due(t, d, w)))
	at := nextDue(t, d, w)
	require.False(t, at.After(time.Now()))

	// Again, or when it was delivered, it changes nothing.
	handOver(t, d, mine[0].DeliveryID)
	require.Equal(t, at, nextDue(t, d, w))
	record(t, d, delivered(mine[0]))
	handOver(t, d, mine[0].DeliveryID)
	require.Empty(t, due(t, d, w))
	handOver(t, d)
}

func TestDueDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w, other := newWebhook(t, d.Store, 1, []string{"proposal.*"}), newWebhook(t, d.Store, 1, []string{"*"})
	one, two := backlog(t, d, 3), backlog(t, d, 2)
	at := func(p pipeline.Proposal, version, minutes int) { fallDue(t, d, w, p, version, minutes) }
	at(one, 1, -1) // failed before, and due again only after 2 and 3 were
	at(one, 2, -9)
	at(one, 3, -5)
	at(two, 1, -7)
	at(two, 2, +7)

	require.Equal(t, []string{
		entry(one, 1), entry(two, 1), entry(one, 2), entry(one, 3),
	}, entries(due(t, d, w)), "by time, but a stream's places go by version")
	require.Empty(t, due(t, d, other))
	page, err := d.Store.DueDeliveries(t.Context(), w.ID, 2)
	require.NoError(t, err)
	require.Equal(t, []string{entry(one, 2), entry(two, 1)}, entries(page))
}

func TestDueDeliveriesOfAnOrderedWebhook(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"}, ordered)
	one, two := backlog(t, d, 4), backlog(t, d, 2)
	handOverAll(t, d)

	heads := due(t, d, w)
	require.Equal(t, []string{entry(one, 1), entry(two, 1)}, entries(heads), "the first of each stream only")
	later := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	record(t, d, failed(heads[0], later), delivered(heads[1]))

	heads = due(t, d, w)
	require.Equal(t, []string{entry(two, 2)}, entries(heads), "the stream that failed waits, the other goes on")
	record(t, d, delivered(heads[0]))
	require.Empty(t, due(t, d, w))
	require.Equal(t, later, nextDue(t, d, w), "and not now, or the webhook's workflow would spin")
	parked := list(t, d, pipeline.DeliveryQuery{Status: pipeline.DeliveryPending})
	require.Len(t, parked, 4)
	require.Zero(t, parked[0].NextAttemptAt, "what waits for another has no time of its own")

	// The head gets through, is given up, or is superseded: the next one is due.
	fallDue(t, d, w, one, 1, -1)
	heads = due(t, d, w)
	require.Equal(t, []string{entry(one, 1)}, entries(heads))
	record(t, d, exhausted(heads[0]))
	heads = due(t, d, w)
	require.Equal(t, []string{entry(one, 2)}, entries(heads))
	_, err := d.DB.Exec(`UPDATE deliveries SET status = 'superseded', next_attempt_at = NULL WHERE id = $1`, heads[0].DeliveryID)
	require.NoError(t, err)
	require.Empty(t, due(t, d, w), "nobody told the next one")
	require.Equal(t, []int64{w.ID}, sweep(t, d, time.Minute), "so the sweep does")
	require.Equal(t, []string{entry(one, 3)}, entries(due(t, d, w)))

	// Not ordered any more: all at once.
	w.Ordered = false
	_, wake, err := d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
	require.NoError(t, err)
	require.Equal(t, []int64{w.ID}, wake)
	require.Equal(t, []string{entry(one, 3), entry(one, 4)}, entries(due(t, d, w)))
}

// An entity sends a whole run of an ordered webhook's deliveries and records it at once.
func TestOrderedRunRecordedAtOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"}, ordered)
	p := backlog(t, d, 5)
	mine := fresh(t, d, p)
	handOver(t, d, mine[3].DeliveryID, mine[4].DeliveryID)
	require.Empty(t, due(t, d, w))
	record(t, d, delivered(mine[0]), delivered(mine[1]), delivered(mine[2]))
	require.Equal(t, []string{"delivered", "delivered", "delivered", "pending", "pending"}, statuses(t, d, w))
	require.Equal(t, []string{entry(p, 4)}, entries(due(t, d, w)))
}

// 5,000 deliveries of one stream wait at an ordered webhook for the first, which fails, in
// front of another stream's: they are looked through once.
func TestDeepOrderedBacklog(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"}, ordered)
	deep := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	repeat(t, d, deep, w, 5000)
	handOverAll(t, d)
	behind := backlog(t, d, 2)
	handOverAll(t, d)

	heads := due(t, d, w)
	require.Equal(t, []string{entry(deep, 1), entry(behind, 1)}, entries(heads))
	record(t, d, failed(heads[0], time.Now().Add(time.Hour)), delivered(heads[1]))
	require.Equal(t, []string{entry(behind, 2)}, entries(due(t, d, w)))
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM deliveries WHERE status = 'pending' AND next_attempt_at <= now()`))
}

func TestRecordAttempts(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.requested"})
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	dispatch := fresh(t, d, p)[0]

	retryAt := time.Now().Add(-time.Second).Truncate(time.Microsecond).UTC()
	retry := failed(dispatch, retryAt)
	at := justNow()
	retry.Attempt = pipeline.Attempt{At: at, LatencyMS: 5000, Error: "timeout"}
	record(t, d, retry)
	got := one(t, d, dispatch.DeliveryID)
	require.Equal(t, pipeline.DeliveryPending, got.Status)
	require.Equal(t, pipeline.Instant(retryAt), got.NextAttemptAt)
	require.Equal(t, []pipeline.Attempt{retry.Attempt}, got.Attempts)
	require.Equal(t, dispatch.Event.ID, got.EventID)
	require.Equal(t, pipeline.TypeProposalRequested, got.EventType)
	require.Equal(t, 1, due(t, d, w)[0].Attempts)

	// What a hostile partner answers is recorded all the same.
	hostile := exhausted(dispatch)
	hostile.Attempt = pipeline.Attempt{At: at.Add(time.Second), Status: 500, Error: "bad\x00 \xff{},\"\\", ResponseBody: "a\x00b\xc3(NULL)"}
	record(t, d, hostile)
	got = one(t, d, dispatch.DeliveryID)
	require.Equal(t, pipeline.DeliveryExhausted, got.Status)
	require.Zero(t, got.NextAttemptAt)
	require.Len(t, got.Attempts, 2)
	require.EqualValues(t, 500, got.Attempts[1].Status)
	require.EqualValues(t, "bad\uFFFD \uFFFD{},\"\\", got.Attempts[1].Error)
	require.EqualValues(t, "a\uFFFDb\uFFFD(NULL)", got.Attempts[1].ResponseBody)

	// It got through after all (a resend): that is what counts.
	record(t, d, delivered(dispatch))
	require.Equal(t, pipeline.DeliveryDelivered, one(t, d, dispatch.DeliveryID).Status)
	// A failure that comes late does not undo that.
	record(t, d, failed(dispatch, noon))
	got = one(t, d, dispatch.DeliveryID)
	require.Equal(t, pipeline.DeliveryDelivered, got.Status)
	require.Zero(t, got.NextAttemptAt)
	require.Len(t, got.Attempts, 4)
}

// Somebody changes the same deliveries in another order, and Postgres undoes the recording to
// get the two apart: it is tried again, or what partners have got would be sent again.
func TestRecordAttemptsAfterADeadlock(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"proposal.*"})
	mine := fresh(t, d, backlog(t, d, 2))
	tx := open(t, d)
	_, err := tx.Exec(`SET LOCAL deadlock_timeout = '1min'`) // the other one finds out
	require.NoError(t, err)
	lock := func(i int) {
		t.Helper()
		_, err := tx.Exec(`SELECT FROM deliveries WHERE id = $1 FOR UPDATE`, mine[i].DeliveryID)
		require.NoError(t, err)
	}
	lock(1)
	wake := meanwhile(t, func(ctx context.Context) ([]int64, error) {
		return d.Store.RecordAttempts(ctx, []pipeline.Result{delivered(mine[0]), delivered(mine[1])}, nil)
	})
	requireBlocked(t, d, "WITH unwell")
	lock(0)
	require.NoError(t, tx.Commit())
	require.Empty(t, <-wake)
	for _, m := range mine {
		got := one(t, d, m.DeliveryID)
		require.Equal(t, pipeline.DeliveryDelivered, got.Status)
		require.Len(t, got.Attempts, 1)
	}
}

func TestRecordAttemptsMeanwhileDisabled(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	p := backlog(t, d, 2)
	mine := fresh(t, d, p)
	w.Active = false
	_, _, err := d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
	require.NoError(t, err)
	record(t, d, failed(mine[0], time.Now()), delivered(mine[1]))
	require.Equal(t, []string{"held", "delivered"}, statuses(t, d, w))
	require.Empty(t, due(t, d, w))
	require.Zero(t, nextDue(t, d, w))
}

func TestSweepDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	fine := newWebhook(t, d.Store, 1, []string{"customer.created"})
	forgotten, stuck := newWebhook(t, d.Store, 1, []string{"proposal.*"}), newWebhook(t, d.Store, 1, []string{"proposal.requested"})
	waiting := newWebhook(t, d.Store, 1, []string{"proposal.requested"})
	p := backlog(t, d, 2)
	require.Empty(t, sweep(t, d, time.Minute), "all of it is young")

	_, err := d.DB.Exec(`UPDATE deliveries SET created_at = now() - interval '2 minutes' WHERE webhook_id = $1`, forgotten.ID)
	require.NoError(t, err)
	fallDue(t, d, stuck, p, 1, -2)
	fallDue(t, d, waiting, p, 1, +2)
	require.Equal(t, []int64{forgotten.ID, stuck.ID}, sweep(t, d, time.Minute))
	require.Equal(t, []string{entry(p, 1), entry(p, 2)}, entries(due(t, d, forgotten)), "handed over")
	require.Empty(t, fresh(t, d, p))
	require.Empty(t, due(t, d, fine))
	require.Equal(t, []int64{stuck.ID}, sweep(t, d, time.Minute), "the one that was handed over is young again")
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	key := newKey(t, d.Store, 1, pipeline.RolePartner)
	mine := newWebhook(t, d.Store, 1, []string{"proposal.*"}, func(w *pipeline.Webhook) { w.KeyID = key.ID })
	off := newWebhook(t, d.Store, 1, []string{"proposal.sent"}, inactive)
	p := backlog(t, d, 3)
	foreign := newCompany(t, d.Store)
	newWebhook(t, d.Store, foreign, []string{"*"})
	newCustomer(t, d.Store, foreign)
	sent := fresh(t, d, p)
	record(t, d, delivered(sent[0]), failed(sent[1], noon))
	record(t, d, exhausted(sent[1]))

	all := list(t, d, pipeline.DeliveryQuery{})
	require.Equal(t, []string{"3 held", "3 pending", "2 held", "2 exhausted", "1 delivered"}, lines(all))
	require.Len(t, all[3].Attempts, 2)
	require.Len(t, all[4].Attempts, 1)
	require.NotNil(t, all[0].Attempts)

	for _, test := range []struct {
		name  string
		query pipeline.DeliveryQuery
		want  []string
	}{
		{"of a webhook", pipeline.DeliveryQuery{WebhookID: off.ID}, []string{"3 held", "2 held"}},
		{"of a partner's key", pipeline.DeliveryQuery{PartnerKey: key.ID}, []string{"3 pending", "2 exhausted", "1 delivered"}},
		{"of somebody else's webhook", pipeline.DeliveryQuery{PartnerKey: key.ID, WebhookID: off.ID}, []string{}},
		{"of an event", pipeline.DeliveryQuery{EventID: all[0].EventID}, []string{"3 held", "3 pending"}},
		{"of no event", pipeline.DeliveryQuery{EventID: "evt_x"}, []string{}},
		{"pending", pipeline.DeliveryQuery{Status: "pending"}, []string{"3 pending"}},
		{"held", pipeline.DeliveryQuery{Status: "held"}, []string{"3 held", "2 held"}},
		{"delivered", pipeline.DeliveryQuery{Status: "delivered"}, []string{"1 delivered"}},
		{"all at once", pipeline.DeliveryQuery{
			WebhookID: mine.ID, Status: "exhausted", EventID: all[3].EventID, PartnerKey: key.ID,
		}, []string{"2 exhausted"}},
		{"none", pipeline.DeliveryQuery{Status: "discarded"}, []string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, lines(list(t, d, test.query)))
			paged := []string{}
			for test.query.Page.Limit = 1; ; {
				page := list(t, d, test.query)
				if len(page) == 0 {
					break
				}
				paged = append(paged, lines(page)...)
				test.query.Page.Cursor = page[0].ID
			}
			require.Equal(t, test.want, paged, "page by page")
		})
	}

	_, err := d.Store.Delivery(t.Context(), 1, key.ID, all[0].ID)
	requireCode(t, pipeline.CodeNotFound, err)
	_, err = d.Store.Delivery(t.Context(), foreign, 0, all[0].ID)
	requireCode(t, pipeline.CodeNotFound, err)
	got, err := d.Store.Delivery(t.Context(), 1, key.ID, all[3].ID)
	require.NoError(t, err)
	require.Equal(t, all[3], got)
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"*"})
	newWebhook(t, d.Store, 1, []string{"proposal.*"})
	c := newCustomer(t, d.Store, 1)
	p := newProposal(t, d.Store, c)
	c, _ = happen(t, d.Store, c, pipeline.TypeEmailSent, `{}`)
	newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	record(t, d, delivered(fresh(t, d, p)[0]))

	events, deliveries, err := d.Store.Timeline(t.Context(), 1, c.Ref().Stream(), 0, 100)
	require.NoError(t, err)
	require.Equal(t, []string{"customer.created", "proposal.requested", "email.sent"}, types(events), "its proposals' too")
	require.Equal(t, []string{"1 pending", "1 delivered", "1 pending", "2 pending"}, lines(deliveries))
	require.Len(t, deliveries[1].Attempts, 1)

	events, deliveries, err = d.Store.Timeline(t.Context(), 1, p.Ref().Stream(), 0, 100)
	require.NoError(t, err)
	require.Equal(t, []string{"proposal.requested"}, types(events))
	require.Len(t, deliveries, 2)

	events, _, err = d.Store.Timeline(t.Context(), 1, c.Ref().Stream(), events[0].Position, 100)
	require.NoError(t, err)
	require.Equal(t, []string{"email.sent"}, types(events))
	events, deliveries, err = d.Store.Timeline(t.Context(), newCompany(t, d.Store), c.Ref().Stream(), 0, 100)
	require.NoError(t, err)
	require.Empty(t, events)
	require.Empty(t, deliveries)
}

func types(events []pipeline.Event) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = string(e.Type)
	}
	return out
}

// backlog is a new proposal with some versions.
func backlog(t *testing.T, d database, n int) pipeline.Proposal {
	t.Helper()
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	for range n - 1 {
		p, _ = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	}
	return p
}

// repeat puts events and deliveries of one stream in the tables, up to a version.
func repeat(t *testing.T, d database, p pipeline.Proposal, w pipeline.Webhook, upTo int) {
	t.Helper()
	_, err := d.DB.Exec(`WITH e AS (
			INSERT INTO events (stream, version, position, id, type, company_id, customer_id, proposal_id, payload, state, occurred_at, recorded_at)
			SELECT stream, n, nextval('event_positions'), id || n, type, company_id, customer_id, proposal_id, payload, state,
				occurred_at, recorded_at
			FROM events, generate_series(2, $2::bigint) n WHERE stream = $1 AND version = 1
			RETURNING company_id, stream, version, position)
		INSERT INTO deliveries (company_id, webhook_id, event_position, stream, version, status)
		SELECT company_id, $3::bigint, position, stream, version, 'pending' FROM e ORDER BY version`, string(p.Ref().Stream()), upTo, w.ID)
	require.NoError(t, err)
}

func handOverAll(t *testing.T, d database) {
	t.Helper()
	_, err := d.DB.Exec(`UPDATE deliveries SET next_attempt_at = now() WHERE status = 'pending' AND next_attempt_at IS NULL`)
	require.NoError(t, err)
}

// fallDue sets the time of a delivery, some minutes from now.
func fallDue(t *testing.T, d database, w pipeline.Webhook, p pipeline.Proposal, version, minutes int) {
	t.Helper()
	res, err := d.DB.Exec(`UPDATE deliveries SET next_attempt_at = now() + make_interval(mins => $4)
		WHERE webhook_id = $1 AND stream = $2 AND version = $3`, w.ID, string(p.Ref().Stream()), version, minutes)
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func fresh(t *testing.T, d database, p pipeline.Proposal) []pipeline.Dispatch {
	t.Helper()
	out, err := d.Store.FreshDeliveries(t.Context(), p.Ref().Stream(), 1000)
	require.NoError(t, err)
	return out
}

func due(t *testing.T, d database, w pipeline.Webhook) []pipeline.Dispatch {
	t.Helper()
	out, err := d.Store.DueDeliveries(t.Context(), w.ID, 200)
	require.NoError(t, err)
	return out
}

// record writes what came of attempts and answers who is to be woken.
func record(t *testing.T, d database, results ...pipeline.Result) []int64 {
	t.Helper()
	return recordSlow(t, d, nil, results...)
}

func recordSlow(t *testing.T, d database, slow []int64, results ...pipeline.Result) []int64 {
	t.Helper()
	wake, err := d.Store.RecordAttempts(t.Context(), results, slow)
	require.NoError(t, err)
	return wake
}

func handOver(t *testing.T, d database, deliveries ...int64) []int64 {
	t.Helper()
	wake, err := d.Store.HandOver(t.Context(), deliveries)
	require.NoError(t, err)
	return wake
}

// nextDue is when the webhook's workflow would look again.
func nextDue(t *testing.T, d database, w pipeline.Webhook) time.Time {
	t.Helper()
	at, err := d.Store.EndDrain(t.Context(), w.ID, time.Time{})
	require.NoError(t, err)
	return at
}

func sweep(t *testing.T, d database, grace time.Duration) []int64 {
	t.Helper()
	woken, err := d.Store.SweepDeliveries(t.Context(), grace, 100)
	require.NoError(t, err)
	return woken
}

func list(t *testing.T, d database, q pipeline.DeliveryQuery) []pipeline.Delivery {
	t.Helper()
	q.CompanyID = 1
	if q.Page.Limit == 0 {
		q.Page.Limit = 100
	}
	out, err := d.Store.Deliveries(t.Context(), q)
	require.NoError(t, err)
	return out
}

func one(t *testing.T, d database, id int64) pipeline.Delivery {
	t.Helper()
	out, err := d.Store.Delivery(t.Context(), 1, 0, id)
	require.NoError(t, err)
	return out
}

func mustEvent(t *testing.T, d database, id string) pipeline.Event {
	t.Helper()
	e, err := d.Store.Event(t.Context(), 1, id)
	require.NoError(t, err)
	return e
}

func lines(deliveries []pipeline.Delivery) []string {
	out := make([]string, len(deliveries))
	for i, d := range deliveries {
		out[i] = fmt.Sprintf("%d %s", d.Version, d.Status)
	}
	return out
}

func statuses(t *testing.T, d database, w pipeline.Webhook) []string {
	t.Helper()
	var out []string
	require.NoError(t, d.DB.Select(&out, `SELECT status FROM deliveries WHERE webhook_id = $1 ORDER BY id`, w.ID))
	return out
}

func rowVersion(t *testing.T, d database, w pipeline.Webhook) string {
	t.Helper()
	var xmin string
	require.NoError(t, d.DB.Get(&xmin, `SELECT xmin::text FROM webhook_health WHERE webhook_id = $1`, w.ID))
	return xmin
}

// send and sends, entry and entries: dispatches in short.
func send(w pipeline.Webhook, version int64, later bool) string {
	return fmt.Sprintf("webhook %d version %d later %t", w.ID, version, later)
}

func sends(dispatches []pipeline.Dispatch) []string {
	out := make([]string, len(dispatches))
	for i, d := range dispatches {
		out[i] = send(d.Webhook, d.Event.Version, d.Later)
	}
	return out
}

func entry(p pipeline.Proposal, version int64) string {
	return fmt.Sprintf("%s version %d", p.Ref().Stream(), version)
}

func entries(dispatches []pipeline.Dispatch) []string {
	out := make([]string, len(dispatches))
	for i, d := range dispatches {
		out[i] = fmt.Sprintf("%s version %d", d.Event.Stream, d.Event.Version)
	}
	return out
}

func result(d pipeline.Dispatch, status pipeline.DeliveryStatus) pipeline.Result {
	return pipeline.Result{
		DeliveryID: d.DeliveryID, WebhookID: d.Webhook.ID, Status: status,
		Attempt: pipeline.Attempt{At: noon, Status: 200, LatencyMS: 12, ResponseBody: "ok"},
	}
}

func delivered(d pipeline.Dispatch) pipeline.Result { return result(d, pipeline.DeliveryDelivered) }

func exhausted(d pipeline.Dispatch) pipeline.Result {
	r := failed(d, time.Time{})
	r.Status = pipeline.DeliveryExhausted
	return r
}

// failed is an attempt of just now: an endpoint that has failed since noon may be disabled.
func failed(d pipeline.Dispatch, next time.Time) pipeline.Result {
	r := result(d, pipeline.DeliveryPending)
	r.Attempt.At, r.Attempt.Status, r.NextAttemptAt = justNow(), 500, next
	return r
}

// justNow is a time as Postgres keeps it.
func justNow() time.Time { return time.Now().Truncate(time.Microsecond).UTC() }
