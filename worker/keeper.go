package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// The keeper: how often it looks, how long one look may take, and how long a worker that starts
// waits for its first look to succeed.
const (
	keepEvery      = 30 * time.Second
	keepPatience   = 10 * time.Second
	firstKeepPause = 100 * time.Millisecond
)

// keeper sees to it that some build is current for as long as the worker runs, and says so where
// this worker gets no work. Temporal may lose what it knows, or be another one after a restore.
type keeper struct {
	versions *Versions
	build    string // empty: the worker has none
	log      *slog.Logger
	settled  bool   // the first look has succeeded
	told     string // the current build that was last spoken of

	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// start settles who is current before it returns, unless Temporal does not answer.
func (k *keeper) start(ctx context.Context) {
	ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if k.versions == nil {
		return
	}
	k.settle(ctx)
	k.ended.Go(func() { every(ctx, keepEvery, k.look) })
}

func (k *keeper) stop() {
	k.cancel()
	k.ended.Wait()
}

// settle takes the work where it is due to this build.
func (k *keeper) settle(ctx context.Context) {
	trying, cancel := context.WithTimeout(ctx, keepPatience)
	defer cancel()
	for {
		current, err := k.first(trying)
		if err == nil {
			k.settled = true
			k.tell(current)
			return
		}
		select {
		case <-time.After(firstKeepPause):
		case <-trying.Done():
			k.log.Warn("could not settle which build of the worker gets the work; tries again", "build", k.build, "error", err)
			return
		}
	}
}

func (k *keeper) first(ctx context.Context) (string, error) {
	if k.build == "" {
		return k.versions.Current(ctx)
	}
	return k.versions.Take(ctx, k.build)
}

// look goes on caring. An older build that is current is left alone now: somebody may have gone
// back to it. But where the first look failed, this build is still to take the work: else it would
// be left to workers that have gone since.
func (k *keeper) look(ctx context.Context) {
	looking, cancel := context.WithTimeout(ctx, keepPatience)
	defer cancel()
	current, err := k.versions.Current(looking)
	if err == nil && k.build != "" && (current == "" || !k.settled) {
		current, err = k.versions.Take(looking, k.build)
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		k.log.Warn("could not see which build of the worker gets the work", "error", err)
		return
	}
	k.settled = true
	k.tell(current)
}

// tell says where the work goes, once for each change.
func (k *keeper) tell(current string) {
	said := "=" + current // also the first time that it is none
	if k.told == said {
		return
	}
	k.told = said
	switch current {
	case k.build:
		k.log.Info("this build gets the work", "build", current)
	case "":
		k.log.Warn("this build was taken back, workers without one get the work: dealwright promote gives it to this one", "build", k.build)
	default:
		k.log.Warn("this worker gets no work, another build does: dealwright promote changes that", "build", k.build, "current", current)
	}
}
