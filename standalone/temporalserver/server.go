// Package temporalserver runs a Temporal server and its web UI inside this process, with its state in one SQLite file.
//
// What operators list and search (visibility) has a second file beside it.
//
// It is for a single machine: everything listens on loopback only, since nothing asks callers who they are. The file is in
// WAL mode with synchronous=NORMAL: after a kill of the process nothing is lost; after a power cut the last few
// transactions may be, but the file is never damaged. That is fit for what it holds, because the truth about
// customers and proposals is in Postgres, and workflows catch up with it.
package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/server/temporal"
)

const (
	defaultAddress   = "127.0.0.1"
	defaultNamespace = "default"
	defaultRetention = 72 * time.Hour

	// stopTimeout bounds Stop. Ending takes a second or two; what is cut short is repaired at the next start.
	stopTimeout = 20 * time.Second
)

// Options say where the server listens and keeps its state. Ports that are in use make Start fail.
type Options struct {
	// Dir is the folder of the state. It is made if it does not exist. Required.
	Dir string

	// Address is the loopback IP that everything listens on. Default 127.0.0.1.
	Address string

	// Port is that of the gRPC frontend, 0 for a free one.
	Port int

	// UIPort is that of the web UI, 0 for a free one.
	UIPort int

	// NoUI leaves the web UI out.
	NoUI bool

	// MetricsPort is that of Temporal's own Prometheus listener (path /metrics), 0 for none: collecting costs a little.
	MetricsPort int

	// Namespace is made at the first start, with our search attributes. Default "default".
	Namespace string

	// Retention is how long finished workflows can be looked at. Default 72 hours.
	Retention time.Duration

	// RenewAfter is from how many events on a workflow is told to continue as new, 0 for Temporal's default (4096). It is for
	// tests, where so many events would take long.
	RenewAfter int

	// Codec decodes payloads for the UI. Nil for none.
	Codec converter.PayloadCodec

	// CodecEndpoint is where browsers find a service that does, where Codec is nil. Empty for none.
	CodecEndpoint string

	// Logger gets Temporal's warnings and errors. Default: slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Address == "" {
		o.Address = defaultAddress
	}
	if o.Namespace == "" {
		o.Namespace = defaultNamespace
	}
	if o.Retention == 0 {
		o.Retention = defaultRetention
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = o.Logger.With("component", "temporal")
	return o
}

func (o Options) check() error {
	if o.Dir == "" {
		return errors.New("no folder given")
	}
	ip := net.ParseIP(o.Address)
	if ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%q is not a loopback IP: the embedded server lets anybody in who can reach it; "+
			"run a Temporal cluster and set TEMPORAL_ADDRESS instead", o.Address)
	}
	return nil
}

func (o Options) hostPort(port int) string {
	return net.JoinHostPort(o.Address, strconv.Itoa(port))
}

func (o Options) databaseFile() string {
	return filepath.Join(o.Dir, "temporal.db")
}

func (o Options) visibilityFile() string {
	return filepath.Join(o.Dir, "visibility.db")
}

// Server is a running Temporal server.
type Server struct {
	options  Options
	ports    ports
	temporal temporal.Server
	phase    *phase
	ui       *uiserver.Server
	codec    *http.Server

	stopping sync.Once
	stopErr  error
}

// Start brings the server up and returns when workflows can be started and the UI answers. The context bounds the
// start only, not the life of the server.
//
// It fails when a port is in use (the message says what to set), when the address is not loopback, and when the
// state was written by a version of Temporal whose tables are different.
func Start(ctx context.Context, options Options) (*Server, error) {
	server, err := start(ctx, options.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("temporal server: %w", err)
	}
	return server, nil
}

func start(ctx context.Context, options Options) (*Server, error) {
	if err := options.check(); err != nil {
		return nil, err
	}
	if err := prepareDatabase(ctx, options); err != nil {
		return nil, err
	}
	chosen, err := choosePorts(options)
	if err != nil {
		return nil, err
	}
	now := new(phase)
	embedded, err := newTemporal(options, chosen, now)
	if err != nil {
		return nil, err
	}
	if err := embedded.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	server := &Server{options: options, ports: chosen, temporal: embedded, phase: now}
	if err := server.finish(ctx); err != nil {
		return nil, errors.Join(err, server.Stop()) //nolint:contextcheck // ending has a time limit of its own
	}
	now.current.Store(running)
	return server, nil
}

// finish waits for the server to be of use, brings the namespace up to date and starts the UI.
func (s *Server) finish(ctx context.Context) error {
	if err := s.prepareNamespace(ctx); err != nil {
		return err
	}
	if s.options.NoUI {
		return nil
	}
	if s.options.Codec != nil {
		if err := s.startCodec(ctx); err != nil {
			return err
		}
	}
	return s.startUI(ctx)
}

// HostPort is the frontend's address, as clients and workers want it.
func (s *Server) HostPort() string {
	return s.options.hostPort(s.ports.frontend)
}

// Namespace is the one that Start made.
func (s *Server) Namespace() string {
	return s.options.Namespace
}

// UIURL is the address of the web UI, empty when there is none.
func (s *Server) UIURL() string {
	if s.options.NoUI {
		return ""
	}
	return "http://" + s.options.hostPort(s.ports.ui)
}

// MetricsURL is where Temporal's own metrics are, empty when there are none.
func (s *Server) MetricsURL() string {
	if s.options.MetricsPort == 0 {
		return ""
	}
	return "http://" + s.options.hostPort(s.options.MetricsPort) + "/metrics"
}

// Stop ends the UI and the server within half a minute. It may be called more than once.
func (s *Server) Stop() error {
	s.stopping.Do(func() { s.stopErr = s.stop() })
	return s.stopErr
}

func (s *Server) stop() error {
	s.phase.current.Store(stopping)
	if s.ui != nil {
		s.ui.Stop()
	}
	if s.codec != nil {
		s.codec.Close()
	}
	ended := make(chan error, 1)
	go func() { ended <- s.temporal.Stop() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("temporal server: stop: %w", err)
		}
	case <-time.After(stopTimeout):
		return fmt.Errorf("temporal server: not stopped after %s", stopTimeout)
	}
	return tidyDatabase(s.options)
}
