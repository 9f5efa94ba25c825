package pipeline_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// sightenSample is the sample of the seed, written as JSON.
func sightenSample(tb testing.TB) []byte {
	tb.Helper()
	text, err := os.ReadFile("testdata/sighten_contract.json")
	require.NoError(tb, err)
	return text
}

func TestReadContractNews_OfTheSample(t *testing.T) {
	t.Parallel()
	news, err := pipeline.ReadContractNews(sightenSample(t))
	require.NoError(t, err)
	require.Equal(t, pipeline.ContractNews{
		Status: "SIGN", Quote: "7cf8d5db-bb05-4a39-a40b-c83e17988c37", Site: "b0c16879-5c5f-4dd9-8442-65cc594372ed",
		Task: "Installation Agreement", UpdatedAt: time.Date(2019, 11, 26, 20, 24, 59, 613449000, time.UTC),
		Documents: []pipeline.ContractDocument{
			{
				UUID: "451c2577-96b7-48dd-a7d0-eb2e47293e96", Name: "Cash Installation Agreement.pdf",
				CreationType: "GENERATED", DocumentType: "HIC",
			},
			{
				UUID: "e24f5a7a-1d6d-4417-8af2-22da3d67d4cc", Name: "Cash Installation Agreement (2).pdf",
				CreationType: "UPLOADED", DocumentType: "OTH",
			},
		},
	}, news)
}

func TestReadContractNews(t *testing.T) {
	t.Parallel()
	const quote = `"quote":"7CF8D5DB-bb05-4a39-a40b-c83e17988c37"`
	for name, c := range map[string]struct {
		body  string
		check func(t *testing.T, n pipeline.ContractNews)
	}{
		"the DOCUMENT sub_task among others": {
			`{` + quote + `,"sub_tasks":[{"category":"FORM","document_status":"GEN"},{"category":"DOCUMENT","document_status":"VOID"}]}`,
			func(t *testing.T, n pipeline.ContractNews) {
				t.Helper()
				require.Equal(t, "VOID", n.Status)
				require.Equal(t, "7cf8d5db-bb05-4a39-a40b-c83e17988c37", n.Quote)
				require.Empty(t, n.Site)
			},
		},
		"the last signature": {
			`{` + quote + `,"sub_tasks":[{"category":"DOCUMENT","data":{"envelopes":[
				{"date_signed":"2026-11-20T10:00:00Z"},{"date_signed":null},{"date_signed":"2026-11-21T09:00:00.5+10:00"},{"date_signed":"soon"}]}}]}`,
			func(t *testing.T, n pipeline.ContractNews) {
				t.Helper()
				require.Equal(t, time.Date(2026, 11, 20, 23, 0, 0, 500000000, time.UTC), n.SignedAt)
			},
		},
		"a day": {
			`{` + quote + `,"date_updated":"2026-11-20","sub_tasks":[{"category":"DOCUMENT"}]}`,
			func(t *testing.T, n pipeline.ContractNews) {
				t.Helper()
				require.Equal(t, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), n.UpdatedAt)
			},
		},
		"documents that are none": {
			`{` + quote + `,"sub_tasks":[{"category":"DOCUMENT","data":{"documents":[
				{"uuid":"../../etc","creation_type":"UPLOADED"},{"uuid":"e24f5a7a-1d6d-4417-8af2-22da3d67d4cc","creation_type":"DREAMT"},
				{"uuid":"e24f5a7a-1d6d-4417-8af2-22da3d67d4cc","creation_type":"UPLOADED","name":"a\u0000b\n` + strings.Repeat("ü", 300) + `"}]}}]}`,
			func(t *testing.T, n pipeline.ContractNews) {
				t.Helper()
				require.Len(t, n.Documents, 1)
				require.Equal(t, "ab"+strings.Repeat("ü", 253), n.Documents[0].Name)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			news, err := pipeline.ReadContractNews([]byte(c.body))
			require.NoError(t, err)
			c.check(t, news)
		})
	}
	for _, body := range []string{
		``, `null`, `[]`, `{}`, `{` + quote + `}`, `{` + quote + `,"sub_tasks":[]}`, `{` + quote + `,"sub_tasks":[{"category":"FORM"}]}`,
		`{"quote":"7","site":"","sub_tasks":[{"category":"DOCUMENT"}]}`, `{'quote':None}`, `{` + quote + `,"sub_tasks":[{"category":7}]}`,
	} {
		_, err := pipeline.ReadContractNews([]byte(body))
		require.Equal(t, pipeline.CodeInvalid, pipeline.CodeOf(err), body)
	}
}

