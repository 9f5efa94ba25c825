package api

import (
	"context"
	"sync"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// statusesAge is how long a company's statuses are taken for what they were. They hardly ever
// change, and a command would else cost one query more.
const statusesAge = 5 * time.Second

// statusCache knows the statuses of companies. It is safe for concurrent use.
type statusCache struct {
	load func(ctx context.Context, companyID int64) (pipeline.Statuses, error)
	now  func() time.Time

	mu    sync.Mutex
	known map[int64]knownStatuses
}

type knownStatuses struct {
	statuses pipeline.Statuses
	until    time.Time
}

func newStatusCache(load func(context.Context, int64) (pipeline.Statuses, error), now func() time.Time) *statusCache {
	return &statusCache{load: load, now: now, known: map[int64]knownStatuses{}}
}

// name is what a company calls a status; CodeInvalid at the pointer where it has no such status.
func (s *statusCache) name(ctx context.Context, companyID int64, code int, pointer string) (string, error) {
	statuses, err := s.of(ctx, companyID)
	if err != nil {
		return "", err
	}
	name, ok := statuses.Name(code)
	if !ok {
		return "", pipeline.Invalid(pipeline.FieldError{Pointer: pointer, Detail: "is not a status of this company"})
	}
	return name, nil
}

// of gives a company's statuses. Two requests may load them at once, which does no harm.
func (s *statusCache) of(ctx context.Context, companyID int64) (pipeline.Statuses, error) {
	s.mu.Lock()
	known, ok := s.known[companyID]
	s.mu.Unlock()
	if ok && s.now().Before(known.until) {
		return known.statuses, nil
	}
	statuses, err := s.load(ctx, companyID)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[companyID] = knownStatuses{statuses: statuses, until: s.now().Add(statusesAge)}
	return statuses, nil
}
