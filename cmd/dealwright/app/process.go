package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.temporal.io/sdk/client"

	"github.com/dealwright/dealwright/api"
	"github.com/dealwright/dealwright/documents"
	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/postgres"
	"github.com/dealwright/dealwright/webhook"
	"github.com/dealwright/dealwright/worker"
	"github.com/dealwright/dealwright/workflows"
)

// Process holds what a serving process shares between its parts. It connects to nothing until
// it has to, and finds Postgres and Temporal again by itself when they come back.
type Process struct {
	cfg     Config
	log     *slog.Logger
	store   *postgres.Store // the worker's, which sees all companies
	api     *postgres.Store // the API's, which sees one at a time
	targets *webhook.Targets
	client  client.Client
	engine  *workflows.Engine
	metrics *prometheus.Registry
	// documents is nil where DEALWRIGHT_DOCUMENTS is not set.
	documents *documents.Keeper

	namespace string
}

// NewProcess prepares a process. temporal says how to reach Temporal; its Namespace is the one
// that workflows live in. Close it.
func NewProcess(cfg Config, temporal client.Options, log *slog.Logger) (*Process, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	targets, err := webhook.NewTargets(cfg.AllowTargets)
	if err != nil {
		return nil, err
	}
	store, err := OpenStore(cfg)
	if err != nil {
		return nil, err
	}
	walled, err := openStore(cfg, postgres.RoleAPI)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	stores := func() error { return errors.Join(walled.Close(), store.Close()) }
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	temporal, err = watched(temporal, metrics, log)
	if err != nil {
		return nil, errors.Join(err, stores())
	}
	c, err := client.NewLazyClient(temporal)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make temporal client: %w", err), stores())
	}
	keeper, err := openDocuments(cfg, targets)
	if err != nil {
		c.Close()
		return nil, errors.Join(err, stores())
	}
	return &Process{
		cfg: cfg, log: log, store: store, api: walled, targets: targets, client: c,
		engine: workflows.NewEngine(c), metrics: metrics, documents: keeper, namespace: namespaceOf(temporal),
	}, nil
}

func namespaceOf(o client.Options) string {
	if o.Namespace == "" {
		return client.DefaultNamespace
	}
	return o.Namespace
}

// OpenStore opens the store alone, for the tools that need nothing else. It sees all companies.
func OpenStore(cfg Config) (*postgres.Store, error) { return openStore(cfg, "") }

func openStore(cfg Config, role string) (*postgres.Store, error) {
	sealer, err := keyring.New(cfg.EncryptionKey)
	if err != nil {
		return nil, err
	}
	return postgres.Open(postgres.Config{
		URL: cfg.DatabaseURL, MaxConns: cfg.MaxConns, Sealer: sealer, DisableAfter: cfg.DisableAfter, Role: role,
	})
}

// Close lets go of Postgres and Temporal.
func (p *Process) Close() error {
	p.client.Close()
	var kept error
	if p.documents != nil {
		kept = p.documents.Close()
	}
	return errors.Join(kept, p.api.Close(), p.store.Close())
}

// ServeAPI answers requests until the context ends, then lets those under way finish. It calls
// ready when the first request can come.
func (p *Process) ServeAPI(ctx context.Context, l net.Listener, ready func()) error {
	if err := p.bootstrap(ctx); err != nil {
		return err
	}
	payloads, err := PayloadCodec(p.cfg)
	if err != nil {
		return err
	}
	origins, err := p.cfg.uiOrigins()
	if err != nil {
		return err
	}
	config := api.Config{
		Payloads: payloads, UIOrigins: origins,
		Store: p.api, Engine: p.engine, Targets: p.targets, Logger: p.log, Registry: p.metrics, Version: p.cfg.Version,
		Limits:       api.Limits{Commands: p.cfg.MaxCommands, Requests: p.cfg.MaxRequests},
		AuthFailures: p.cfg.AuthFailures, KeyRate: p.cfg.KeyRate, TrustedProxies: p.cfg.TrustedProxies,
	}
	if p.documents != nil {
		config.Documents = p.documents
	}
	routes, err := api.New(config) //nolint:contextcheck // each request brings its own context
	if err != nil {
		return fmt.Errorf("prepare api: %w", err)
	}
	p.log.Info("serving", "addr", l.Addr().String())
	ready()
	return serveHTTP(ctx, l, routes, usual(cmp.Or(p.cfg.MaxConnections, defaultConnections)), p.log, func() {
		routes.Drain() // long polls would hold the shutdown up
		// A load balancer sees that we are not ready, and sends us nothing more, before nobody answers.
		time.Sleep(p.cfg.DrainDelay)
	})
}

