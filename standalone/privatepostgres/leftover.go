package privatepostgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endLeftover ends a Postgres that runs in the folder although its owner is gone (we hold the lock). It is ended and not
// adopted, so that the one we use is our child, with the settings of this version.
func endLeftover(ctx context.Context, place *home, logger *slog.Logger) error {
	pidFile := filepath.Join(place.data, "postmaster.pid")
	content, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read postmaster.pid: %w", err)
	}
	pid, readable := firstNumber(string(content))
	if readable && servesFolder(ctx, pid, place.data) {
		logger.Warn("ending a Postgres that a killed process left behind", "pid", pid)
		return endStranger(ctx, pid, place.data)
	}
	if readable && !alive(pid) {
		return nil // Postgres itself clears such a file away, after a check for children that still run
	}
	// Cut short by a crash, or the number is some other process' by now. Postgres would refuse to start on either.
	if err := os.Remove(pidFile); err != nil {
		return fmt.Errorf("remove a stale postmaster.pid: %w", err)
	}
	return nil
}

// firstNumber is the process id in the first line of a postmaster.pid.
func firstNumber(content string) (pid int, ok bool) {
	line, _, _ := strings.Cut(content, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	return pid, err == nil && pid > 0
}

// endStranger is the same as for a child, but a stranger cannot be waited for: its number is watched instead.
func endStranger(ctx context.Context, pid int, data string) error {
	for _, step := range stopSteps {
		if err := syscall.Kill(pid, step.signal); errors.Is(err, syscall.ESRCH) {
			return nil
		} else if err != nil {
			return fmt.Errorf("end the left-behind postgres (process %d): %w", pid, err)
		}
		deadline := time.Now().Add(step.wait)
		for time.Now().Before(deadline) {
			if !servesFolder(ctx, pid, data) {
				return nil
			}
			if err := pause(ctx, pollInterval); err != nil {
				return fmt.Errorf("end the left-behind postgres (process %d): %w", pid, err)
			}
		}
	}
	return fmt.Errorf("the left-behind postgres (process %d) does not end; end it by hand", pid)
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// servesFolder tells whether the process is a Postgres on this data: its arguments name the folder. One that has ended but was
// not waited for by its parent has no arguments any more.
func servesFolder(ctx context.Context, pid int, data string) bool {
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		arguments, err = exec.CommandContext(ctx, "ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	}
	if err != nil {
		return false
	}
	line := strings.ReplaceAll(string(arguments), "\x00", " ")
	return strings.Contains(line, "postgres") && strings.Contains(line, data)
}
