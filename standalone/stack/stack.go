package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
	"github.com/dealwright/dealwright/postgres"
	"github.com/dealwright/dealwright/standalone/privatepostgres"
	"github.com/dealwright/dealwright/standalone/temporalserver"
)

// Ready is what the line on stdout says when everything is up.
type Ready struct {
	API        string `json:"api"`
	TemporalUI string `json:"temporal_ui"`
	Temporal   string `json:"temporal"`
	Key        string `json:"key"`
}

// Stack is everything, running.
type Stack struct {
	options  Options
	ready    Ready
	postgres *privatepostgres.Server
	temporal *temporalserver.Server
	process  *app.Process
	workers  []*app.Process // those beside it

	stop    context.CancelFunc
	serving *errgroup.Group
	once    sync.Once
	ended   error
}

// Start brings everything up and returns when it is ready. The stack runs until the context
// ends or Stop is called; Wait tells when it has ended.
func Start(ctx context.Context, options Options) (*Stack, error) {
	s := &Stack{options: options}
	if s.options.App.BuildID == "" {
		s.options.App.BuildID = app.NoBuild // there are no other workers to be told from
	}
	if err := s.options.keepSecrets(); err != nil {
		return nil, err
	}
	err := s.startServers(ctx)
	if err == nil {
		err = s.startEngine(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop()) //nolint:contextcheck // stopping has to go on when the context has ended
	}
	return s, nil
}

// startServers starts Postgres and Temporal side by side: each takes a second or two.
func (s *Stack) startServers(ctx context.Context) error {
	var both errgroup.Group
	both.Go(func() error { return s.startPostgres(ctx) })
	both.Go(func() error { return s.startTemporal(ctx) })
	return both.Wait()
}

func (s *Stack) startPostgres(ctx context.Context) error {
	if s.options.App.DatabaseURL == "" {
		server, err := privatepostgres.Start(ctx, privatepostgres.Options{
			Dir: filepath.Join(s.options.Data, "postgres"), Logger: s.options.Logger,
		})
		if err != nil {
			return fmt.Errorf("start postgres: %w", err)
		}
		s.postgres = server
		s.options.App.DatabaseURL = server.URL()
	}
	return postgres.MigrateUp(s.options.App.DatabaseURL) //nolint:contextcheck // migrations are not left half-way
}

func (s *Stack) startTemporal(ctx context.Context) error {
	if s.options.TemporalAddress != "" {
		s.ready.Temporal = s.options.TemporalAddress
		return nil
	}
	payloads, err := app.PayloadCodec(s.options.App)
	if err != nil {
		return err
	}
	server, err := temporalserver.Start(ctx, temporalserver.Options{
		Codec: payloads, Dir: filepath.Join(s.options.Data, "temporal"),
		Port: s.options.TemporalPort, UIPort: s.options.UIPort,
		MetricsPort: s.options.MetricsPort, RenewAfter: s.options.TemporalRenewAfter, Logger: s.options.Logger,
	})
	if err != nil {
		return fmt.Errorf("start temporal: %w", err)
	}
	s.temporal = server
	s.ready.Temporal, s.ready.TemporalUI = server.HostPort(), server.UIURL()
	return nil
}

// startEngine starts API and worker, and waits until both are ready or one has failed.
func (s *Stack) startEngine(ctx context.Context) error {
	temporal, err := s.temporalOptions()
	if err != nil {
		return err
	}
	if s.process, err = app.NewProcess(s.options.App, temporal, s.options.Logger); err != nil { //nolint:contextcheck // it outlives ctx
		return err
	}
	for range s.options.MoreWorkers {
		worker, err := app.NewProcess(s.options.App, temporal, s.options.Logger) //nolint:contextcheck // as above
		if err != nil {
			return err
		}
		s.workers = append(s.workers, worker)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.App.Addr)
	if err != nil {
		return fmt.Errorf("listen on DEALWRIGHT_ADDR (set another, or port 0 for a free one): %w", err)
	}
	s.ready.API, s.ready.Key = "http://"+l.Addr().String(), s.options.App.Key
	running, stop := context.WithCancel(ctx)
	s.stop = stop
	var group *errgroup.Group
	group, running = errgroup.WithContext(running)
	s.serving = group
	up := make(chan struct{}, 1+len(s.working()))
	report := func() { up <- struct{}{} }
	group.Go(func() error { return s.process.ServeAPI(running, l, report) })
	for _, worker := range s.working() {
		group.Go(func() error { return worker.RunWorker(running, report) })
	}
	for range cap(up) {
		select {
		case <-up:
		case <-running.Done():
			return errors.Join(group.Wait(), ctx.Err())
		}
	}
	return nil
}

// working are the processes that run a worker.
func (s *Stack) working() []*app.Process {
	if s.options.NoWorker {
		return s.workers
	}
	return append([]*app.Process{s.process}, s.workers...)
}

func (s *Stack) temporalOptions() (client.Options, error) {
	options, err := app.TemporalOptions(s.options.App, s.options.Logger.With("component", "temporal-sdk"))
	if err != nil {
		return client.Options{}, err
	}
	if s.temporal != nil {
		options.HostPort, options.Namespace = s.temporal.HostPort(), s.temporal.Namespace()
		// The server is in this process: to compress what never leaves it only costs CPU (5 % of the process, in a profile).
		options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	}
	return options, nil
}

// Ready says where everything is.
func (s *Stack) Ready() Ready { return s.ready }

// DatabaseURL is the Postgres that the stack uses.
func (s *Stack) DatabaseURL() string { return s.options.App.DatabaseURL }

// TemporalMetricsURL is where Temporal's own metrics are, empty where there are none.
func (s *Stack) TemporalMetricsURL() string {
	if s.temporal == nil {
		return ""
	}
	return s.temporal.MetricsURL()
}

// Wait returns when the stack has ended, with why if it ended by itself.
func (s *Stack) Wait() error {
	err := s.serving.Wait()
	return errors.Join(err, s.Stop())
}

// Stop ends everything in the reverse order of its start. It may be called more than once.
func (s *Stack) Stop() error {
	s.once.Do(func() { s.ended = s.shutDown() })
	return s.ended
}

func (s *Stack) shutDown() error {
	var all []error
	if s.stop != nil {
		s.stop()
		all = append(all, s.serving.Wait())
	}
	for _, worker := range s.workers {
		all = append(all, worker.Close())
	}
	if s.process != nil {
		all = append(all, s.process.Close())
	}
	if s.temporal != nil {
		all = append(all, s.temporal.Stop())
	}
	if s.postgres != nil {
		all = append(all, s.postgres.Stop())
	}
	return errors.Join(all...)
}
