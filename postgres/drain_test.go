package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

func TestBeginDrain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*"})
	adjust(t, d, w, "rate_limit = 0.5, max_concurrency = 7")
	drain, err := d.Store.BeginDrain(t.Context(), w.ID)
	require.NoError(t, err)
	require.Equal(t, pipeline.Drain{RateLimit: 0.5, MaxConcurrency: 7}, drain)

	paced := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	next, err := d.Store.EndDrain(t.Context(), w.ID, paced)
	require.NoError(t, err)
	require.Zero(t, next, "nothing waits")
	drain, err = d.Store.BeginDrain(t.Context(), w.ID)
	require.NoError(t, err)
	require.Equal(t, paced, drain.PacedUntil)

	_, err = d.Store.BeginDrain(t.Context(), 1_000_000)
	requireCode(t, pipeline.CodeNotFound, err)
}

func TestEndDrainSaysWhenToLookAgain(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Millisecond).UTC()
	soon, later, latest := now.Add(time.Minute), now.Add(time.Hour), now.Add(2*time.Hour)
	for _, test := range []struct {
		name  string
		due   time.Time // of the delivery; zero: an entity's own
		rest  time.Time
		paced time.Time
		off   bool
		want  time.Time
	}{
		{name: "nothing has a time"},
		{name: "nothing has a time, though it rests", rest: later, paced: latest},
		{name: "due long since", due: noon, want: noon},
		{name: "due later", due: later, want: later},
		{name: "resting", due: soon, rest: later, want: later},
		{name: "rested", due: later, rest: soon, want: later},
		{name: "paced", due: soon, rest: later, paced: latest, want: latest},
		{name: "off", due: soon, off: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
			backlog(t, d, 1)
			_, err := d.DB.Exec(`UPDATE deliveries SET next_attempt_at = $2 WHERE webhook_id = $1`, w.ID, timeOrNull(test.due))
			require.NoError(t, err)
			_, err = d.DB.Exec(`UPDATE webhook_health SET rest_until = $2 WHERE webhook_id = $1`, w.ID, timeOrNull(test.rest))
			require.NoError(t, err)
			if test.off {
				adjust(t, d, w, "active = false")
			}
			next, err := d.Store.EndDrain(t.Context(), w.ID, test.paced)
			require.NoError(t, err)
			require.Equal(t, test.want, next)
			var kept *time.Time
			require.NoError(t, d.DB.Get(&kept, `SELECT wakes_at FROM webhook_health WHERE webhook_id = $1`, w.ID))
			require.Equal(t, test.want.IsZero(), kept == nil)
		})
	}
}

func TestEndDrainDuringAReplay(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	runReplay(t, d, w, "now()")
	require.WithinDuration(t, time.Now(), nextDue(t, d, w), patience)
	_, err := d.DB.Exec(`UPDATE replays SET status = 'paused'`)
	require.NoError(t, err)
	require.Zero(t, nextDue(t, d, w))
}

// Who hands deliveries over wakes the workflow only where it would look too late by itself.
func TestHandOverWakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		health string
		want   bool
	}{
		{"the workflow does not run", "wakes_at = NULL", true},
		{"it is at work", "wakes_at = '-infinity'", false},
		{"it is about to look", "wakes_at = now() - interval '1 second'", false},
		{"it sleeps", "wakes_at = now() + interval '1 hour'", true},
		{"it sleeps while the endpoint rests", "wakes_at = now() + interval '1 hour', rest_until = now() + interval '1 hour'", false},
		{"it sleeps while the rate limit allows nothing", "wakes_at = now() + interval '9 s', paced_until = now() + interval '9 s'", false},
		{"it sleeps longer than that", "wakes_at = now() + interval '1 hour', rest_until = now() + interval '1 minute'", true},
		{"it does not run and the endpoint rests", "wakes_at = NULL, rest_until = now() + interval '1 hour'", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			w, other := newWebhook(t, d.Store, 1, []string{"proposal.*"}), newWebhook(t, d.Store, 1, []string{"proposal.*"})
			mine := fresh(t, d, backlog(t, d, 2))
			adjustHealth(t, d, w, test.health)
			adjustHealth(t, d, other, test.health)
			want := []int64(nil)
			if test.want {
				want = []int64{w.ID}
			}
			require.Equal(t, want, handOver(t, d, mine[0].DeliveryID, mine[1].DeliveryID))
			require.Empty(t, handOver(t, d, mine[0].DeliveryID), "it is handed over already")
		})
	}
}

