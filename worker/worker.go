// Package worker puts workflows and activities on the task queue.
package worker

import (
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/workflows"
)

// Store is what all activities together need of the store.
type Store interface {
	activities.EventStore
	activities.DeliveryStore
	activities.CustomerStore
}

// Config is what a worker works with.
type Config struct {
	Client client.Client
	Engine *workflows.Engine
	Store  Store
	Sender activities.Sender
}

// The tuning. A slot is cheap while it waits for Postgres or a partner, so there are many;
// what bounds the load on Postgres is the pool of connections.
const (
	workflowTasks   = 200
	localActivities = 200
	activitySlots   = 200
	workflowPollers = 4
	activityPollers = 4
	stopPatience    = 20 * time.Second // an attempt under way, and recording it
)

// New makes a worker with everything registered. Start and Stop it.
func New(cfg Config) worker.Worker {
	w := worker.New(cfg.Client, workflows.TaskQueue, worker.Options{
		MaxConcurrentWorkflowTaskExecutionSize:  workflowTasks,
		MaxConcurrentLocalActivityExecutionSize: localActivities,
		MaxConcurrentActivityExecutionSize:      activitySlots,
		MaxConcurrentWorkflowTaskPollers:        workflowPollers,
		MaxConcurrentActivityTaskPollers:        activityPollers,
		WorkerStopTimeout:                       stopPatience,
	})
	register(w, cfg)
	return w
}

// register puts all workflows and activities on a worker.
func register(r worker.Registry, cfg Config) {
	r.RegisterWorkflow(workflows.Customer)
	r.RegisterWorkflow(workflows.Proposal)
	r.RegisterWorkflow(workflows.Webhook)
	r.RegisterWorkflow(workflows.Sweep)
	r.RegisterActivity(&activities.Recording{Store: cfg.Store})
	r.RegisterActivity(&activities.Deliveries{Store: cfg.Store, Sender: cfg.Sender, Waker: cfg.Engine, Gate: activities.NewGate()})
	r.RegisterActivity(&activities.FollowUps{Store: cfg.Store, Commander: cfg.Engine})
}
