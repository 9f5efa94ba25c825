package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The bounds of a standalone's life.
const (
	startPatience = 2 * time.Minute
	stopPatience  = time.Minute
)

// buildStandalone builds this checkout's, where make puts it, and gives the path.
func buildStandalone(ctx context.Context) (string, error) {
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module (run it in standalone/): %w", err)
	}
	folder := filepath.Dir(strings.TrimSpace(string(module)))
	binary := filepath.Join(filepath.Dir(folder), ".bin", "dealwright-standalone")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, ".")
	build.Dir, build.Stdout, build.Stderr = folder, os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build standalone: %w", err)
	}
	return binary, nil
}

// standalone is one that runs for the benchmark, as a process of its own.
type standalone struct {
	// What the ready line says.
	API      string `json:"api"`
	Temporal string `json:"temporal"`
	Key      string `json:"key"`

	folder     string
	metricsURL string
	command    *exec.Cmd
	end        context.CancelFunc
}

// startStandalone starts one on free ports, with its state in a temporary folder, and returns when it is ready.
func startStandalone(ctx context.Context, binary string) (*standalone, error) {
	folder, err := os.MkdirTemp("", "dealwright-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	running, end := context.WithCancel(ctx)
	s := &standalone{folder: folder, end: end}
	if err := s.start(running, binary); err != nil {
		return nil, errors.Join(fmt.Errorf("start standalone: %w", err), s.stop())
	}
	return s, nil
}

func (s *standalone) start(ctx context.Context, binary string) error {
	// Postgres runs as another account when we are root, and has to get to its data.
	if err := os.Chmod(s.folder, 0o711); err != nil {
		return err
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	s.metricsURL = "http://127.0.0.1:" + port + "/metrics"
	command := exec.CommandContext(ctx, binary)
	command.Env = append(plainEnvironment(),
		"DEALWRIGHT_DATA="+s.folder, "DEALWRIGHT_ADDR=127.0.0.1:0", "DEALWRIGHT_TEMPORAL_PORT=0", "DEALWRIGHT_UI_PORT=0",
		"DEALWRIGHT_TEMPORAL_METRICS_PORT="+port, "DEALWRIGHT_LOG_LEVEL=warn")
	command.Stderr = os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopPatience
	stdout, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	s.command = command
	return s.awaitReady(stdout)
}

func (s *standalone) awaitReady(stdout io.Reader) error {
	late := time.AfterFunc(startPatience, s.end)
	defer late.Stop()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if line, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			return json.Unmarshal([]byte(line), s)
		}
	}
	return errors.Join(errors.New("it ended, or was not ready in time"), lines.Err())
}

// plainEnvironment is ours without what would lead the standalone elsewhere or make it another one.
func plainEnvironment() []string {
	var kept []string
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "DEALWRIGHT_") || strings.HasPrefix(entry, "TEMPORAL_") || strings.HasPrefix(entry, "DATABASE_URL=") {
			continue
		}
		kept = append(kept, entry)
	}
	return kept
}

func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

func (s *standalone) pid() int { return s.command.Process.Pid }

// elsewhere is the link that stands for Postgres' folder when its account cannot enter the one that it was given.
func (s *standalone) elsewhere() string { return filepath.Join(s.folder, "postgres", "elsewhere") }

// postmaster reads what Postgres says of itself in its postmaster.pid: the process id, and where its socket is.
func (s *standalone) postmaster() (pid int, socketFolder, socketPort string, err error) {
	content, err := os.ReadFile(filepath.Join(s.folder, "postgres", "data", "postmaster.pid"))
	if errors.Is(err, os.ErrNotExist) {
		content, err = os.ReadFile(filepath.Join(s.elsewhere(), "data", "postmaster.pid"))
	}
	if err != nil {
		return 0, "", "", fmt.Errorf("find postgres: %w", err)
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) < 5 {
		return 0, "", "", errors.New("find postgres: its postmaster.pid is not complete")
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(lines[0])); err != nil {
		return 0, "", "", fmt.Errorf("find postgres: %w", err)
	}
	return pid, lines[4], lines[3], nil
}

// databaseURL is the address of the standalone's own Postgres.
func (s *standalone) databaseURL() (string, error) {
	_, folder, port, err := s.postmaster()
	return fmt.Sprintf("postgres://dealwright@/dealwright?host=%s&port=%s&sslmode=disable", folder, port), err
}

// stop ends the process and removes what it kept.
func (s *standalone) stop() error {
	s.end()
	var ended error
	if s.command != nil {
		// That it was told to end is no failure.
		if err := s.command.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			ended = fmt.Errorf("end standalone: %w", err)
		}
	}
	if target, err := os.Readlink(s.elsewhere()); err == nil {
		ended = errors.Join(ended, os.RemoveAll(target))
	}
	return errors.Join(ended, os.RemoveAll(s.folder))
}
