package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// inFormat is a webhook of a format that is told of everything in it.
func inFormat(format string) func(*pipeline.Webhook) {
	return func(w *pipeline.Webhook) { w.Format = format }
}

// solve360 is one hook of Solve360's.
func solve360(event, constraint string) func(*pipeline.Webhook) {
	return func(w *pipeline.Webhook) {
		w.Format, w.EventName, w.Constraint = pipeline.FormatSolve360, event, constraint
	}
}

func TestFormatSettings(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	key := newKey(t, d.Store, 1, pipeline.RolePartner)
	want := pipeline.Webhook{
		CompanyID: 1, KeyID: key.ID, URL: "https://partner.example/a", Events: []string{"*"}, Active: true,
		Format: pipeline.FormatSolve360, ContentType: pipeline.ContentForm, EventName: "items.update", Constraint: "contact", Method: "PUT",
	}
	idem := pipeline.Idempotency{Key: "K", Fingerprint: "f"}
	made, _, err := d.Store.CreateWebhook(t.Context(), want, pipeline.Start{}, idem)
	require.NoError(t, err)
	require.Empty(t, made.Signing.Secret, "that system's hooks need not have one")
	want.ID, want.CreatedAt, want.UpdatedAt, want.Signing.Seed = made.ID, made.CreatedAt, made.UpdatedAt, made.Signing.Seed
	want.Timeout, want.MaxConcurrency = pipeline.DefaultTimeout, pipeline.DefaultMaxConcurrency
	require.Equal(t, want, made)
	again, replayed, err := d.Store.CreateWebhook(t.Context(), want, pipeline.Start{}, idem)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, made, again)
	listed, err := d.Store.Webhooks(t.Context(), 1, key.ID, pipeline.Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []pipeline.Webhook{want}, listed)

	// What is sent is sent by these settings, both ways.
	newCustomer(t, d.Store, 1)
	c := newCustomer(t, d.Store, 1)
	happen(t, d.Store, c, pipeline.TypeCustomerUpdated, `{"name":"Jo Moe"}`)
	sent, err := d.Store.FreshDeliveries(t.Context(), c.Ref().Stream(), 10)
	require.NoError(t, err)
	handOverAll(t, d)
	sent = append(sent, due(t, d, made)...)
	require.Len(t, sent, 2)
	for _, s := range sent {
		require.Equal(t, "form items.update contact PUT", fmt.Sprintf("%s %s %s %s",
			s.Webhook.ContentType, s.Webhook.EventName, s.Webhook.Constraint, s.Webhook.Method))
	}

	// All of it can change, and be taken away again.
	want.ContentType, want.EventName, want.Constraint, want.Method = pipeline.ContentJSON, "items.create", "all", "PATCH"
	for range 2 {
		updated, _, err := d.Store.UpdateWebhook(t.Context(), want.CompanyID, want.ID, as(want))
		require.NoError(t, err)
		want.UpdatedAt = updated.UpdatedAt
		require.Equal(t, want, updated)
		want.ContentType, want.EventName, want.Constraint, want.Method = "", "", "", ""
	}
}

