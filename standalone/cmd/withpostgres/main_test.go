package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds waits that end as soon as what they wait for happens.
const (
	patience = time.Minute
	tick     = 5 * time.Millisecond
)

var binary string

// TestMain builds the command once for all tests.
func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	folder, err := os.MkdirTemp("", "withpostgres-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "withpostgres")
	if output, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v: %s", err, output)
		return 1
	}
	return m.Run()
}

func TestWithPostgres(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		script string
		status int
		output string
	}{
		"the address is given":        {`case "$DEALWRIGHT_TEST_DATABASE_URL" in postgres://*) echo yes;; esac`, 0, "yes\n"},
		"the exit status is passed":   {"exit 7", 7, ""},
		"so is the end by a signal":   {"kill -9 $$", 128 + 9, ""},
		"signals reach the command":   {`trap "echo heard; exit 3" TERM; kill -TERM $PPID; while :; do sleep 0.01; done`, 3, "heard\n"},
		"input and output are passed": {"cat", 0, "typed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			temporary := t.TempDir()
			command := exec.Command(binary, "sh", "-c", test.script)
			command.Env = append(os.Environ(), "TMPDIR="+temporary)
			command.Stdin = bytes.NewBufferString("typed")
			output, err := command.Output()
			require.Equal(t, test.status, exitStatus(t, err))
			require.Equal(t, test.output, string(output))

			left, err := os.ReadDir(temporary)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestSignalWhileStarting(t *testing.T) {
	t.Parallel()
	temporary := t.TempDir()
	command := exec.Command(binary, "true")
	command.Env = append(os.Environ(), "TMPDIR="+temporary)
	command.Stderr = io.Discard
	require.NoError(t, command.Start())
	require.Eventually(t, func() bool {
		made, err := filepath.Glob(filepath.Join(temporary, "*", "lock"))
		return err == nil && len(made) == 1
	}, patience, tick)
	require.NoError(t, command.Process.Signal(syscall.SIGTERM))
	_ = command.Wait() // it may have been quick enough to end well
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestNoCommand(t *testing.T) {
	t.Parallel()
	require.Equal(t, 2, exitStatus(t, exec.Command(binary).Run()))
}

func TestCommandThatIsNotThere(t *testing.T) {
	t.Parallel()
	require.Equal(t, 127, exitStatus(t, exec.Command(binary, "/no/such/command").Run()))
}

func exitStatus(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	return exit.ExitCode()
}
