package e2e_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/dealwright/dealwright/pipeline"
)

// record has TestRecordHistories write the histories that the replay tests in workflows read,
// into a folder of that name: those of older versions stay.
var record = flag.String("record", "", "record workflow histories into this folder in workflows/testdata/histories")

const historiesFolder = "../../workflows/testdata/histories"

// recorder leads workflows through one shape of history each.
type recorder struct {
	company
	*engine

	partner *receiver
}

// run names a run of a workflow; an empty run id means its present run.
type run struct{ workflowID, runID string }

func present(s pipeline.Stream) run { return run{workflowID: string(s)} }

func TestRecordHistories(t *testing.T) {
	if *record == "" {
		t.Skip("records new histories only with -record: make histories")
	}
	e := sharedEngine(t)
	folder := filepath.Join(historiesFolder, filepath.Base(*record))
	require.NoError(t, os.MkdirAll(folder, 0o755))
	for name, shape := range map[string]func(recorder, *testing.T) run{
		"customer_life":              recorder.customerLife,
		"proposal_life":              recorder.proposalLife,
		"proposal_drafted_and_void":  recorder.draftAndVoid,
		"proposal_race":              recorder.race,
		"proposal_catches_up":        recorder.catchUp,
		"proposal_after_termination": recorder.afterTermination,
		"proposal_stillborn":         recorder.stillborn,
		"proposal_beside_a_slow_one": recorder.besideASlowPartner,
		"customer_continued":         recorder.continued,
		"customer_continuation":      recorder.continuation,
		"webhook_retries":            recorder.retries,
		"webhook_sample":             recorder.sample,
		"sweep":                      recorder.sweep,
		"retention":                  recorder.retention,
		"proposal_by_a_provider":     recorder.signedElsewhere,
		"inbox":                      recorder.inbox,
		"document":                   recorder.document,
	} {
		t.Run(name, func(t *testing.T) {
			r := recorder{engine: e, company: e.newCompany(t), partner: newReceiver(t)}
			made := shape(r, t)
			if running := e.describe(t, made.workflowID); made.runID == "" &&
				running.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				e.settled(t, made.workflowID)
			}
			write(t, filepath.Join(folder, name+".json"), e.history(t, made.workflowID, made.runID))
		})
	}
}

// write keeps a history as JSON, without the names of this machine in it.
func write(t *testing.T, path string, events []*history.HistoryEvent) {
	t.Helper()
	b, err := protojson.Marshal(&history.History{Events: events})
	require.NoError(t, err)
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	var whole any
	require.NoError(t, decoder.Decode(&whole))
	b, err = json.MarshalIndent(withoutMachine(whole), "", " ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(b, '\n'), 0o644))
}

// withoutMachine replaces what tells where a history was recorded: nothing of it matters for
// replay.
func withoutMachine(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = withoutMachine(v[i])
		}
	case object:
		if v["kind"] == "TASK_QUEUE_KIND_STICKY" {
			v["name"] = "sticky"
		}
		for name := range v {
			v[name] = withoutMachine(v[name])
			if name == "identity" {
				v[name] = "recorder"
			}
		}
	}
	return v
}

func (r recorder) customerLife(t *testing.T) run {
	t.Helper()
	r.webhook(t, r.partner.URL+"/", nil)
	stream := r.customer(t).Ref().Stream()
	r.walk(t, stream,
		step{pipeline.TypeCustomerUpdated, object{"phone": "+61 400 000 000"}},
		step{pipeline.TypeCustomerStatusChanged, object{"status": 3}},
		step{pipeline.TypeAppointmentSet, object{"starts_at": "2026-12-01T09:00:00Z"}},
		step{pipeline.TypeEmailSent, object{"to": "john.doe@example.com", "subject": "Your roof"}},
		step{pipeline.TypeSMSSent, object{"body": "See you tomorrow"}},
		step{pipeline.TypeCustomerDeleted, nil},
		step{pipeline.TypeCustomerRestored, nil},
	)
	return present(stream)
}

func (r recorder) proposalLife(t *testing.T) run {
	t.Helper()
	r.webhook(t, r.partner.URL+"/", nil)
	customer := r.customer(t)
	stream := r.proposal(t, customer.ID).Ref().Stream()
	r.walk(t, stream, wholeLife...)
	eventually(t, "the customer is Signed", func() bool { return len(r.events(t, customer.Ref().Stream())) == 2 })
	return present(stream)
}

