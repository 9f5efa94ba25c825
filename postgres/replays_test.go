package postgres_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// startReplay begins a replay of a webhook.
func startReplay(t *testing.T, d database, w pipeline.Webhook, change ...func(*pipeline.NewReplay)) pipeline.Replay {
	t.Helper()
	wanted := pipeline.NewReplay{CompanyID: w.CompanyID, WebhookID: w.ID, Kind: pipeline.ReplayEvents}
	for _, c := range change {
		c(&wanted)
	}
	r, _, err := d.Store.StartReplay(t.Context(), wanted, noKey)
	require.NoError(t, err)
	return r
}

func recovery(r *pipeline.NewReplay) { r.Kind = pipeline.ReplayRecover }

func ofTypes(types ...string) func(*pipeline.NewReplay) {
	return func(r *pipeline.NewReplay) { r.Types = types }
}

// advance takes steps of a replay until there is nothing to look at again.
func advance(t *testing.T, d database, w pipeline.Webhook, limit int) {
	t.Helper()
	for again := true; again; {
		var err error
		again, err = d.Store.AdvanceReplay(t.Context(), w.ID, limit)
		require.NoError(t, err)
	}
}

func readReplay(t *testing.T, d database, w pipeline.Webhook, id int64) pipeline.Replay {
	t.Helper()
	r, err := d.Store.Replay(t.Context(), w.CompanyID, w.ID, id)
	require.NoError(t, err)
	return r
}

// sendDue sends all that is due to a webhook, successfully, and lists it.
func sendDue(t *testing.T, d database, w pipeline.Webhook) []string {
	t.Helper()
	var sent []string
	for {
		batch, err := d.Store.DueDeliveries(t.Context(), w.ID, 100)
		require.NoError(t, err)
		if len(batch) == 0 {
			return sent
		}
		results := make([]pipeline.Result, len(batch))
		for i, b := range batch {
			results[i] = delivered(b)
		}
		_, err = d.Store.RecordAttempts(t.Context(), results, nil)
		require.NoError(t, err)
		sent = append(sent, entries(batch)...)
	}
}

func at(i pipeline.Instant) time.Time { return time.Time(i) }

func TestReplay(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	p := backlog(t, d, 3)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"}) // after the fact
	require.Empty(t, statuses(t, d, w))

	r := startReplay(t, d, w)
	require.Equal(t, pipeline.ReplayRunning, r.Status)
	require.EqualValues(t, 3, r.Total, "the customer is not subscribed to")
	require.Zero(t, r.Done)
	require.Empty(t, r.Types)
	again, err := d.Store.AdvanceReplay(t.Context(), w.ID, 2)
	require.NoError(t, err)
	require.True(t, again)
	require.Equal(t, []string{entry(p, 1), entry(p, 2)}, sendDue(t, d, w), "the original events, in order")
	r = readReplay(t, d, w, r.ID)
	require.EqualValues(t, 2, r.Done)
	require.EqualValues(t, 2, r.Queued)
	require.Positive(t, r.Rate)
	require.False(t, at(r.ETA).IsZero())
	require.Equal(t, pipeline.ReplayRunning, r.Status)

	advance(t, d, w, 2)
	require.Equal(t, []string{entry(p, 3)}, sendDue(t, d, w))
	r = readReplay(t, d, w, r.ID)
	require.Equal(t, pipeline.ReplayDone, r.Status)
	require.EqualValues(t, 3, r.Done)
	require.EqualValues(t, 3, r.Total)
	require.Equal(t, r.Until, r.Position)
	require.False(t, at(r.FinishedAt).IsZero())
	require.Zero(t, at(r.ETA))

	// Once more: the same deliveries, with their attempts, and a schedule that begins anew.
	startReplay(t, d, w)
	advance(t, d, w, 100)
	due, err := d.Store.DueDeliveries(t.Context(), w.ID, 100)
	require.NoError(t, err)
	require.Len(t, due, 3)
	require.Zero(t, due[0].Attempts)
	require.Equal(t, 3, count(t, d, `SELECT count(*) FROM deliveries WHERE delivered_at IS NOT NULL AND attempts = 1`))
	sendDue(t, d, w)
	require.Len(t, list(t, d, pipeline.DeliveryQuery{WebhookID: w.ID})[0].Attempts, 2)
}

