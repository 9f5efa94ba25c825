package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
)

// The gaps at which a worker can be made to stand still, so that it is killed exactly there. A
// gap is between what was done and Temporal hearing of it.
const (
	gapRecorded  = "recorded"  // an event is committed, the workflow task is not completed
	gapDelivered = "delivered" // the attempts are committed, the activity is not completed
	gapRenewing  = "renewing"  // the workflow continues as new, and Temporal does not know yet
)

// gapVariable makes this program a worker when it starts (see TestMain).
const gapVariable = "DEALWRIGHT_E2E_WORKER"

// beGapWorker runs the real worker of the real command with a Temporal client that can stand
// still. It is told what to do line by line: "arm <gap>" and "go".
func beGapWorker() error {
	cfg, err := app.ReadConfig("e2e")
	if err != nil {
		return err
	}
	log, err := cfg.Logger(os.Stderr)
	if err != nil {
		return err
	}
	options, err := app.TemporalOptions(cfg, log)
	if err != nil {
		return err
	}
	g := &gaps{passed: make(chan struct{})}
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(g.intercept))
	process, err := app.NewProcess(cfg, options, log)
	if err != nil {
		return err
	}
	go g.listen(os.Stdin)
	return process.RunWorker(context.Background(), func() { tell("ready") })
}

// gaps are where a worker stands still.
type gaps struct {
	armed  atomic.Value // the gap, a string
	passed chan struct{}
}

func (g *gaps) listen(orders io.Reader) {
	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		if gap, found := strings.CutPrefix(lines.Text(), "arm "); found {
			g.armed.Store(gap)
			tell("armed")
			continue
		}
		g.passed <- struct{}{}
	}
	os.Exit(1) //nolint:revive // the test has gone, and this process is there for it alone
}

// tell the test, which reads what this process prints.
func tell(line string) { _, _ = os.Stdout.WriteString(line + "\n") }

func (g *gaps) intercept(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if gap := gapBefore(request); gap != "" && g.armed.CompareAndSwap(gap, "") {
		tell("at " + gap)
		<-g.passed
	}
	return invoke(ctx, method, request, reply, conn, options...)
}

// gapBefore names the gap that a request to Temporal ends.
func gapBefore(request any) string {
	switch r := request.(type) {
	case *workflowservice.RespondActivityTaskCompletedRequest:
		return gapDelivered
	case *workflowservice.RespondWorkflowTaskCompletedRequest:
		for _, c := range r.GetCommands() {
			if c.GetCommandType() == enums.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION {
				return gapRenewing
			}
			if c.GetRecordMarkerCommandAttributes().GetMarkerName() == "LocalActivity" {
				return gapRecorded
			}
		}
	}
	return ""
}

// gapWorker is such a worker, running.
type gapWorker struct {
	*exec.Cmd

	orders io.Writer
	lines  chan string
	done   chan struct{}
}

// startGapWorker starts one for an engine that has none, and waits until it works.
func startGapWorker(t *testing.T, e *engine) *gapWorker {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	w := &gapWorker{Cmd: exec.Command(program), lines: make(chan string, 10), done: make(chan struct{})}
	w.Env = append(os.Environ(),
		gapVariable+"=1", "DATABASE_URL="+e.DatabaseURL(), "TEMPORAL_ADDRESS="+e.Ready().Temporal,
		"DEALWRIGHT_ENCRYPTION_KEY="+encryptionKey, "DEALWRIGHT_ALLOW_TARGETS=127.0.0.0/8,::1/128",
		"DEALWRIGHT_RETRY_SCHEDULE="+retrySchedule, "DEALWRIGHT_LOG_FORMAT=text", "DEALWRIGHT_LOG_LEVEL=warn")
	w.Stderr = e.log
	w.orders, err = w.StdinPipe()
	require.NoError(t, err)
	said, err := w.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, w.Start())
	go func() {
		for lines := bufio.NewScanner(said); lines.Scan(); {
			w.lines <- lines.Text()
		}
		_ = w.Wait() // it is killed, as a rule
		close(w.done)
	}()
	t.Cleanup(w.kill)
	w.says(t, "ready")
	return w
}

// arm has it stand still at a gap, the next time that it comes there.
func (w *gapWorker) arm(t *testing.T, gap string) {
	t.Helper()
	_, err := fmt.Fprintln(w.orders, "arm", gap)
	require.NoError(t, err)
	w.says(t, "armed")
}

func (w *gapWorker) reaches(t *testing.T, gap string) {
	t.Helper()
	w.says(t, "at "+gap)
}

func (w *gapWorker) goOn(t *testing.T) {
	t.Helper()
	_, err := fmt.Fprintln(w.orders, "go")
	require.NoError(t, err)
}

func (w *gapWorker) says(t *testing.T, line string) {
	t.Helper()
	eventually(t, "the worker says "+line, func() bool {
		select {
		case said := <-w.lines:
			require.Equal(t, line, said)
			return true
		case <-w.done:
			t.Fatalf("the worker has ended before it said %q", line)
		default:
		}
		return false
	})
}

// kill ends it as kill -9 does.
func (w *gapWorker) kill() {
	_ = w.Process.Kill() // fails only where it has ended already
	<-w.done
}
