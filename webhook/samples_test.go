package webhook_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
	"github.com/dealwright/dealwright/webhook"
)

// The samples are those of the systems' own documents: Solar Proof, "Webhook Events
// Reference"; Sighten, "The Contract Webhook", where it is printed as a Python dict.
const sampleFolder = "testdata/samples"

func sample(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(sampleFolder, name+".json"))
	require.NoError(t, err)
	return body
}

// shape lists the fields of a JSON value in their order, each with its type. The entries of a
// list are of one shape; of an empty list nothing is known.
func shape(t *testing.T, body []byte) []string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	var out []string
	walkShape(t, dec, "", &out)
	return out
}

func walkShape(t *testing.T, dec *json.Decoder, at string, out *[]string) {
	t.Helper()
	next := func() json.Token {
		token, err := dec.Token()
		require.NoError(t, err)
		return token
	}
	note := func(kind string) {
		if line := at + " " + kind; !slices.Contains(*out, line) {
			*out = append(*out, line)
		}
	}
	switch v := next().(type) {
	case json.Delim:
		object := v == '{'
		note(map[bool]string{true: "object", false: "list"}[object])
		for dec.More() {
			inside := at + "[]"
			if object {
				inside = fmt.Sprint(at, "/", next())
			}
			walkShape(t, dec, inside, out)
		}
		next()
	case json.Number:
		note(map[bool]string{true: "number", false: "integer"}[strings.ContainsAny(v.String(), ".eE")])
	default:
		note(fmt.Sprintf("%T", v))
	}
}

// The people and projects of Solar Proof's samples.
var (
	johnDoe = []happening{
		{"customer.created", `{"uuid":"` + customerUUID + `","name":"John Doe","email":"john.doe@example.com",
			"type":"RESIDENTIAL","owner_id":4711,"status":1,"status_name":"New Contacts"}`},
		{"customer.status_changed", `{"status":2,"status_name":"Signed"}`},
	}
	smithResidence = []happening{
		{"proposal.drafted", `{"uuid":"` + proposalUUID + `","customer_uuid":"` + customerUUID + `",
			"nickname":"Smith Residence Solar","site_address":"123 Main St, Sydney NSW 2000"}`},
		{"proposal.saved", `{"system":{"size_kw":6.6}}`},
		{"email.sent", `{"subject":"Your proposal"}`},
		{"sms.sent", `{"body":"Your proposal"}`},
		{"proposal.requested", `{}`},
		{"proposal.link_published", `{"url":"https://p.example.com/1"}`},
	}
)

func TestSolarProofPayloadsAreTheSamples(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	events := append(happen(t, at, pipeline.NewCustomer(1, 12345), johnDoe),
		happen(t, at, pipeline.NewProposal(1, 12345, 54321), smithResidence)...)
	samples := map[string]string{
		"customer.created": "customer_created", "customer.status_changed": "customer_status_change",
		"proposal.drafted": "recent_draft_project", "proposal.saved": "recent_draft_project",
		"email.sent": "project_email_sent", "sms.sent": "project_sms_sent", "proposal.link_published": "published_proposal_link",
	}
	for _, e := range events {
		name, ok := samples[e.name]
		if !ok {
			continue
		}
		want := sample(t, "solarproof/"+name)
		require.NoError(t, schemas.Validate("partners/solarproof/"+name, want))
		got := only(t, e, pipeline.Webhook{Format: pipeline.FormatSolarProof})
		require.Equal(t, string(compact(t, want)), string(got.Body), e.name)
		require.Equal(t, shape(t, want), shape(t, got.Body), e.name)
	}
}

func TestTheSightenWebhookIsTheSample(t *testing.T) {
	t.Parallel()
	want := sample(t, "sighten/contract")
	require.NoError(t, schemas.Validate("partners/sighten/contract", want))
	m := only(t, deal(t, "contract.signed"), pipeline.Webhook{Format: pipeline.FormatSighten})

	// The sample has comments, which nobody makes here, and no envelope, which is
	// envelopes[].date_signed in the text above it.
	missing := func(line string) bool { return strings.HasPrefix(line, "/comments[]") }
	ours := func(line string) bool { return strings.HasPrefix(line, "/sub_tasks[]/data/envelopes[]") }
	require.Equal(t, slices.DeleteFunc(shape(t, want), missing), slices.DeleteFunc(shape(t, m.Body), ours))
	require.Contains(t, shape(t, m.Body), "/sub_tasks[]/data/envelopes[]/date_signed string")

	// With the sample's documents in the contract, that much is the same to the letter.
	for _, part := range []string{
		`"status":"COMP","document_status":"SIGN","instructions":null,"label":"Installation Agreement"`,
		`"name":"Cash Installation Agreement (2).pdf","document_type":"OTH","creation_type":"UPLOADED"`,
		`"quote":"7cf8d5db-bb05-4a39-a40b-c83e17988c37"`, `"site":"b0c16879-5c5f-4dd9-8442-65cc594372ed"`,
		`"uuid":"451c2577-96b7-48dd-a7d0-eb2e47293e96"`, `"uuid":"e24f5a7a-1d6d-4417-8af2-22da3d67d4cc"`,
	} {
		require.Contains(t, string(compact(t, want)), part)
		require.Contains(t, string(m.Body), part)
	}
}

func compact(t *testing.T, body []byte) []byte {
	t.Helper()
	b, err := json.Marshal(json.RawMessage(body))
	require.NoError(t, err)
	return b
}

// only is the one message that an event is to a webhook.
func only(t *testing.T, e told, w pipeline.Webhook) webhook.Message {
	t.Helper()
	messages, err := webhook.Messages(e.to(w))
	require.NoError(t, err)
	require.Len(t, messages, 1, e.name)
	return messages[0]
}