// A replay goes through the types, positions and times that were asked for, of what the webhook
// subscribes to and its filter lets through, and never through what is about the webhook itself.
//
//nolint:tparallel,paralleltest // each looks at the same webhooks' deliveries
func TestReplaySelects(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	p := newProposal(t, d.Store, c)
	steps := slices.Concat(walk, walk[2:3])
	positions := make([]int64, 0, len(steps))
	for i, step := range steps {
		if i == len(steps)-1 {
			step = pipeline.TypeContractVoided
		}
		var appended pipeline.Appended
		p, appended = happen(t, d.Store, p, step, `{}`)
		positions = append(positions, appended.Position)
	}
	var middle time.Time
	require.NoError(t, d.DB.Get(&middle, `SELECT recorded_at FROM events WHERE position = $1`, positions[2]))
	everything := newWebhook(t, d.Store, 1, []string{"*"})
	for _, test := range []struct {
		name   string
		w      pipeline.Webhook
		change func(*pipeline.NewReplay)
		want   []int64 // versions of the proposal
		done   int64
	}{
		{"everything", everything, func(*pipeline.NewReplay) {}, []int64{1, 2, 3, 4, 5, 6, 7}, 8},
		{"a type", everything, ofTypes("contract.sent"), []int64{5}, 1},
		{"a family", everything, ofTypes("contract.*"), []int64{4, 5, 6, 7}, 4},
		{"families", everything, ofTypes("contract.*", "proposal.*", "no.such"), []int64{1, 2, 3, 4, 5, 6, 7}, 7},
		{"after", everything, func(r *pipeline.NewReplay) { r.After = positions[3] }, []int64{6, 7}, 2},
		{"until", everything, func(r *pipeline.NewReplay) { r.After, r.Until = positions[0], positions[2] }, []int64{3, 4}, 2},
		{"far until", everything, func(r *pipeline.NewReplay) { r.After, r.Until = positions[4], 1<<60 }, []int64{7}, 1},
		{"since", everything, func(r *pipeline.NewReplay) { r.Since = middle }, []int64{4, 5, 6, 7}, 4},
		{"until a time", everything, func(r *pipeline.NewReplay) { r.UntilTime = middle }, []int64{1, 2, 3}, 4},
		{"nothing", everything, func(r *pipeline.NewReplay) { r.After = 1 << 60 }, nil, 0},
		{"backwards", everything, func(r *pipeline.NewReplay) { r.After, r.Until = positions[3], positions[1] }, nil, 0},
		{
			"what is subscribed to", newWebhook(t, d.Store, 1, []string{"proposal.*", "contract.voided"}),
			ofTypes("contract.*", "proposal.sent"),
			[]int64{2, 7},
			2,
		},
		{"not subscribed to", newWebhook(t, d.Store, 1, []string{"customer.*"}), ofTypes("contract.*"), nil, 0},
		{
			"what the filter lets through", newWebhook(t, d.Store, 1, []string{"*"}, withFilter(`{"data.seq":{"$gt":5}}`)),
			func(*pipeline.NewReplay) {},
			[]int64{6, 7},
			8,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := d.DB.Exec(`DELETE FROM deliveries`)
			require.NoError(t, err)
			r := startReplay(t, d, test.w, test.change)
			require.Equal(t, test.done, r.Total)
			advance(t, d, test.w, 2)
			r = readReplay(t, d, test.w, r.ID)
			require.Equal(t, pipeline.ReplayDone, r.Status)
			require.Equal(t, test.done, r.Done)
			var versions []int64
			require.NoError(t, d.DB.Select(&versions, `SELECT version FROM deliveries WHERE webhook_id = $1 AND stream = $2
				ORDER BY event_position`, test.w.ID, string(p.Ref().Stream())))
			require.Equal(t, test.want, versions)
		})
	}
}