// everythingHappens is a story with every event that there is, each once at least, in every state
// that a format tells apart, and of each kind of entity.
func everythingHappens(t *testing.T, d database) []pipeline.Event {
	t.Helper()
	c := newCustomer(t, d.Store, 1)
	for _, step := range []struct {
		event pipeline.EventType
		data  string
	}{
		{pipeline.TypeCustomerUpdated, `{"name":"Jo Moe"}`},
		{pipeline.TypeCustomerStatusChanged, `{"status":2,"status_name":"Signed"}`},
		{pipeline.TypeAppointmentSet, `{"starts_at":"2026-11-24T10:00:00+11:00"}`},
		{pipeline.TypeEmailSent, `{}`},
		{pipeline.TypeSMSSent, `{}`},
		{pipeline.TypeCustomerDeleted, `{}`},
		{pipeline.TypeCustomerRestored, `{}`},
	} {
		c, _ = happen(t, d.Store, c, step.event, step.data)
	}
	p := pipeline.NewProposal(1, c.ID, reserve(t, d.Store, 1, pipeline.KindProposal))
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalDrafted, proposalData(p.ID, c.ID))
	for _, step := range []pipeline.EventType{
		pipeline.TypeProposalSaved, pipeline.TypeEmailSent, pipeline.TypeProposalRequested, pipeline.TypeProposalSaved, pipeline.TypeSMSSent,
		pipeline.TypeProposalSent, pipeline.TypeProposalLinkPublished, pipeline.TypeCreditRan, pipeline.TypeProposalSelected,
		pipeline.TypeProposalSold, pipeline.TypeContractRequested, pipeline.TypeContractSent, pipeline.TypeContractSigned,
		pipeline.TypeContractDocumentStored, pipeline.TypeContractVoided,
	} {
		data := map[pipeline.EventType]string{
			pipeline.TypeCreditRan: `{"outcome":"approved"}`,
			pipeline.TypeContractDocumentStored: `{"uuid":"e24f5a7a-1d6d-4417-8af2-22da3d67d4cc","name":"a.pdf","content_type":"application/pdf",
				"size":1,"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}`,
		}[step]
		if data == "" {
			data = `{}`
		}
		p, _ = happen(t, d.Store, p, step, data)
	}
	events := feed(t, d, pipeline.FeedQuery{CompanyID: 1, Limit: 100})
	// But for an erasure, which no other system has a name for, and which discards what waits.
	happening := slices.DeleteFunc(catalogued(), func(t string) bool { return t == string(pipeline.TypeCustomerErased) })
	require.Subset(t, types(events), happening)
	return events
}

func catalogued() []string {
	all := pipeline.Catalogue()
	out := make([]string, len(all))
	for i, entry := range all {
		out[i] = string(entry.Type)
	}
	return out
}

// subscriptions are the ways in which a webhook can say what it wants to be told of.
func subscriptions() []pipeline.Webhook {
	out := []pipeline.Webhook{
		{Format: pipeline.FormatNative},
		{Format: pipeline.FormatNative, Events: []string{"proposal.*"}},
		{Format: pipeline.FormatSolo, Events: []string{"contract.*", "customer.created", "no.such"}},
		{Format: pipeline.FormatSolarProof, Filter: `{"data.seq":{"$gt":3}}`},
		{Format: pipeline.FormatSolarProof, Events: []string{"proposal.saved", "sms.sent"}},
		{Format: pipeline.FormatSighten, Events: []string{"proposal.*"}},
		{Format: pipeline.FormatSolve360, EventName: "activities.create", Constraint: "note"},
		{Format: pipeline.FormatSolve360, EventName: "items.uncategorize", Constraint: pipeline.ConstraintAll},
		{Format: pipeline.FormatSolve360, EventName: "activities.restore"},
	}
	for _, constraint := range []string{pipeline.ConstraintAll, "contact", "projectblog", "opportunity", "note", "timerecord"} {
		out = append(out, pipeline.Webhook{Format: pipeline.FormatSolve360, Constraint: constraint})
	}
	for _, format := range pipeline.Formats()[1:] {
		out = append(out, pipeline.Webhook{Format: format})
		for _, entry := range pipeline.Catalogue() {
			for _, name := range slices.Concat(entry.Names.Solo, entry.Names.SolarProof, entry.Names.Solve360, entry.Names.Sighten) {
				one := pipeline.Webhook{Format: format, EventName: name.Event}
				if pipeline.CheckFormat(one) == nil && !slices.ContainsFunc(out, func(w pipeline.Webhook) bool {
					return w.Format == format && w.EventName == name.Event && w.Events == nil && w.Constraint == ""
				}) {
					out = append(out, one)
				}
			}
		}
	}
	return out
}

// wanted are the positions of the events that a webhook is to be told of.
func wanted(t *testing.T, w pipeline.Webhook, events []pipeline.Event) []int64 {
	t.Helper()
	out := []int64{}
	for _, e := range events {
		names, err := w.Names(e)
		require.NoError(t, err)
		matches := func(pattern string) bool { return slices.Contains(pipeline.Patterns(e.Type), pattern) }
		told := w.Format == pipeline.FormatNative || len(names) > 0
		if told && slices.ContainsFunc(w.Events, matches) && (w.Filter == "" || e.Version > 3) {
			out = append(out, e.Position)
		}
	}
	return out
}

