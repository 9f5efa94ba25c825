package activities_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

const (
	quote    = "7cf8d5db-bb05-4a39-a40b-c83e17988c37"
	site     = "b0c16879-5c5f-4dd9-8442-65cc594372ed"
	uploaded = "e24f5a7a-1d6d-4417-8af2-22da3d67d4cc"
)

// desk is a store with an inbox in memory, and the lifecycles of a company.
type desk struct {
	item      pipeline.Inbound
	proposals map[int64]pipeline.Proposal
	customers map[int64]pipeline.Customer
	events    map[string]pipeline.Event
	newest    time.Time
	documents []pipeline.KeptDocument
	reserved  map[string]int64
	left      []int64
	started   []string
	broken    error
	erased    []pipeline.ErasedCustomer
	// before is called before a command is decided: somebody else is faster.
	before func(step int)
	steps  int
}

func newDesk(t *testing.T, status string) *desk {
	t.Helper()
	sample, err := os.ReadFile("../pipeline/testdata/sighten_contract.json")
	require.NoError(t, err)
	body := strings.Replace(string(sample), `"document_status": "SIGN"`, `"document_status": "`+status+`"`, 1)
	return &desk{
		item: pipeline.Inbound{
			ID: 7, CompanyID: 1, ConnectionID: 3, Status: pipeline.InboundReceived, Body: pipeline.Object(body),
			ReceivedAt: time.Date(2026, 11, 21, 12, 0, 0, 123456000, time.UTC),
		},
		proposals: map[int64]pipeline.Proposal{}, customers: map[int64]pipeline.Customer{}, events: map[string]pipeline.Event{},
		reserved: map[string]int64{},
	}
}

func (d *desk) BeginInbound(context.Context, int64) (pipeline.Inbound, error) {
	return d.item, d.broken
}

func (d *desk) SettleInbound(_ context.Context, _ int64, status pipeline.InboundStatus, note string, proposalID int64) error {
	d.item.Status, d.item.Note, d.item.ProposalID = status, pipeline.Text(note), pipeline.ID(proposalID)
	return d.broken
}

func (d *desk) NewestInbound(context.Context, int64, int64) (time.Time, error) {
	return d.newest, d.broken
}

func (d *desk) LeftInbound(context.Context, time.Duration, int) ([]int64, error) {
	return d.left, d.broken
}

func (d *desk) LeftDocuments(context.Context, time.Duration, int) ([]pipeline.KeptDocument, error) {
	return d.documents, d.broken
}

func (d *desk) ProposalByUUID(_ context.Context, _ int64, uuid string) (pipeline.Proposal, error) {
	for _, p := range d.proposals {
		if p.UUID == uuid {
			return p, nil
		}
	}
	return pipeline.Proposal{}, pipeline.Errorf(pipeline.CodeNotFound, "there is no such proposal")
}

func (d *desk) CustomerByUUID(_ context.Context, _ int64, uuid string) (pipeline.Customer, error) {
	for _, c := range d.customers {
		if c.UUID == uuid {
			return c, nil
		}
	}
	return pipeline.Customer{}, pipeline.Errorf(pipeline.CodeNotFound, "there is no such customer")
}

func (d *desk) Proposal(_ context.Context, _, id int64) (pipeline.Proposal, error) {
	return d.proposals[id], nil
}

func (d *desk) Proposals(_ context.Context, q pipeline.ProposalQuery) ([]pipeline.Proposal, error) {
	var out []pipeline.Proposal
	for _, p := range d.proposals {
		if p.CustomerID == q.CustomerID && len(out) < q.Page.Limit {
			out = append(out, p)
		}
	}
	return out, nil
}

func (d *desk) Event(_ context.Context, _ int64, id string) (pipeline.Event, error) {
	if e, ok := d.events[id]; ok {
		return e, nil
	}
	return pipeline.Event{}, pipeline.Errorf(pipeline.CodeNotFound, "there is no such event")
}

func (d *desk) Statuses(context.Context, int64) (pipeline.Statuses, error) {
	return pipeline.DefaultStatuses(), nil
}

