package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Register is where workers find out how many of them are alive. One that was not heard of for
// 30 s counts as dead.
type Register interface {
	Beat(ctx context.Context, workerID string) (alive int, err error)
	Leave(ctx context.Context, workerID string) error
}

// The pulse: how often it beats, and how long one beat may take.
const (
	beatEvery    = 10 * time.Second
	beatPatience = 5 * time.Second
)

// pulse tells the other workers that this one is alive, and this one how many there are.
//
// Where it cannot, the worker keeps the number it knew: the register is in the same database
// as the deliveries, so while that is away there is nothing to send either.
type pulse struct {
	register Register
	id       string
	tell     func(alive int)
	log      *slog.Logger

	alive  int  // as the last beat said
	missed bool // the last beat failed

	cancel context.CancelFunc
	ended  sync.WaitGroup
}

func newPulse(r Register, id string, tell func(alive int), log *slog.Logger) *pulse {
	if log == nil {
		log = slog.Default()
	}
	return &pulse{register: r, id: id, tell: tell, log: log.With("worker", id)}
}

// start beats at once, and then again and again until stop.
func (p *pulse) start(ctx context.Context) {
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.beat(ctx)
	p.ended.Go(func() { every(ctx, beatEvery, p.beat) })
}

// every does something again and again until the context ends, for the first time after one period.
func every(ctx context.Context, period time.Duration, do func(context.Context)) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (p *pulse) beat(ctx context.Context) {
	beating, cancel := context.WithTimeout(ctx, beatPatience)
	defer cancel()
	alive, err := p.register.Beat(beating, p.id)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		p.missed = true
		p.log.Warn("could not tell the other workers that this one is alive", "error", err)
		return
	}
	if p.missed {
		// The others may have been as silent, and seem dead for as long as they have not beaten again.
		alive = max(alive, p.alive)
	}
	p.alive, p.missed = alive, false
	p.tell(alive)
}

// stop ends the beating, so that the others have this worker's places at once.
func (p *pulse) stop() {
	p.cancel()
	p.ended.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), beatPatience)
	defer cancel()
	if err := p.register.Leave(ctx, p.id); err != nil {
		p.log.Warn("could not tell the other workers that this one stops; they will notice", "error", err)
	}
}