// Whichever way an event reaches a webhook, it is one that the webhook can be told of.
func TestFormatsAreTold(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	queued := func(w pipeline.Webhook) []int64 {
		out := []int64{}
		require.NoError(t, d.DB.Select(&out, `SELECT event_position FROM deliveries WHERE webhook_id = $1 ORDER BY 1`, w.ID))
		return out
	}
	as := func(s pipeline.Webhook) func(*pipeline.Webhook) {
		return func(w *pipeline.Webhook) {
			w.Format, w.EventName, w.Constraint, w.Filter = s.Format, s.EventName, s.Constraint, s.Filter
		}
	}
	live := subscriptions()
	for i, s := range live {
		require.NoError(t, pipeline.CheckFormat(s))
		live[i] = newWebhook(t, d.Store, 1, patterns(s), as(s))
	}
	events := everythingHappens(t, d)
	told := 0
	for _, w := range live {
		want := wanted(t, w, events)
		told += len(want)
		about := fmt.Sprintf("%s %q %q %s", w.Format, w.EventName, w.Constraint, w.Events)
		require.Equal(t, want, queued(w), "live: %s", about)

		later := newWebhook(t, d.Store, 1, w.Events, as(w))
		adjust(t, d, later, "from_position = 0")
		missed := []int64{}
		for _, gap := range gaps(t, d, later).Gaps {
			missed = append(missed, gap.Position)
		}
		require.Equal(t, want, missed, "gaps: %s", about)
		require.Empty(t, queued(later))
		replay := startReplay(t, d, later)
		advance(t, d, later, 3)
		require.Equal(t, want, queued(later), "replay: %s", about)
		require.GreaterOrEqual(t, replay.Total, int64(len(want)))
		if w.Filter == "" { // three are not to be told of by what they are like beside their type
			require.LessOrEqual(t, replay.Total, int64(len(want)+3), about)
		}
		require.Equal(t, pipeline.ReplayDone, readReplay(t, d, later, replay.ID).Status)

		starting := newStarting(t, d, w.Events, pipeline.Start{}, as(w))
		advance(t, d, starting, 3)
		require.Equal(t, want, queued(starting), "start: %s", about)
	}
	require.Greater(t, told, 150)
	require.Zero(t, count(t, d, `SELECT count(*) FROM webhooks WHERE catching_up`))
}

// patterns are those of a subscription; all, where it does not say.
func patterns(w pipeline.Webhook) []string {
	if w.Events == nil {
		return []string{"*"}
	}
	return w.Events
}

// A webhook that wants something else from now on gets that, and what waits stays as it is.
func TestFormatChangesItsSubscription(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*"}, solve360("items.update", "contact"))
	c := newCustomer(t, d.Store, 1)
	require.Empty(t, statuses(t, d, w))
	w.EventName = "activities.create"
	w, _, err := d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
	require.NoError(t, err)
	c, appended := happen(t, d.Store, c, pipeline.TypeEmailSent, `{}`)
	require.Zero(t, appended.Deliveries, "an activity, but no contact")
	w.Constraint = "linkedemails"
	_, _, err = d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
	require.NoError(t, err)
	_, appended = happen(t, d.Store, c, pipeline.TypeEmailSent, `{}`)
	require.Equal(t, 1, appended.Deliveries)
}

// Other systems have no names for what happens to webhooks.
func TestFormatsAreNotToldOfNotices(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	subject := newWebhook(t, d.Store, 1, []string{"*"})
	ofSubject := func(w *pipeline.Webhook) { w.KeyID = subject.KeyID }
	native := newWebhook(t, d.Store, 1, []string{"webhook.*"}, ofSubject)
	others := map[string]pipeline.Webhook{}
	for _, format := range pipeline.Formats()[1:] {
		others[format] = newWebhook(t, d.Store, 1, []string{"*", "webhook.*", "webhook.disabled"}, ofSubject, inFormat(format))
	}
	_, wake, err := d.Store.DisableWebhook(t.Context(), 1, subject.ID)
	require.NoError(t, err)
	require.Equal(t, []int64{native.ID}, wake)
	for _, w := range others {
		require.Empty(t, statuses(t, d, w))
		startReplay(t, d, w)
		advance(t, d, w, 10)
		require.Empty(t, statuses(t, d, w))
	}
}

