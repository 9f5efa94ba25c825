package webhook_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
	"github.com/dealwright/dealwright/webhook"
)

var update = flag.Bool("update", false, "write the golden files anew: go test ./webhook -run Golden -update")

const (
	goldenFolder = "testdata/golden"
	// silence is the extension of the files that say that there is no message.
	silence = "none"
)

// speakers are a webhook of every format, and of every content type where there are several,
// by the extension of their golden files.
func speakers() []struct {
	webhook   pipeline.Webhook
	extension string
} {
	type speaker = struct {
		webhook   pipeline.Webhook
		extension string
	}
	var out []speaker
	for _, format := range pipeline.Formats() {
		if format != pipeline.FormatSolve360 {
			out = append(out, speaker{pipeline.Webhook{Format: format}, pipeline.ContentJSON})
			continue
		}
		for _, content := range []string{pipeline.ContentXML, pipeline.ContentJSON, pipeline.ContentForm} {
			out = append(out, speaker{pipeline.Webhook{Format: format, ContentType: content}, content})
		}
	}
	return out
}

// golden are the files that every event makes in every format: their bodies by path.
func golden(t *testing.T) map[string]string {
	t.Helper()
	return bodies(t, deals(t))
}

func bodies(t *testing.T, events []told) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, s := range speakers() {
		for _, e := range events {
			messages, err := webhook.Messages(e.to(s.webhook))
			require.NoError(t, err, "%s in %s", e.name, s.webhook.Format)
			path := filepath.Join(goldenFolder, s.webhook.Format, e.name)
			switch len(messages) {
			case 0:
				files[path+"."+silence] = "no message\n"
			case 1:
				files[path+"."+s.extension] = string(messages[0].Body) + "\n"
			default:
				for i, m := range messages {
					files[fmt.Sprintf("%s-%d.%s", path, i+1, s.extension)] = string(m.Body) + "\n"
				}
			}
		}
	}
	return files
}

func goldenFiles(t *testing.T) []string {
	t.Helper()
	var paths []string
	require.NoError(t, filepath.WalkDir(goldenFolder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}

// What every event of the catalogue is in every format, byte by byte.
func TestGolden(t *testing.T) {
	t.Parallel()
	want := golden(t)
	if *update {
		require.NoError(t, os.RemoveAll(goldenFolder))
		for path, body := range want {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(body), 0o644))
		}
	}
	for path, body := range want {
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(kept), body, path)
	}
	require.Len(t, goldenFiles(t), len(want), "files that nothing makes any more")
}

// A replay may come to the events of a customer that was erased since.
func TestErasedEventsInEveryFormat(t *testing.T) {
	t.Parallel()
	events := deals(t)
	whole := bodies(t, events)
	for i := range events {
		events[i] = events[i].erased(t)
	}
	personal := []string{
		"Zo", "zoe", "5550", "Mill", "tile", "B\u00fc", "Bü", "6.6", "Hi-MO", "p.example", "sign.example", "Cash", "712", "on site", "battery",
	}
	for path, body := range bodies(t, events) {
		require.Contains(t, whole, path, "as many messages as before")
		for _, word := range personal {
			require.NotContains(t, body, word, "%s: %s", path, body)
		}
		if filepath.Ext(path) == "."+pipeline.ContentJSON {
			require.NoError(t, schemas.Validate(schemaOf(path), []byte(body)), "%s: %s", path, body)
		}
	}
}

func TestTheDealsHaveEveryEvent(t *testing.T) {
	t.Parallel()
	types := map[pipeline.EventType]bool{}
	for _, e := range deals(t) {
		types[e.event.Type] = true
	}
	for _, entry := range pipeline.Catalogue() {
		require.Contains(t, types, entry.Type)
	}
}

// schemaOf names the schema of a golden file's body.
func schemaOf(path string) string {
	format := filepath.Base(filepath.Dir(path))
	name := filepath.Base(path)
	of := "proposal"
	if strings.HasPrefix(name, "customer.") || strings.HasPrefix(name, "appointment.") || strings.Contains(name, ".customer.") {
		of = "customer"
	}
	switch format {
	case pipeline.FormatNative:
		return schemas.Envelope
	case pipeline.FormatSighten:
		return "partners/sighten/contract"
	case pipeline.FormatSolarProof:
		return "partners/solarproof/" + solarProofName(name)
	default:
		return "partners/" + format + "/" + of
	}
}

func solarProofName(file string) string {
	for prefix, name := range map[string]string{
		"customer.created": "customer_created", "customer.status_changed": "customer_status_change",
		"email.sent": "project_email_sent", "sms.sent": "project_sms_sent",
		"proposal.link_published": "published_proposal_link",
		"proposal.drafted":        "recent_draft_project", "proposal.saved": "recent_draft_project",
	} {
		if strings.HasPrefix(file, prefix) {
			return name
		}
	}
	return ""
}

func TestGoldenBodiesAreWhatTheSchemasPromise(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for path, body := range golden(t) {
		if filepath.Ext(path) != "."+pipeline.ContentJSON {
			continue
		}
		require.NoError(t, schemas.Validate(schemaOf(path), []byte(body)), path)
		used[schemaOf(path)] = true
	}
	names, err := schemas.Names()
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasPrefix(name, "partners/") {
			require.Contains(t, used, name, "no golden file has a body of this schema")
		}
	}
}
