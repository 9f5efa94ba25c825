package docs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// partnerParts are what partners.md says of other systems' names and payloads, and of endpoints.
func partnerParts(t *testing.T) map[string]string {
	t.Helper()
	parts := map[string]string{"worst endpoints": worstEndpoints(t)}
	for system, of := range map[string]func(pipeline.Names) []pipeline.Name{
		pipeline.FormatSolo:       func(n pipeline.Names) []pipeline.Name { return n.Solo },
		pipeline.FormatSolarProof: func(n pipeline.Names) []pipeline.Name { return n.SolarProof },
		pipeline.FormatSolve360:   func(n pipeline.Names) []pipeline.Name { return n.Solve360 },
		pipeline.FormatSighten:    func(n pipeline.Names) []pipeline.Name { return n.Sighten },
	} {
		parts["names: "+system] = namesIn(of)
	}
	for _, payload := range []string{
		"solo/customer", "solarproof/customer_created", "solarproof/customer_status_change", "solarproof/project_email_sent",
		"solarproof/recent_draft_project", "solve360/customer", "sighten/contract",
	} {
		parts["sample: "+payload] = payloadSample(t, payload)
	}
	return parts
}

// namesIn is the table of what a system calls our events.
func namesIn(of func(pipeline.Names) []pipeline.Name) string {
	var table strings.Builder
	table.WriteString("| it sends | when |\n|---|---|\n")
	for _, e := range pipeline.Catalogue() {
		if named := of(e.Names); len(named) > 0 {
			fmt.Fprintf(&table, "| %s | %#q: %s |\n", names(named), e.Type, e.Description)
		}
	}
	return table.String()
}

// payloadSample is the example of the schema of a partner's payload.
func payloadSample(t *testing.T, payload string) string {
	t.Helper()
	schema, err := schemas.Schema("partners/" + payload)
	require.NoError(t, err)
	var written struct {
		Examples []json.RawMessage `json:"examples"`
	}
	require.NoError(t, json.Unmarshal(schema, &written))
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, written.Examples[0]))
	return "```json\n" + compact.String() + "\n```\n"
}
