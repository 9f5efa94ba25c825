// Command dealwright runs the engine in its production shape, each part as a process of its
// own: dealwright api, dealwright worker, and the operator's tools beside them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
)

// version is set by the linker for a release.
var version = "dev"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "dealwright:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := app.Command(version).ExecuteContext(ctx)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err //nolint:wrapcheck // cobra hands on what our own commands say
}