func (r recorder) draftAndVoid(t *testing.T) run {
	t.Helper()
	draft := newProposal()
	draft["draft"] = true
	path := fmt.Sprintf("/v1/customers/%d/proposals", r.customer(t).ID)
	stream := want[pipeline.Proposal](t, r.post(t, path, draft), http.StatusCreated).Ref().Stream()
	r.walk(t, stream,
		step{pipeline.TypeProposalSaved, object{"price": object{"amount": "12345.00", "currency": "AUD"}}},
		step{pipeline.TypeProposalRequested, nil},
		step{pipeline.TypeProposalLinkPublished, object{"url": "https://example.com/p/1"}},
		step{pipeline.TypeProposalSent, nil},
		step{pipeline.TypeProposalSelected, nil},
		step{pipeline.TypeContractRequested, nil},
		step{pipeline.TypeContractSent, nil},
		step{pipeline.TypeContractVoided, object{"reason": "another price"}},
		step{pipeline.TypeContractRequested, nil},
	)
	return present(stream)
}

// race goes on until two updates have passed the validator and one of them has found, under
// the lock, that the other was faster.
func (r recorder) race(t *testing.T) run {
	t.Helper()
	customer := r.customer(t)
	var stream pipeline.Stream
	eventually(t, "a race is decided under the lock", func() bool {
		stream = r.proposal(t, customer.ID).Ref().Stream()
		r.moved(t, stream, pipeline.TypeProposalSent, nil)
		atOnce(t, 6, func(int) (answer, error) {
			return r.try(http.MethodPost, pathOf(stream)+"/transitions", body(pipeline.TypeProposalSelected, nil))
		})
		return slices.ContainsFunc(r.history(t, string(stream), ""), func(e *history.HistoryEvent) bool {
			return e.GetWorkflowExecutionUpdateCompletedEventAttributes().GetOutcome().GetFailure() != nil
		})
	})
	return present(stream)
}

func (r recorder) catchUp(t *testing.T) run {
	t.Helper()
	r.webhook(t, r.partner.URL+"/", nil)
	proposal := r.proposal(t, r.customer(t).ID)
	appendBehind(t, r.engine, proposal, pipeline.TypeProposalSent)
	r.moved(t, proposal.Ref().Stream(), pipeline.TypeProposalSelected, nil)
	return present(proposal.Ref().Stream())
}

func (r recorder) afterTermination(t *testing.T) run {
	t.Helper()
	stream := r.proposal(t, r.customer(t).ID).Ref().Stream()
	r.moved(t, stream, pipeline.TypeProposalSent, nil)
	require.NoError(t, r.temporal.TerminateWorkflow(t.Context(), string(stream), "", "to record what comes after"))
	r.ended(t, string(stream))
	r.moved(t, stream, pipeline.TypeProposalSelected, nil)
	return present(stream)
}

// stillborn is a proposal whose uuid turns out to be taken when it is recorded.
func (r recorder) stillborn(t *testing.T) run {
	t.Helper()
	customer := r.customer(t)
	path := fmt.Sprintf("/v1/customers/%d/proposals", customer.ID)
	request := newProposal()
	request["uuid"] = uuid.NewString()
	want[pipeline.Proposal](t, r.post(t, path, request), http.StatusCreated)
	refused(t, r.post(t, path, request), http.StatusUnprocessableEntity, pipeline.CodeInvalid)
	found := r.listed(t, fmt.Sprintf("CompanyId = %d AND ExecutionStatus = 'Completed'", r.id), 1)
	return run{workflowID: found[0].GetExecution().GetWorkflowId()}
}

// renewed is a customer whose workflow has continued as new, with the ids of its first runs.
func (r recorder) renewed(t *testing.T) (pipeline.Stream, []string) {
	t.Helper()
	r.webhook(t, r.partner.URL+"/", nil)
	stream := r.customer(t).Ref().Stream()
	first := r.runOf(t, stream)
	for n := 0; r.runOf(t, stream) == first; n++ {
		want[transition](t, r.post(t, pathOf(stream)+"/transitions", note(n)), http.StatusCreated)
	}
	r.moved(t, stream, pipeline.TypeCustomerStatusChanged, object{"status": 3})
	r.settled(t, string(stream))
	return stream, r.runs(t, stream)
}

func (r recorder) continued(t *testing.T) run {
	t.Helper()
	stream, runs := r.renewed(t)
	return run{string(stream), runs[0]}
}

func (r recorder) continuation(t *testing.T) run {
	t.Helper()
	stream, runs := r.renewed(t)
	return run{string(stream), runs[1]}
}