// Every state of a proposal and its contract with every status: the steps by name, an implied
// one in brackets, or that it is ignored.
func TestPlanContract_OfEveryStateAndStatus(t *testing.T) {
	t.Parallel()
	const table = `
		draft     none      GEN  (proposal.requested) (proposal.sent) (proposal.selected) contract.requested
		draft     none      SENT (proposal.requested) (proposal.sent) (proposal.selected) (contract.requested) contract.sent
		draft     none      SIGN (proposal.requested) (proposal.sent) (proposal.selected) (contract.requested) (contract.sent) contract.signed
		draft     none      VOID (proposal.requested) (proposal.sent) (proposal.selected) (contract.requested) contract.voided
		requested none      GEN  (proposal.sent) (proposal.selected) contract.requested
		requested none      SENT (proposal.sent) (proposal.selected) (contract.requested) contract.sent
		requested none      SIGN (proposal.sent) (proposal.selected) (contract.requested) (contract.sent) contract.signed
		requested none      VOID (proposal.sent) (proposal.selected) (contract.requested) contract.voided
		sent      none      GEN  (proposal.selected) contract.requested
		sent      none      SENT (proposal.selected) (contract.requested) contract.sent
		sent      none      SIGN (proposal.selected) (contract.requested) (contract.sent) contract.signed
		sent      none      VOID (proposal.selected) (contract.requested) contract.voided
		selected  none      GEN  contract.requested
		selected  none      SENT (contract.requested) contract.sent
		selected  none      SIGN (contract.requested) (contract.sent) contract.signed
		selected  none      VOID (contract.requested) contract.voided
		selected  requested GEN  -
		selected  requested SENT contract.sent
		selected  requested SIGN (contract.sent) contract.signed
		selected  requested VOID contract.voided
		selected  sent      GEN  -
		selected  sent      SENT -
		selected  sent      SIGN contract.signed
		selected  sent      VOID contract.voided
		selected  signed    GEN  -
		selected  signed    SENT -
		selected  signed    SIGN -
		selected  signed    VOID contract.voided
		selected  voided    GEN  contract.requested
		selected  voided    SENT (contract.requested) contract.sent
		selected  voided    SIGN (contract.requested) (contract.sent) contract.signed
		selected  voided    VOID -
		sold      none      GEN  contract.requested
		sold      none      SIGN (contract.requested) (contract.sent) contract.signed
		sold      requested SIGN (contract.sent) contract.signed
		sold      sent      SIGN contract.signed
		sold      signed    SIGN -
		sold      signed    VOID contract.voided
		sold      voided    GEN  contract.requested
		draft     none      VIEW -
		selected  sent      ?    -`
	for line := range strings.SplitSeq(strings.TrimSpace(table), "\n") {
		words := strings.Fields(line)
		t.Run(strings.Join(words[:3], " "), func(t *testing.T) {
			t.Parallel()
			p := pipeline.NewProposal(1, 2, 3)
			p.UUID, p.Version, p.Status, p.ContractStatus = "7cf8d5db-bb05-4a39-a40b-c83e17988c37", 1, words[0], words[1]
			news := pipeline.ContractNews{Status: strings.Trim(words[2], "?")}
			plan := p.PlanContract(news, noon)
			require.Equal(t, strings.Join(words[3:], " "), written(plan))
			require.Equal(t, len(plan.Steps) == 0, plan.Ignored != "")
			requireLegal(t, p, plan)
		})
	}
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func written(plan pipeline.ContractPlan) string {
	if len(plan.Steps) == 0 {
		return "-"
	}
	words := make([]string, len(plan.Steps))
	for i, s := range plan.Steps {
		words[i] = string(s.Type)
		if s.Implied {
			words[i] = "(" + words[i] + ")"
		}
	}
	return strings.Join(words, " ")
}

// requireLegal: each step may happen after the one before.
func requireLegal(t *testing.T, p pipeline.Proposal, plan pipeline.ContractPlan) pipeline.Proposal {
	t.Helper()
	for i, s := range plan.Steps {
		cmd, err := pipeline.NewCommand(s.Type, s.Data, pipeline.Actor{}, pipeline.Cause{})
		require.NoError(t, err)
		cmd.OccurredAt = noon
		_, next, err := pipeline.Next(p, cmd, fmt.Sprint("step ", i))
		require.NoError(t, err)
		p = next
	}
	return p
}

func TestPlanContract_ASignatureBringsItsDocuments(t *testing.T) {
	t.Parallel()
	news, err := pipeline.ReadContractNews(sightenSample(t))
	require.NoError(t, err)
	p := pipeline.NewProposal(1, 2, 3)
	p.Version, p.Status = 1, pipeline.StateSelected

	plan := p.PlanContract(news, noon)
	require.Equal(t, news.Documents[1:], plan.Fetch)
	last, err := json.Marshal(plan.Steps[len(plan.Steps)-1].Data)
	require.NoError(t, err)
	require.JSONEq(t, `{"signed_at":"2026-11-21T12:00:00Z","documents":[
		{"uuid":"451c2577-96b7-48dd-a7d0-eb2e47293e96","name":"Cash Installation Agreement.pdf",
			"creation_type":"GENERATED","document_type":"HIC"},
		{"uuid":"e24f5a7a-1d6d-4417-8af2-22da3d67d4cc","name":"Cash Installation Agreement (2).pdf",
			"creation_type":"UPLOADED","document_type":"OTH"}
		]}`, string(last), "the envelopes do not say when, so it is when it was received")

	signed := requireLegal(t, p, plan)
	again := signed.PlanContract(news, noon)
	require.Empty(t, again.Steps)
	require.Equal(t, news.Documents[1:], again.Fetch, "it is not there yet")
	require.False(t, again.Late)
	stored := signed
	stored.Documents = []pipeline.Document{signed.Documents[0], signed.Documents[1]}
	stored.Documents[1].Stored = true
	require.Empty(t, stored.PlanContract(news, noon).Fetch)

	early := news
	early.Documents = news.Documents[:1]
	signed = requireLegal(t, p, p.PlanContract(early, noon))
	late := signed.PlanContract(news, noon)
	require.Empty(t, late.Steps)
	require.True(t, late.Late)
	require.Equal(t, news.Documents[1:], late.Fetch)

	news.SignedAt = noon.Add(-time.Hour)
	plan = p.PlanContract(news, noon)
	signature, ok := plan.Steps[len(plan.Steps)-1].Data.(pipeline.ContractSigned)
	require.True(t, ok)
	require.Equal(t, news.SignedAt, signature.SignedAt)
}

// FuzzInbound: whatever a provider sends is read or refused, and what is read leads to events
// that may happen.
func FuzzInbound(f *testing.F) {
	f.Add(string(sightenSample(f)))
	f.Add(`{"quote":"7cf8d5db-bb05-4a39-a40b-c83e17988c37","sub_tasks":[{"category":"DOCUMENT","document_status":"VOID"}]}`)
	f.Add(`{"site":"b0c16879-5c5f-4dd9-8442-65cc594372ed","date_updated":"2026-11-20",
		"sub_tasks":[{"category":"DOCUMENT","document_status":"SIGN"}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		news, err := pipeline.ReadContractNews([]byte(body))
		if err != nil {
			require.Equal(t, pipeline.CodeInvalid, pipeline.CodeOf(err))
			return
		}
		p := pipeline.NewProposal(1, 2, 3)
		p.UUID, p.Version, p.Status = "7cf8d5db-bb05-4a39-a40b-c83e17988c37", 1, pipeline.StateDraft
		plan := p.PlanContract(news, noon)
		after := requireLegal(t, p, plan)
		require.Empty(t, after.PlanContract(news, noon).Steps, "it is handled once")
	})
}