// Nothing is kept for a hook of Solve360's that is not active, however it came to be so.
func TestInactiveSolve360Hook(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]func(t *testing.T, d database, w pipeline.Webhook){
		"disabled": func(t *testing.T, d database, w pipeline.Webhook) {
			t.Helper()
			_, _, err := d.Store.DisableWebhook(t.Context(), 1, w.ID)
			require.NoError(t, err)
		},
		"updated": func(t *testing.T, d database, w pipeline.Webhook) {
			t.Helper()
			w.Active = false
			_, _, err := d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
			require.NoError(t, err)
		},
		"gone": func(t *testing.T, d database, w pipeline.Webhook) {
			t.Helper()
			r := failed(due(t, d, w)[0], justNow())
			r.Gone = true
			record(t, d, r)
		},
		"left half done": func(t *testing.T, d database, w pipeline.Webhook) {
			t.Helper()
			adjust(t, d, w, "active = false")
			require.Equal(t, []int64{w.ID}, sweep(t, d, tick))
			require.Empty(t, sweep(t, d, tick))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			w := newWebhook(t, d.Store, 1, []string{"*"}, solve360("activities.update", ""))
			p := backlog(t, d, 4)
			require.Equal(t, []string{"pending", "pending", "pending"}, statuses(t, d, w))
			given := fresh(t, d, p)
			record(t, d, delivered(given[0]))
			handOver(t, d, given[1].DeliveryID)

			off(t, d, w)
			gone := []string{"delivered", "discarded", "discarded"}
			require.Equal(t, gone, statuses(t, d, w), "what was on its way")
			p, appended := happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
			require.Zero(t, appended.Deliveries)
			require.Equal(t, gone, statuses(t, d, w))
			require.Empty(t, fresh(t, d, p))
			require.Empty(t, due(t, d, w))

			_, wake, err := d.Store.EnableWebhook(t.Context(), 1, w.ID, false)
			require.NoError(t, err)
			require.NotContains(t, wake, int64(0))
			require.Equal(t, gone, statuses(t, d, w), "it stays so")
			_, appended = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
			require.Equal(t, 1, appended.Deliveries)
			require.Equal(t, slices.Concat(gone, []string{"pending"}), statuses(t, d, w))
		})
	}
}

// Other systems' hooks keep what happens while they are off, as our own do.
func TestOtherInactiveFormatsHold(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	off := map[string]pipeline.Webhook{}
	for _, format := range []string{pipeline.FormatNative, pipeline.FormatSolo, pipeline.FormatSolarProof, pipeline.FormatSighten} {
		off[format] = newWebhook(t, d.Store, 1, []string{"contract.sent", "customer.created"}, inactive, inFormat(format))
	}
	never := newWebhook(t, d.Store, 1, []string{"*"}, inactive, inFormat(pipeline.FormatSolve360))
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	for _, step := range walk[:4] {
		p, _ = happen(t, d.Store, p, step, `{}`)
	}
	for format, want := range map[string]int{
		pipeline.FormatNative: 2, pipeline.FormatSolo: 2, pipeline.FormatSolarProof: 1, pipeline.FormatSighten: 1,
	} {
		require.Equal(t, slices.Repeat([]string{"held"}, want), statuses(t, d, off[format]), format)
	}
	require.Empty(t, statuses(t, d, never))
}

// A hook is switched while an append is under way: as with others (see
// TestWebhookSwitchedDuringAppend) the append sees the hook as it is then.
func TestSolve360HookSwitchedDuringAppend(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"email.sent"}, inactive, solve360("activities.create", "linkedemails"))
	c := newCustomer(t, d.Store, 1)
	for _, active := range []bool{true, false} { // it is the other before
		tx := open(t, d)
		_, err := tx.Exec(`UPDATE webhooks SET active = $2 WHERE id = $1`, w.ID, active)
		require.NoError(t, err)
		var e pipeline.Event
		e, c = next(t, c, pipeline.TypeEmailSent, `{}`)
		done := meanwhile(t, func(ctx context.Context) (pipeline.Appended, error) { return d.Store.Append(ctx, e, noKey) })
		requireBlocked(t, d, "WITH moved")
		require.NoError(t, tx.Commit())
		require.Equal(t, active, (<-done).Deliveries == 1)
		require.Equal(t, []string{"pending"}, statuses(t, d, w), "only the first")
	}
}

