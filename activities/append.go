// Package activities holds what workflows have done for them: recording events, delivering
// webhooks, moving a customer after a signature. Activities are methods on structs that hold
// their dependencies, and each struct declares the small interface that it needs.
package activities

import (
	"context"
	"slices"

	"github.com/dealwright/dealwright/pipeline"
)

// EventStore is what recording needs of the store.
type EventStore interface {
	Append(ctx context.Context, e pipeline.Event, idem pipeline.Idempotency) (pipeline.Appended, error)
	EventsAfter(ctx context.Context, stream pipeline.Stream, version int64, limit int) ([]pipeline.Event, error)
}

// Recording are the local activities that write and read a stream.
type Recording struct {
	Store EventStore
	Bell  *Bell // nil: nobody listens
}

// AppendInput is an event that was decided, and the caller's idempotency key.
type AppendInput struct {
	Event       pipeline.Event
	Idempotency pipeline.Idempotency
}

// AppendResult says where the event stands in the store. Where the stream had moved on, or
// the event is there already from an earlier run, nothing was written and Newer has what the
// workflow lacks, this very event perhaps among it.
type AppendResult struct {
	Appended pipeline.Appended
	Newer    []pipeline.Event
}

// newerLimit bounds what one read of a stream brings; a workflow that lacks more asks again.
const newerLimit = 500

// AppendEvent records one event in one transaction.
func (r *Recording) AppendEvent(ctx context.Context, in AppendInput) (AppendResult, error) {
	appended, err := r.Store.Append(ctx, in.Event, in.Idempotency)
	if err == nil {
		r.Bell.ring(in.Event.Stream)
		return AppendResult{Appended: appended}, nil
	}
	code := pipeline.CodeOf(err)
	if code != pipeline.CodeConflict && code != pipeline.CodeIdempotencyKeyReused {
		return AppendResult{}, Failure(err)
	}
	newer, readErr := r.Store.EventsAfter(ctx, in.Event.Stream, in.Event.Version-1, newerLimit)
	if readErr != nil {
		return AppendResult{}, Failure(readErr)
	}
	// A key that seems to be taken may have been taken by an earlier run of this very append.
	// Where it was not, deciding again would end here again.
	isThere := slices.ContainsFunc(newer, func(e pipeline.Event) bool { return e.ID == in.Event.ID })
	if len(newer) == 0 || (code == pipeline.CodeIdempotencyKeyReused && !isThere) {
		return AppendResult{}, Failure(err)
	}
	return AppendResult{Newer: fitting(newer)}, nil
}

// newerBytes bounds what one result carries, well below Temporal's limit of 2 MiB.
const newerBytes = 1 << 20

// fitting cuts events off that are too much for one result, but never the first.
func fitting(events []pipeline.Event) []pipeline.Event {
	size := 0
	for i, e := range events {
		size += len(e.State) + len(e.Payload)
		if i > 0 && size > newerBytes {
			return events[:i]
		}
	}
	return events
}

// ReadInput names a stream and what is known of it.
type ReadInput struct {
	Stream  pipeline.Stream
	Version int64
}

// ReadResult is what came after, oldest first; More says that there is still more.
type ReadResult struct {
	Events []pipeline.Event
	More   bool
}

// ReadStream reads what a workflow lacks of its own stream.
func (r *Recording) ReadStream(ctx context.Context, in ReadInput) (ReadResult, error) {
	events, err := r.Store.EventsAfter(ctx, in.Stream, in.Version, newerLimit)
	if err != nil {
		return ReadResult{}, Failure(err)
	}
	fit := fitting(events)
	return ReadResult{Events: fit, More: len(events) == newerLimit || len(fit) < len(events)}, nil
}
