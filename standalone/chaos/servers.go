package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	stopSignal     = syscall.SIGSTOP
	continueSignal = syscall.SIGCONT
)

// process is the one of a name.
func (c *Cluster) process(name string) *process {
	if name == temporalName {
		return c.temporal
	}
	return c.engine[name]
}

// restarted waits until processes have been started again since a moment, and Temporal, where it is among them, takes requests.
func (c *Cluster) restarted(ctx context.Context, since time.Time, all ...*process) error {
	return until(ctx, func(context.Context) error {
		for _, p := range all {
			if !p.startedAfter(since) {
				return fmt.Errorf("%s has not been started again", p.name)
			}
			if p.name != temporalName {
				continue
			}
			if err := p.check(); err != nil {
				return err
			}
		}
		return nil
	})
}

// killPostgres ends the postmaster with kill -9. Its children see that and leave, and its supervisor starts it again.
func (c *Cluster) killPostgres() error { return signalPostgres(c.postgres.PID(), syscall.SIGKILL) }

// endPostgres is an immediate shutdown: no checkpoint, so that it has to recover when it is started again.
func (c *Cluster) endPostgres() error { return signalPostgres(c.postgres.PID(), syscall.SIGQUIT) }

func signalPostgres(pid int, signal syscall.Signal) error {
	if err := syscall.Kill(pid, signal); err != nil {
		return fmt.Errorf("send %s to postgres: %w", signal, err)
	}
	return nil
}

// pausePostgres stops the postmaster and then its children, which cannot become more by then.
func (c *Cluster) pausePostgres(ctx context.Context) (family []int, err error) {
	postmaster := c.postgres.PID()
	if err := signalPostgres(postmaster, stopSignal); err != nil {
		return nil, err
	}
	family, err = childrenOf(ctx, postmaster)
	for _, pid := range family {
		_ = syscall.Kill(pid, stopSignal) // it may just have ended
	}
	return append(family, postmaster), err
}

func (*Cluster) resumePostgres(family []int) error {
	for _, pid := range family[:len(family)-1] {
		_ = syscall.Kill(pid, continueSignal) // as above
	}
	return signalPostgres(family[len(family)-1], continueSignal)
}

func childrenOf(ctx context.Context, parent int) ([]int, error) {
	out, err := exec.CommandContext(ctx, "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var children []int
	for line := range strings.Lines(string(out)) {
		var pid, of int
		if _, err := fmt.Sscan(line, &pid, &of); err == nil && of == parent {
			children = append(children, pid)
		}
	}
	return children, nil
}
