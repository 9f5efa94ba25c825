// Command bench measures the engine beside a bare workflow on the same Temporal server and the same Postgres, so that the
// difference is what the engine adds, and how it delivers: to many webhooks, to slow ones, and the past once more:
//
//	make bench
//	cd standalone && go run ./bench -rounds 5 -seconds 20
//	cd standalone && go run ./bench -only fanout,replay
//	cd standalone && go run ./bench -only overload
//
// It starts a standalone of its own as a separate process, with everything in a temporary folder, and ends it. Rounds of
// the two alternate and medians are shown, since other work on the machine would otherwise fall on one of them. The table
// goes to stdout, progress to stderr. The exit status says whether it could measure, not what came of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options say what to measure, and for how long.
type options struct {
	rounds  int
	seconds int
	clients int
	rate    int
	// overload is how many seconds of it.
	overload int
	only     []string // empty: everything
	binary   string
}

func (o options) duration() time.Duration { return time.Duration(o.seconds) * time.Second }

// measurements are all that can be measured, in the order in which it is.
var measurements = []string{nameBare, nameEngine, nameFanOut, nameDelay, nameNeighbours, nameReplay, nameOverload}

// wants tells whether something is to be measured.
func (o options) wants(name string) bool { return len(o.only) == 0 || slices.Contains(o.only, name) }

// flatOut are the subjects that are measured flat out. What is compared with the engine's one webhook brings that along.
func (o options) flatOut() []string {
	var names []string
	for _, name := range []string{nameBare, nameEngine, nameFanOut, nameDelay} {
		if o.wants(name) || name == nameEngine && (o.wants(nameFanOut) || o.wants(nameDelay)) {
			names = append(names, name)
		}
	}
	return names
}

// paced are the subjects that are measured at a rate.
func (o options) paced() []string {
	var names []string
	for _, name := range []string{nameBare, nameEngine} {
		if o.wants(name) {
			names = append(names, name)
		}
	}
	return names
}

func readOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 3, "how often each measurement is repeated; medians are shown")
	flags.IntVar(&o.seconds, "seconds", 15, "how long each measurement lasts")
	flags.IntVar(&o.clients, "clients", 16, "concurrent clients")
	flags.IntVar(&o.rate, "rate", 20, "transitions per second where latency is measured, all clients together")
	flags.IntVar(&o.overload, "overload-seconds", 60, "how long the overload lasts")
	flags.Func("only", "measure only these, with commas between them: "+strings.Join(measurements, ", "), func(list string) error {
		o.only = strings.Split(list, ",")
		return nil
	})
	flags.StringVar(&o.binary, "standalone", "", "a standalone binary to measure, instead of building this checkout's")
	if err := flags.Parse(args); err != nil {
		return o, fmt.Errorf("read flags: %w", err)
	}
	if o.rounds < 1 || o.seconds < 1 || o.clients < 1 || o.rate < 1 || o.overload < 1 {
		return o, errors.New("-rounds, -seconds, -clients, -rate and -overload-seconds have to be 1 or more")
	}
	for _, name := range o.only {
		if !slices.Contains(measurements, name) {
			return o, fmt.Errorf("-only can have %s, not %q", strings.Join(measurements, ", "), name)
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := readOptions(args)
	if err != nil {
		return err
	}
	// Temporal's client and the worker tell their problems here; what they do every day is not of interest.
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if o.binary == "" {
		progressf("building standalone (about 4 minutes the first time)")
		if o.binary, err = buildStandalone(ctx); err != nil {
			return err
		}
	}
	load := loadAverage()
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	results, err := b.run(ctx)
	if err := errors.Join(err, b.close()); err != nil {
		return err
	}
	return results.print(out, o, load)
}

func progressf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}
