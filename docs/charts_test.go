// Package docs_test keeps those parts of the documents that say what the code says: the test
// writes them from the code's own tables and fails where a document has something else.
package docs_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

var update = flag.Bool("update", false, "write the parts anew: go test ./docs -update")

// Every part stands between <!-- name --> and <!-- /word -->, word being the name's first one.
func TestPartsSayWhatTheCodeSays(t *testing.T) {
	t.Parallel()
	for file, parts := range map[string]map[string]string{
		"architecture.md": parts(),
		"partners.md":     partnerParts(t),
	} {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		text := string(b)
		for name, part := range parts {
			if *update {
				text = replace(t, text, name, part)
				continue
			}
			require.Equal(t, part, between(t, text, name), "%s in %s differs; go test ./docs -update writes it anew", name, file)
		}
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		}
	}
}

func parts() map[string]string {
	all := map[string]string{
		"rules: customer": rules(pipeline.KindCustomer),
		"rules: proposal": rules(pipeline.KindProposal),
		"catalogue":       catalogue(),
	}
	for _, track := range []pipeline.Track{pipeline.TrackCustomer, pipeline.TrackProposal, pipeline.TrackContract, pipeline.TrackCredit} {
		all["chart: "+string(track)] = "```mermaid\n" + pipeline.Mermaid(track) + "```\n"
	}
	return all
}

// rules is the table of when each event is legal.
func rules(kind pipeline.Kind) string {
	var table strings.Builder
	table.WriteString("| event | legal while | moves |\n|---|---|---|\n")
	for _, r := range pipeline.Rules(kind) {
		needs := make([]string, 0, len(r.Needs))
		for _, n := range r.Needs {
			needs = append(needs, fmt.Sprintf("%s is %s", n.Track, strings.Join(n.In, ", ")))
		}
		moves := "–"
		if r.To != "" {
			moves = fmt.Sprintf("%s to %s", r.Track, r.To)
		}
		fmt.Fprintf(&table, "| %#q | %s | %s |\n", r.Type, strings.Join(needs, "; and "), moves)
	}
	return table.String()
}

// catalogue is the table of events and what other systems call them.
func catalogue() string {
	var table strings.Builder
	table.WriteString("| event | what it says | Solo | Solar Proof | Solve360 | Sighten |\n|---|---|---|---|---|---|\n")
	for _, e := range pipeline.Catalogue() {
		fmt.Fprintf(&table, "| %#q | %s | %s | %s | %s | %s |\n", e.Type, e.Description,
			names(e.Names.Solo), names(e.Names.SolarProof), names(e.Names.Solve360), names(e.Names.Sighten))
	}
	return table.String()
}

func names(all []pipeline.Name) string {
	if len(all) == 0 {
		return "–"
	}
	out := make([]string, 0, len(all))
	for _, n := range all {
		name := n.Event
		if n.ConstraintType != "" {
			name += " / " + n.ConstraintType
		}
		if n.Kind != "" {
			name += fmt.Sprintf(" (a %s's only)", n.Kind)
		}
		if n.While != "" {
			name += fmt.Sprintf(" (while in %s)", n.While)
		}
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}

// bounds finds where a part begins and ends, without its markers.
func bounds(t *testing.T, text, name string) (from, to int) {
	t.Helper()
	word, _, _ := strings.Cut(name, ":")
	opening, closing := "<!-- "+name+" -->\n", "<!-- /"+word+" -->"
	require.Equal(t, 1, strings.Count(text, opening), "there has to be one %q", opening)
	from = strings.Index(text, opening) + len(opening)
	length := strings.Index(text[from:], closing)
	require.NotEqual(t, -1, length, "%q has no %q after it", opening, closing)
	return from, from + length
}

func between(t *testing.T, text, name string) string {
	t.Helper()
	from, to := bounds(t, text, name)
	return text[from:to]
}

func replace(t *testing.T, text, name, part string) string {
	t.Helper()
	from, to := bounds(t, text, name)
	return text[:from] + part + text[to:]
}
