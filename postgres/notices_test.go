package postgres_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// Operational events go to those who name them, once to each, and never to the webhook that
// they are about; to a partner only about its own webhooks.
func TestWhoIsTold(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	partner, other := newKey(t, d.Store, 1, pipeline.RolePartner), newKey(t, d.Store, 1, pipeline.RolePartner)
	app := newKey(t, d.Store, 1, pipeline.RoleApp)
	of := func(key pipeline.NewKey, events ...string) pipeline.Webhook {
		return newWebhook(t, d.Store, 1, events, func(w *pipeline.Webhook) { w.KeyID = key.ID })
	}
	subject := of(partner, "proposal.*", "webhook.*", "delivery.*")
	want := map[int64]string{
		of(partner, "delivery.exhausted", "delivery.*").ID:   "pending",
		of(app, "delivery.exhausted").ID:                     "pending",
		of(app, "webhook.*", "delivery.*").ID:                "pending",
		newWebhook(t, d.Store, 1, []string{"delivery.*"}).ID: "", // a key of its own
		of(other, "delivery.*").ID:                           "",
		of(app, "*").ID:                                      "",
		of(app, "webhook.*").ID:                              "",
		newWebhook(t, d.Store, newCompany(t, d.Store), []string{"delivery.*"}, func(w *pipeline.Webhook) { w.KeyID = app.ID }).ID: "",
	}
	off := newWebhook(t, d.Store, 1, []string{"delivery.*"}, inactive, func(w *pipeline.Webhook) { w.KeyID = app.ID })
	want[off.ID] = "held"
	gone := of(app, "delivery.*")
	require.NoError(t, d.Store.DeleteWebhook(t.Context(), 1, gone.ID))
	want[gone.ID] = ""
	late := of(app, "delivery.*")
	adjust(t, d, late, "catching_up = true")
	want[late.ID] = ""
	for filter, status := range map[string]string{
		`{"data.payload.seq":1,"data.stream":{"$ne":"webhook-0"},"data.customer_id":{"$exists":false}}`: "pending",
		`{"data.payload.event_type":"customer.created"}`:                                                "",
	} {
		filtered := of(app, "delivery.*")
		adjust(t, d, filtered, "filter = '"+filter+"'")
		want[filtered.ID] = status
	}

	var mine pipeline.Dispatch
	for _, f := range fresh(t, d, backlog(t, d, 1)) {
		if f.Webhook.ID == subject.ID {
			mine = f
		}
	}
	given := exhausted(mine)
	given.Attempt.Error = "HTTP 500"
	wake := record(t, d, given)

	var told []int64
	for id, status := range want {
		var got []string
		require.NoError(t, d.DB.Select(&got, `SELECT status FROM deliveries WHERE webhook_id = $1 AND stream LIKE 'webhook-%'`, id))
		if status == "" {
			require.Empty(t, got, "webhook %d", id)
			continue
		}
		require.Equal(t, []string{status}, got, "webhook %d", id)
		if status == "pending" {
			told = append(told, id)
		}
	}
	require.Zero(t, count(t, d, `SELECT count(*) FROM deliveries WHERE webhook_id = $1 AND stream LIKE 'webhook-%'`, subject.ID))
	require.ElementsMatch(t, told, wake)

	sent, err := d.Store.DueDeliveries(t.Context(), told[0], 10)
	require.NoError(t, err)
	require.Len(t, sent, 1)
	e := sent[0].Event
	require.Equal(t, pipeline.TypeDeliveryExhausted, e.Type)
	require.Equal(t, pipeline.StreamOf(pipeline.KindWebhook, subject.ID), e.Stream)
	require.Equal(t, pipeline.NoticeID(e.Stream, 1), e.ID)
	require.EqualValues(t, 1, e.Version)
	require.Zero(t, e.CustomerID)
	var notice pipeline.DeliveryNotice
	require.NoError(t, json.Unmarshal(e.Payload, &notice))
	require.Equal(t, pipeline.DeliveryNotice{
		WebhookID: subject.ID, DeliveryID: mine.DeliveryID, EventID: mine.Event.ID, EventType: mine.Event.Type,
		Stream: mine.Event.Stream, Version: 1, Attempts: 1, Error: "HTTP 500",
	}, notice)
	record(t, d, delivered(sent[0]))
	require.Equal(t, pipeline.DeliveryDelivered, one(t, d, sent[0].DeliveryID).Status)
}

