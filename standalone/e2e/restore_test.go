package e2e_test

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/standalone/privatepostgres"
	"github.com/dealwright/dealwright/standalone/stack"
)

// postgresTool finds a program of Postgres' that backups are made with, where the machine has it.
func postgresTool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skip("there is no " + name + " on this machine")
	}
	return slices.Max(found)
}

func outputOf(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", filepath.Base(program), out)
	return string(out)
}

// What docs/operations.md says of a disaster, done: a dump of Postgres is all that is left. A new
// Postgres gets it, a new Temporal knows nothing, recover-workflows starts what should run, and
// the pipeline goes on where it was.
func TestADumpOfPostgresIsEnoughToGoOn(t *testing.T) {
	t.Parallel()
	dump, restore := postgresTool(t, "pg_dump"), postgresTool(t, "pg_restore")
	dir := newFolder(t)
	partner := newReceiver(t)
	backup := filepath.Join(dir, "dealwright.dump")

	lost := ownEngine(t)
	c := lost.newCompany(t)
	h := c.webhook(t, partner.URL+"/", nil)
	customer := c.customer(t)
	proposal := c.proposal(t, customer.ID).Ref().Stream()
	c.moved(t, proposal, pipeline.TypeProposalSent, nil)
	c.allAre(t, h, pipeline.DeliveryDelivered, 3)
	outputOf(t, nil, dump, "--format=custom", "--file="+backup, lost.DatabaseURL())

	// A new server, a new Temporal; the disaster has left nothing but the dump and the key.
	server, err := privatepostgres.Start(t.Context(), privatepostgres.Options{
		Dir: filepath.Join(newFolder(t), "postgres"), Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	psql := postgresTool(t, "psql")
	outputOf(t, nil, psql, server.URL(), "-c", "CREATE ROLE dealwright_api NOLOGIN")
	outputOf(t, nil, restore, "--no-owner", "--exit-on-error", "--dbname="+server.URL(), backup)
	again, err := startEngine(t.Context(), func(o *stack.Options) { o.App.DatabaseURL = server.URL() })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, again.stop()) })
	require.Empty(t, again.list(t, `WorkflowType IN ("Customer","Proposal","Webhook")`))

	command := filepath.Join(dir, "dealwright")
	outputOf(t, nil, "go", "build", "-buildvcs=false", "-o", command, "github.com/dealwright/dealwright/cmd/dealwright")
	said := outputOf(t, []string{
		"DATABASE_URL=" + server.URL(), "TEMPORAL_ADDRESS=" + again.Ready().Temporal, "DEALWRIGHT_ENCRYPTION_KEY=" + encryptionKey,
	}, command, "recover-workflows")
	t.Log(said)
	again.listed(t, `WorkflowType IN ("Customer","Proposal") AND ExecutionStatus="Running"`, 2)

	restored := company{caller: caller{api: again.Ready().API, key: c.key}, id: c.id}
	restored.requireStream(t, proposal, pipeline.TypeProposalRequested, pipeline.TypeProposalSent)
	restored.moved(t, proposal, pipeline.TypeProposalSelected, nil)
	restored.requireStream(t, proposal, pipeline.TypeProposalRequested, pipeline.TypeProposalSent, pipeline.TypeProposalSelected)
	restored.allAre(t, h, pipeline.DeliveryDelivered, 4)
	require.Equal(t, upTo(3), partner.firstOf("/", proposal))
	require.NoError(t, again.audit(t.Context()))
}
