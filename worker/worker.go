// Package worker puts workflows and activities on the task queue, and tells the other workers
// that it is there.
package worker

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/workflows"
)

// Store is what all activities together, and the worker itself, need of the store.
type Store interface {
	activities.EventStore
	activities.DeliveryStore
	activities.CustomerStore
	activities.RetentionStore
	activities.InboundStore
	activities.DocumentStore
	activities.ErasureStore
	Register
	Strays
}

// Config is what a worker works with.
type Config struct {
	Client client.Client
	Engine *workflows.Engine
	Store  Store
	Sender activities.Sender
	// Fetcher keeps documents.
	Fetcher activities.Fetcher
	// Contents and Histories are what is deleted of erased customers.
	Contents  activities.Contents
	Histories activities.Histories
	Logger    *slog.Logger // nil means slog.Default
	// Numbers counts what happens; nil: nobody watches.
	Numbers *Numbers
	// BuildID names the build to Temporal, which gives the work to the current one (see
	// Versions); empty where the worker is none of several versions.
	BuildID string
	// Versions is nil where Temporal does not know any.
	Versions *Versions

	// Incoming is where documents arrive.
	Incoming activities.IncomingStore

	KeepAttempts    time.Duration // 0 means activities.DefaultKeepAttempts
	KeepDeliveries  time.Duration // 0 means activities.DefaultKeepDeliveries
	KeepInbox       time.Duration // 0 means activities.DefaultKeepInbox
	KeepIdempotency time.Duration // 0 means activities.DefaultKeepIdempotency
}

// The tuning. A slot is cheap while it waits for Postgres or a partner, so there are many;
// what bounds the load on Postgres is the pool of connections. Every slow endpoint keeps slots
// for a while, the one that drains it and those of entities that met it first, and must not
// take them from others.
const (
	workflowTasks   = 200
	localActivities = 200
	activitySlots   = 1000
	workflowPollers = 4
	activityPollers = 4
	// stopPatience is an attempt under way (30 s at most), recording it (10 s) and ending the
	// drain that it is part of.
	stopPatience = 50 * time.Second
)

// Worker works on the task queue while it runs.
type Worker struct {
	queue  worker.Worker
	pulse  *pulse
	keeper *keeper
	watch  *watch
}

// New makes a worker with everything registered. Start and Stop it, each once.
func New(cfg Config) *Worker {
	if cfg.Numbers != nil {
		cfg.Store, cfg.Sender = countedStore{cfg.Store, cfg.Numbers}, countedSender{cfg.Sender, cfg.Numbers}
	}
	cfg.Sender = tracedSender{cfg.Sender}
	w := worker.New(cfg.Client, workflows.TaskQueue, worker.Options{
		DeploymentOptions:                       deployment(cfg.BuildID),
		MaxConcurrentWorkflowTaskExecutionSize:  workflowTasks,
		MaxConcurrentLocalActivityExecutionSize: localActivities,
		MaxConcurrentActivityExecutionSize:      activitySlots,
		MaxConcurrentWorkflowTaskPollers:        workflowPollers,
		MaxConcurrentActivityTaskPollers:        activityPollers,
		MaxHeartbeatThrottleInterval:            activities.BeatEvery,
		WorkerStopTimeout:                       stopPatience,
	})
	gate := activities.NewGate()
	register(w, cfg, gate)
	return &Worker{
		queue: w, pulse: newPulse(cfg.Store, uuid.NewString(), gate.SetWorkers, cfg.Logger),
		keeper: &keeper{versions: cfg.Versions, build: cfg.BuildID, log: cmp.Or(cfg.Logger, slog.Default())},
		watch:  &watch{strays: cfg.Store, alarm: cfg.Engine, log: cmp.Or(cfg.Logger, slog.Default())},
	}
}

// deployment: every workflow goes on with the current build at its next task, and change markers
// keep what it did before replayable. Lifecycles run for months; no old build is kept that long.
func deployment(buildID string) worker.DeploymentOptions {
	if buildID == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning:             true,
		Version:                   worker.WorkerDeploymentVersion{DeploymentName: deploymentName, BuildID: buildID},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}
}

// Start begins to work. It fails where Temporal cannot be reached.
func (w *Worker) Start(ctx context.Context) error {
	if err := w.queue.Start(); err != nil {
		return err //nolint:wrapcheck // it says what it could not do
	}
	w.pulse.start(ctx)
	w.keeper.start(ctx)
	w.watch.start(ctx)
	return nil
}

// Stop takes no more work, finishes what is under way, and says goodbye to the others.
func (w *Worker) Stop() {
	w.keeper.stop()
	w.watch.stop()
	w.queue.Stop()
	w.pulse.stop()
}

// register puts all workflows and activities on a worker.
func register(r worker.Registry, cfg Config, gate *activities.Gate) {
	r.RegisterWorkflow(workflows.Customer)
	r.RegisterWorkflow(workflows.Proposal)
	r.RegisterWorkflow(workflows.Webhook)
	r.RegisterWorkflow(workflows.TestWebhook)
	r.RegisterWorkflow(workflows.Sweep)
	r.RegisterWorkflow(workflows.Retention)
	r.RegisterWorkflow(workflows.Inbound)
	r.RegisterWorkflow(workflows.Document)
	r.RegisterWorkflow(workflows.Erasure)
	bell := activities.NewBell()
	r.RegisterActivity(&activities.Recording{Store: cfg.Store, Bell: bell})
	r.RegisterActivity(&activities.Deliveries{Store: cfg.Store, Sender: cfg.Sender, Waker: cfg.Engine, Gate: gate, Bell: bell})
	r.RegisterActivity(&activities.FollowUps{Store: cfg.Store, Commander: cfg.Engine})
	r.RegisterActivity(&activities.Erasures{
		Store: cfg.Store, Histories: cfg.Histories, Contents: cfg.Contents, Starter: cfg.Engine,
	})
	r.RegisterActivity(&activities.Inbox{Store: cfg.Store, Commander: cfg.Engine, Starter: cfg.Engine})
	r.RegisterActivity(&activities.Documents{
		Store: cfg.Store, Fetcher: cfg.Fetcher, Commander: cfg.Engine, Starter: cfg.Engine, Waker: cfg.Engine,
	})
	r.RegisterActivity(&activities.Retention{
		Store:           cfg.Store,
		Incoming:        cfg.Incoming,
		KeepAttempts:    cmp.Or(cfg.KeepAttempts, activities.DefaultKeepAttempts),
		KeepDeliveries:  cmp.Or(cfg.KeepDeliveries, activities.DefaultKeepDeliveries),
		KeepInbox:       cmp.Or(cfg.KeepInbox, activities.DefaultKeepInbox),
		KeepIdempotency: cmp.Or(cfg.KeepIdempotency, activities.DefaultKeepIdempotency),
	})
}
