package worker

import (
	"context"
	"log/slog"

	"go.temporal.io/sdk/client"

	"github.com/dealwright/dealwright/activities"
)

// NewVersionsOf is for a deployment that is no server's.
func NewVersionsOf(d client.WorkerDeploymentHandle) *Versions { return &Versions{d} }

// Pulse is what tells workers of each other.
type Pulse struct{ p *pulse }

// NewPulse makes one.
func NewPulse(r Register, id string, tell func(alive int), log *slog.Logger) *Pulse {
	return &Pulse{newPulse(r, id, tell, log)}
}

// Start begins to beat.
func (p *Pulse) Start(ctx context.Context) { p.p.start(ctx) }

// Stop ends it.
func (p *Pulse) Stop() { p.p.stop() }

// Watch is what wakes who leaves things lying.
type Watch struct{ w *watch }

// NewWatch makes one.
func NewWatch(s Strays, a Alarm, log *slog.Logger) *Watch {
	return &Watch{&watch{strays: s, alarm: a, log: log}}
}

// Start begins to look.
func (w *Watch) Start(ctx context.Context) { w.w.start(ctx) }

// Stop ends it.
func (w *Watch) Stop() { w.w.stop() }

// Keeper is what gives the work to a build.
type Keeper struct{ k *keeper }

// NewKeeper makes one.
func NewKeeper(v *Versions, build string, log *slog.Logger) *Keeper {
	return &Keeper{&keeper{versions: v, build: build, log: log}}
}

// Start settles who has the work.
func (k *Keeper) Start(ctx context.Context) { k.k.start(ctx) }

// Stop ends the care.
func (k *Keeper) Stop() { k.k.stop() }

// Counted is a store whose appends are counted.
func Counted(n *Numbers, s Store) Store { return countedStore{s, n} }

// CountedSender is a sender whose attempts are counted.
func CountedSender(n *Numbers, s activities.Sender) activities.Sender { return countedSender{s, n} }
