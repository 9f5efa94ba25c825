package e2e_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/dealwright/dealwright/pipeline"
)

// wiped is a standalone server that has lost all that Temporal knew.
type wiped struct {
	company
	*process

	dir string
	env []string // of tools that work on it
}

func (w *wiped) start(t *testing.T) {
	t.Helper()
	w.process = startProcess(t, w.dir)
	w.company = w.process.company()
	encryption, err := os.ReadFile(filepath.Join(w.dir, "encryption-key"))
	require.NoError(t, err)
	w.env = []string{
		"DATABASE_URL=" + databaseURL(t, w.dir), "TEMPORAL_ADDRESS=" + w.ready.Temporal,
		"DEALWRIGHT_ENCRYPTION_KEY=" + strings.TrimSpace(string(encryption)), "DEALWRIGHT_LOG_LEVEL=warn",
	}
}

func (w *wiped) recover(t *testing.T, args ...string) string {
	t.Helper()
	status, out, said := tool(t, w.env, append([]string{"recover-workflows"}, args...)...)
	require.Zero(t, status, "%s%s", out, said)
	return out
}

// TestTemporalIsLostAltogether takes Temporal's data away in the middle of everything, and has
// the workflows started anew from the store.
func TestTemporalIsLostAltogether(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	w := &wiped{dir: dir}
	w.start(t)
	partner := newReceiver(t)
	var endpoint, files light
	partner.on("/retried", endpoint.answer)
	partner.on("/files/agreement.pdf", func(rw http.ResponseWriter, r *http.Request, n int) {
		files.answer(rw, r, n)
		_, _ = io.WriteString(rw, "%PDF-1.7 signed\n")
	})
	hanging := make(chan struct{})
	partner.on("/hangs", scripts(hang(hanging), inTurn(http.StatusOK)))
	well := w.webhook(t, partner.URL+"/well", nil)
	retried := w.webhook(t, partner.URL+"/retried", object{"events": []string{"sms.sent"}, "retry_schedule": often("1h")})
	hangs := w.webhook(t, partner.URL+"/hangs", object{"events": []string{"appointment.set"}, "timeout": "30s"})

	// Two deals before the signature, one of them beyond it, and a customer with a past.
	customer := w.customer(t)
	stream := customer.Ref().Stream()
	toSign := []step{
		{pipeline.TypeProposalSent, nil},
		{pipeline.TypeProposalSelected, nil},
		{pipeline.TypeContractRequested, nil},
		{pipeline.TypeContractSent, nil},
	}
	open := w.proposal(t, customer.ID)
	deal := open.Ref().Stream()
	w.walk(t, deal, toSign...)
	documented := w.proposal(t, w.customer(t).ID).Ref().Stream()
	w.walk(t, documented, toSign...)
	w.walk(t, documented, step{pipeline.TypeContractSigned, object{"document_url": partner.URL + "/files/agreement.pdf"}})
	old := w.move(t, stream, pipeline.TypeSMSSent, nil, idempotent("old"))
	require.Equal(t, http.StatusCreated, old.status)
	eventually(t, "a retry waits", func() bool { return partner.count("/retried") > 0 })
	eventually(t, "the document is looked for", func() bool { return partner.count("/files/agreement.pdf") > 0 })
	provider := newSighten(t)
	w.connect(t, provider, nil)
	w.moved(t, stream, pipeline.TypeAppointmentSet, object{"starts_at": time.Now().UTC().Format(time.RFC3339)})
	eventually(t, "a partner hangs", func() bool { return partner.open("/hangs") > 0 })
	events := 16 // as above, and the customer whom the signature moves
	allDelivered := func() bool { return w.statuses(t, well)[pipeline.DeliveryDelivered] == events }
	eventually(t, "all is delivered but what waits", allDelivered)

	// Who is erased has no workflow any more, and gets none.
	erased := w.customer(t)
	w.proposal(t, erased.ID)
	events += 2
	eventually(t, "what happened to whom is erased next is delivered", allDelivered)
	require.Equal(t, http.StatusCreated, w.post(t, pathOf(erased.Ref().Stream())+"/erase", nil).status)
	events++
	eventually(t, "and that", allDelivered)

	// What the store has and no workflow knows of, as when all is killed right after a commit.
	store := w.openStore(t, dir)
	state, err := store.Proposal(t.Context(), w.id, open.ID)
	require.NoError(t, err)
	signed, _, err := pipeline.Next(state, pipeline.Command{
		Type: pipeline.TypeContractSigned, OccurredAt: time.Now().UTC().Truncate(time.Millisecond),
	}, "behind")
	require.NoError(t, err)
	_, err = store.Append(t.Context(), signed, pipeline.Idempotency{})
	require.NoError(t, err)
	events++
	hideFromTheWatch(t, dir, deal)
	connections, err := store.Connections(t.Context(), w.id, pipeline.Page{Limit: 1})
	require.NoError(t, err)
	sample, err := json.Marshal(sightenSample(t))
	require.NoError(t, err)
	told, _, err := store.KeepInbound(t.Context(), pipeline.Inbound{
		CompanyID: w.id, ConnectionID: connections[0].ID, DocumentStatus: "SIGN", Body: pipeline.Object(sample),
	}, []byte("hash"))
	require.NoError(t, err)

	require.NoError(t, store.Close())

	w.kill()
	close(hanging)
	files.well.Store(true)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "temporal")))
	w.start(t)
	status := func(id int64) int {
		return want[pipeline.Customer](t, w.get(t, fmt.Sprintf("/v1/customers/%d", id)), http.StatusOK).Status
	}

	// Whom the worker has found by itself meanwhile, by what they left lying, is there already.
	require.Regexp(t, `^[1-3] webhooks, 1 in the inbox, 1 documents, 2 customers, 2 proposals should run\n$`, w.recover(t, "--dry-run"))
	require.Regexp(t, `2 customers, 2 proposals; [2-4] of these customers and proposals had to be started`, w.recover(t, "--rate", "500"))
	require.Contains(t, w.recover(t), "; 0 of these customers and proposals had to be started")

	// What follows from the signature, the document, what a provider has told us, what hung and
	// what nobody had sent go on by themselves.
	eventually(t, "the customer is moved by the signature", func() bool { return status(customer.ID) == pipeline.StatusSigned })
	eventually(t, "the document is stored", func() bool {
		p := want[pipeline.Proposal](t, w.get(t, pathOf(documented)), http.StatusOK)
		return len(p.Documents) == 1 && p.Documents[0].Stored
	})
	w.becomes(t, told.ID, pipeline.InboundUnmatched)
	events += 2
	w.allAre(t, hangs, pipeline.DeliveryDelivered, 1)
	w.allAre(t, well, pipeline.DeliveryDelivered, events)
	for _, s := range []pipeline.Stream{stream, deal, documented} {
		n := len(w.events(t, s))
		require.Equal(t, upTo(n), partner.firstOf("/well", s))
	}

	// The retry waits for its hour, in the webhook's workflow.
	require.Equal(t, pipeline.DeliveryPending, w.only(t, retried).Status)
	endpoint.well.Store(true)
	temporal, err := client.Dial(client.Options{HostPort: w.ready.Temporal})
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	running, err := temporal.DescribeWorkflowExecution(t.Context(), fmt.Sprintf("webhook-%d", retried.ID), "")
	require.NoError(t, err)
	require.Nil(t, running.GetWorkflowExecutionInfo().GetCloseTime())
	for _, schedule := range []string{"sweep", "retention"} {
		_, err := temporal.WorkflowService().DescribeSchedule(t.Context(), &workflowservice.DescribeScheduleRequest{
			Namespace: client.DefaultNamespace, ScheduleId: schedule,
		})
		require.NoError(t, err)
	}

	// Transitions go on where they were, and what was answered is answered again.
	again := w.move(t, stream, pipeline.TypeSMSSent, nil, idempotent("old"))
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.JSONEq(t, string(old.body), string(again.body))
	before := len(w.events(t, stream))
	require.EqualValues(t, before+1, w.moved(t, stream, pipeline.TypeEmailSent, nil).Version)
	events++
	w.allAre(t, well, pipeline.DeliveryDelivered, events)
	require.Equal(t, upTo(before+1), partner.firstOf("/well", stream))
	w.audited(t)
}

// hideFromTheWatch keeps what is to be sent of a stream from whom it would find in seconds: on a slow
// machine that is before the command whose work it is here.
func hideFromTheWatch(t *testing.T, dir string, stream pipeline.Stream) {
	t.Helper()
	db, err := sql.Open("postgres", databaseURL(t, dir))
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(),
		`UPDATE deliveries SET created_at = now() + interval '1 hour' WHERE stream = $1 AND status = 'pending'`, string(stream))
	require.NoError(t, err)
}

// audited requires that every projection is the fold of its events.
func (w *wiped) audited(t *testing.T) {
	t.Helper()
	status, out, said := tool(t, w.env, "rebuild", "--dry-run")
	require.Zero(t, status, "%s%s", out, said)
}