func (d *desk) Reserve(_ context.Context, _ int64, kind pipeline.Kind, idem pipeline.Idempotency) (pipeline.Reservation, error) {
	key := string(kind) + idem.Key
	if d.reserved[key] == 0 {
		d.reserved[key] = int64(100 + len(d.reserved))
	}
	return pipeline.Reservation{ID: d.reserved[key]}, nil
}

func (d *desk) AddDocument(_ context.Context, doc pipeline.KeptDocument) error {
	d.documents = append(d.documents, doc)
	return nil
}

func (d *desk) HandleInbound(_ context.Context, id int64) error {
	d.started = append(d.started, fmt.Sprint("inbox-", id))
	return d.broken
}

func (d *desk) KeepDocument(_ context.Context, _ int64, uuid string) error {
	d.started = append(d.started, "document-"+uuid)
	return d.broken
}

func (d *desk) EraseTraces(_ context.Context, of pipeline.ErasedCustomer) error {
	d.started = append(d.started, fmt.Sprint("erasure-", of.CustomerID))
	return d.broken
}

func (d *desk) LeftErasures(context.Context, time.Duration, int) ([]pipeline.ErasedCustomer, error) {
	return d.erased, nil
}

func (d *desk) Command(_ context.Context, to pipeline.Ref, cmd pipeline.Command, id string) error {
	d.steps++
	if d.before != nil {
		d.before(d.steps)
	}
	if to.Kind == pipeline.KindCustomer {
		e, c, err := pipeline.Next(pipeline.NewCustomer(to.CompanyID, to.ID), cmd, id)
		if err == nil {
			d.customers[to.ID], d.events[e.ID] = c, e
		}
		return err
	}
	p, ok := d.proposals[to.ID]
	if !ok {
		p = pipeline.NewProposal(to.CompanyID, to.CustomerID, to.ID)
	}
	e, p, err := pipeline.Next(p, cmd, id)
	if err == nil {
		d.proposals[to.ID], d.events[e.ID] = p, e
	}
	return err
}

// propose makes a proposal with a uuid and leads it on.
func (d *desk) propose(t *testing.T, id int64, uuid string, more ...pipeline.EventType) {
	t.Helper()
	d.customers[2] = pipeline.Customer{ID: 2, UUID: site, CompanyID: 1, Version: 1}
	for i, typ := range append([]pipeline.EventType{pipeline.TypeProposalRequested}, more...) {
		data := pipeline.ProposalDetails{}
		if i == 0 {
			data = pipeline.ProposalDetails{UUID: uuid, CustomerUUID: site}
		}
		cmd, err := pipeline.NewCommand(typ, data, pipeline.Actor{}, pipeline.Cause{})
		require.NoError(t, err)
		cmd.OccurredAt = d.item.ReceivedAt
		ref := pipeline.Ref{Kind: pipeline.KindProposal, ID: id, CompanyID: 1, CustomerID: 2}
		require.NoError(t, d.Command(t.Context(), ref, cmd, fmt.Sprint(id, " ", i)))
	}
	d.steps = 0
}

func (d *desk) handle(t *testing.T) (activities.HandleInboundResult, error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	inbox := &activities.Inbox{Store: d, Commander: d, Starter: d}
	env.RegisterActivity(inbox)
	value, err := env.ExecuteActivity(inbox.HandleInbound, activities.HandleInboundInput{ID: 7})
	if err != nil {
		return activities.HandleInboundResult{}, err
	}
	var out activities.HandleInboundResult
	require.NoError(t, value.Get(&out))
	require.Equal(t, d.item.Status, out.Status)
	return out, nil
}

func (d *desk) becomes(t *testing.T, status pipeline.InboundStatus, note string) {
	t.Helper()
	out, err := d.handle(t)
	require.NoError(t, err)
	require.Equal(t, status, out.Status, out.Note)
	require.Contains(t, out.Note, note)
}