// bootstrap makes DEALWRIGHT_KEY an admin key of company 1, so that there is a first key.
func (p *Process) bootstrap(ctx context.Context) error {
	if p.cfg.Key == "" {
		return nil
	}
	return p.again(ctx, "make the bootstrap key", func(ctx context.Context) error {
		return p.api.EnsureKey(ctx, 1, "bootstrap", p.cfg.Key)
	})
}

// RunWorker works on the task queue until the context ends, then finishes what is under way.
// It calls ready when it has begun.
func (p *Process) RunWorker(ctx context.Context, ready func()) error {
	schedule, err := webhook.ParseSchedule(p.cfg.RetrySchedule)
	if err != nil {
		return err
	}
	sender := webhook.NewSender(webhook.SenderConfig{Targets: p.targets, Schedule: schedule, Version: p.cfg.Version})
	if err := p.again(ctx, "prepare temporal", p.prepareTemporal); err != nil {
		return err
	}
	versions, build, err := p.versions(ctx)
	if err != nil {
		return err
	}
	files := p.keeper()
	numbers, err := worker.NewNumbers(p.metrics, p.store)
	if err != nil {
		return err
	}
	stopNumbers, err := p.serveNumbers(ctx)
	if err != nil {
		return err
	}
	var w *worker.Worker
	err = p.again(ctx, "start worker", func(ctx context.Context) error {
		// A worker that failed to start cannot be started again, so each try has its own.
		w = worker.New(worker.Config{
			Client: p.client, Engine: p.engine, Store: p.store, Sender: sender, Fetcher: files, Incoming: files, Logger: p.log,
			Contents: files, Histories: workflows.NewHistories(p.client, p.namespace),
			KeepAttempts: p.cfg.KeepAttempts, KeepDeliveries: p.cfg.KeepDeliveries,
			Versions: versions, BuildID: build, Numbers: numbers,
			KeepInbox: p.cfg.KeepInbox, KeepIdempotency: p.cfg.KeepIdempotency,
		})
		return w.Start(ctx)
	})
	if err != nil {
		return errors.Join(err, stopNumbers())
	}
	p.log.Info("working", "task_queue", workflows.TaskQueue, "build", build)
	ready()
	<-ctx.Done()
	w.Stop() //nolint:contextcheck // stopping has time limits of its own
	return stopNumbers()
}

// versions finds out whether this Temporal can tell builds of the worker apart, and gives the
// build that this one is; without a build, the worker takes what no build is current for.
func (p *Process) versions(ctx context.Context) (v *worker.Versions, build string, err error) {
	v, supported := worker.NewVersions(p.client), false
	err = p.again(ctx, "ask temporal for worker versioning", func(ctx context.Context) error {
		supported, err = v.Supported(ctx)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	build = p.cfg.build()
	if supported {
		return v, build, nil
	}
	if build != "" {
		p.log.Warn("this Temporal has no worker versioning, or does not let us use it: the worker runs without", "build", build)
	}
	return nil, "", nil
}

func (p *Process) prepareTemporal(ctx context.Context) error {
	missing, err := p.engine.EnsureSearchAttributes(ctx, p.namespace)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		p.log.Warn("make these search attributes by hand: this account may not, and workflows need them",
			"namespace", p.namespace, "attributes", missing)
	}
	return p.engine.EnsureSchedules(ctx)
}

// The pauses between tries of something that has to be there before a process can serve.
const (
	firstPause = 200 * time.Millisecond
	longPause  = 5 * time.Second
)

// again tries until it works or the context ends: Postgres and Temporal may come up later
// than we do.
func (p *Process) again(ctx context.Context, what string, f func(context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := f(ctx)
		if err == nil {
			return nil
		}
		p.log.Warn("not yet", "what", what, "error", err, "again_in", pause.String())
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(pause):
		}
	}
}
