package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// Strays is where a worker sees what was left lying, and by whom.
type Strays interface {
	Strays(ctx context.Context, grace time.Duration, limit int) (entities []pipeline.Ref, webhooks []int64, err error)
}

// Alarm wakes the workflows that have forgotten something, or starts them.
type Alarm interface {
	WakeEntity(ctx context.Context, ref pipeline.Ref) error
	WakeWebhook(ctx context.Context, webhookID int64) error
}

// The watch: how often it looks, how long something has to lie before somebody is woken, how much
// it takes at a time, and how long all that may take. An attempt lasts 5 s as a rule; whoever is
// busy with one for longer is woken in vain, which does no harm.
const (
	watchEvery    = 3 * time.Second
	watchGrace    = 6 * time.Second
	watchLimit    = 100
	watchPatience = 10 * time.Second
)

// watch looks for what everybody has forgotten: where Temporal and a worker are lost together, an
// event can be in the store whose workflow does not know of it, and a webhook can have deliveries
// that it was not told of. Each worker looks, since looking costs two reads of an index and nothing
// at Temporal, and being woken twice is no harm.
type watch struct {
	strays Strays
	alarm  Alarm
	log    *slog.Logger

	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// start looks again and again until stop.
func (w *watch) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.ended.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.look(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
}

func (w *watch) look(ctx context.Context) {
	looking, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	entities, webhooks, err := w.strays.Strays(looking, watchGrace, watchLimit)
	for _, ref := range entities {
		err = errors.Join(err, w.alarm.WakeEntity(looking, ref))
	}
	for _, id := range webhooks {
		err = errors.Join(err, w.alarm.WakeWebhook(looking, id))
	}
	if err != nil && ctx.Err() == nil {
		w.log.Warn("could not look for what was left lying, or wake who left it; this is done again", "error", err)
	}
	if n := len(entities) + len(webhooks); n > 0 {
		w.log.Info("woke who left deliveries lying", "entities", len(entities), "webhooks", len(webhooks))
	}
}

func (w *watch) stop() {
	w.cancel()
	w.ended.Wait()
}