// Giving up a delivery that is itself about a delivery is told to nobody.
func TestNoNoticeAboutANotice(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"proposal.*"})
	one := newWebhook(t, d.Store, 1, []string{"delivery.*"}, ofAdmin(t, d))
	two := newWebhook(t, d.Store, 1, []string{"delivery.*"}, ofAdmin(t, d))
	mine := fresh(t, d, backlog(t, d, 1))
	require.Equal(t, []int64{one.ID, two.ID}, record(t, d, exhausted(mine[0])))
	require.Empty(t, record(t, d, exhausted(mine[0])), "it is given up once")
	notices := func() int { return count(t, d, `SELECT count(*) FROM events WHERE stream LIKE 'webhook-%'`) }
	require.Equal(t, 1, notices())
	require.Empty(t, record(t, d, exhausted(due(t, d, one)[0])))
	require.Equal(t, []string{"exhausted"}, statuses(t, d, one))
	require.Equal(t, 1, notices())
}

// What is given up in one batch is told in the order of the events, each for itself.
func TestManyGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	newWebhook(t, d.Store, 1, []string{"proposal.*"})
	observer := newWebhook(t, d.Store, 1, []string{"delivery.*"}, ofAdmin(t, d))
	mine := fresh(t, d, backlog(t, d, 3))
	require.Equal(t, []int64{observer.ID}, record(t, d, exhausted(mine[2]), delivered(mine[1]), exhausted(mine[0])))
	told := due(t, d, observer)
	require.Len(t, told, 2)
	for i, want := range []pipeline.Dispatch{mine[0], mine[2]} {
		var notice pipeline.DeliveryNotice
		require.NoError(t, json.Unmarshal(told[i].Event.Payload, &notice))
		require.Equal(t, want.DeliveryID, notice.DeliveryID)
		require.EqualValues(t, i+1, told[i].Event.Version)
		require.Equal(t, pipeline.NoticeID(told[i].Event.Stream, told[i].Event.Version), told[i].Event.ID)
	}
	require.Less(t, told[0].Event.Position, told[1].Event.Position)
}

// Two webhooks tell each other's observers at the same time: nobody waits for the other.
func TestNoticesSideBySide(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	const each = 20
	both := []pipeline.Webhook{
		newWebhook(t, d.Store, 1, []string{"proposal.*", "delivery.*"}, ofAdmin(t, d)),
		newWebhook(t, d.Store, 1, []string{"proposal.*", "delivery.*"}, ofAdmin(t, d)),
	}
	mine := fresh(t, d, backlog(t, d, each))
	done := make([]<-chan bool, 0, 2*each)
	for i, f := range mine {
		done = append(done, background(t, func() {
			_, err := d.Store.RecordAttempts(t.Context(), []pipeline.Result{exhausted(f)}, nil)
			if err != nil {
				t.Error(err)
			}
		}))
		if i%5 == 0 { // and entities go on
			done = append(done, background(t, func() { newCustomer(t, d.Store, 1) }))
		}
	}
	for _, c := range done {
		<-c
	}
	for _, w := range both {
		adjustHealth(t, d, w, "failures = 0, rest_until = NULL")
		require.Len(t, due(t, d, w), each)
	}
}

func TestOperationalEventsInTheFeed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	partner := newKey(t, d.Store, 1, pipeline.RolePartner)
	ofPartner := func(w *pipeline.Webhook) { w.KeyID = partner.ID }
	newWebhook(t, d.Store, 1, []string{"proposal.*"}, ofPartner)
	newWebhook(t, d.Store, 1, []string{"delivery.*"}, ofPartner)
	stranger := newKey(t, d.Store, 1, pipeline.RolePartner)
	newWebhook(t, d.Store, 1, []string{"proposal.*", "delivery.*"}, func(w *pipeline.Webhook) { w.KeyID = stranger.ID })
	p := backlog(t, d, 1)
	record(t, d, exhausted(fresh(t, d, p)[0]))
	happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)

	for _, test := range []struct {
		name  string
		query pipeline.FeedQuery
		want  []string
	}{
		{"of a company", pipeline.FeedQuery{}, []string{"customer.created", "proposal.requested", "proposal.sent"}},
		{"of types", pipeline.FeedQuery{Types: []string{"delivery.exhausted", "proposal.sent"}}, []string{"delivery.exhausted", "proposal.sent"}},
		{"of a partner", pipeline.FeedQuery{PartnerKey: partner.ID}, []string{"proposal.requested", "proposal.sent"}},
		{
			"of a partner by types",
			pipeline.FeedQuery{PartnerKey: partner.ID, Types: []string{"delivery.exhausted", "proposal.sent"}},
			[]string{"delivery.exhausted", "proposal.sent"},
		},
		{"of another's partner", pipeline.FeedQuery{PartnerKey: stranger.ID, Types: []string{"delivery.exhausted"}}, []string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.query.CompanyID, test.query.Limit = 1, 100
			require.Equal(t, test.want, types(feed(t, d, test.query)))
		})
	}
}

