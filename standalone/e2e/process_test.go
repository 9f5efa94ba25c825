package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/standalone/stack"
)

// binary is the real program, built by the first test that wants it.
var binary struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func program(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		binary.dir, binary.err = makeFolder() // not the test's own: others use the program as well
		if binary.err != nil {
			return
		}
		binary.path = filepath.Join(binary.dir, "dealwright-standalone")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", binary.path, "..")
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	require.NoError(t, binary.err)
	return binary.path
}

// process is the program, running.
type process struct {
	*exec.Cmd

	ready  stack.Ready
	output bytes.Buffer // standard error
	done   chan struct{}
	err    error
}

// makeFolder makes a data folder that Postgres' own account can enter, as it cannot enter
// those of t.TempDir.
func makeFolder() (string, error) {
	dir, err := os.MkdirTemp("", "dealwright-e2e-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// newFolder is one that goes with the test.
func newFolder(t *testing.T) string {
	t.Helper()
	dir, err := makeFolder()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// command prepares the program with a data folder and free ports.
func command(t *testing.T, dir string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program(t))
	cmd.Env = append(os.Environ(),
		"DEALWRIGHT_DATA="+dir, "DEALWRIGHT_ADDR=127.0.0.1:0", "DEALWRIGHT_TEMPORAL_PORT=0", "DEALWRIGHT_UI_PORT=0",
		"DEALWRIGHT_LOG_LEVEL=warn", "DEALWRIGHT_RETRY_SCHEDULE="+retrySchedule)
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// startProcess starts the program and waits until it says that it is ready.
func startProcess(t *testing.T, dir string, env ...string) *process {
	t.Helper()
	p := &process{Cmd: command(t, dir, env...), done: make(chan struct{})}
	p.Stderr = &p.output
	said, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	lines := bufio.NewScanner(said)
	isReady := lines.Scan()
	line, found := strings.CutPrefix(lines.Text(), "ready ")
	go func() {
		for lines.Scan() { // until the end, which Wait may not come before
		}
		p.err = p.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	if !isReady || !found {
		p.kill()
		t.Fatalf("not ready: %q\n%s", lines.Text(), p.output.String())
	}
	require.NoError(t, json.Unmarshal([]byte(line), &p.ready))
	return p
}

// kill ends the process as the machine's end would. Its Postgres is left to itself.
func (p *process) kill() {
	_ = p.Process.Kill() // fails only where it has ended already
	<-p.done
}

// company 1 is the one that the program's key belongs to.
func (p *process) company() company {
	return company{caller: caller{api: p.ready.API, key: p.ready.Key}, id: 1}
}

// postmasterOf is the process id of the Postgres that works in a data folder.
func postmasterOf(dir string) (int, error) {
	content, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return strconv.Atoi(line)
}

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	pid, err := postmasterOf(dir)
	require.NoError(t, err)
	return pid
}

// family lists a process and all that it has started, by what each of them began.
func family(t *testing.T, root int) []int {
	t.Helper()
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	require.NoError(t, err)
	children := map[int][]int{}
	for line := range strings.Lines(string(out)) {
		var pid, parent int
		_, err := fmt.Sscan(line, &pid, &parent)
		require.NoError(t, err)
		children[parent] = append(children[parent], pid)
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// gone waits until a process that is not our child has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("process %d has gone", pid), func() bool {
		return syscall.Kill(pid, 0) != nil
	})
}

// runToEnd runs the program until it ends by itself, and gives its exit status and what it said.
func runToEnd(t *testing.T, cmd *exec.Cmd) (status int, said string) {
	t.Helper()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	watchdog := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	err := cmd.Wait()
	if err == nil {
		return 0, output.String()
	}
	require.NotNil(t, cmd.ProcessState, "%v", err)
	return cmd.ProcessState.ExitCode(), output.String()
}
