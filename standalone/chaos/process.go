package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// restartAfter is how long a process is away before it is started again, as by an init system.
const restartAfter = 3 * time.Second

// program says how a process of the cluster is started, each time.
type program struct {
	name  string
	path  string
	args  []string
	env   []string
	log   string // the file that gets what it says
	ready string // what it says when it is ready; empty where that is asked otherwise
}

// process is a program that is started again whenever it ends, until it is to stay away.
type process struct {
	program

	mutex    sync.Mutex
	pid      int       // 0: away
	since    time.Time // when this run of it was started
	offset   int64     // where this run's part of the log begins
	isReady  bool
	expected bool     // its end, since we killed it
	surprise []string // ends that nobody asked for

	stop    context.CancelFunc
	stopped chan struct{}
}

// startProcess starts a program and keeps it running. Its error is that of the first start.
func startProcess(p program) (*process, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &process{program: p, stop: stop, stopped: make(chan struct{})}
	first := make(chan error, 1)
	go s.supervise(ctx, first)
	return s, <-first
}

// supervise keeps to one thread, since the kernel takes the end of the thread that started a child for the end of its parent.
func (s *process) supervise(ctx context.Context, first chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.stopped)
	for {
		command, err := s.start()
		if first != nil {
			first <- err
			first = nil
		}
		if err == nil {
			s.ended(command.Wait(), ctx.Err() != nil)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(restartAfter):
		}
	}
}

func (s *process) start() (*exec.Cmd, error) {
	log, err := os.OpenFile(s.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return nil, err
	}
	command := exec.Command(s.path, s.args...) //nolint:noctx // it is ended by its id
	command.Env, command.Stdout, command.Stderr = s.env, log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us, who end it in our order
	endWithParent(command.SysProcAttr)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	s.pid, s.since, s.offset, s.isReady, s.expected = command.Process.Pid, time.Now(), info.Size(), false, false
	return command, nil
}

func (s *process) ended(how error, asked bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if !asked && !s.expected {
		s.surprise = append(s.surprise, fmt.Sprintf("%s ended by itself at %s (%v)", s.name, time.Now().Format(time.TimeOnly), how))
	}
	s.pid = 0
}

// kill ends it as a power cut would. Whether it was there to be killed is nobody's concern.
func (s *process) kill() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.pid != 0 {
		s.expected = true
		_ = syscall.Kill(s.pid, syscall.SIGKILL) // fails only where it has just ended
	}
}

// signal is for those that a process goes on from.
func (s *process) signal(signal syscall.Signal) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.pid == 0 {
		return fmt.Errorf("%s is away", s.name)
	}
	if err := syscall.Kill(s.pid, signal); err != nil {
		return fmt.Errorf("send %s to %s: %w", signal, s.name, err)
	}
	return nil
}

// startedAfter tells whether a run of it that began after a moment is there.
func (s *process) startedAfter(moment time.Time) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.pid != 0 && s.since.After(moment)
}

// check says what keeps it from being ready, nil where nothing does.
func (s *process) check() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.pid == 0 {
		return fmt.Errorf("%s is away", s.name)
	}
	if s.isReady || s.ready == "" {
		return nil
	}
	content, err := os.ReadFile(s.log)
	if err != nil {
		return err
	}
	if s.isReady = bytes.Contains(content[min(s.offset, int64(len(content))):], []byte(s.ready)); !s.isReady {
		return fmt.Errorf("%s has not said that it is ready", s.name)
	}
	return nil
}

// surprises are the ends that nobody asked for.
func (s *process) surprises() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.surprise
}

// end asks it to leave for good, and makes it leave where it takes longer than patience.
func (s *process) end(patience time.Duration) error {
	s.stop()
	_ = s.signal(syscall.SIGCONT) // where it was stopped; else it has no effect
	_ = s.signal(syscall.SIGTERM) // fails only where it is away, which is what is wanted
	select {
	case <-s.stopped:
		return nil
	case <-time.After(patience):
	}
	s.kill()
	select {
	case <-s.stopped:
		return nil
	case <-time.After(patience):
		return errors.New(s.name + " does not end")
	}
}
