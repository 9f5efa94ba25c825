package activities

import (
	"context"

	"github.com/dealwright/dealwright/pipeline"
)

// What tests look at behind the scenes.
var (
	EntityShare = entityShare
	DrainShare  = drainShare
)

// Bounds of the activities.
const (
	DueLimit     = dueLimit
	Fruitless    = fruitless
	PruneLimit   = pruneLimit
	LongestPause = longestPause
)

// TryEnter takes a place for an entity.
func (g *Gate) TryEnter(w pipeline.Webhook) (leave func(), ok bool) {
	return func() { g.leftByEntity(w.ID) }, g.tryEnter(w)
}

// Ring says that something was recorded.
func (b *Bell) Ring(stream pipeline.Stream) { b.ring(stream) }

// Enter waits for a place for a drain.
func (g *Gate) Enter(ctx context.Context, w pipeline.Webhook) (leave func(), err error) {
	return g.enter(ctx, w)
}

// Doors counts the webhooks that the gate remembers.
func (g *Gate) Doors() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.doors)
}
