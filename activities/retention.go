package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// RetentionStore is what forgetting needs of the store: each call takes out at most limit rows
// that ended before a time, and says how many those were.
type RetentionStore interface {
	PruneAttempts(ctx context.Context, before time.Time, limit int) (n int64, err error)
	PruneDeliveries(ctx context.Context, before time.Time, limit int) (n int64, err error)
	PruneInbox(ctx context.Context, before time.Time, limit int) (n int64, err error)
	PruneIdempotency(ctx context.Context, before time.Time, limit int) (n int64, err error)
}

// IncomingStore is where documents arrive that are not complete yet. What nobody has gone on with
// since before a time is taken out, at most limit blobs.
type IncomingStore interface {
	PruneIncoming(ctx context.Context, before time.Time, limit int) (n int64, err error)
}

// Retention are the activities that forget. Events are kept for ever.
type Retention struct {
	Store           RetentionStore
	Incoming        IncomingStore
	KeepAttempts    time.Duration
	KeepDeliveries  time.Duration
	KeepInbox       time.Duration
	KeepIdempotency time.Duration
}

// How long things are kept where nobody says otherwise.
const (
	DefaultKeepAttempts    = 30 * 24 * time.Hour
	DefaultKeepDeliveries  = 90 * 24 * time.Hour
	DefaultKeepInbox       = 90 * 24 * time.Hour
	DefaultKeepIdempotency = 30 * 24 * time.Hour
)

// keepIncoming is for longer than a document is tried for; see documentPatience of package
// workflows.
const keepIncoming = 7 * 24 * time.Hour

// The bounds of pruning: how many rows one statement takes, so that it locks little and is over
// soon, and how long one run goes on. What it does not get to is for the next.
const (
	pruneLimit    = 1000
	prunePatience = 5 * time.Minute
)

// PruneInput is empty: what is kept is for the worker's configuration to say.
type PruneInput struct{}

// PruneResult counts the rows that are gone. More says that there was no time for all of them.
type PruneResult struct {
	Attempts    int64
	Deliveries  int64
	Inbox       int64
	Idempotency int64
	Incoming    int64 // blobs
	More        bool
}

// Prune forgets what is older than it is kept, in small batches. A
// heartbeat after each has the counts, where the next try goes on counting.
func (p *Retention) Prune(ctx context.Context, _ PruneInput) (PruneResult, error) {
	var out PruneResult
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &out); err != nil {
			out = PruneResult{} // counts of another version; only people read them
		}
	}
	window := openWindow(ctx, prunePatience)
	defer window.close()
	now := time.Now()
	for _, step := range []struct {
		prune func(ctx context.Context, before time.Time, limit int) (int64, error)
		keep  time.Duration
		count *int64
	}{
		{p.Store.PruneAttempts, p.KeepAttempts, &out.Attempts},
		{p.Store.PruneDeliveries, p.KeepDeliveries, &out.Deliveries},
		{p.Store.PruneInbox, p.KeepInbox, &out.Inbox},
		{p.Store.PruneIdempotency, p.KeepIdempotency, &out.Idempotency},
		{p.Incoming.PruneIncoming, keepIncoming, &out.Incoming}, // the last: the bucket may be away for long
	} {
		for {
			if !window.isOpen() {
				out.More = true
				return out, ctx.Err()
			}
			n, err := step.prune(ctx, now.Add(-step.keep), pruneLimit)
			if err != nil {
				return out, Failure(err)
			}
			*step.count += n
			activity.RecordHeartbeat(ctx, out)
			if n < pruneLimit {
				break
			}
		}
	}
	return out, nil
}
