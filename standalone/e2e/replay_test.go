package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// several batches of a replay's.
const several = 1200

// past gives a customer a history of so many events in all, straight into the store: a past that
// nobody was told of.
func past(t *testing.T, store *postgres.Store, customer pipeline.Customer, events int) {
	t.Helper()
	for n := int(customer.Version); n < events; n++ {
		event, next, err := pipeline.Next(customer, pipeline.Command{
			Type: pipeline.TypeEmailSent, OccurredAt: time.Now().UTC().Truncate(time.Millisecond),
		}, fmt.Sprintf("past %d", n))
		require.NoError(t, err)
		_, err = store.Append(t.Context(), event, pipeline.Idempotency{})
		require.NoError(t, err)
		customer = next
	}
}

// barrier lets some requests through; the others wait until it is open.
func barrier(through int, open <-chan struct{}) script {
	waiting := hang(open)
	return func(w http.ResponseWriter, r *http.Request, nth int) {
		if nth > through {
			waiting(w, r, nth)
		}
	}
}

// startReplay asks for one.
func (c caller) startReplay(t *testing.T, h hook, request any) pipeline.Replay {
	t.Helper()
	return want[pipeline.Replay](t, c.post(t, h.path()+"/replay", request), http.StatusAccepted)
}

func (h hook) replay(r pipeline.Replay) string { return fmt.Sprintf("%s/replays/%d", h.path(), r.ID) }

func (c caller) replay(t *testing.T, h hook, r pipeline.Replay) pipeline.Replay {
	t.Helper()
	return want[pipeline.Replay](t, c.get(t, h.replay(r)), http.StatusOK)
}

// replayed waits until a replay is done.
func (c caller) replayed(t *testing.T, h hook, r pipeline.Replay) pipeline.Replay {
	t.Helper()
	var now pipeline.Replay
	eventually(t, "the replay is done", func() bool {
		now = c.replay(t, h, r)
		return now.Status == pipeline.ReplayDone
	})
	return now
}

// seen are the versions of a stream as they came, repeats included.
func (r *receiver) seen(path string, s pipeline.Stream) []int64 {
	var versions []int64
	for _, d := range r.at(path) {
		if d.envelope.Data.Stream == s {
			versions = append(versions, d.envelope.Data.Seq)
		}
	}
	return versions
}

func TestAReplaySendsARangeOfThePastInOrderWithTheOriginalIDs(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	customer := c.customer(t)
	stream := customer.Ref().Stream()
	for range 5 {
		c.moved(t, stream, pipeline.TypeEmailSent, nil)
		c.moved(t, stream, pipeline.TypeSMSSent, nil)
	}
	events := c.events(t, stream)
	h := c.webhook(t, partner.URL+"/", object{"events": []string{"customer.*", "email.*", "sms.*"}})
	narrow := c.webhook(t, partner.URL+"/narrow", object{"events": []string{"email.*"}, "filter": object{"data.seq": object{"$lte": 6}}})

	whole := c.replayed(t, h, c.startReplay(t, h, nil))
	require.EqualValues(t, 11, whole.Total)
	require.EqualValues(t, 11, whole.Done)
	c.allAre(t, h, pipeline.DeliveryDelivered, 11)
	require.Equal(t, upTo(11), partner.seen("/", stream))
	for i, d := range partner.at("/") {
		require.Equal(t, events[i].ID, d.header.Get("Webhook-Id"))
		d.requireSigned(t, h.Secret)
	}

	// A part of it once more: what was delivered comes again, under the delivery that there is.
	part := c.startReplay(t, h, object{"after": events[2].Position, "until": events[8].Position, "types": []string{"email.sent"}})
	part = c.replayed(t, h, part)
	require.EqualValues(t, 3, part.Queued)
	c.allAre(t, h, pipeline.DeliveryDelivered, 11)
	require.Equal(t, append(upTo(11), 4, 6, 8), partner.seen("/", stream))

	c.replayed(t, narrow, c.startReplay(t, narrow, object{"after": events[0].RecordedAt.Add(-time.Hour)}))
	c.allAre(t, narrow, pipeline.DeliveryDelivered, 3)
	require.Equal(t, []int64{2, 4, 6}, partner.seen("/narrow", stream), "only what it subscribes to and filters for")

	listed := want[list[pipeline.Replay]](t, c.get(t, h.path()+"/replays"), http.StatusOK).Data
	require.Equal(t, []int64{part.ID, whole.ID}, []int64{listed[0].ID, listed[1].ID})
	for _, wrong := range []object{
		{"after": 10, "until": 10},
		{"types": []string{"no.such_event"}},
		{"after": -1},
		{"after": "yesterday"},
		{"after": time.Now().Add(time.Hour)},
	} {
		refused(t, c.post(t, h.path()+"/replay", wrong), http.StatusUnprocessableEntity, pipeline.CodeInvalid)
	}
}

