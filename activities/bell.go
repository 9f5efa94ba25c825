package activities

import (
	"sync"

	"github.com/dealwright/dealwright/pipeline"
)

// Bell tells an entity that is at work that something new was recorded for it, where both are
// done by the same worker. That is the rule, and it costs nothing. Where they are not, the
// entity finds out by itself a little later.
type Bell struct {
	mu        sync.Mutex
	listening map[pipeline.Stream]chan struct{}
}

// NewBell makes a worker's bell.
func NewBell() *Bell { return &Bell{listening: map[pipeline.Stream]chan struct{}{}} }

// ring is for who has recorded an event.
func (b *Bell) ring(stream pipeline.Stream) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.listening[stream] <- struct{}{}:
	default: // nobody listens, or it has rung already
	}
}

// listen until stop is called.
func (b *Bell) listen(stream pipeline.Stream) (rung <-chan struct{}, stop func()) {
	if b == nil {
		return nil, func() {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := make(chan struct{}, 1)
	b.listening[stream] = mine
	return mine, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.listening[stream] == mine {
			delete(b.listening, stream)
		}
	}
}
