package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/worker"
)

// register knows who is alive, as Postgres does.
type register struct {
	mu    sync.Mutex
	seen  map[string]time.Time
	beats []time.Duration
	began time.Time
	fails error
}

func newRegister() *register {
	return &register{seen: map[string]time.Time{}, began: time.Now()}
}

func (r *register) Beat(_ context.Context, id string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails != nil {
		return 0, r.fails
	}
	r.beats = append(r.beats, time.Since(r.began))
	r.seen[id] = time.Now()
	alive := 0
	for _, at := range r.seen {
		if time.Since(at) < 30*time.Second {
			alive++
		}
	}
	return alive, nil
}

func (r *register) Leave(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, id)
	return r.fails
}

func (r *register) breaks(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = err
}

// member is a worker's pulse, and how many it believes to be alive.
type member struct {
	*worker.Pulse

	mu    sync.Mutex
	alive int
	told  int
}

func join(r *register, id string, log *slog.Logger) *member {
	m := &member{}
	m.Pulse = worker.NewPulse(r, id, func(alive int) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.alive = alive
		m.told++
	}, log)
	m.Start(context.Background())
	return m
}

func (m *member) knows() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alive
}

var quiet = slog.New(slog.DiscardHandler)

func TestWorkersKnowHowManyTheyAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRegister()
		first := join(r, "first", quiet)
		require.Equal(t, 1, first.knows(), "it knows at once")
		second := join(r, "second", quiet)
		require.Equal(t, 2, second.knows())
		require.Equal(t, 1, first.knows())
		time.Sleep(11 * time.Second)
		require.Equal(t, 2, first.knows(), "with its next beat")
		second.Stop()
		time.Sleep(10 * time.Second)
		require.Equal(t, 1, first.knows(), "who leaves says so")
		first.Stop()
		require.Empty(t, r.seen)
		require.Equal(t, []time.Duration{0, 0, 10 * time.Second, 10 * time.Second, 20 * time.Second}, r.beats)
	})
}

func TestWorkersKeepWhatTheyKnewWhileNobodyAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRegister()
		var log strings.Builder
		first, second := join(r, "first", slog.New(slog.NewTextHandler(&log, nil))), join(r, "second", quiet)
		time.Sleep(11 * time.Second)
		r.breaks(errors.New("no database"))
		time.Sleep(time.Hour)
		require.Equal(t, 2, first.knows())
		require.Equal(t, 2, second.knows())
		require.Equal(t, 2, first.told)

		r.breaks(nil)
		for range 3 {
			time.Sleep(10 * time.Second)
			require.Equal(t, 2, first.knows(), "the others were as silent, and are not taken for dead")
			require.Equal(t, 2, second.knows())
		}
		second.Stop()
		time.Sleep(10 * time.Second)
		require.Equal(t, 1, first.knows())
		r.breaks(errors.New("no database"))
		first.Stop()
		require.Contains(t, log.String(), "worker=first error=\"no database\"")
		require.Contains(t, log.String(), "they will notice")
	})
}
