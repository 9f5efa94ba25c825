package e2e_test

import (
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/standalone/stack"
)

// previous is the release before this one: a tag or a commit.
var previous = flag.String("previous", "", "the release that has to run on this schema; without it the newest tag before this commit")

// previousRelease is the ref to take, empty where there is none.
func previousRelease() string {
	if *previous != "" {
		return *previous
	}
	out, err := exec.Command("git", "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^").Output()
	if err != nil {
		return "" // no tag, or no checkout
	}
	return strings.TrimSpace(string(out))
}

// buildOf builds the command as it was.
func buildOf(t *testing.T, ref string) string {
	t.Helper()
	dir := newFolder(t)
	script := fmt.Sprintf(`git -C "$(git rev-parse --show-toplevel)" archive %q | tar -x -C %q
		cd %q && go build -buildvcs=false -o old ./cmd/dealwright`, ref, dir, dir)
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(dir, "old")
}

// TestThePreviousReleaseRunsOnThisSchema has API and worker of the release before work on the
// schema of this one, as they do while it is rolled out. Then this one goes on.
func TestThePreviousReleaseRunsOnThisSchema(t *testing.T) {
	t.Parallel()
	ref := previousRelease()
	if ref == "" {
		t.Skip("there is no release before this one (no tag v*); name one: make previous PREVIOUS=commit")
	}
	old := buildOf(t, ref)
	r := &rolling{engine: ownEngineWith(t, func(o *stack.Options) { o.NoWorker = true })}
	worker := startPart(t, old, r.env(), `"msg":"working"`, "worker")
	api := startPart(t, old, r.env(), `"msg":"serving"`, "api")

	c := r.newCompany(t)
	c.api = "http://" + api.log.field(t, "addr")
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	proposal := c.proposal(t, c.customer(t).ID)
	stream := proposal.Ref().Stream()
	c.walk(t, stream, wholeLife...)
	n := len(wholeLife) + 1
	require.Len(t, c.events(t, stream), n)
	delivered := func() bool {
		return len(partner.firstOf("/", stream)) == n && c.statuses(t, h)[pipeline.DeliveryPending] == 0
	}
	eventually(t, "all is delivered", delivered)
	worker.end(t)
	api.end(t)

	c.api = r.Ready().API
	r.startWorker(t, buildB)
	require.EqualValues(t, n+1, c.moved(t, stream, pipeline.TypeEmailSent, nil).Version)
	n++
	eventually(t, "all is delivered by the next", delivered)
	require.Equal(t, upTo(n), partner.firstOf("/", stream))
}
