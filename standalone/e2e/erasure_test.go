package e2e_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// forgotten stands in all that is personal of a customer.
const forgotten = "Wilhelmina"

// erasable is a customer with a deal and a signed document, of which everything is personal.
func (c company) erasable(t *testing.T, provider *sighten) (customer, proposal pipeline.Stream) {
	t.Helper()
	customer = want[pipeline.Customer](t, c.post(t, "/v1/customers", object{
		"name": forgotten + " Doe", "email": forgotten + "@example.com", "phone": forgotten, "address": object{"street": forgotten},
		"attributes": object{"pet": forgotten},
	}), http.StatusCreated).Ref().Stream()
	c.walk(t, customer, step{pipeline.TypeCustomerUpdated, object{"name": forgotten + " Roe"}},
		step{pipeline.TypeAppointmentSet, object{"starts_at": "2026-11-24T10:00:00Z", "notes": forgotten}},
		step{pipeline.TypeSMSSent, object{"to": forgotten, "body": forgotten}})
	proposal = want[pipeline.Proposal](t, c.post(t, pathOf(customer)+"/proposals", object{
		"nickname": forgotten, "site_address": forgotten, "system": object{"roof": forgotten},
	}), http.StatusCreated).Ref().Stream()
	c.walk(t, proposal, step{pipeline.TypeProposalSent, nil}, step{pipeline.TypeProposalSelected, nil},
		step{pipeline.TypeContractRequested, nil}, step{pipeline.TypeContractSent, nil},
		step{pipeline.TypeContractSigned, object{"document_url": provider.URL + "/files/" + forgotten + ".pdf"}})
	eventually(t, "the document is recorded, and the customer signed", func() bool {
		p := want[pipeline.Proposal](t, c.get(t, pathOf(proposal)), http.StatusOK)
		signed := want[pipeline.Customer](t, c.get(t, pathOf(customer)), http.StatusOK)
		return len(p.Documents) == 1 && p.Documents[0].Stored && signed.Status == pipeline.StatusSigned
	})
	return customer, proposal
}

// tables is all that Postgres holds, as text.
func (e *engine) tables(t *testing.T) string {
	t.Helper()
	var names []string
	require.NoError(t, e.column(&names, `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`))
	var all strings.Builder
	for _, name := range names {
		var rows []string
		require.NoError(t, e.column(&rows, `SELECT t::text FROM "`+name+`" t`))
		fmt.Fprintf(&all, "== %s\n%s\n", name, strings.Join(rows, "\n"))
	}
	return all.String()
}

func (e *engine) column(into *[]string, query string) error {
	rows, err := e.db.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return err
		}
		*into = append(*into, value)
	}
	return rows.Err()
}

// histories is all that Temporal knows of all workflows, decrypted.
func (e *engine) histories(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, run := range e.list(t, "") {
		id := run.GetExecution()
		fmt.Fprintf(&all, "== %s %s\n", id.GetWorkflowId(), run)
		for _, event := range e.history(t, id.GetWorkflowId(), id.GetRunId()) {
			all.WriteString(event.String())
		}
	}
	return all.String()
}

// kept is what there is in the bucket.
func (e *engine) kept(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(e.dir, "documents"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return files
}

func TestAnErasedCustomerIsNowhere(t *testing.T) {
	t.Parallel()
	e := ownEngine(t)
	c := e.newCompany(t)
	provider, partner := newSighten(t), newReceiver(t)
	partner.on("/echo", func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = w.Write([]byte("thanks, " + forgotten)) })
	h := c.webhook(t, partner.URL+"/echo", nil)
	gone := c.webhook(t, partner.URL+"/off", nil)
	require.Equal(t, http.StatusOK, c.post(t, gone.path()+"/disable", nil).status)
	customer, proposal := c.erasable(t, provider)
	require.Contains(t, e.tables(t), forgotten)
	require.Contains(t, e.histories(t), forgotten)
	require.Len(t, e.kept(t), 1)
	before := c.events(t, customer)

	key := http.Header{"Idempotency-Key": {"erase"}}
	app := c.newKey(t, pipeline.RoleApp)
	require.Equal(t, http.StatusForbidden, app.post(t, pathOf(customer)+"/erase", nil).status)
	first := c.post(t, pathOf(customer)+"/erase", object{"reason": "request"}, key)
	erased := want[transition](t, first, http.StatusCreated)
	require.Equal(t, pipeline.TypeCustomerErased, erased.Event.Type)
	require.NotContains(t, e.tables(t), forgotten, "with the answer")

	eventually(t, "partners know", func() bool { return partner.has("/echo", erased.Event) })
	eventually(t, "nothing is left to clean up", func() bool {
		left, err := e.store.LeftErasures(t.Context(), 0, 10)
		require.NoError(t, err)
		return len(left) == 0
	})
	require.Empty(t, e.kept(t))
	require.NotContains(t, e.histories(t), forgotten)
	require.NotContains(t, e.tables(t), forgotten)
	require.Empty(t, e.list(t, fmt.Sprintf(`WorkflowId IN (%q, %q)`, customer, proposal)))

	for _, path := range []string{
		pathOf(customer), pathOf(proposal), pathOf(customer) + "/events", pathOf(proposal) + "/events", pathOf(customer) + "/timeline",
		pathOf(proposal) + "/documents", "/v1/customers", "/v1/proposals", "/v1/events", "/v1/deliveries",
	} {
		a := c.get(t, path)
		require.Equal(t, http.StatusOK, a.status, path)
		require.NotContains(t, string(a.body), forgotten, path)
	}
	require.Empty(t, want[list[object]](t, c.get(t, "/v1/customers?q="+forgotten), http.StatusOK).Data)
	require.Len(t, c.events(t, customer), len(before)+1)

	// What was asked is answered again, and nothing else happens any more.
	again := c.post(t, pathOf(customer)+"/erase", object{"reason": "request"}, key)
	require.Equal(t, erased.Event.ID, want[transition](t, again, http.StatusCreated).Event.ID)
	for _, refused := range []answer{
		c.post(t, pathOf(customer)+"/erase", nil), c.move(t, customer, pipeline.TypeSMSSent, object{"body": forgotten}),
		c.move(t, proposal, pipeline.TypeEmailSent, object{"to": forgotten}), c.post(t, pathOf(customer)+"/proposals", newProposal()),
	} {
		require.Contains(t, string(refused.body), `"allowed":[]`)
		require.Equal(t, http.StatusConflict, refused.status)
	}
	require.NotContains(t, e.histories(t), forgotten, "nor is what was refused kept")

	// The past can still be replayed, without what is gone.
	seen := partner.count("/echo")
	c.replayed(t, h, c.startReplay(t, h, object{"after": 0}))
	past := len(c.events(t, customer)) + len(c.events(t, proposal))
	eventually(t, "the past is sent again", func() bool { return partner.count("/echo") == seen+past })
	for _, d := range partner.at("/echo")[seen:] {
		require.NotContains(t, string(d.body), forgotten)
	}
}
