package e2e_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/standalone/stack"
)

// gapTest is an engine whose worker is killed again and again.
type gapTest struct {
	company
	*engine

	parent  *testing.T // a worker that is started in one step is there for the next
	partner *receiver
	worker  *gapWorker
}

// TestAWorkerIsKilledInAGap kills a worker, as kill -9 does, between something that it has done
// and Temporal or the store hearing of it, and has another one go on. There is one worker at a time.
func TestAWorkerIsKilledInAGap(t *testing.T) {
	t.Parallel()
	e := ownEngineWith(t, func(o *stack.Options) { o.NoWorker = true })
	g := &gapTest{engine: e, parent: t, worker: startGapWorker(t, e)}
	for _, test := range []struct {
		name string
		run  func(*gapTest, *testing.T)
	}{
		{"after an entity's first event is committed", (*gapTest).afterTheFirstEvent},
		{"after an event is committed", (*gapTest).afterAnEvent},
		{"after a partner has answered", (*gapTest).afterAnAnswer},
		{"between two webhooks", (*gapTest).betweenTwoWebhooks},
		{"after the attempts are recorded", (*gapTest).afterTheAttempts},
		{"after a partner has answered the webhook's own workflow", (*gapTest).afterALaterAnswer},
		{"while a workflow continues as new", (*gapTest).whileRenewing},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.company, g.partner = e.newCompany(t), newReceiver(t)
			test.run(g, t)
		})
	}

	t.Run("not at all, an update comes while a workflow continues as new", func(t *testing.T) {
		g.company, g.partner = e.newCompany(t), newReceiver(t)
		g.updateWhileRenewing(t)
	})
}

// replace kills the worker and starts another.
func (g *gapTest) replace() {
	g.worker.kill()
	g.worker = startGapWorker(g.parent, g.engine)
}

// request is one that is under way while the worker is killed. It is repeated with its key for
// as long as the answer is 503.
type request struct {
	path string
	body any
	key  string
	done chan struct{}

	answer answer
	err    error
}

func (g *gapTest) begin(path string, body any, key string) *request {
	r := &request{path: path, body: body, key: key, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.answer, _, r.err = g.insist(path, body, key)
	}()
	return r
}

// answered requires that a request came to its end, and that repeating it gives the same answer.
func (g *gapTest) answered(t *testing.T, r *request) answer {
	t.Helper()
	<-r.done
	require.NoError(t, r.err)
	require.Equal(t, http.StatusCreated, r.answer.status, "%s", r.answer.body)
	again := g.post(t, r.path, r.body, idempotent(r.key))
	require.Equal(t, http.StatusCreated, again.status, "%s", again.body)
	require.JSONEq(t, string(r.answer.body), string(again.body))
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	return r.answer
}

// recorded waits until the store has an event more than it had.
func (g *gapTest) recorded(t *testing.T, events int) {
	t.Helper()
	var n int
	require.NoError(t, g.db.QueryRowContext(t.Context(), `SELECT count(*) FROM events WHERE company_id = $1`, g.id).Scan(&n))
	require.Equal(t, events, n, "it is committed")
}

func (g *gapTest) afterTheFirstEvent(t *testing.T) {
	t.Helper()
	h := g.webhook(t, g.partner.URL+"/", nil)
	g.worker.arm(t, gapRecorded)
	r := g.begin("/v1/customers", newCustomer(), "first")
	g.worker.reaches(t, gapRecorded)
	g.recorded(t, 1)
	g.replace()
	customer := want[pipeline.Customer](t, g.answered(t, r), http.StatusCreated)
	g.requireStream(t, customer.Ref().Stream(), pipeline.TypeCustomerCreated)
	g.allAre(t, h, pipeline.DeliveryDelivered, 1)
	require.Equal(t, 1, g.partner.count("/"), "nothing had been sent")
}

func (g *gapTest) afterAnEvent(t *testing.T) {
	t.Helper()
	h := g.webhook(t, g.partner.URL+"/", nil)
	stream := g.customer(t).Ref().Stream()
	g.allAre(t, h, pipeline.DeliveryDelivered, 1)
	g.worker.arm(t, gapRecorded)
	r := g.begin(pathOf(stream)+"/transitions", note(1), "next")
	g.worker.reaches(t, gapRecorded)
	g.recorded(t, 2)
	g.replace()
	event := want[transition](t, g.answered(t, r), http.StatusCreated).Event
	require.Equal(t, int64(2), event.Version)
	g.requireStream(t, stream, pipeline.TypeCustomerCreated, pipeline.TypeEmailSent)
	g.allAre(t, h, pipeline.DeliveryDelivered, 2)
	require.Equal(t, upTo(2), g.partner.firstOf("/", stream))
	require.Equal(t, 2, g.partner.count("/"))
	g.moved(t, stream, pipeline.TypeSMSSent, nil)
}

