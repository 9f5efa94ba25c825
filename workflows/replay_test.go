package workflows_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/workflows"
)

// histories are workflows as they really ran, recorded by `make histories`: one of each shape,
// in a folder for each version of the code.
func histories(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/histories/*/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files, "there is nothing to replay: run make histories")
	return files
}

// nameOf a history: its version and its shape.
func nameOf(file string) string {
	return filepath.Base(filepath.Dir(file)) + "/" + strings.TrimSuffix(filepath.Base(file), ".json")
}

// Workflows that began with an older version of this code go on with the present one, so the
// present one has to do what the histories say. Where it cannot, use workflow.GetVersion; a
// history goes only where none of its version can be under way anywhere.
func TestHistoriesReplay(t *testing.T) {
	t.Parallel()
	for _, file := range histories(t) {
		t.Run(nameOf(file), func(t *testing.T) {
			t.Parallel()
			replayer := worker.NewWorkflowReplayer()
			replayer.RegisterWorkflow(workflows.Customer)
			replayer.RegisterWorkflow(workflows.Proposal)
			replayer.RegisterWorkflow(workflows.Webhook)
			replayer.RegisterWorkflow(workflows.TestWebhook)
			replayer.RegisterWorkflow(workflows.Sweep)
			replayer.RegisterWorkflow(workflows.Retention)
			replayer.RegisterWorkflow(workflows.Inbound)
			replayer.RegisterWorkflow(workflows.Document)
			require.NoError(t, replayer.ReplayWorkflowHistoryFromJSONFile(nil, file))
		})
	}
}

// A replay that passes whatever the workflow does would say nothing. These do something else:
// none does all that the real ones did.
func TestReplayFindsAWorkflowThatDoesSomethingElse(t *testing.T) {
	t.Parallel()
	others := map[string]any{
		"does nothing": func(workflow.Context, any) (any, error) { return nil, nil }, //nolint:nilnil // it does nothing
		"takes updates and forgets to tell partners": func(ctx workflow.Context, _ any) error {
			err := workflow.SetUpdateHandler(ctx, workflows.UpdateTransition,
				func(workflow.Context, workflows.Transition) (workflows.Outcome, error) {
					return workflows.Outcome{}, nil
				})
			if err != nil {
				return err
			}
			return workflow.Await(ctx, func() bool { return false })
		},
	}
	for name, other := range others {
		for _, file := range histories(t) {
			t.Run(name+"/"+nameOf(file), func(t *testing.T) {
				t.Parallel()
				replayer := worker.NewWorkflowReplayer()
				for _, as := range []string{"Customer", "Proposal", "Webhook", "TestWebhook", "Sweep", "Retention", "Inbound", "Document"} {
					replayer.RegisterWorkflowWithOptions(other, workflow.RegisterOptions{Name: as})
				}
				require.Error(t, replayer.ReplayWorkflowHistoryFromJSONFile(nil, file))
			})
		}
	}
}

// Histories are public. Nobody's address may be in them, nor where they were recorded.
func TestHistoriesHoldNobodysData(t *testing.T) {
	t.Parallel()
	address := regexp.MustCompile(`[\w.+-]+@[\w-]+(\.[\w-]+)*`)
	for _, file := range histories(t) {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		var history any
		require.NoError(t, json.Unmarshal(content, &history))
		for _, text := range texts(history) {
			for _, found := range address.FindAllString(text, -1) {
				require.Regexp(t, `@example\.com$`, found, file)
			}
			require.NotRegexp(t, `/(home|root|work|tmp|Users)/`, text, file)
		}
	}
}

// texts are all strings of a JSON value, those in payloads decoded.
func texts(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		all = append(all, v)
		if decoded, err := base64.StdEncoding.DecodeString(v); err == nil {
			all = append(all, string(decoded))
		}
	case []any:
		for _, element := range v {
			all = append(all, texts(element)...)
		}
	case map[string]any:
		for _, element := range v {
			all = append(all, texts(element)...)
		}
	}
	return all
}