// Beside a proposal's event in another system's format is its customer, as it was then.
func TestCustomerBesideDelivery(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	solo := newWebhook(t, d.Store, 1, []string{"*"}, inFormat(pipeline.FormatSolo))
	native := newWebhook(t, d.Store, 1, []string{"*"})
	first, second := newCustomer(t, d.Store, 1), newCustomer(t, d.Store, 1)
	p, other := newProposal(t, d.Store, first), newProposal(t, d.Store, second)
	rename := func(c pipeline.Customer, name string) pipeline.Customer {
		c, _ = happen(t, d.Store, c, pipeline.TypeCustomerUpdated, `{"name":"`+name+`"}`)
		return c
	}
	first = rename(first, "Two")
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	first = rename(rename(first, "Three"), "Four")
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSelected, `{}`)
	rename(first, "Five")

	check := func(given []pipeline.Dispatch, of pipeline.Stream, want ...string) {
		t.Helper()
		var got []string
		for _, g := range given {
			switch {
			case g.Webhook.Format == pipeline.FormatNative || g.Event.Stream.Kind() == pipeline.KindCustomer:
				require.Nil(t, g.Customer, "nobody asked")
			case g.Event.Stream == of:
				var c pipeline.Customer
				require.NoError(t, json.Unmarshal(g.Customer, &c))
				require.EqualValues(t, g.Event.CustomerID, c.ID)
				got = append(got, fmt.Sprintf("%s version %d: %s", g.Event.Type, c.Version, c.Name))
			}
		}
		require.Equal(t, want, got)
	}
	story := []string{
		"proposal.requested version 1: Jo Doe", "proposal.sent version 2: Two", "proposal.sent version 2: Two",
		"proposal.selected version 4: Four",
	}
	given := fresh(t, d, p)
	require.Len(t, given, 8)
	check(given, p.Ref().Stream(), story...)
	check(fresh(t, d, other), other.Ref().Stream(), "proposal.requested version 1: Jo Doe")
	customers, err := d.Store.FreshDeliveries(t.Context(), first.Ref().Stream(), 100)
	require.NoError(t, err)
	check(customers, "")

	handOverAll(t, d)
	check(due(t, d, solo), p.Ref().Stream(), story...)
	check(due(t, d, solo), other.Ref().Stream(), "proposal.requested version 1: Jo Doe")
	check(due(t, d, native), "")

	// Long after, the past is still as it was.
	later := newWebhook(t, d.Store, 1, []string{"proposal.*"}, inFormat(pipeline.FormatSolo))
	startReplay(t, d, later)
	advance(t, d, later, 100)
	check(due(t, d, later), p.Ref().Stream(), story...)
}

// An event that a provider's facts imply says so, wherever it is read.
func TestImpliedEvents(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	unimplied := newWebhook(t, d.Store, 1, []string{"proposal.*"}, withFilter(`{"data.implied":{"$ne":true}}`))
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	reported := mustEvent(t, d, fresh(t, d, p)[0].Event.ID)
	command := pipeline.Command{Type: pipeline.TypeProposalSent, Data: []byte(`{}`), OccurredAt: noon, Implied: true}
	e, p, err := pipeline.Next(p, command, "implied")
	require.NoError(t, err)
	require.True(t, e.Implied)
	_, err = d.Store.Append(t.Context(), e, noKey)
	require.NoError(t, err)

	require.False(t, reported.Implied)
	require.True(t, mustEvent(t, d, e.ID).Implied)
	after, err := d.Store.EventsAfter(t.Context(), e.Stream, 1, 10)
	require.NoError(t, err)
	require.True(t, after[0].Implied)
	read := feed(t, d, pipeline.FeedQuery{CompanyID: 1, Limit: 10})
	require.True(t, read[len(read)-1].Implied)
	require.True(t, fresh(t, d, p)[1].Event.Implied)
	require.Len(t, statuses(t, d, unimplied), 1, "a filter tells them apart")
	adjust(t, d, unimplied, "from_position = 0")
	require.Equal(t, []string{entry(p, 1) + " pending"}, gapLines(gaps(t, d, unimplied)))
	handOverAll(t, d)
	require.True(t, due(t, d, w)[1].Event.Implied)
	for _, e := range []pipeline.Event{reported, read[len(read)-1]} {
		shown, err := json.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, e.Implied, strings.Contains(string(shown), `"implied":true`), "%s", shown)
	}
	require.Zero(t, rebuild(t, d, true).Differing)
}
