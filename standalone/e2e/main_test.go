// Package e2e_test drives the whole engine from outside: HTTP in, signed webhooks out, and a
// look at Postgres and Temporal to see that the story is the same everywhere.
//
// Most tests share one engine in this process, and each has a company of its own in it, so
// that they do not meet. What kills things has an engine, or a process, to itself.
package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds every wait. Nothing is asserted about how long things take: a wait ends as
// soon as what it waits for is there, and this is only when a test gives up.
const patience = time.Minute

// tick is the pause between two looks.
const tick = 10 * time.Millisecond

// sideBySide is how many tests run at a time. Most of them wait most of the time, so it has
// nothing to do with the number of cores.
const sideBySide = "8"

func TestMain(m *testing.M) {
	if os.Getenv(gapVariable) != "" {
		fmt.Fprintln(os.Stderr, beGapWorker())
		os.Exit(1)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", sideBySide); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	forgetEnvironment()
	net.DefaultResolver = phoneBook.resolver()
	if err := trustAuthority(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := errors.Join(shared.end(), couple.end()); err != nil {
		fmt.Fprintln(os.Stderr, "after all tests:", err)
		code = 1
	}
	for _, dir := range []string{binary.dir, engineCommand.dir} {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

// forgetEnvironment: what a developer has set for a server of their own is not for this one.
func forgetEnvironment() {
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if name == "DATABASE_URL" || strings.HasPrefix(name, "DEALWRIGHT_") || strings.HasPrefix(name, "TEMPORAL_") {
			os.Unsetenv(name)
		}
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	require.NoError(t, await(what, isSo))
}

// await is eventually for other goroutines than the test's own.
func await(what string, isSo func() bool) error {
	for deadline := time.Now().Add(patience); !isSo(); time.Sleep(tick) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s in vain: %s", patience, what)
		}
	}
	return nil
}
