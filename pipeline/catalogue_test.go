package pipeline_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestTheCatalogueHasWhatTheRulesHave(t *testing.T) {
	t.Parallel()
	ruled := map[pipeline.EventType][]pipeline.Kind{}
	for _, kind := range []pipeline.Kind{pipeline.KindCustomer, pipeline.KindProposal} {
		for _, rule := range pipeline.Rules(kind) {
			ruled[rule.Type] = append(ruled[rule.Type], kind)
		}
	}
	listed := map[pipeline.EventType][]pipeline.Kind{}
	for _, e := range pipeline.Catalogue() {
		require.NotContains(t, listed, e.Type, "%s is listed twice", e.Type)
		listed[e.Type] = e.Kinds
		require.True(t, strings.HasSuffix(e.Description, "."), "%s: %s", e.Type, e.Description)
	}
	require.Equal(t, ruled, listed)
}

// The names are a contract with other systems, so they stand here a second time, in the
// order of the catalogue: Solo, Solar Proof, Solve360, Sighten.
func TestNamesOfOtherSystems(t *testing.T) {
	t.Parallel()
	const want = `
		customer.created         | Customer Created        | customer_created           | items.create/contact          | -
		customer.updated         | Customer Updated        | -                          | items.update/contact          | -
		customer.status_changed  | Customer Status Changed | customer_status_change     | items.categorize/contact items.uncategorize/contact | -
		customer.deleted         | -                       | -                          | items.delete/contact          | -
		customer.restored        | -                       | -                          | items.restore/contact         | -
		customer.erased          | -                       | -                          | -                             | -
		appointment.set          | Appointment Set         | -                          | activities.create/event       | -
		email.sent               | -                       | project_email_sent@proposal | activities.create/linkedemails | -
		sms.sent                 | -                       | project_sms_sent@proposal  | activities.create/note        | -
		proposal.drafted         | -                       | recent_draft_project       | items.create/projectblog      | -
		proposal.saved           | Proposal Saved          | recent_draft_project@draft | items.update/projectblog      | -
		proposal.requested       | Proposal Requested      | -                          | activities.create/opportunity | -
		proposal.sent            | Proposal Sent           | -                          | activities.update/opportunity | -
		proposal.link_published  | -                       | published_proposal_link    | activities.create/website     | -
		proposal.selected        | Proposal Selected       | -                          | activities.update/opportunity | -
		proposal.sold            | Proposal Sold           | -                          | activities.update/opportunity | -
		credit.ran               | Credit Ran              | -                          | activities.create/note        | -
		contract.requested       | Contract Requested      | -                          | activities.create/file        | GEN
		contract.sent            | Contract Sent           | -                          | activities.update/file        | SENT
		contract.signed          | Contract Signed         | -                          | activities.update/file        | SIGN
		contract.voided          | -                       | -                          | activities.delete/file        | VOID
		contract.document_stored | -                       | -                          | activities.create/attachmentfile | -`
	lines := strings.Split(strings.TrimSpace(want), "\n")
	catalogue := pipeline.Catalogue()
	require.Len(t, catalogue, len(lines))
	for i, line := range lines {
		cells := strings.Split(line, "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		e := catalogue[i]
		names := []string{
			string(e.Type), plain(e.Names.Solo), plain(e.Names.SolarProof), plain(e.Names.Solve360), plain(e.Names.Sighten),
		}
		require.Equal(t, cells, names)
	}
}

func plain(names []pipeline.Name) string {
	if len(names) == 0 {
		return "-"
	}
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n.Event
		if n.ConstraintType != "" {
			out[i] += "/" + n.ConstraintType
		}
		if n.Kind != "" || n.While != "" {
			out[i] += "@" + string(n.Kind) + n.While
		}
	}
	return strings.Join(out, " ")
}

func TestLookup(t *testing.T) {
	t.Parallel()
	e, ok := pipeline.Lookup(pipeline.TypeProposalSaved)
	require.True(t, ok)
	text, err := json.Marshal(e)
	require.NoError(t, err)
	require.JSONEq(t, `{"type":"proposal.saved","kinds":["proposal"],"description":"A proposal's details were saved.","names":{
		"solo":[{"event":"Proposal Saved"}],
		"solarproof":[{"event":"recent_draft_project","while":"draft"}],
		"solve360":[{"event":"items.update","constrainttype":"projectblog"}],
		"sighten":null}}`, string(text))
	_, ok = pipeline.Lookup("no.such_event")
	require.False(t, ok)
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"contract.document_stored", "contract.*", "*"}, pipeline.Patterns(pipeline.TypeContractDocumentStored))
}

func TestMermaid(t *testing.T) {
	t.Parallel()
	require.Equal(t, `stateDiagram-v2
    [*] --> active: customer.created
    active --> deleted: customer.deleted
    deleted --> active: customer.restored
    active --> erased: customer.erased
    deleted --> erased: customer.erased
    active --> active: customer.updated, customer.status_changed, appointment.set, email.sent, sms.sent
`, pipeline.Mermaid(pipeline.TrackCustomer))
	require.Equal(t, `stateDiagram-v2
    [*] --> requested: contract.requested [proposal selected or sold]
    voided --> requested: contract.requested [proposal selected or sold]
    requested --> sent: contract.sent
    sent --> signed: contract.signed
    requested --> voided: contract.voided
    sent --> voided: contract.voided
    signed --> voided: contract.voided
    signed --> signed: contract.document_stored
`, pipeline.Mermaid(pipeline.TrackContract))
}

func TestEveryEventIsInTheChartOfATrack(t *testing.T) {
	t.Parallel()
	var charts strings.Builder
	for _, track := range []pipeline.Track{pipeline.TrackCustomer, pipeline.TrackProposal, pipeline.TrackContract, pipeline.TrackCredit} {
		charts.WriteString(pipeline.Mermaid(track))
	}
	for _, e := range pipeline.Catalogue() {
		require.Contains(t, charts.String(), string(e.Type))
	}
}