func TestAReplayIsPausedResumedAndCancelled(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	customer := c.customer(t)
	past(t, e.store, customer, several)
	stream := customer.Ref().Stream()
	h := c.webhook(t, partner.URL+"/", object{"timeout": "30s"})

	open := make(chan struct{})
	partner.on("/", barrier(100, open))
	r := c.startReplay(t, h, nil)
	require.EqualValues(t, several, r.Total)
	eventually(t, "it is under way", func() bool { return partner.count("/") > 100 })
	refused(t, c.post(t, h.path()+"/replay", nil), http.StatusConflict, pipeline.CodeConflict)
	paused := want[pipeline.Replay](t, c.post(t, h.replay(r)+"/pause", nil), http.StatusOK)
	require.Equal(t, pipeline.ReplayPaused, paused.Status)
	require.Less(t, paused.Done, paused.Total)
	close(open)
	eventually(t, "what was queued is sent", func() bool {
		now := c.replay(t, h, r)
		return now.Queued == int64(partner.count("/")) && now.Status == pipeline.ReplayPaused
	})
	require.Less(t, partner.count("/"), several)
	event := c.moved(t, stream, pipeline.TypeSMSSent, nil)
	eventually(t, "what happens meanwhile is delivered all the same", func() bool { return partner.has("/", event) })

	want[pipeline.Replay](t, c.post(t, h.replay(r)+"/resume", nil), http.StatusOK)
	done := c.replayed(t, h, r)
	require.Equal(t, done.Total, done.Done)
	require.False(t, time.Time(done.FinishedAt).IsZero())
	eventually(t, "all are sent", func() bool { return partner.count("/") > several })
	replayed := slices.DeleteFunc(partner.seen("/", stream), func(seq int64) bool { return seq == several+1 })
	require.Equal(t, upTo(several), replayed)
	for _, what := range []string{"/pause", "/resume", "/cancel"} {
		refused(t, c.post(t, h.replay(r)+what, nil), http.StatusConflict, pipeline.CodeConflict)
	}

	held := make(chan struct{})
	partner.on("/", barrier(partner.count("/")+100, held))
	r = c.startReplay(t, h, nil)
	eventually(t, "another one is under way", func() bool { return partner.open("/") > 0 })
	cancelled := want[pipeline.Replay](t, c.post(t, h.replay(r)+"/cancel", nil), http.StatusOK)
	require.Equal(t, pipeline.ReplayCancelled, cancelled.Status)
	close(held)
	eventually(t, "nothing is pending", func() bool {
		pending := want[list[object]](t, c.get(t, fmt.Sprintf("/v1/deliveries?webhook_id=%d&status=pending", h.ID)), http.StatusOK).Data
		return len(pending) == 0
	})
	require.Less(t, c.replay(t, h, r).Done, int64(several))
	require.Equal(t, pipeline.ReplayCancelled, c.replay(t, h, r).Status)
	c.replayed(t, h, c.startReplay(t, h, object{"after": event.Position - 1})) // there may be a next one
}

