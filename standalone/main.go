// Command dealwright-standalone is the whole engine in one process: API, worker, Temporal with
// its UI, and a Postgres of its own. It needs nothing set up and keeps its state in a folder.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"go.temporal.io/sdk/worker"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
	"github.com/dealwright/dealwright/standalone/stack"
)

// version is set by the linker for a release.
var version = "dev"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "dealwright:", err)
		os.Exit(1)
	}
}

const usage = `Usage: dealwright-standalone

Runs API, worker, Temporal with its UI, and a Postgres of its own, in one process.
It takes no arguments; the environment configures it (README.md, "Configuration").
`

func run() error {
	if len(os.Args) > 1 {
		fmt.Fprint(os.Stderr, usage)
		return nil
	}
	spareMemoryForTime()
	worker.SetStickyWorkflowCacheSize(workflowsKept)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options, err := stack.ReadOptions(version)
	if err != nil {
		return err
	}
	slog.SetDefault(options.Logger) // also for what libraries write to the standard logger
	stopTracing, err := app.StartTracing(ctx, version)
	if err != nil {
		return err
	}
	s, err := stack.Start(ctx, options)
	if err != nil {
		return err
	}
	if err := announce(s.Ready()); err != nil {
		return err
	}
	return errors.Join(s.Wait(), stopTracing())
}

// workflowsKept is how many lifecycles the worker keeps in memory between their transitions, some
// 60 kB each: with the SDK's 10,000 the heap would come close to its limit, and the collector
// would be at work all the time. One that is not kept is read again when something happens to it.
const workflowsKept = 4_000

// spareMemoryForTime collects garbage less often than Go would by itself: embedded Temporal makes
// much of it from a small live heap. The limit brings the collector back where the heap is large.
// GOGC and GOMEMLIMIT, where they are set, have the last word.
func spareMemoryForTime() {
	const percent, limit = 300, 1 << 30
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

// announce prints the line that programs wait for. It is the only thing on stdout.
func announce(ready stack.Ready) error {
	line, err := json.Marshal(ready)
	if err != nil {
		return fmt.Errorf("encode ready line: %w", err)
	}
	if _, err := fmt.Fprintf(os.Stdout, "ready %s\n", line); err != nil {
		return fmt.Errorf("write ready line: %w", err)
	}
	return nil
}
