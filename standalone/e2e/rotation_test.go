package e2e_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/standalone/stack"
)

// engineWith starts an engine on a folder that others have used before it, with these encryption keys.
func engineWith(t *testing.T, dir string, keys ...string) *engine {
	t.Helper()
	all := strings.Join(keys, ",")
	e := &engine{dir: dir, log: &journal{}}
	var err error
	e.Stack, err = stack.Start(t.Context(), stack.Options{
		App: app.Config{
			Addr: "127.0.0.1:0", EncryptionKey: all, AllowTargets: "127.0.0.0/8,::1/128",
			RetrySchedule: retrySchedule, MaxConns: 20, Version: "e2e",
		},
		Data: dir, Logger: logger(e.log),
	})
	require.NoError(t, err)
	require.NoError(t, e.connect(t.Context(), all))
	return e
}

// end ends an engine and leaves its folder.
func (e *engine) end(t *testing.T) {
	t.Helper()
	e.temporal.Close()
	require.NoError(t, errors.Join(e.db.Close(), e.store.Close(), e.Stop()))
}

// at is the same company at another engine.
func (c company) at(e *engine) company {
	c.engine, c.api = e, e.Ready().API
	return c
}

// The procedure of docs/operations.md, from the old key to the new one alone.
func TestTheEncryptionKeyIsReplacedWhileDealsGoOn(t *testing.T) {
	t.Parallel()
	old := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("o", 32)))
	fresh := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("n", 32)))
	dir := newFolder(t)
	partner := newReceiver(t)
	arrives := func(c company, h hook, n int) {
		eventually(t, "the partner is told", func() bool { return partner.count("/") == n })
		c.allAre(t, h, pipeline.DeliveryDelivered, n)
		for _, d := range partner.at("/") {
			d.requireSigned(t, h.Secret)
			require.Equal(t, "Bearer "+confidential, d.header.Get("Authorization"))
		}
	}

	e := engineWith(t, dir, old)
	c := e.newCompany(t)
	h := c.webhook(t, partner.URL+"/", object{"auth": object{"type": "bearer", "token": confidential}})
	customer := want[pipeline.Customer](t, c.post(t, "/v1/customers", plantedCustomer()), http.StatusCreated).Ref().Stream()
	idle := c.customer(t).Ref().Stream()
	arrives(c, h, 2)
	e.end(t)

	// Every process can read the new key's before any of them writes with it; then it comes in front.
	for n, keys := range [][]string{{old, fresh}, {fresh, old}} {
		e = engineWith(t, dir, keys...)
		c = c.at(e)
		c.moved(t, customer, pipeline.TypeEmailSent, nil)
		arrives(c, h, 3+n)
		if n == 0 {
			e.end(t)
		}
	}
	out := e.rotate(t, fresh+","+old)
	require.Contains(t, out, "No longer needed in Postgres")
	require.Regexp(t, `^[1-9]\d* values sealed anew`, out)
	require.Regexp(t, `^0 values sealed anew`, e.rotate(t, fresh+","+old))
	c.moved(t, customer, pipeline.TypeEmailSent, nil)
	arrives(c, h, 5)
	e.end(t)

	// Without the old key the store is whole, and a workflow whose history needs it waits for it.
	e = engineWith(t, dir, fresh)
	c = c.at(e)
	require.Equal(t, plantedName, want[object](t, c.get(t, pathOf(customer)), http.StatusOK)["name"])
	waiting := c.post(t, pathOf(customer)+"/transitions", body(pipeline.TypeEmailSent, nil), idempotent("waits"))
	refused(t, waiting, http.StatusServiceUnavailable, pipeline.CodeUnavailable)
	described, err := e.temporal.DescribeWorkflowExecution(t.Context(), string(customer), "")
	require.NoError(t, err)
	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, described.GetWorkflowExecutionInfo().GetStatus())
	require.True(t, e.log.contains("sealed with a key that is not in DEALWRIGHT_ENCRYPTION_KEY"))
	for _, stream := range []pipeline.Stream{customer, idle} {
		require.NoError(t, e.temporal.TerminateWorkflow(t.Context(), string(stream), "", "needs the old encryption key"))
	}
	want[object](t, c.post(t, pathOf(customer)+"/transitions", body(pipeline.TypeEmailSent, nil), idempotent("waits")), http.StatusCreated)
	c.moved(t, idle, pipeline.TypeEmailSent, nil)
	arrives(c, h, 7)
	require.NoError(t, e.audit(t.Context()))
	e.end(t)
}

// rotate runs the command beside an engine and gives what it says.
func (e *engine) rotate(t *testing.T, keys string) string {
	t.Helper()
	status, out, said := tool(t, []string{"DATABASE_URL=" + e.DatabaseURL(), "DEALWRIGHT_ENCRYPTION_KEY=" + keys}, "rotate-encryption-key")
	require.Zero(t, status, said)
	return out
}