func TestWhatFailedOrWasHeldIsRecoveredAndGapsAreListed(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	var endpoint light
	partner.on("/", endpoint.answer)
	c.customer(t) // before the webhook's time
	h := c.webhook(t, partner.URL+"/", object{"retry_schedule": []any{}})
	gaps := func() []string {
		found := want[list[pipeline.Gap]](t, c.get(t, h.path()+"/gaps"), http.StatusOK).Data
		ids := make([]string, len(found))
		for i, g := range found {
			ids[i] = g.EventID
		}
		return ids
	}
	require.Empty(t, gaps())
	stream := c.customer(t).Ref().Stream()
	c.allAre(t, h, pipeline.DeliveryExhausted, 1)
	c.patch(t, h, object{"active": false})
	c.moved(t, stream, pipeline.TypeEmailSent, nil)
	c.enable(t, h, object{"skip_held": true}) // discarded
	eventually(t, "one is discarded", func() bool { return c.statuses(t, h)[pipeline.DeliveryDiscarded] == 1 })
	endpoint.well.Store(true)
	c.moved(t, stream, pipeline.TypeSMSSent, nil)
	eventually(t, "the third is delivered", func() bool { return c.statuses(t, h)[pipeline.DeliveryDelivered] == 1 })
	events := c.events(t, stream)
	require.Equal(t, []string{events[0].ID, events[1].ID}, gaps())

	since := object{"since": events[0].RecordedAt.Add(-time.Minute)}
	r := want[pipeline.Replay](t, c.post(t, h.path()+"/recover", since), http.StatusAccepted)
	require.Equal(t, pipeline.ReplayRecover, r.Kind)
	require.EqualValues(t, 2, c.replayed(t, h, r).Queued)
	c.allAre(t, h, pipeline.DeliveryDelivered, 3)
	require.Equal(t, []int64{1, 3, 1, 2}, partner.seen("/", stream))
	require.Empty(t, gaps())
	again := want[pipeline.Replay](t, c.post(t, h.path()+"/recover", since), http.StatusAccepted)
	require.Zero(t, c.replayed(t, h, again).Queued, "nothing is left to recover")
	require.Equal(t, 4, partner.count("/"))
}

func TestANewWebhookGetsThePastAndThenTheLiveStreamEachEventOnceAndInOrder(t *testing.T) {
	t.Parallel()
	const live = 30
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	old, other := c.customer(t), c.customer(t).Ref().Stream()
	past(t, e.store, old, several)
	stream := old.Ref().Stream()
	middle := c.events(t, stream)[399]

	hooks := map[string]hook{}
	for path, start := range map[string]any{"/beginning": "beginning", "/position": middle.Position, "/time": middle.RecordedAt, "/now": nil} {
		hooks[path] = c.webhook(t, partner.URL+path, object{"start": start})
	}
	require.True(t, c.settings(t, hooks["/beginning"]).CatchingUp)
	require.False(t, c.settings(t, hooks["/now"]).CatchingUp)
	// Both entities go on while the webhooks catch up.
	for n := range live {
		c.moved(t, stream, pipeline.TypeEmailSent, nil)
		if n%2 == 0 {
			c.moved(t, other, pipeline.TypeSMSSent, nil)
		}
	}
	const whole, ofOther = several + live, 1 + live/2
	for path, h := range hooks {
		eventually(t, path+" has caught up", func() bool { return !c.settings(t, h).CatchingUp })
	}
	last := c.moved(t, stream, pipeline.TypeSMSSent, nil)
	for path, expected := range map[string]struct {
		from    int64 // the first of the stream
		ofOther int
	}{
		"/beginning": {1, ofOther},
		"/position":  {middle.Version + 1, live / 2},
		"/time":      {middle.Version, live / 2},
		"/now":       {several + 1, live / 2},
	} {
		eventually(t, path+" has the last event", func() bool { return partner.has(path, last) })
		n := whole + 1 - int(expected.from) + 1
		eventually(t, path+" has everything", func() bool { return partner.count(path) >= n+expected.ofOther })
		require.Equal(t, upTo(whole + 1)[expected.from-1:], partner.seen(path, stream), "%s: each once and in order", path)
		require.Len(t, partner.seen(path, other), expected.ofOther, path)
		require.True(t, slices.IsSorted(partner.seen(path, other)), path)
	}
	for _, wrong := range []any{"end", -1, time.Now().Add(time.Hour)} {
		a := c.post(t, "/v1/webhooks", object{"url": partner.URL + "/", "events": []string{"*"}, "start": wrong})
		require.Equal(t, "/start", refused(t, a, http.StatusUnprocessableEntity, pipeline.CodeInvalid).Errors[0].Pointer)
	}
}

