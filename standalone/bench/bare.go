package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	_ "github.com/lib/pq" // the driver
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	temporallog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// bare is the least that a durable transition with a webhook can cost on this server: a workflow that takes an update,
// records one row in a local activity and tells the partner in an activity. Its worker runs in this process.
type bare struct {
	temporal client.Client
	worker   worker.Worker
	work     *bareWork
	prefix   string
	started  atomic.Int64
}

const (
	bareQueue  = "bare"
	bareUpdate = "transition"
)

// newBare starts the worker and makes the table.
func newBare(ctx context.Context, s *standalone, partner string) (*bare, error) {
	work, err := newBareWork(ctx, s, partner)
	if err != nil {
		return nil, err
	}
	temporal, err := client.DialContext(ctx, client.Options{
		HostPort: s.Temporal, Logger: temporallog.NewStructuredLogger(slog.Default()),
		// As standalone does with its own server.
		ConnectionOptions: client.ConnectionOptions{GrpcCompression: &client.GrpcCompressionNone{}},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bare: %w", err), work.close())
	}
	// The same slots and pollers as the engine's own worker.
	w := worker.New(temporal, bareQueue, worker.Options{
		MaxConcurrentWorkflowTaskExecutionSize:  200,
		MaxConcurrentLocalActivityExecutionSize: 200,
		MaxConcurrentActivityExecutionSize:      200,
		MaxConcurrentWorkflowTaskPollers:        4,
		MaxConcurrentActivityTaskPollers:        4,
	})
	w.RegisterWorkflow(bareWorkflow)
	w.RegisterActivity(work)
	if err := w.Start(); err != nil {
		temporal.Close()
		return nil, errors.Join(fmt.Errorf("bare: %w", err), work.close())
	}
	return &bare{temporal: temporal, worker: w, work: work, prefix: "bare-" + rand.Text() + "-"}, nil
}

func (b *bare) close() error {
	b.worker.Stop()
	b.temporal.Close()
	return b.work.close()
}

// bareEvent is all that a bare workflow knows of a transition.
type bareEvent struct {
	Stream string `json:"stream"`
	Seq    int64  `json:"seq"`
}

// activityWork is nil: the worker calls the method on the struct that it has registered.
var activityWork *bareWork

// bareWorkflow takes transitions for ever.
func bareWorkflow(ctx workflow.Context) error {
	var untold []bareEvent
	err := workflow.SetUpdateHandler(ctx, bareUpdate, func(ctx workflow.Context, e bareEvent) (time.Time, error) {
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{ScheduleToCloseTimeout: 5 * time.Second})
		var recorded time.Time
		err := workflow.ExecuteLocalActivity(ctx, activityWork.Record, e).Get(ctx, &recorded)
		untold = append(untold, e)
		return recorded, err
	})
	if err != nil {
		return err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 30 * time.Second})
	for {
		if err := workflow.Await(ctx, func() bool { return len(untold) > 0 }); err != nil {
			return err
		}
		next := untold[0]
		untold = untold[1:]
		if err := workflow.ExecuteActivity(ctx, activityWork.Tell, next).Get(ctx, nil); err != nil {
			return err
		}
	}
}

// bareWork is what the bare workflow has done for it.
type bareWork struct {
	database *sql.DB
	record   *sql.Stmt
	http     *http.Client
	partner  string
}

func newBareWork(ctx context.Context, s *standalone, partner string) (*bareWork, error) {
	database, err := s.openDatabase()
	if err != nil {
		return nil, err
	}
	w := &bareWork{
		database: database, partner: partner,
		http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	_, err = database.ExecContext(ctx, `CREATE TABLE bare (
		stream text, seq bigint, recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (stream, seq))`)
	if err == nil {
		// Again after a failed try, it answers what the first one recorded.
		w.record, err = database.PrepareContext(ctx, `INSERT INTO bare (stream, seq) VALUES ($1, $2)
			ON CONFLICT (stream, seq) DO UPDATE SET seq = excluded.seq RETURNING recorded_at`)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bare: prepare the table: %w", err), database.Close())
	}
	return w, nil
}

func (w *bareWork) close() error { return closeDatabase(w.database) }

// Record is the local activity: one row.
func (w *bareWork) Record(ctx context.Context, e bareEvent) (time.Time, error) {
	var recorded time.Time
	if err := w.record.QueryRowContext(ctx, e.Stream, e.Seq).Scan(&recorded); err != nil {
		return recorded, fmt.Errorf("record: %w", err)
	}
	return recorded, nil
}

// Tell is the activity: one request to the partner.
func (w *bareWork) Tell(ctx context.Context, e bareEvent) error {
	body, err := json.Marshal(map[string]bareEvent{"data": e})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.partner, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("tell: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.http.Do(req)
	if err != nil {
		return fmt.Errorf("tell: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the partner answered %d", resp.StatusCode)
	}
	// Reading to the end lets the connection be used again.
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("tell: %w", err)
	}
	return nil
}

// bareCaller sends as many transitions to each workflow as the engine's callers do: one to the first, as to a customer, and
// all of a proposal's to the second.
type bareCaller struct {
	bare   *bare
	step   int
	stream string
	seq    int64
}

func (b *bare) newCaller() caller { return &bareCaller{bare: b} }

func (c *bareCaller) next(ctx context.Context) (transition, error) {
	if c.step == 0 || c.step == 1 {
		c.stream, c.seq = fmt.Sprintf("%s%d", c.bare.prefix, c.bare.started.Add(1)), 0
	}
	c.step = (c.step + 1) % len(story)
	c.seq++
	recorded, err := c.bare.transition(ctx, bareEvent{Stream: c.stream, Seq: c.seq})
	return transition{event: eventName(c.stream, c.seq), recorded: recorded}, err
}

// transition does one Update-with-Start, as the engine does.
func (b *bare) transition(ctx context.Context, e bareEvent) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	handle, err := b.temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: b.temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
			ID: e.Stream, TaskQueue: bareQueue,
			WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		}, bareWorkflow),
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateName: bareUpdate, WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{e},
		},
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("update %s: %w", e.Stream, err)
	}
	var recorded time.Time
	if err := handle.Get(ctx, &recorded); err != nil {
		return recorded, fmt.Errorf("update %s: %w", e.Stream, err)
	}
	return recorded, nil
}
