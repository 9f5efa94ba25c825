// Command temporalserver is the embedded Temporal server as a process of its own, for runs in the production shape:
//
//	temporalserver -dir DIR -port PORT
//
// It prints "ready" and its address when workflows can be started, and ends at SIGINT or SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/dealwright/dealwright/standalone/temporalserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "temporalserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	options := temporalserver.Options{
		NoUI:   true,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	flags := flag.NewFlagSet("temporalserver", flag.ContinueOnError)
	flags.StringVar(&options.Dir, "dir", "", "the folder of its state, required")
	flags.IntVar(&options.Port, "port", 0, "the frontend's port on loopback, 0 for a free one")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	server, err := temporalserver.Start(ctx, options)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "ready", server.HostPort())
	<-ctx.Done()
	return server.Stop() //nolint:contextcheck // stopping has a time limit of its own
}