// openStore opens the store of a program that runs, from beside it.
func (p *process) openStore(t *testing.T, dir string) *postgres.Store {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dir, "encryption-key"))
	require.NoError(t, err)
	sealer, err := keyring.New(strings.TrimSpace(string(key)))
	require.NoError(t, err)
	store, err := postgres.Open(postgres.Config{URL: databaseURL(t, dir), Sealer: sealer})
	require.NoError(t, err)
	return store
}

// databaseURL is that of the Postgres that works in a data folder.
func databaseURL(t *testing.T, dir string) string {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	require.NoError(t, err)
	lines := strings.Split(string(pid), "\n")
	return fmt.Sprintf("postgres://dealwright@/dealwright?host=%s&port=%s&sslmode=disable", lines[4], lines[3])
}

func TestReplaysAndOrderedDeliveriesGoOnWhereTheyWereWhenTheEngineIsKilled(t *testing.T) {
	t.Parallel()
	const firstBatch, commands = 500, 20
	dir := newFolder(t)
	partner := newReceiver(t)
	running := startProcess(t, dir)
	c := running.company()
	customer := c.customer(t)
	replayed, ordered := customer.Ref().Stream(), c.customer(t).Ref().Stream()
	store := running.openStore(t, dir)
	past(t, store, customer, several)
	require.NoError(t, store.Close())

	held := make(chan struct{})
	partner.on("/replay", barrier(firstBatch+100, held))
	var endpoint light
	partner.on("/ordered", endpoint.answer)
	h := c.webhook(t, partner.URL+"/replay", object{"events": []string{"customer.*", "email.*"}, "timeout": "30s"})
	strict := c.webhook(t, partner.URL+"/ordered", object{"events": []string{"sms.*"}, "ordered": true, "retry_schedule": often("300ms")})
	r := c.startReplay(t, h, object{"types": []string{"customer.*", "email.*"}})
	for range commands {
		c.moved(t, ordered, pipeline.TypeSMSSent, nil)
	}
	eventually(t, "both are in the middle", func() bool {
		return partner.open("/replay") > 0 && partner.count("/ordered") > 1
	})
	running.kill()
	before := partner.count("/replay")
	close(held)
	endpoint.well.Store(true)

	running = startProcess(t, dir)
	c = running.company()
	done := c.replayed(t, h, r)
	require.Equal(t, r.ID, done.ID)
	eventually(t, "all of the replay arrives", func() bool { return len(partner.firstOf("/replay", replayed)) == several })
	require.Equal(t, upTo(several), partner.firstOf("/replay", replayed))
	require.Greater(t, slices.Min(partner.seen("/replay", replayed)[before:]), int64(firstBatch), "it did not begin anew")
	ids := map[string]bool{}
	for _, d := range partner.at("/replay") {
		require.Equal(t, d.envelope.Data.ID, d.header.Get("Webhook-Id"))
		if d.envelope.Data.Stream == replayed {
			ids[d.envelope.Data.ID] = true
		}
	}
	require.Len(t, ids, several, "an event that comes twice has the same id")

	c.allAre(t, strict, pipeline.DeliveryDelivered, commands)
	requireStrictOrderFrom(t, partner, "/ordered", ordered, 2)

	require.NoError(t, running.Process.Signal(syscall.SIGTERM)) // its Postgres would outlive a kill
	<-running.done
	require.NoError(t, running.err, "%s", running.output.String())
}