func TestRecordAttemptsWakes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	mine := fresh(t, d, backlog(t, d, 4))
	soon, later := time.Now().Add(time.Minute), time.Now().Add(time.Hour)

	require.Equal(t, []int64{w.ID}, record(t, d, failed(mine[0], later)), "nobody would look")
	nextDue(t, d, w)
	require.Empty(t, record(t, d, failed(mine[1], later.Add(time.Minute))), "the workflow looks before that")
	require.Equal(t, []int64{w.ID}, record(t, d, failed(mine[2], soon)), "it would look too late")
	require.Empty(t, record(t, d, delivered(mine[3])))
	_, err := d.Store.BeginDrain(t.Context(), w.ID)
	require.NoError(t, err)
	require.Empty(t, record(t, d, failed(mine[2], noon)), "it is at work")

	// At an ordered webhook a success lets the next of its stream go ahead.
	inOrder := newWebhook(t, d.Store, 1, []string{"proposal.*"}, ordered)
	mine = fresh(t, d, backlog(t, d, 2))[2:]
	require.Equal(t, []int64{inOrder.ID}, handOver(t, d, mine[1].DeliveryID))
	require.Empty(t, due(t, d, inOrder), "the first is being sent by its entity")
	require.Zero(t, nextDue(t, d, inOrder))
	require.Equal(t, []int64{inOrder.ID}, record(t, d, delivered(mine[0])))
}