// barred lets no attempt be recorded for a webhook until the worker is killed, and has let go
// of what it had under way in Postgres.
type barred struct {
	tx *sql.Tx
	g  *gapTest
}

func (g *gapTest) bar(t *testing.T, hooks ...hook) barred {
	t.Helper()
	tx, err := g.db.BeginTx(context.WithoutCancel(t.Context()), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() }) // where the test has failed
	for _, h := range hooks {
		_, err = tx.ExecContext(t.Context(), `SELECT FROM deliveries WHERE webhook_id = $1 FOR UPDATE`, h.ID)
		require.NoError(t, err)
	}
	return barred{tx, g}
}

// reached waits until the worker is about to record an attempt.
func (b barred) reached(t *testing.T) {
	t.Helper()
	eventually(t, "the worker is about to record an attempt", func() bool { return b.waiting(t) > 0 })
}

func (b barred) waiting(t *testing.T) (n int) {
	t.Helper()
	err := b.g.db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event IN ('transactionid', 'tuple')`).Scan(&n)
	require.NoError(t, err)
	return n
}

// lift: a statement whose client was killed would be carried out, once the lock is gone; as on
// a machine that dies, it is not.
func (b barred) lift(t *testing.T) {
	t.Helper()
	_, err := b.g.db.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event IN ('transactionid', 'tuple')`)
	require.NoError(t, err)
	eventually(t, "what the killed worker wanted to record is off", func() bool { return b.waiting(t) == 0 })
	require.NoError(t, b.tx.Rollback())
}

// repeated requires that a path got each attempt with the id of its event, so many in all.
func (g *gapTest) repeated(t *testing.T, path string, e pipeline.Event, n int) {
	t.Helper()
	got := g.partner.at(path)
	require.Len(t, got, n)
	for _, d := range got {
		require.Equal(t, e.ID, d.header.Get("Webhook-Id"))
	}
}

func (g *gapTest) afterAnAnswer(t *testing.T) {
	t.Helper()
	h := g.webhook(t, g.partner.URL+"/", object{"events": []string{"email.sent"}})
	stream := g.customer(t).Ref().Stream()
	answers := make(chan struct{})
	g.partner.on("/", scripts(hang(answers), inTurn(http.StatusOK)))
	r := g.begin(pathOf(stream)+"/transitions", note(1), "answered")
	eventually(t, "the partner is asked", func() bool { return g.partner.open("/") == 1 })
	bar := g.bar(t, h)
	close(answers)
	bar.reached(t)
	g.worker.kill()
	bar.lift(t)
	require.Empty(t, g.only(t, h).Attempts)
	g.replace()
	event := want[transition](t, g.answered(t, r), http.StatusCreated).Event
	g.allAre(t, h, pipeline.DeliveryDelivered, 1)
	g.repeated(t, "/", event, 2)
	require.Len(t, g.only(t, h).Attempts, 1)
}

func (g *gapTest) betweenTwoWebhooks(t *testing.T) {
	t.Helper()
	first := g.webhook(t, g.partner.URL+"/first", object{"events": []string{"email.sent"}})
	second := g.webhook(t, g.partner.URL+"/second", object{"events": []string{"email.sent"}})
	stream := g.customer(t).Ref().Stream()
	answers := make(chan struct{})
	g.partner.on("/first", scripts(hang(answers), inTurn(http.StatusOK)))
	g.partner.on("/second", scripts(hang(make(chan struct{})), inTurn(http.StatusOK)))
	r := g.begin(pathOf(stream)+"/transitions", note(1), "between")
	eventually(t, "both are asked", func() bool { return g.partner.open("/first")+g.partner.open("/second") == 2 })
	bar := g.bar(t, first)
	close(answers)
	bar.reached(t)
	g.worker.kill()
	bar.lift(t)
	g.replace()
	event := want[transition](t, g.answered(t, r), http.StatusCreated).Event
	for path, h := range map[string]hook{"/first": first, "/second": second} {
		g.allAre(t, h, pipeline.DeliveryDelivered, 1)
		g.repeated(t, path, event, 2)
	}
}

func (g *gapTest) afterTheAttempts(t *testing.T) {
	t.Helper()
	h := g.webhook(t, g.partner.URL+"/", object{"events": []string{"email.sent"}})
	stream := g.customer(t).Ref().Stream()
	g.settled(t, string(stream))
	g.worker.arm(t, gapDelivered)
	event := g.moved(t, stream, pipeline.TypeEmailSent, nil)
	g.worker.reaches(t, gapDelivered)
	g.allAre(t, h, pipeline.DeliveryDelivered, 1)
	g.replace()
	g.settled(t, string(stream))
	g.repeated(t, "/", event, 1)
	g.moved(t, stream, pipeline.TypeSMSSent, nil)
}

