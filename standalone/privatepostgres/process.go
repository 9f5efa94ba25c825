package privatepostgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/lib/pq"
)

const (
	pollInterval = 10 * time.Millisecond

	// restarts is how often in a row Postgres may fail to come back before we give up.
	restarts = 5
)

// stopSteps are how Postgres is made to leave. It may take its time to flush; after that it is made to leave as in a crash, from
// which it recovers at the next start.
var stopSteps = []struct {
	signal syscall.Signal
	wait   time.Duration
}{
	{syscall.SIGINT, 30 * time.Second},
	{syscall.SIGQUIT, 10 * time.Second},
	{syscall.SIGKILL, 10 * time.Second},
}

// process is one run of the postmaster.
type process struct {
	pid    int
	exited chan struct{} // closed when it has ended and was waited for
	err    error         // how it ended; read after exited is closed
}

// launch starts Postgres, waits until it takes connections and leaves a supervisor behind.
func (s *Server) launch(ctx context.Context) error {
	running, err := s.startReady(ctx)
	if err != nil {
		return err
	}
	supervised, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.ending = cancel
	go s.supervise(supervised, running)
	return nil
}

// startReady starts Postgres and waits until it takes connections. It tries again while what a killed postmaster left
// behind still holds the shared memory: its children leave on their own, but not at the same instant.
func (s *Server) startReady(ctx context.Context) (*process, error) {
	for {
		running, err := s.startProcess()
		if err != nil {
			return nil, err
		}
		err = s.waitReady(ctx, running)
		if err == nil {
			s.setPID(running.pid)
			return running, nil
		}
		running.end()
		if !strings.Contains(err.Error(), "shared memory block") {
			return nil, err
		}
		s.options.Logger.Info("waiting for the rest of a killed Postgres to leave")
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (s *Server) setPID(pid int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.pid = pid
}

// startProcess starts the postmaster. Its log is that of this run only, which bounds its size.
func (s *Server) startProcess() (*process, error) {
	log, err := os.OpenFile(s.home.log, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open postgres' log: %w", err)
	}
	defer log.Close()

	command := s.account.command(s.program.postgres(), "-D", s.home.data)
	command.Dir = s.home.dir
	command.Stdout, command.Stderr = log, log
	endWithParent(command.SysProcAttr)

	running := &process{exited: make(chan struct{})}
	started := make(chan error)
	go running.hold(command, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return running, nil
}

// hold keeps to one thread for as long as Postgres runs, since the kernel takes the end of the thread that started it for the
// end of its parent.
func (p *process) hold(command *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := command.Start(); err != nil {
		started <- err
		return
	}
	p.pid = command.Process.Pid
	started <- nil
	p.err = command.Wait()
	close(p.exited)
}

// waitReady polls until a connection works; recovery after a crash can take a while, so the limit is the caller's.
func (s *Server) waitReady(ctx context.Context, running *process) error {
	nextReport := time.Now().Add(5 * time.Second)
	for {
		err := s.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-running.exited:
			return fmt.Errorf("postgres ended while starting: %s: %s", ending(running.err), s.lastLog())
		default:
		}
		if time.Now().After(nextReport) {
			s.options.Logger.Info("waiting for Postgres", "because", err)
			nextReport = time.Now().Add(5 * time.Second)
		}
		if err := pause(ctx, pollInterval); err != nil {
			return fmt.Errorf("postgres does not take connections: %w: %s", err, s.lastLog())
		}
	}
}

func (s *Server) ping(ctx context.Context) error {
	return s.withDatabase("postgres", func(db *sql.DB) error { return db.PingContext(ctx) })
}

func (s *Server) withDatabase(name string, use func(*sql.DB) error) (err error) {
	connector, err := pq.NewConnector(s.urlOf(name))
	if err != nil {
		return fmt.Errorf("the address of the database: %w", err)
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	return use(db)
}

// makeDatabase makes the database unless an earlier start did.
func (s *Server) makeDatabase(ctx context.Context) error {
	err := s.withDatabase("postgres", func(db *sql.DB) error {
		var exists bool
		err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", s.options.Database).Scan(&exists)
		if err != nil || exists {
			return err //nolint:wrapcheck // wrapped below
		}
		_, err = db.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(s.options.Database))
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("make the database %s: %w", s.options.Database, err)
	}
	return nil
}

// supervise starts Postgres again when it dies, until it is asked to end.
func (s *Server) supervise(ctx context.Context, running *process) {
	defer close(s.done)
	for {
		select {
		case <-ctx.Done():
			running.end()
			return
		case <-running.exited:
		}
		s.options.Logger.Error("Postgres died; starting it again", "pid", running.pid, "cause", running.err, "log", s.lastLog())
		next, err := s.revive(ctx)
		if err != nil {
			s.fail(ctx, err)
			return
		}
		running = next
	}
}

func (s *Server) revive(ctx context.Context) (*process, error) {
	var failures error
	for attempt := range restarts {
		running, err := s.startReady(ctx)
		if err == nil {
			s.options.Logger.Info("Postgres is back", "pid", running.pid)
			return running, nil
		}
		failures = errors.Join(failures, err)
		if err := pause(ctx, time.Duration(attempt+1)*500*time.Millisecond); err != nil {
			return nil, errors.Join(failures, err)
		}
	}
	return nil, failures
}

func (s *Server) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // it was to end anyway
	}
	s.options.Logger.Error("Postgres does not come back", "error", err)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.failure = fmt.Errorf("private postgres: it died and could not be started again: %w", err)
}

// end asks Postgres to leave, more firmly each time.
func (p *process) end() {
	for _, step := range stopSteps {
		select {
		case <-p.exited:
			return
		default:
		}
		// The only way this fails is that it has just gone, which the wait then tells.
		_ = syscall.Kill(p.pid, step.signal)
		select {
		case <-p.exited:
			return
		case <-time.After(step.wait):
		}
	}
}

// ending tells how a process ended, also when that was in order.
func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// lastLog is the end of Postgres' log on one line, for error messages.
func (s *Server) lastLog() string {
	content, err := os.ReadFile(s.home.log)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}

// runToEnd runs a command and returns what it printed. It is killed when the context ends.
func runToEnd(ctx context.Context, command *exec.Cmd) (output string, err error) {
	var printed strings.Builder
	command.Stdout, command.Stderr = &printed, &printed
	if err := command.Start(); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() {
		// Its children share its group; that it has gone meanwhile is no failure.
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
	})
	defer stop()
	err = command.Wait()
	return printed.String(), err
}

func pause(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(duration):
		return nil
	}
}