// Operational events can be replayed like any other, within what the webhook was told.
func TestReplayOfOperationalEvents(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	mine := newWebhook(t, d.Store, 1, []string{"webhook.*"})
	sibling := newWebhook(t, d.Store, 1, []string{"email.sent"}, func(w *pipeline.Webhook) { w.KeyID = mine.KeyID })
	stranger := newWebhook(t, d.Store, 1, []string{"email.sent"})
	admins := newWebhook(t, d.Store, 1, []string{"webhook.*"}, func(w *pipeline.Webhook) {
		w.KeyID = newKey(t, d.Store, 1, pipeline.RoleAdmin).ID
	})
	for _, w := range []pipeline.Webhook{mine, sibling, stranger, admins} {
		_, _, err := d.Store.DisableWebhook(t.Context(), 1, w.ID)
		require.NoError(t, err)
		_, _, err = d.Store.EnableWebhook(t.Context(), 1, w.ID, false)
		require.NoError(t, err)
	}
	told := func(w pipeline.Webhook) []string {
		t.Helper()
		var streams []string
		require.NoError(t, d.DB.Select(&streams, `SELECT stream FROM deliveries WHERE webhook_id = $1 ORDER BY event_position`, w.ID))
		return streams
	}
	stream := func(w pipeline.Webhook) string { return string(pipeline.StreamOf(pipeline.KindWebhook, w.ID)) }
	require.Equal(t, []string{stream(sibling)}, told(mine))
	require.Equal(t, []string{stream(mine), stream(sibling), stream(stranger)}, told(admins))

	_, err := d.DB.Exec(`DELETE FROM deliveries`)
	require.NoError(t, err)
	for _, w := range []pipeline.Webhook{mine, admins} {
		startReplay(t, d, w)
		advance(t, d, w, 1)
	}
	require.Equal(t, []string{stream(sibling)}, told(mine))
	require.Equal(t, []string{stream(mine), stream(sibling), stream(stranger)}, told(admins))
	startReplay(t, d, sibling)
	advance(t, d, sibling, 1)
	require.Empty(t, told(sibling))
}

// What is on its way is left alone; everything else is sent again.
func TestReplayLeavesAloneWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"}, ordered)
	p := backlog(t, d, 7)
	mine := fresh(t, d, p)
	for i, set := range []string{
		"next_attempt_at = NULL", "next_attempt_at = 'infinity'", "next_attempt_at = now() + interval '5 hours', attempts = 3",
		"status = 'exhausted', attempts = 8, attempts_before = 1", "status = 'delivered', attempts = 1, delivered_at = '2020-01-01'",
		"status = 'superseded'", "status = 'discarded'",
	} {
		_, err := d.DB.Exec(`UPDATE deliveries SET `+set+` WHERE id = $1`, mine[i].DeliveryID)
		require.NoError(t, err)
	}
	r := startReplay(t, d, w)
	advance(t, d, w, 3)
	r = readReplay(t, d, w, r.ID)
	require.EqualValues(t, 7, r.Done)
	require.EqualValues(t, 5, r.Queued)
	var got []string
	require.NoError(t, d.DB.Select(&got, `SELECT concat_ws(' ', status, attempts - attempts_before,
		CASE WHEN next_attempt_at <= now() THEN 'due' ELSE coalesce(next_attempt_at::text, '-') END, delivered_at::date)
		FROM deliveries WHERE webhook_id = $1 ORDER BY event_position`, w.ID))
	require.Equal(t, []string{
		"pending 0 -", "pending 0 infinity", "pending 0 due", "pending 0 due", "pending 0 due 2020-01-01", "pending 0 due", "pending 0 due",
	}, got)
}