// Deliveries are handed over at the moment at which the workflow goes to sleep. Whoever is
// second sees the first: it never happens that nobody wakes it and that it sleeps all the same.
func TestHandOverMeetsEndDrain(t *testing.T) {
	t.Parallel()
	type scene struct {
		d    database
		w    pipeline.Webhook
		mine []pipeline.Dispatch
	}
	begin := func(t *testing.T) scene {
		t.Helper()
		d := newDatabase(t)
		w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
		_, err := d.Store.BeginDrain(t.Context(), w.ID)
		require.NoError(t, err)
		return scene{d: d, w: w, mine: fresh(t, d, backlog(t, d, 2))}
	}
	t.Run("HandOver is first", func(t *testing.T) {
		t.Parallel()
		s := begin(t)
		tx := open(t, s.d)
		wake, err := postgres.HandOverIn(t.Context(), tx, []int64{s.mine[0].DeliveryID})
		require.NoError(t, err)
		require.Empty(t, wake, "the workflow is at work")
		next := meanwhile(t, func(ctx context.Context) (time.Time, error) { return s.d.Store.EndDrain(ctx, s.w.ID, time.Time{}) })
		requireBlocked(t, s.d, "SELECT FROM webhook_health")
		require.NoError(t, tx.Commit())
		require.NotZero(t, <-next, "and so it goes on")
	})
	t.Run("EndDrain is first", func(t *testing.T) {
		t.Parallel()
		s := begin(t)
		tx := open(t, s.d)
		next, err := postgres.EndDrainIn(t.Context(), tx, s.w.ID)
		require.NoError(t, err)
		require.Zero(t, next)
		wake := meanwhile(t, func(ctx context.Context) ([]int64, error) {
			return s.d.Store.HandOver(ctx, []int64{s.mine[0].DeliveryID})
		})
		requireBlocked(t, s.d, "WITH health")
		require.NoError(t, tx.Commit())
		require.Equal(t, []int64{s.w.ID}, <-wake)
	})
	t.Run("EndDrain is before a success that lets the next go ahead", func(t *testing.T) {
		t.Parallel()
		s := begin(t)
		adjust(t, s.d, s.w, "ordered = true")
		handOver(t, s.d, s.mine[1].DeliveryID)
		require.Empty(t, due(t, s.d, s.w), "parked behind the first, which its entity sends")
		tx := open(t, s.d)
		next, err := postgres.EndDrainIn(t.Context(), tx, s.w.ID)
		require.NoError(t, err)
		require.Zero(t, next)
		wake := meanwhile(t, func(ctx context.Context) ([]int64, error) {
			return s.d.Store.RecordAttempts(ctx, []pipeline.Result{delivered(s.mine[0])}, nil)
		})
		requireBlocked(t, s.d, "WITH unwell")
		require.NoError(t, tx.Commit())
		require.Equal(t, []int64{s.w.ID}, <-wake)
	})
	t.Run("RecordAttempts is first", func(t *testing.T) {
		t.Parallel()
		s := begin(t)
		tx := open(t, s.d) // holds RecordAttempts up between its locks
		_, err := tx.Exec(`SELECT FROM deliveries WHERE id = $1 FOR UPDATE`, s.mine[0].DeliveryID)
		require.NoError(t, err)
		at := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
		wake := meanwhile(t, func(ctx context.Context) ([]int64, error) {
			return s.d.Store.RecordAttempts(ctx, []pipeline.Result{failed(s.mine[0], at)}, nil)
		})
		requireBlocked(t, s.d, "WITH tried")
		next := meanwhile(t, func(ctx context.Context) (time.Time, error) { return s.d.Store.EndDrain(ctx, s.w.ID, time.Time{}) })
		requireBlocked(t, s.d, "SELECT FROM webhook_health")
		require.NoError(t, tx.Commit())
		require.Empty(t, <-wake)
		require.Equal(t, at, <-next)
	})
	t.Run("EndDrain is before RecordAttempts", func(t *testing.T) {
		t.Parallel()
		s := begin(t)
		tx := open(t, s.d)
		next, err := postgres.EndDrainIn(t.Context(), tx, s.w.ID)
		require.NoError(t, err)
		require.Zero(t, next)
		wake := meanwhile(t, func(ctx context.Context) ([]int64, error) {
			return s.d.Store.RecordAttempts(ctx, []pipeline.Result{failed(s.mine[0], time.Now())}, nil)
		})
		requireBlocked(t, s.d, "SELECT h.webhook_id")
		require.NoError(t, tx.Commit())
		require.Equal(t, []int64{s.w.ID}, <-wake)
	})
}

// meanwhile runs f beside the test and gives its answer.
func meanwhile[A any](t *testing.T, f func(context.Context) (A, error)) <-chan A {
	t.Helper()
	out := make(chan A, 1)
	ctx := context.WithoutCancel(t.Context())
	go func() {
		a, err := f(ctx)
		if err != nil {
			t.Error(err)
		}
		out <- a
	}()
	return out
}

func open(t *testing.T, d database) *sqlx.Tx {
	t.Helper()
	tx, err := d.DB.Beginx()
	require.NoError(t, err)
	return tx
}

// A newer event of the same stream and type makes what waits pointless.
func TestLatestOnly(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	adjust(t, d, w, "latest_only = true")
	p, bystander := backlog(t, d, 5), backlog(t, d, 2) // requested, then sent again and again
	fallDue(t, d, w, p, 1, -3)
	fallDue(t, d, w, p, 2, +9) // a retry that would come after the newer ones
	fallDue(t, d, w, p, 4, -1)
	fallDue(t, d, w, bystander, 1, -2)

	require.Equal(t, []string{entry(p, 1), entry(bystander, 1)}, entries(due(t, d, w)), "another type, another stream")
	left := []string{"pending", "superseded", "pending", "superseded", "pending", "pending", "pending"}
	require.Equal(t, left, statuses(t, d, w), "those that their entity is sending stay, and the newest of them counts")
	fallDue(t, d, w, p, 5, -1)
	require.Equal(t, []string{entry(p, 1), entry(bystander, 1), entry(p, 5)}, entries(due(t, d, w)))
	require.Equal(t, left, statuses(t, d, w))
	fallDue(t, d, w, bystander, 2, -1)
	require.Len(t, due(t, d, w), 4)
}

