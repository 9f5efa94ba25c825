package activities

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/dealwright/dealwright/pipeline"
)

// Gate bounds how many requests a webhook gets at once: its MaxConcurrency, shared by all
// workers that are alive. Each worker has one gate. A webhook is drained by one worker at a
// time, while its entities are at work on all of them. So a worker that is alone has all
// places, for entities and drain alike; of several, each has an equal part of one half for its
// entities, and the one that drains has what is left. Nobody has to be asked for that.
//
// While the number of workers changes they may be of different opinion for one beat.
type Gate struct {
	mu      sync.Mutex
	workers int
	doors   map[int64]*door
}

// NewGate makes the gate of a worker that is alone.
func NewGate() *Gate { return &Gate{workers: 1, doors: map[int64]*door{}} }

// door counts who is in, for one webhook, and keeps who waits in order.
type door struct {
	entities, drains int
	waiting          []*waiter
}

// waiter is a drain that waits for one of so many places.
type waiter struct {
	places int
	in     chan struct{} // closed when it is let in
}

// SetWorkers says how many workers are alive.
func (g *Gate) SetWorkers(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.workers = max(n, 1)
	for _, d := range g.doors {
		g.letIn(d)
	}
}

// places of a webhook. Zero is a webhook that never said.
func places(w pipeline.Webhook) int {
	if w.MaxConcurrency <= 0 {
		return pipeline.DefaultMaxConcurrency
	}
	return w.MaxConcurrency
}

// entityShare is how many of a webhook's places the entities on one worker have.
func entityShare(places, workers int) int {
	if workers == 1 {
		return places
	}
	return places / (2 * workers) // half of them for all workers' entities
}

// drainShare is how many the drain has, wherever it runs: never less than half, and never none.
func drainShare(places, workers int) int {
	if workers == 1 {
		return places
	}
	return places - workers*entityShare(places, workers)
}

// drainShare of a webhook with so many places, at present.
func (g *Gate) drainShare(places int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return drainShare(places, g.workers)
}

// tryEnter lets an entity in, if there is a place for it. It is to say leftByEntity then.
func (g *Gate) tryEnter(w pipeline.Webhook) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.door(w.ID)
	if !g.hasRoomForEntity(d, places(w)) {
		g.tidy(w.ID, d)
		return false
	}
	d.entities++
	return true
}

func (g *Gate) leftByEntity(webhookID int64) { g.left(webhookID, func(d *door) { d.entities-- }) }

// enter lets a drain in, which waits for a place if it has to. It comes before entities: they
// have somebody to leave their deliveries to, and that is the drain.
func (g *Gate) enter(ctx context.Context, w pipeline.Webhook) (leave func(), err error) {
	leave = func() { g.left(w.ID, func(d *door) { d.drains-- }) }
	me := &waiter{places: places(w), in: make(chan struct{})}
	g.mu.Lock()
	d := g.door(w.ID)
	d.waiting = append(d.waiting, me)
	g.letIn(d)
	g.mu.Unlock()
	select {
	case <-me.in:
		return leave, nil
	case <-ctx.Done():
	}
	if g.giveUp(w.ID, me) {
		return nil, fmt.Errorf("wait for a place at webhook %d: %w", w.ID, ctx.Err())
	}
	return leave, nil // it was let in at the same moment
}

// giveUp takes a waiter out of the line, unless it has been let in.
func (g *Gate) giveUp(webhookID int64, w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.door(webhookID)
	i := slices.Index(d.waiting, w)
	if i < 0 {
		return false
	}
	d.waiting = slices.Delete(d.waiting, i, i+1)
	g.letIn(d) // those behind it may want fewer places
	g.tidy(webhookID, d)
	return true
}

func (g *Gate) left(webhookID int64, count func(*door)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.door(webhookID)
	count(d)
	g.letIn(d)
	g.tidy(webhookID, d)
}

// letIn lets those in who waited longest, as far as there is room.
func (g *Gate) letIn(d *door) {
	for len(d.waiting) > 0 && g.hasRoomForDrain(d, d.waiting[0].places) {
		d.drains++
		close(d.waiting[0].in)
		d.waiting = d.waiting[1:]
	}
}

func (g *Gate) hasRoomForEntity(d *door, places int) bool {
	if g.workers == 1 {
		return len(d.waiting) == 0 && d.entities+d.drains < places
	}
	return d.entities < entityShare(places, g.workers)
}

func (g *Gate) hasRoomForDrain(d *door, places int) bool {
	if g.workers == 1 {
		return d.entities+d.drains < places
	}
	return d.drains < drainShare(places, g.workers)
}

func (g *Gate) door(webhookID int64) *door {
	d, ok := g.doors[webhookID]
	if !ok {
		d = &door{}
		g.doors[webhookID] = d
	}
	return d
}

// tidy forgets a webhook that nobody sends to.
func (g *Gate) tidy(webhookID int64, d *door) {
	if d.entities == 0 && d.drains == 0 && len(d.waiting) == 0 {
		delete(g.doors, webhookID)
	}
}
