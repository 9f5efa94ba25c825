package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/workflows"
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
// busy with one for longer is woken in vain, which does no harm, but costs Temporal a few events. So
// whoever goes on leaves things lying is woken again after a pause, which doubles up to a bound.
const (
	watchEvery     = 3 * time.Second
	watchGrace     = 6 * time.Second
	watchLimit     = 100
	watchPatience  = 10 * time.Second
	watchPause     = 6 * time.Second
	watchLongPause = 30 * time.Second
)

// watch looks for what everybody has forgotten: where Temporal and a worker are lost together, an
// event can be in the store whose workflow does not know of it, and a webhook can have deliveries
// that it was not told of. Each worker looks, since looking costs two reads of an index and nothing
// at Temporal, and being woken twice is no harm.
type watch struct {
	strays Strays
	alarm  Alarm
	log    *slog.Logger
	woken  map[string]waking // of those that were left lying at the last look

	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// waking is when somebody who was woken is woken again, and after which pause.
type waking struct {
	again time.Time
	pause time.Duration
}

// start looks again and again until stop.
func (w *watch) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.ended.Go(func() { every(ctx, watchEvery, w.look) })
}

func (w *watch) look(ctx context.Context) {
	looking, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	entities, webhooks, err := w.strays.Strays(looking, watchGrace, watchLimit)
	before := w.woken
	w.woken = make(map[string]waking, len(entities)+len(webhooks))
	n := 0
	wake := func(name string, f func() error) {
		last := before[name]
		if time.Now().Before(last.again) {
			w.woken[name] = last
			return
		}
		n++
		if failed := f(); failed != nil {
			err = errors.Join(err, failed)
			return
		}
		pause := min(max(2*last.pause, watchPause), watchLongPause)
		w.woken[name] = waking{again: time.Now().Add(pause), pause: pause}
	}
	for _, ref := range entities {
		wake(string(ref.Stream()), func() error { return w.alarm.WakeEntity(looking, ref) })
	}
	for _, id := range webhooks {
		wake(workflows.WebhookWorkflowID(id), func() error { return w.alarm.WakeWebhook(looking, id) })
	}
	if err != nil && ctx.Err() == nil {
		w.log.Warn("could not look for what was left lying, or wake who left it; this is done again", "error", err)
	}
	if n > 0 {
		w.log.Info("woke who left deliveries lying", "workflows", n)
	}
}

func (w *watch) stop() {
	w.cancel()
	w.ended.Wait()
}