func TestHandleInbound_RecordsWhatTheProviderSkipped(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "SIGN")
	d.propose(t, 5, quote)
	d.becomes(t, pipeline.InboundHandled, "")
	require.Equal(t, "signed", d.proposals[5].ContractStatus)
	require.Equal(t, 5, d.steps)
	implied := map[pipeline.EventType]bool{}
	for _, e := range d.events {
		if e.Version > 1 {
			implied[e.Type] = e.Implied
			require.Equal(t, time.Date(2026, 11, 21, 12, 0, 0, 123000000, time.UTC), e.Timestamp)
		}
	}
	require.Equal(t, map[pipeline.EventType]bool{
		"proposal.sent": true, "proposal.selected": true, "contract.requested": true, "contract.sent": true, "contract.signed": false,
	}, implied)
	require.Equal(t, uploaded, d.documents[0].UUID)
	require.EqualValues(t, 3, d.documents[0].ConnectionID)
	require.EqualValues(t, 5, d.item.ProposalID)
	d.becomes(t, pipeline.InboundHandled, "") // what is settled stays so
}

// The process died after the last step and before it was noted.
func TestHandleInbound_AfterACrash(t *testing.T) {
	t.Parallel()
	for crash := 1; crash <= 5; crash++ {
		d := newDesk(t, "SIGN")
		d.propose(t, 5, quote)
		d.before = func(step int) {
			if step > crash {
				d.broken = errors.New("the process is gone")
			}
		}
		_, err := d.handle(t)
		if crash < 5 {
			require.Error(t, err)
		}
		d.broken, d.before, d.item.Status = nil, nil, pipeline.InboundReceived
		if crash == 5 { // somebody goes on meanwhile
			cmd := pipeline.Command{Type: pipeline.TypeContractVoided, OccurredAt: d.item.ReceivedAt}
			require.NoError(t, d.Command(t.Context(), d.proposals[5].Ref(), cmd, "void"))
		}
		d.becomes(t, pipeline.InboundHandled, "")
		count := map[pipeline.EventType]int{}
		for _, e := range d.events {
			count[e.Type]++
		}
		require.Equal(t, 1, count[pipeline.TypeContractSigned], crash)
	}
}

func TestHandleInbound_WhereSomebodyElseIsFaster(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "SENT")
	d.propose(t, 5, quote)
	d.before = func(step int) {
		if step == 1 {
			d.before = nil
			cmd := pipeline.Command{Type: pipeline.TypeProposalSent, OccurredAt: d.item.ReceivedAt}
			require.NoError(t, d.Command(t.Context(), d.proposals[5].Ref(), cmd, "app"))
			cmd.Type = pipeline.TypeProposalSelected
			require.NoError(t, d.Command(t.Context(), d.proposals[5].Ref(), cmd, "app"))
		}
	}
	d.becomes(t, pipeline.InboundHandled, "")
	require.Equal(t, "sent", d.proposals[5].ContractStatus)
}

func TestHandleInbound_IgnoresWhatIsNoNews(t *testing.T) {
	t.Parallel()
	toSigned := []pipeline.EventType{
		pipeline.TypeProposalSent, pipeline.TypeProposalSelected, pipeline.TypeContractRequested, pipeline.TypeContractSent,
	}
	d := newDesk(t, "GEN")
	d.propose(t, 5, quote, toSigned...)
	d.becomes(t, pipeline.InboundIgnored, "an older status")

	d = newDesk(t, "VOID")
	d.propose(t, 5, quote, toSigned...)
	d.newest = time.Date(2019, 11, 26, 20, 25, 0, 0, time.UTC)
	d.becomes(t, pipeline.InboundIgnored, "2019-11-26T20:25:00Z")
	require.Equal(t, "sent", d.proposals[5].ContractStatus)

	d = newDesk(t, "VIEWED")
	d.propose(t, 5, quote, toSigned...)
	d.becomes(t, pipeline.InboundIgnored, "VIEWED")
}

func TestHandleInbound_ADocumentThatComesLate(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "SIGN")
	d.propose(t, 5, quote, pipeline.TypeProposalSent, pipeline.TypeProposalSelected, pipeline.TypeContractRequested,
		pipeline.TypeContractSent, pipeline.TypeContractSigned)
	d.becomes(t, pipeline.InboundHandled, "its document came late")
	require.Equal(t, []string{"document-" + uploaded}, d.started)
	require.Equal(t, uploaded, d.documents[0].UUID)
}