func TestLatestOnlyInOrder(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"}, ordered)
	adjust(t, d, w, "latest_only = true")
	p := backlog(t, d, 2) // requested, sent
	handOverAll(t, d)
	heads := due(t, d, w)
	require.Equal(t, []string{entry(p, 1)}, entries(heads))
	record(t, d, delivered(heads[0]))
	heads = due(t, d, w)
	require.Equal(t, []string{entry(p, 2)}, entries(heads))
	record(t, d, failed(heads[0], time.Now().Add(time.Hour)))

	// While the first waits for its retry, two more come: of another type, and of the same.
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSaved, `{}`)
	handOverAll(t, d)
	require.Empty(t, entries(due(t, d, w)), "parked")
	p, _ = happen(t, d.Store, p, pipeline.TypeProposalSent, `{}`)
	handOverAll(t, d)
	require.Equal(t, []string{entry(p, 3)}, entries(due(t, d, w)), "the first was superseded, so the next may go")
}

// 5,000 deliveries of one stream wait, in front of another stream's: all but the newest go at once.
func TestDeepLatestOnlyBacklog(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	adjust(t, d, w, "latest_only = true")
	deep := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	const many = 5000
	repeat(t, d, deep, w, many)
	handOverAll(t, d)
	behind := backlog(t, d, 1)
	handOverAll(t, d)
	require.Equal(t, []string{entry(deep, many), entry(behind, 1)}, entries(due(t, d, w)))
	require.Equal(t, many-1, count(t, d, `SELECT count(*) FROM deliveries WHERE status = 'superseded' AND next_attempt_at IS NULL`))
}

// What was sent anew begins its retry schedule anew, and goes on numbering its attempts.
func TestAttemptsOfTheSchedule(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	mine := fresh(t, d, backlog(t, d, 1))
	record(t, d, failed(mine[0], noon))
	record(t, d, failed(mine[0], noon))
	require.Equal(t, 2, due(t, d, w)[0].Attempts)
	_, err := d.DB.Exec(`UPDATE deliveries SET attempts_before = attempts`)
	require.NoError(t, err)
	require.Zero(t, due(t, d, w)[0].Attempts)
	record(t, d, failed(mine[0], noon))
	require.Equal(t, 1, due(t, d, w)[0].Attempts)
	require.Len(t, one(t, d, mine[0].DeliveryID).Attempts, 3)
}

// adjust changes a webhook behind the store's back.
func adjust(t *testing.T, d database, w pipeline.Webhook, set string) {
	t.Helper()
	_, err := d.DB.Exec(`UPDATE webhooks SET `+set+` WHERE id = $1`, w.ID)
	require.NoError(t, err)
}

func adjustHealth(t *testing.T, d database, w pipeline.Webhook, set string) {
	t.Helper()
	_, err := d.DB.Exec(`UPDATE webhook_health SET `+set+` WHERE webhook_id = $1`, w.ID)
	require.NoError(t, err)
}

// runReplay puts a replay in the tables that was last advanced at a time.
func runReplay(t *testing.T, d database, w pipeline.Webhook, at string) {
	t.Helper()
	_, err := d.DB.Exec(`INSERT INTO replays (webhook_id, kind, status, after, until, types, position, total, updated_at)
		VALUES ($1, 'replay', 'running', 0, 100, '{}', 0, 100, `+at+`)`, w.ID)
	require.NoError(t, err)
}

func timeOrNull(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at
}