func background(t *testing.T, f func()) <-chan bool {
	t.Helper()
	done := make(chan bool)
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// That a document could not be had is told once for each time that it is given up, in a stream of
// its own, and to no partner: documents are the company's.
func TestWhoIsToldOfADocument(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ctx, store := t.Context(), d.Store
	partner, app := newKey(t, store, 1, pipeline.RolePartner), newKey(t, store, 1, pipeline.RoleApp)
	of := func(key pipeline.NewKey, events ...string) pipeline.Webhook {
		return newWebhook(t, store, 1, events, func(w *pipeline.Webhook) { w.KeyID = key.ID })
	}
	named, family := of(app, "document.failed"), of(app, "document.*", "webhook.*")
	strangers := []pipeline.Webhook{of(partner, "document.*"), of(app, "*"), of(app, "contract.*", "delivery.*")}
	connection := newConnection(t, store, "token-1")
	p := newProposal(t, store, newCustomer(t, store, 1))
	id := uuidOf(9, 1)
	require.NoError(t, store.AddDocument(ctx, pipeline.KeptDocument{CompanyID: 1, UUID: id, ProposalID: p.ID, ConnectionID: connection.ID}))
	fail := func(token string) []int64 {
		wake, err := store.FailDocument(ctx, 1, id, token, pipeline.FailureRefused, "answered 403")
		require.NoError(t, err)
		return wake
	}
	both := []int64{named.ID, family.ID}
	require.Equal(t, both, fail("one"))
	require.Empty(t, fail("one"))
	require.Empty(t, fail("two"), "it is given up already")
	_, err := store.RetryDocument(ctx, 1, id)
	require.NoError(t, err)
	require.Empty(t, fail("one"), "it comes from before there was new hope")
	require.Equal(t, both, fail("two"))

	told := due(t, d, named)
	require.Len(t, told, 2)
	for i, of := range told {
		e := of.Event
		require.Equal(t, pipeline.TypeDocumentFailed, e.Type)
		require.EqualValues(t, i+1, e.Version)
		require.Equal(t, pipeline.NoticeID(e.Stream, e.Version), e.ID)
		require.Zero(t, e.CustomerID)
		var state pipeline.DocumentState
		require.NoError(t, json.Unmarshal(e.State, &state))
		require.Equal(t, pipeline.StreamOf(pipeline.KindDocument, state.ID), e.Stream)
		require.Equal(t, pipeline.DocumentState{
			ID: state.ID, UUID: id, CompanyID: 1, ProposalID: pipeline.ID(p.ID), ConnectionID: pipeline.ID(connection.ID),
			Status: pipeline.KeptFailed, Version: e.Version,
		}, state)
		var notice pipeline.DocumentNotice
		require.NoError(t, json.Unmarshal(e.Payload, &notice))
		require.NotZero(t, notice.Since)
		notice.Since = pipeline.Instant{}
		require.Equal(t, pipeline.DocumentNotice{
			UUID: id, ProposalID: pipeline.ID(p.ID), ConnectionID: pipeline.ID(connection.ID),
			Reason: pipeline.FailureRefused, Note: "answered 403",
		}, notice)
	}
	require.Len(t, due(t, d, family), 2)
	for _, w := range strangers {
		require.Zero(t, count(t, d, `SELECT count(*) FROM deliveries WHERE webhook_id = $1 AND stream LIKE 'document-%'`, w.ID))
	}

	// It is none of the deals' events: not in their feed, and nothing to rebuild. That its delivery
	// was given up is told to nobody.
	feed, err := store.Feed(ctx, pipeline.FeedQuery{CompanyID: 1, Limit: 100})
	require.NoError(t, err)
	require.Len(t, feed, 2, "a customer and a proposal")
	feed, err = store.Feed(ctx, pipeline.FeedQuery{CompanyID: 1, Types: []string{"document.failed"}, Limit: 100})
	require.NoError(t, err)
	require.Len(t, feed, 2)
	feed, err = store.Feed(ctx, pipeline.FeedQuery{CompanyID: 1, PartnerKey: partner.ID, Types: []string{"document.failed"}, Limit: 100})
	require.NoError(t, err)
	require.Empty(t, feed)
	before := count(t, d, `SELECT count(*) FROM events`)
	require.Empty(t, record(t, d, exhausted(told[0])))
	require.Equal(t, before, count(t, d, `SELECT count(*) FROM events`))
	rebuilt, err := store.Rebuild(ctx, true, func(postgres.Rebuilt) {})
	require.NoError(t, err)
	require.EqualValues(t, 2, rebuilt.Streams)
	require.Empty(t, rebuilt.Differences)
}