func TestHandleInbound_Matching(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "GEN")
	d.becomes(t, pipeline.InboundUnmatched, "neither a proposal with the uuid of the quote nor a customer")

	other := "00000000-0000-4000-8000-000000000001"
	d = newDesk(t, "GEN")
	d.propose(t, 5, other)
	d.becomes(t, pipeline.InboundHandled, "") // the customer's only one
	require.Equal(t, "requested", d.proposals[5].ContractStatus)

	d = newDesk(t, "GEN")
	d.propose(t, 5, other)
	d.propose(t, 6, "00000000-0000-4000-8000-000000000002")
	d.becomes(t, pipeline.InboundUnmatched, "has several proposals")

	d = newDesk(t, "GEN")
	d.customers[2] = pipeline.Customer{ID: 2, UUID: site}
	d.becomes(t, pipeline.InboundUnmatched, "has no proposal")

	d = newDesk(t, "GEN")
	d.item.Body = `{"quote":"` + quote + `","sub_tasks":[{"category":"DOCUMENT"}]}`
	d.becomes(t, pipeline.InboundUnmatched, "no proposal with the uuid of the quote")

	d = newDesk(t, "GEN")
	d.item.Body = `{}`
	d.becomes(t, pipeline.InboundFailed, "/quote")
}

func TestHandleInbound_MakesWhatIsMissing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "SIGN")
	d.item.CreateMissing = true
	d.becomes(t, pipeline.InboundHandled, "")
	require.Len(t, d.customers, 1)
	require.Len(t, d.proposals, 1)
	for _, c := range d.customers {
		require.Equal(t, site, c.UUID)
		require.Equal(t, "Sighten site b0c16879", c.Name)
		require.Equal(t, "site-"+site+"@sighten.invalid", c.Email)
		require.Equal(t, "New Contacts", c.StatusName)
	}
	for _, p := range d.proposals {
		require.Equal(t, quote, p.UUID)
		require.Equal(t, "signed", p.ContractStatus)
		require.EqualValues(t, "Installation Agreement", p.Nickname)
	}
	for _, e := range d.events {
		require.Equal(t, e.Type != pipeline.TypeContractSigned, e.Implied, e.Type)
	}

	// Another quote of a customer that is known is another proposal.
	d = newDesk(t, "GEN")
	d.propose(t, 5, "00000000-0000-4000-8000-000000000001")
	d.item.CreateMissing = true
	d.becomes(t, pipeline.InboundHandled, "")
	require.Len(t, d.proposals, 2)
	require.Equal(t, "none", d.proposals[5].ContractStatus)

	d = newDesk(t, "GEN")
	d.customers[2] = pipeline.Customer{ID: 2, UUID: site, Deleted: true}
	d.item.CreateMissing = true
	d.becomes(t, pipeline.InboundUnmatched, "deleted")
}

func TestHandleInbound_IsTriedAgainWhateverWentWrong(t *testing.T) {
	t.Parallel()
	for _, broken := range []error{errors.New("lost"), pipeline.Errorf(pipeline.CodeUnavailable, "down")} {
		d := newDesk(t, "GEN")
		d.broken = broken
		_, err := d.handle(t)
		require.Error(t, err)
		require.Equal(t, pipeline.InboundReceived, d.item.Status)
	}
}

func TestSweepInbound(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "GEN")
	d.left = []int64{7, 8}
	d.documents = []pipeline.KeptDocument{{CompanyID: 1, UUID: uploaded}}
	inbox := &activities.Inbox{Store: d, Starter: d}
	out, err := inbox.SweepInbound(t.Context(), activities.SweepInboundInput{})
	require.NoError(t, err)
	require.Equal(t, activities.SweepInboundResult{Inbound: 2, Documents: 1}, out)
	require.Equal(t, []string{"inbox-7", "inbox-8", "document-" + uploaded}, d.started)
	d.broken = errors.New("lost")
	_, err = inbox.SweepInbound(t.Context(), activities.SweepInboundInput{})
	require.Error(t, err)
}