func TestRecover(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w, other := newWebhook(t, d.Store, 1, []string{"proposal.*"}), newWebhook(t, d.Store, 1, []string{"proposal.*"})
	p := backlog(t, d, 8)
	for i, status := range []string{"exhausted", "delivered", "held", "discarded", "superseded", "exhausted", "pending", "exhausted"} {
		_, err := d.DB.Exec(`UPDATE deliveries SET status = $1, attempts = 2 WHERE stream = $2 AND version = $3`,
			status, string(p.Ref().Stream()), i+1)
		require.NoError(t, err)
	}
	var since time.Time
	require.NoError(t, d.DB.Get(&since, `SELECT recorded_at FROM events WHERE stream = $1 AND version = 2`, string(p.Ref().Stream())))

	r := startReplay(t, d, w, recovery, func(r *pipeline.NewReplay) { r.Since = since })
	require.EqualValues(t, 4, r.Total)
	again, err := d.Store.AdvanceReplay(t.Context(), w.ID, 3)
	require.NoError(t, err)
	require.True(t, again)
	require.Equal(t, []string{entry(p, 3), entry(p, 4), entry(p, 6)}, entries(due(t, d, w)))
	require.Zero(t, due(t, d, w)[0].Attempts, "the schedule begins anew")
	// What fails again meanwhile is not recovered twice.
	_, err = d.DB.Exec(`UPDATE deliveries SET status = 'exhausted', next_attempt_at = NULL WHERE webhook_id = $1 AND version = 3`, w.ID)
	require.NoError(t, err)
	advance(t, d, w, 3)
	r = readReplay(t, d, w, r.ID)
	require.Equal(t, pipeline.ReplayDone, r.Status)
	require.EqualValues(t, 4, r.Done)
	require.EqualValues(t, 4, r.Queued)
	require.Equal(t, "exhausted,delivered,exhausted,pending,superseded,pending,pending,pending", strings.Join(statuses(t, d, w), ","))
	require.Equal(t, "exhausted,delivered,held,discarded,superseded,exhausted,pending,exhausted", strings.Join(statuses(t, d, other), ","))

	startReplay(t, d, w, recovery)
	advance(t, d, w, 100)
	require.Equal(t, []string{"pending", "delivered", "pending", "pending", "superseded", "pending", "pending", "pending"}, statuses(t, d, w))
}

func TestReplayIsOneAtATime(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	backlog(t, d, 3)
	w, off := newWebhook(t, d.Store, 1, []string{"*"}), newWebhook(t, d.Store, 1, []string{"*"}, inactive)
	wanted := pipeline.NewReplay{CompanyID: 1, WebhookID: w.ID, Kind: pipeline.ReplayEvents}
	idem := pipeline.Idempotency{Key: "K", Fingerprint: "f"}
	r, replayed, err := d.Store.StartReplay(t.Context(), wanted, idem)
	require.NoError(t, err)
	require.False(t, replayed)
	again, replayed, err := d.Store.StartReplay(t.Context(), wanted, idem)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, r, again)
	refused := func(r pipeline.NewReplay, code pipeline.Code) {
		t.Helper()
		_, _, err := d.Store.StartReplay(t.Context(), r, noKey)
		requireCode(t, code, err)
	}
	refused(wanted, pipeline.CodeConflict)
	refused(pipeline.NewReplay{CompanyID: 1, WebhookID: off.ID, Kind: pipeline.ReplayEvents}, pipeline.CodeConflict)
	refused(pipeline.NewReplay{CompanyID: 1, WebhookID: 999, Kind: pipeline.ReplayEvents}, pipeline.CodeNotFound)
	refused(pipeline.NewReplay{CompanyID: newCompany(t, d.Store), WebhookID: w.ID, Kind: pipeline.ReplayEvents}, pipeline.CodeNotFound)

	set := func(status pipeline.ReplayStatus) pipeline.Replay {
		t.Helper()
		changed, err := d.Store.SetReplayStatus(t.Context(), 1, w.ID, r.ID, status)
		require.NoError(t, err)
		require.Equal(t, status, changed.Status)
		return changed
	}
	set(pipeline.ReplayPaused)
	set(pipeline.ReplayPaused)
	refused(wanted, pipeline.CodeConflict)
	more, err := d.Store.AdvanceReplay(t.Context(), w.ID, 1)
	require.NoError(t, err)
	require.False(t, more)
	require.Empty(t, due(t, d, w))
	require.Zero(t, readReplay(t, d, w, r.ID).Rate)
	set(pipeline.ReplayRunning)
	more, err = d.Store.AdvanceReplay(t.Context(), w.ID, 1)
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, due(t, d, w), 1)
	require.False(t, at(set(pipeline.ReplayCancelled).FinishedAt).IsZero())
	for _, status := range []pipeline.ReplayStatus{pipeline.ReplayRunning, pipeline.ReplayPaused, pipeline.ReplayCancelled} {
		_, err := d.Store.SetReplayStatus(t.Context(), 1, w.ID, r.ID, status)
		requireCode(t, pipeline.CodeConflict, err)
	}
	advance(t, d, w, 100)
	require.Len(t, due(t, d, w), 1, "what was queued is sent, and no more")

	second := startReplay(t, d, w)
	both, err := d.Store.Replays(t.Context(), 1, w.ID, pipeline.Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []int64{second.ID, r.ID}, []int64{both[0].ID, both[1].ID})
	one, err := d.Store.Replays(t.Context(), 1, w.ID, pipeline.Page{Limit: 10, Cursor: second.ID})
	require.NoError(t, err)
	require.Len(t, one, 1)
	for _, foreign := range []func() error{
		func() error { _, err := d.Store.Replay(t.Context(), 2, w.ID, r.ID); return err },
		func() error { _, err := d.Store.Replay(t.Context(), 1, off.ID, r.ID); return err },
		func() error {
			_, err := d.Store.SetReplayStatus(t.Context(), 2, w.ID, r.ID, pipeline.ReplayPaused)
			return err
		},
		func() error {
			_, err := d.Store.SetReplayStatus(t.Context(), 1, off.ID, r.ID, pipeline.ReplayCancelled)
			return err
		},
	} {
		requireCode(t, pipeline.CodeNotFound, foreign())
	}

	// Switched off, it waits; deleted, it is over.
	_, _, err = d.Store.DisableWebhook(t.Context(), 1, w.ID)
	require.NoError(t, err)
	advance(t, d, w, 100)
	require.Zero(t, readReplay(t, d, w, second.ID).Done)
	_, wake, err := d.Store.EnableWebhook(t.Context(), 1, w.ID, false)
	require.NoError(t, err)
	require.Equal(t, []int64{w.ID}, wake)
	require.NoError(t, d.Store.DeleteWebhook(t.Context(), 1, w.ID))
	require.Equal(t, pipeline.ReplayCancelled, readReplay(t, d, w, second.ID).Status)
}