// retries has a timer that fired and one that a signal cut short.
func (r recorder) retries(t *testing.T) run {
	t.Helper()
	var endpoint light
	r.partner.on("/", endpoint.answer)
	h := r.webhook(t, r.partner.URL+"/", object{"retry_schedule": []any{"1s", "10m"}})
	workflowID := fmt.Sprintf("webhook-%d", h.ID)
	r.customer(t)
	of := func(what enums.EventType) int { return countOf(r.history(t, workflowID, ""), what) }
	eventually(t, "the webhook has a workflow", func() bool { return len(r.list(t, "WorkflowId = '"+workflowID+"'")) > 0 })
	eventually(t, "a timer has fired, and another runs", func() bool {
		return of(enums.EVENT_TYPE_TIMER_FIRED) > 0 && of(enums.EVENT_TYPE_TIMER_STARTED) > of(enums.EVENT_TYPE_TIMER_FIRED)
	})
	endpoint.well.Store(true)
	want[object](t, r.post(t, fmt.Sprintf("/v1/deliveries/%d/resend", r.deliveries(t, h)[0].ID), nil), http.StatusAccepted) // wakes it
	r.ended(t, workflowID)
	require.Positive(t, of(enums.EVENT_TYPE_TIMER_CANCELED))
	return run{workflowID: workflowID}
}

// besideASlowPartner has a signature whose customer is moved while a partner takes its time.
func (r recorder) besideASlowPartner(t *testing.T) run {
	t.Helper()
	r.partner.on("/slow", slow(3*time.Second))
	r.webhook(t, r.partner.URL+"/slow", object{"events": []any{"contract.sent"}})
	customer := r.customer(t)
	stream := r.proposal(t, customer.ID).Ref().Stream()
	r.walk(t, stream, wholeLife...)
	eventually(t, "the customer is Signed", func() bool { return len(r.events(t, customer.Ref().Stream())) == 2 })
	return present(stream)
}

func (r recorder) sample(t *testing.T) run {
	t.Helper()
	h := r.webhook(t, r.partner.URL+"/", nil)
	want[object](t, r.post(t, fmt.Sprintf("/v1/webhooks/%d/test", h.ID), object{"type": "proposal.sent"}), http.StatusOK)
	return r.completed(t, "TestWebhook")
}

func (r recorder) sweep(t *testing.T) run {
	t.Helper()
	r.sweepNow(t)
	return r.completed(t, "Sweep")
}

func (r recorder) retention(t *testing.T) run {
	t.Helper()
	r.trigger(t, "retention")
	return r.completed(t, "Retention")
}

// signedElsewhere is a proposal that nobody had selected when its provider said that it is signed.
func (r recorder) signedElsewhere(t *testing.T) run {
	t.Helper()
	stream, _ := r.signature(t)
	return present(stream)
}

func (r recorder) inbox(t *testing.T) run {
	t.Helper()
	_, id := r.signature(t)
	workflowID := fmt.Sprintf("inbox-%d", id)
	r.ended(t, workflowID)
	return run{workflowID: workflowID}
}

func (r recorder) document(t *testing.T) run {
	t.Helper()
	r.signature(t)
	workflowID := fmt.Sprintf("document-%d-%s", r.id, sampleDocument)
	r.ended(t, workflowID)
	return run{workflowID: workflowID}
}

// signature has a provider say that a proposal of ours is signed, until we have the document.
func (r recorder) signature(t *testing.T) (proposal pipeline.Stream, inboundID int64) {
	t.Helper()
	provider := newSighten(t)
	from := r.company.connect(t, provider, nil)
	body := newProposal()
	body["uuid"] = sampleQuote
	path := fmt.Sprintf("/v1/customers/%d/proposals", r.customer(t).ID)
	made := want[pipeline.Proposal](t, r.post(t, path, body), http.StatusCreated)
	told := want[receipt](t, from.post(t, "", sightenSample(t)), http.StatusAccepted)
	r.becomes(t, told.ID, pipeline.InboundHandled)
	eventually(t, "the document is recorded", func() bool {
		p := want[pipeline.Proposal](t, r.get(t, pathOf(made.Ref().Stream())), http.StatusOK)
		listed, _ := p.Listed(sampleDocument)
		return listed.Stored
	})
	return made.Ref().Stream(), told.ID
}

// completed finds a run of that workflow that has come to its end.
func (r recorder) completed(t *testing.T, workflowType string) run {
	t.Helper()
	var found run
	eventually(t, workflowType+" has run", func() bool {
		page := r.list(t, "WorkflowType = '"+workflowType+"' AND ExecutionStatus = 'Completed'")
		if len(page) == 0 {
			return false
		}
		found = run{page[0].GetExecution().GetWorkflowId(), page[0].GetExecution().GetRunId()}
		return true
	})
	return found
}
