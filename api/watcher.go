package api

import (
	"context"
	"sync"
	"time"
)

const (
	watchInterval = 100 * time.Millisecond
	maxWaiters    = 1000
)

// watcher tells those who wait for events that something was recorded. However many wait,
// it asks the store one cheap question every watchInterval, and none while nobody waits.
type watcher struct {
	last func(ctx context.Context) (int64, error)

	mu      sync.Mutex
	waiters map[chan struct{}]struct{}
	stop    context.CancelFunc
}

// newWatcher makes a watcher; last gives the position of the newest event.
func newWatcher(last func(context.Context) (int64, error)) *watcher {
	return &watcher{last: last, waiters: map[chan struct{}]struct{}{}}
}

// join gives a channel that gets a value when there may be news. leave has to be called in
// the end. ok is false where too many wait already.
func (w *watcher) join(ctx context.Context) (news <-chan struct{}, leave func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiters) >= maxWaiters {
		return nil, nil, false
	}
	mine := make(chan struct{}, 1)
	w.waiters[mine] = struct{}{}
	if len(w.waiters) == 1 {
		// The first waiter's request may end before those of the others.
		polling, stop := context.WithCancel(context.WithoutCancel(ctx))
		w.stop = stop
		go w.poll(polling)
	}
	return mine, func() { w.leave(mine) }, true
}

func (w *watcher) leave(mine chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiters, mine)
	if len(w.waiters) == 0 {
		w.stop()
	}
}

// poll wakes everybody whenever the position has changed, and at first, since it may have
// changed before somebody joined. Where the store fails it wakes them too: their own queries
// then tell their callers what is wrong.
func (w *watcher) poll(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	seen := int64(-1)
	for {
		position, err := w.last(ctx)
		if err != nil || position != seen {
			w.wake()
		}
		seen = position
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *watcher) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for waiter := range w.waiters {
		select {
		case waiter <- struct{}{}:
		default: // has news already that it has not looked at
		}
	}
}