func (g *gapTest) afterALaterAnswer(t *testing.T) {
	t.Helper()
	h := g.webhook(t, g.partner.URL+"/", object{"events": []string{"email.sent"}})
	stream := g.customer(t).Ref().Stream()
	answers := make(chan struct{})
	g.partner.on("/", scripts(inTurn(http.StatusInternalServerError), hang(answers), inTurn(http.StatusOK)))
	event := g.moved(t, stream, pipeline.TypeEmailSent, nil)
	eventually(t, "the partner is asked again", func() bool { return g.partner.count("/") == 2 })
	bar := g.bar(t, h)
	close(answers)
	bar.reached(t)
	g.worker.kill()
	bar.lift(t)
	g.replace()
	g.allAre(t, h, pipeline.DeliveryDelivered, 1)
	g.repeated(t, "/", event, 3)
	require.Equal(t, []pipeline.ID{http.StatusInternalServerError, http.StatusOK}, attempts(g.only(t, h)))
}

// renewing brings an entity to the point where its workflow is about to continue as new.
func (g *gapTest) renewing(t *testing.T, stream pipeline.Stream) (events int) {
	t.Helper()
	g.worker.arm(t, gapRenewing)
	for events = 1; ; events++ {
		g.moved(t, stream, pipeline.TypeEmailSent, nil)
		g.settledOr(t, string(stream), func() bool { return len(g.worker.lines) > 0 })
		if len(g.worker.lines) > 0 {
			g.worker.reaches(t, gapRenewing)
			return events + 1
		}
	}
}

// settledOr waits until a workflow has nothing under way, or something else is so.
func (e *engine) settledOr(t *testing.T, workflowID string, other func() bool) {
	t.Helper()
	eventually(t, workflowID+" has nothing under way", func() bool {
		described := e.describe(t, workflowID)
		return other() || len(described.GetPendingActivities()) == 0 && described.GetPendingWorkflowTask() == nil
	})
}

func (g *gapTest) whileRenewing(t *testing.T) {
	t.Helper()
	h := g.webhook(t, g.partner.URL+"/", nil)
	stream := g.customer(t).Ref().Stream()
	events := g.renewing(t, stream)
	g.replace()
	g.continued(t, h, stream, g.begin(pathOf(stream)+"/transitions", note(1), "after"), events+1)
}

func (g *gapTest) updateWhileRenewing(t *testing.T) {
	t.Helper()
	h := g.webhook(t, g.partner.URL+"/", nil)
	stream := g.customer(t).Ref().Stream()
	events := g.renewing(t, stream)
	const key = "while"
	r := g.begin(pathOf(stream)+"/transitions", note(1), key)
	eventually(t, "the update is with Temporal", func() bool { return g.hasUpdate(t, stream, pipeline.EventID(stream, key)) })
	g.worker.goOn(t)
	g.continued(t, h, stream, r, events+1)
}

// hasUpdate tells whether Temporal holds an update for a workflow: it then waits for the outcome.
func (e *engine) hasUpdate(t *testing.T, s pipeline.Stream, id string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
	defer cancel()
	_, err := e.temporal.WorkflowService().PollWorkflowExecutionUpdate(ctx, &workflowservice.PollWorkflowExecutionUpdateRequest{
		Namespace:  "default",
		UpdateRef:  &updatepb.UpdateRef{WorkflowExecution: &common.WorkflowExecution{WorkflowId: string(s)}, UpdateId: id},
		WaitPolicy: &updatepb.WaitPolicy{LifecycleStage: enums.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED},
	})
	var notFound *serviceerror.NotFound
	return !errors.As(err, &notFound)
}

// continued requires that an entity went on in another run, and lost and doubled nothing.
func (g *gapTest) continued(t *testing.T, h hook, stream pipeline.Stream, r *request, events int) {
	t.Helper()
	require.Equal(t, int64(events), want[transition](t, g.answered(t, r), http.StatusCreated).Event.Version)
	require.Len(t, g.events(t, stream), events)
	eventually(t, "there is another run", func() bool { return len(g.runs(t, stream)) > 1 })
	g.allAre(t, h, pipeline.DeliveryDelivered, events)
	require.Equal(t, upTo(events), g.partner.firstOf("/", stream))
	require.Equal(t, events, g.partner.count("/"), "nobody is told twice of %s", stream)
}