// While an endpoint rests, nothing is queued for it: it would all lie there, due.
func TestReplayWaitsForTheEndpoint(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	backlog(t, d, 3)
	w := newWebhook(t, d.Store, 1, []string{"*"})
	startReplay(t, d, w)
	_, err := d.DB.Exec(`UPDATE webhook_health SET failures = 10, rest_until = now() + interval '1 hour'`)
	require.NoError(t, err)
	more, err := d.Store.AdvanceReplay(t.Context(), w.ID, 100)
	require.NoError(t, err)
	require.False(t, more)
	require.Empty(t, statuses(t, d, w))
}

func past(start *pipeline.Start) { start.Past = true }

func newStarting(t *testing.T, d database, events []string, start pipeline.Start, changes ...func(*pipeline.Webhook)) pipeline.Webhook {
	t.Helper()
	past(&start)
	w := pipeline.Webhook{
		CompanyID: 1, KeyID: newKey(t, d.Store, 1, pipeline.RolePartner).ID, URL: "https://partner.example/hook", Events: events,
		Format: pipeline.FormatNative, Signing: pipeline.Signing{Secret: "whsec_c2VjcmV0"}, Active: true,
	}
	for _, change := range changes {
		change(&w)
	}
	made, _, err := d.Store.CreateWebhook(t.Context(), w, start, noKey)
	require.NoError(t, err)
	require.True(t, made.CatchingUp)
	return made
}

//nolint:tparallel,paralleltest // each takes what is there, and no more is to happen meanwhile
func TestStart(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	p := backlog(t, d, 5)
	var position int64
	var middle time.Time
	require.NoError(t, d.DB.QueryRow(`SELECT position, recorded_at FROM events WHERE stream = $1 AND version = 3`,
		string(p.Ref().Stream())).Scan(&position, &middle))
	for _, test := range []struct {
		name  string
		start pipeline.Start
		want  []string
	}{
		{"from the beginning", pipeline.Start{}, []string{entry(p, 1), entry(p, 2), entry(p, 3), entry(p, 4), entry(p, 5)}},
		{"after a position", pipeline.Start{After: position}, []string{entry(p, 4), entry(p, 5)}},
		{"from a time on", pipeline.Start{Since: middle}, []string{entry(p, 3), entry(p, 4), entry(p, 5)}},
		{"from the future on", pipeline.Start{Since: middle.Add(24 * time.Hour)}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newStarting(t, d, []string{"proposal.*"}, test.start)
			replays, err := d.Store.Replays(t.Context(), 1, w.ID, pipeline.Page{Limit: 10})
			require.NoError(t, err)
			require.Len(t, replays, 1)
			require.Equal(t, pipeline.ReplayStart, replays[0].Kind)
			require.EqualValues(t, len(test.want), replays[0].Total)
			advance(t, d, w, 2)
			require.Equal(t, test.want, sendDue(t, d, w))
			live, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
			require.NoError(t, err)
			require.False(t, live.CatchingUp)
			require.Equal(t, pipeline.ReplayDone, readReplay(t, d, w, replays[0].ID).Status)
		})
	}
}

