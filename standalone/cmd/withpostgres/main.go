// Command withpostgres runs a command with a private Postgres that lives as long as the command:
//
//	withpostgres go test ./...
//
// The command finds the server's address in DEALWRIGHT_TEST_DATABASE_URL. Signals are passed on to it, and its exit
// status becomes ours. Nothing is left behind.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/dealwright/dealwright/standalone/privatepostgres"
)

const variable = "DEALWRIGHT_TEST_DATABASE_URL"

// As in a shell: ours, the command's own, and those that say why it did not run.
const (
	statusFailed    = 1
	statusUsage     = 2
	statusNotFound  = 127
	statusSignalled = 128
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: withpostgres COMMAND [ARGUMENT…]")
		os.Exit(statusUsage)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpostgres:", err)
	}
	os.Exit(status)
}

// run starts the server, runs the command and clears up. The status is the command's, unless clearing up fails.
func run(command []string) (status int, err error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)

	folder, err := os.MkdirTemp("", "withpostgres-")
	if err != nil {
		return statusFailed, err
	}
	defer func() {
		if removeErr := os.RemoveAll(folder); removeErr != nil {
			status, err = statusFailed, errors.Join(err, removeErr)
		}
	}()

	server, err := startServer(folder, signals)
	if err != nil {
		return statusFailed, err
	}
	defer func() {
		if stopErr := server.Stop(); stopErr != nil {
			status, err = statusFailed, errors.Join(err, stopErr)
		}
	}()
	return runCommand(command, server.URL(), signals)
}

// startServer gives up when a signal comes meanwhile.
func startServer(folder string, signals <-chan os.Signal) (*privatepostgres.Server, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := make(chan struct{})
	defer close(started)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-started:
		}
	}()
	return privatepostgres.Start(ctx, privatepostgres.Options{Dir: folder, Throwaway: true})
}

func runCommand(command []string, url string, signals <-chan os.Signal) (status int, err error) {
	// No context ends it: signals are passed on, and it decides what to make of them.
	child := exec.Command(command[0], command[1:]...) //nolint:noctx // see above
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = append(os.Environ(), variable+"="+url)
	if err := child.Start(); err != nil {
		return statusNotFound, err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case received := <-signals:
			// Fails only when the command has just ended, which is told next.
			_ = child.Process.Signal(received)
		case err := <-ended:
			return statusOf(err)
		}
	}
}

func statusOf(err error) (int, error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if err != nil {
			return statusFailed, err
		}
		return 0, nil
	}
	if state, ok := exit.Sys().(syscall.WaitStatus); ok && state.Signaled() {
		return statusSignalled + int(state.Signal()), nil
	}
	return exit.ExitCode(), nil
}
