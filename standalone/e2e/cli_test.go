package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
	"github.com/dealwright/dealwright/pipeline"
)

// printed is written by a command that runs and read by its test.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *printed) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *printed) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// command runs the dealwright command as a company's user would.
func (c company) command(ctx context.Context, out, progress *printed, args ...string) error {
	root := app.Command("test") //nolint:contextcheck // it comes with ExecuteContext
	root.SetArgs(append(args, "--api", c.api, "--key", c.key))
	root.SetOut(out)
	root.SetErr(progress)
	return root.ExecuteContext(ctx)
}

// line gives what a command prints with --json, decoded.
func line[T any](t *testing.T, c company, args ...string) T {
	t.Helper()
	var out, progress printed
	require.NoError(t, c.command(t.Context(), &out, &progress, append(args, "--json")...), progress.String())
	var v T
	first, _, _ := strings.Cut(out.String(), "\n")
	require.NoError(t, json.Unmarshal([]byte(first), &v), out.String())
	return v
}

func number(id int64) string { return strconv.FormatInt(id, 10) }

func TestTheCommandDrivesADeal(t *testing.T) {
	t.Parallel()
	c := sharedEngine(t).newCompany(t)
	customer := c.customer(t)
	proposal := c.proposal(t, customer.ID)
	id := number(proposal.ID)

	moved := line[struct {
		State   pipeline.Proposal
		Allowed []pipeline.EventType
	}](t, c, "proposals", "move", id, "proposal.sent", "--data", `{"channel":"email"}`)
	require.Equal(t, "sent", moved.State.Status)
	require.Contains(t, moved.Allowed, pipeline.TypeProposalSelected)
	require.Equal(t, moved.State.ID, line[pipeline.Proposal](t, c, "proposals", "show", id).ID)
	require.Equal(t, proposal.ID, line[pipeline.Proposal](t, c, "proposals", "list", "--status", "sent").ID)
	require.Equal(t, customer.ID, line[pipeline.Customer](t, c, "customers", "list", "--limit", "1").ID)

	var out, progress printed
	require.NoError(t, c.command(t.Context(), &out, &progress, "proposals", "list"))
	require.Contains(t, out.String(), "STATUS")
	require.Contains(t, out.String(), "sent")

	err := c.command(t.Context(), &out, &progress, "proposals", "move", id, "contract.signed")
	require.ErrorContains(t, err, "illegal_transition")
	require.ErrorContains(t, c.command(t.Context(), &out, &progress, "proposals", "show", "none"), "is no id")
}

func TestTheCommandFollowsEvents(t *testing.T) {
	t.Parallel()
	c := sharedEngine(t).newCompany(t)
	c.customer(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var out, progress printed
	ended := make(chan error, 1)
	go func() { ended <- c.command(ctx, &out, &progress, "events", "tail", "--after", "0") }()
	eventually(t, "the first event", func() bool { return strings.Contains(out.String(), "customer.created") })
	c.customer(t)
	eventually(t, "the next event", func() bool { return strings.Count(out.String(), "customer.created") == 2 })
	interrupt()
	require.NoError(t, <-ended)
}

func TestTheCommandReplaysWithAProgressBar(t *testing.T) {
	t.Parallel()
	c := sharedEngine(t).newCompany(t)
	partner := newReceiver(t)
	for range 3 {
		c.customer(t)
	}
	made := line[hook](t, c, "webhooks", "create", partner.URL+"/", "--events", "customer.*")
	require.NotEmpty(t, made.Secret)
	var out, progress printed
	require.NoError(t, c.command(t.Context(), &out, &progress, "webhooks", "replay", number(made.ID)))
	require.Contains(t, progress.String(), "100%")
	require.Equal(t, 3, partner.count("/"))

	d := line[pipeline.Delivery](t, c, "deliveries", "list", "--webhook", number(made.ID))
	line[pipeline.Delivery](t, c, "deliveries", "resend", number(d.ID))
	eventually(t, "one more", func() bool {
		return len(line[pipeline.Delivery](t, c, "deliveries", "show", number(d.ID)).Attempts) == 2
	})
	require.Equal(t, 4, partner.count("/"))
	require.True(t, line[sampleSent](t, c, "webhooks", "test", number(made.ID), "proposal.sold").Delivered)
	require.NoError(t, c.command(t.Context(), &out, &progress, "webhooks", "delete", number(made.ID)))
	refused(t, c.get(t, made.path()), http.StatusNotFound, pipeline.CodeNotFound)
}

func TestListenForwardsRealDeliveries(t *testing.T) {
	t.Parallel()
	c := sharedEngine(t).newCompany(t)
	mine := newReceiver(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var out, progress printed
	ended := make(chan error, 1)
	go func() {
		ended <- c.command(ctx, &out, &progress, "listen", "--forward-to", mine.URL+"/dev", "--events", "customer.*")
	}()
	eventually(t, "the webhook of the session", func() bool { return strings.Contains(progress.String(), "its secret is whsec_") })
	_, secret, _ := strings.Cut(progress.String(), "whsec_")
	c.customer(t)
	eventually(t, "the delivery", func() bool { return strings.Contains(out.String(), "-> 200 OK") })
	got := mine.at("/dev")
	require.Len(t, got, 1)
	got[0].requireSigned(t, "whsec_"+strings.TrimSpace(secret))
	require.Contains(t, out.String(), `"type":"customer.created"`)
	interrupt()
	require.NoError(t, <-ended)
	require.Empty(t, want[list[hook]](t, c.get(t, "/v1/webhooks"), http.StatusOK).Data, "its webhook goes with it")
}