// What happens while a webhook gets the past comes in its turn, and once; a webhook that is off
// waits with the past too.
func TestStartWhileThingsHappen(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	p := backlog(t, d, 3)
	w := newStarting(t, d, []string{"proposal.*"}, pipeline.Start{}, inactive)
	advance(t, d, w, 100)
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	require.Empty(t, statuses(t, d, w))
	_, wake, err := d.Store.EnableWebhook(t.Context(), 1, w.ID, false)
	require.NoError(t, err)
	require.Equal(t, []int64{w.ID}, wake, "its replay can go on")

	again, err := d.Store.AdvanceReplay(t.Context(), w.ID, 2)
	require.NoError(t, err)
	require.True(t, again)
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	require.Len(t, statuses(t, d, w), 2)
	advance(t, d, w, 2)
	happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	mine, err := d.Store.FreshDeliveries(t.Context(), p.Ref().Stream(), 100)
	require.NoError(t, err)
	require.Contains(t, entries(mine), entry(p, 6), "now live")
	require.Equal(t, []string{entry(p, 1), entry(p, 2), entry(p, 3), entry(p, 4), entry(p, 5)}, sendDue(t, d, w))
}

func TestStartIsCancelled(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	p := backlog(t, d, 3)
	w := newStarting(t, d, []string{"proposal.*"}, pipeline.Start{})
	replays, err := d.Store.Replays(t.Context(), 1, w.ID, pipeline.Page{Limit: 10})
	require.NoError(t, err)
	_, err = d.Store.SetReplayStatus(t.Context(), 1, w.ID, replays[0].ID, pipeline.ReplayCancelled)
	require.NoError(t, err)
	happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	require.Equal(t, []string{"pending"}, statuses(t, d, w), "live from now on")
}

// The moment when a webhook goes over to the live stream, against an append under way: whoever is
// second sees the first, so that the event has one delivery, the replay's or the append's.
//
//nolint:tparallel,paralleltest // each goes on with the customer of the one before
func TestStartMeetsAnAppend(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	event := func() pipeline.Event {
		var e pipeline.Event
		e, c = next(t, c, pipeline.TypeEmailSent, `{}`)
		return e
	}
	step := func(w pipeline.Webhook) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) { return d.Store.AdvanceReplay(ctx, w.ID, 100) }
	}
	t.Run("the append is first", func(t *testing.T) {
		w := newStarting(t, d, []string{"email.sent"}, pipeline.Start{})
		tx := open(t, d)
		_, err := d.Store.AppendIn(t.Context(), tx, event(), noKey)
		require.NoError(t, err)
		stepped := meanwhile(t, step(w))
		requireBlocked(t, d, "SELECT pg_advisory_xact_lock")
		require.NoError(t, tx.Commit())
		require.True(t, <-stepped, "there is something left after all")
		require.Empty(t, statuses(t, d, w))
		advance(t, d, w, 100)
		require.Equal(t, []string{"pending"}, statuses(t, d, w))
	})
	t.Run("the webhook is first", func(t *testing.T) {
		w := newStarting(t, d, []string{"customer.created"}, pipeline.Start{})
		tx := open(t, d)
		_, err := tx.Exec(`SELECT pg_advisory_xact_lock(1)`)
		require.NoError(t, err)
		_, err = tx.Exec(`UPDATE webhooks SET catching_up = false WHERE id = $1`, w.ID)
		require.NoError(t, err)
		e, _ := customerCreated(t, 1, 4711)
		appended := meanwhile(t, func(ctx context.Context) (pipeline.Appended, error) { return d.Store.Append(ctx, e, noKey) })
		requireBlocked(t, d, "WITH moved")
		require.NoError(t, tx.Commit())
		require.Positive(t, (<-appended).Deliveries)
		require.Equal(t, []string{"pending"}, statuses(t, d, w))
	})
	// Its statement began before the webhook was there, and reads webhooks as they were then.
	t.Run("the append does not see the webhook", func(t *testing.T) {
		tx := open(t, d)
		_, err := tx.Exec(`SELECT FROM customers WHERE id = $1 FOR UPDATE`, c.ID)
		require.NoError(t, err)
		e := event()
		appended := meanwhile(t, func(ctx context.Context) (pipeline.Appended, error) { return d.Store.Append(ctx, e, noKey) })
		requireBlocked(t, d, "WITH moved")
		newest := count(t, d, `SELECT max(position) FROM events`)
		w := newStarting(t, d, []string{"email.sent"}, pipeline.Start{After: int64(newest)})
		again, err := d.Store.AdvanceReplay(t.Context(), w.ID, 100)
		require.NoError(t, err)
		require.True(t, again, "it has to be waited for")
		require.NoError(t, tx.Commit())
		<-appended
		advance(t, d, w, 100)
		require.Equal(t, []string{"pending"}, statuses(t, d, w))
		live, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
		require.NoError(t, err)
		require.False(t, live.CatchingUp)
	})
}

