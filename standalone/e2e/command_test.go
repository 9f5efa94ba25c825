package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// engineCommand is the dealwright command, built by the first test that wants it.
var engineCommand struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func dealwright(t *testing.T) string {
	t.Helper()
	c := &engineCommand
	c.once.Do(func() {
		if c.dir, c.err = makeFolder(); c.err != nil {
			return
		}
		c.path = filepath.Join(c.dir, "dealwright")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", c.path, "./cmd/dealwright")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			c.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	require.NoError(t, c.err)
	return c.path
}

// tool runs the command to its end, and gives what it printed.
func tool(t *testing.T, env []string, args ...string) (status int, out, said string) {
	t.Helper()
	cmd := exec.Command(dealwright(t), args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	require.NotNil(t, cmd.ProcessState, "%v", err)
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// part is one process of the production shape.
type part struct {
	*exec.Cmd

	log  *journal
	done chan struct{}
	err  error
}

// startPart starts one and waits until its log says that it is up.
func startPart(t *testing.T, path string, env []string, up string, args ...string) *part {
	t.Helper()
	p := &part{Cmd: exec.Command(path, args...), log: &journal{}, done: make(chan struct{})}
	p.Env = append(os.Environ(), env...)
	p.Stderr = p.log
	require.NoError(t, p.Start())
	go func() {
		p.err = p.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill() // fails only where it has ended already
		<-p.done
	})
	eventually(t, fmt.Sprint(args, " is up"), func() bool {
		select {
		case <-p.done:
			t.Fatalf("%v has ended: %v\n%s", args, p.err, p.log.String())
		default:
		}
		return p.log.contains(up)
	})
	return p
}

// end asks it to end, and waits until it has.
func (p *part) end(t *testing.T) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	<-p.done
	require.NoError(t, p.err, "%s", p.log.String())
}

// field is what the log, which is JSON, says under a name for the first time.
func (j *journal) field(t *testing.T, name string) string {
	t.Helper()
	_, after, found := strings.Cut(j.String(), `"`+name+`":"`)
	require.True(t, found, name)
	value, _, _ := strings.Cut(after, `"`)
	return value
}
