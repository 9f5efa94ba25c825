package privatepostgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
)

// superuser is the only role of a new server. It is not named after an OS account, so that nobody takes one for the other.
const superuser = "dealwright"

// socketPort is part of the socket's file name. No TCP port of that number is opened.
const socketPort = "5432"

// Options say where a server keeps its state and how it behaves.
type Options struct {
	// Dir is the folder that holds everything the server needs. It is made if it does not exist. Required.
	Dir string

	// Database is made at the first start. Default "dealwright".
	Database string

	// Throwaway is for tests: nothing is flushed to disk, and Stop removes the data.
	Throwaway bool

	// DownloadURL is the Maven repository that binaries are fetched from when the machine has none.
	// Default: the library's own, Maven Central.
	DownloadURL string

	// SearchPath is where binaries are looked for, instead of PATH and the usual folders of Debian and Homebrew.
	SearchPath []string

	// Logger hears of steps that take long and of Postgres dying. Default: slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Database == "" {
		o.Database = "dealwright"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = o.Logger.With("component", "postgres")
	return o
}

// Server is a running Postgres. It is safe for concurrent use.
type Server struct {
	options Options
	home    *home
	program program
	account account
	lock    *os.File

	ending context.CancelFunc // asks the supervisor to stop
	done   chan struct{}      // closed when the supervisor has gone

	mutex   sync.Mutex
	pid     int
	failure error

	stopping sync.Once
	stopErr  error
}

// Start brings the server up and returns when it takes connections: a fraction of a second for a folder that
// exists, a few seconds the first time. The context bounds the start only, not the life of the server.
//
// It fails when no binaries can be found or fetched, when another process owns the folder, or when the data was
// written by a major version of Postgres that is not on this machine.
func Start(ctx context.Context, options Options) (*Server, error) {
	server, err := start(ctx, options.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("private postgres: %w", err)
	}
	return server, nil
}

func start(ctx context.Context, options Options) (*Server, error) {
	if options.Dir == "" {
		return nil, errors.New("no folder given")
	}
	dir, err := makeFolder(options.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	runAs, err := accountFor(dir)
	if err != nil {
		return nil, errors.Join(err, unlockFolder(lock))
	}
	place, err := findHome(dir, runAs)
	if err != nil {
		return nil, errors.Join(err, unlockFolder(lock))
	}

	server := &Server{options: options, home: place, account: runAs, lock: lock, done: make(chan struct{})}
	if err := server.open(ctx); err != nil {
		return nil, errors.Join(err, server.letGo())
	}
	if err := server.makeDatabase(ctx); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return server, nil
}

// open makes what Postgres needs on disk (a cluster if there is none, a folder for the socket, our settings) and starts it.
func (s *Server) open(ctx context.Context) (err error) {
	if err := endLeftover(ctx, s.home, s.options.Logger); err != nil {
		return err
	}
	if s.program, err = findProgram(ctx, s.options, s.home, s.account); err != nil {
		return err
	}
	if err := s.initialise(ctx); err != nil {
		return err
	}
	if err := s.home.makeSocketFolder(s.account); err != nil {
		return err
	}
	if err := s.writeSettings(); err != nil {
		return err
	}
	return s.launch(ctx)
}

// URL is how the superuser reaches the database, for lib/pq and libpq alike. It stays the same until Stop, also when
// Postgres has to be started again.
func (s *Server) URL() string {
	return s.urlOf(s.options.Database)
}

func (s *Server) urlOf(database string) string {
	query := url.Values{}
	query.Set("host", s.home.socketFolder)
	query.Set("port", socketPort)
	query.Set("sslmode", "disable")
	address := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: query.Encode()}
	return address.String()
}

// PID is the process id of the postmaster. It changes when Postgres has to be started again.
func (s *Server) PID() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.pid
}

// Done is closed when the server has ended: after Stop, or when Postgres died and could not be started again.
func (s *Server) Done() <-chan struct{} {
	return s.done
}

// Err tells why the server ended by itself; nil while it runs and after an ordinary Stop.
func (s *Server) Err() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.failure
}

// Stop ends Postgres: connections are cut, data is flushed. It returns within a minute whatever happens, and may be called
// more than once.
func (s *Server) Stop() error {
	s.stopping.Do(func() {
		s.ending()
		<-s.done
		s.stopErr = s.letGo()
	})
	return s.stopErr
}

// letGo leaves the folder to others, once no Postgres runs in it any more.
func (s *Server) letGo() error {
	var err error
	if s.options.Throwaway {
		err = s.home.remove()
	}
	if err = errors.Join(err, unlockFolder(s.lock)); err != nil {
		return fmt.Errorf("private postgres: leave the folder: %w", err)
	}
	return nil
}