// Events happen in many streams while a webhook is made and catches up: it gets each of them
// once, each stream's in order.
func TestStartUnderLoad(t *testing.T) {
	t.Parallel()
	const (
		writers = 8
		before  = 500
		during  = 500
	)
	d := newDatabase(t)
	customers := make([]pipeline.Customer, writers)
	write := func(each int, written func()) *sync.WaitGroup {
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				for range each {
					var e pipeline.Event
					e, customers[i] = next(t, customers[i], pipeline.TypeEmailSent, `{}`)
					if _, err := d.Store.Append(t.Context(), e, noKey); err != nil {
						t.Error(err)
						return
					}
					written()
				}
			})
		}
		return &all
	}
	for i := range customers {
		customers[i] = newCustomer(t, d.Store, 1)
	}
	write((before+writers-1)/writers, func() {}).Wait()

	for round := range 5 {
		begun := make(chan struct{})
		var once sync.Once
		load := write((during/5+writers-1)/writers, func() { once.Do(func() { close(begun) }) })
		<-begun
		w := newStarting(t, d, []string{"email.sent"}, pipeline.Start{})
		for catchingUp := true; catchingUp; {
			_, err := d.Store.AdvanceReplay(t.Context(), w.ID, 50+rand.IntN(100))
			require.NoError(t, err)
			now, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
			require.NoError(t, err)
			catchingUp = now.CatchingUp
		}
		load.Wait()
		require.Zero(t, count(t, d, `SELECT count(*) FROM events e LEFT JOIN deliveries d ON d.webhook_id = $1 AND d.event_position = e.position
			WHERE e.type = 'email.sent' AND d.id IS NULL`, w.ID), "round %d: each event has its delivery", round)
		require.Equal(t, count(t, d, `SELECT count(*) FROM events WHERE type = 'email.sent'`),
			count(t, d, `SELECT count(*) FROM deliveries WHERE webhook_id = $1`, w.ID))
		sent := sendDue(t, d, w)
		for i := range customers {
			mine, err := d.Store.FreshDeliveries(t.Context(), customers[i].Ref().Stream(), 1000)
			require.NoError(t, err)
			for _, m := range mine {
				if m.Webhook.ID == w.ID {
					sent = append(sent, entries([]pipeline.Dispatch{m})[0])
				}
			}
			requireStreamInOrder(t, sent, customers[i])
		}
	}
}

// requireStreamInOrder demands that all of a customer's events but the first, its creation, were
// sent once and in order.
func requireStreamInOrder(t *testing.T, sent []string, c pipeline.Customer) {
	t.Helper()
	version := int64(1)
	prefix := string(c.Ref().Stream()) + " version "
	for _, s := range sent {
		if len(s) > len(prefix) && s[:len(prefix)] == prefix {
			version++
			require.Equal(t, prefix+strconv.FormatInt(version, 10), s)
		}
	}
	require.Equal(t, c.Version, version)
}
