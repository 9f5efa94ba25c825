package activities

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/dealwright/dealwright/pipeline"
)

// longestPause is how long a drain waits for the rate limit by itself. A longer wait is left to
// the workflow's timer: it costs nothing there, and survives whatever happens.
const longestPause = 5 * time.Second

// pace spaces the requests of a drain evenly, as the webhook's rate limit wants it.
type pace struct {
	turn  chan struct{} // of one; one waits at a time, so that a wait that is given up costs no request
	limit *rate.Limiter
}

// newPace begins where an earlier drain ended: nothing is allowed before pacedUntil. A rate of
// zero is no limit.
func newPace(r pipeline.Rate, pacedUntil time.Time) *pace {
	p := &pace{turn: make(chan struct{}, 1), limit: rate.NewLimiter(rate.Inf, 1)}
	if r <= 0 {
		return p
	}
	p.limit.SetLimit(rate.Limit(r))
	if !pacedUntil.IsZero() {
		p.limit.AllowN(pacedUntil.Add(-p.interval()), 1) // the next one is due one interval later
	}
	return p
}

func (p *pace) limited() bool { return p.limit.Limit() != rate.Inf }

// interval between two requests.
func (p *pace) interval() time.Duration {
	return time.Duration(float64(time.Second) / float64(p.limit.Limit()))
}

// wait takes the next request's turn, and says false where ctx was over before.
func (p *pace) wait(ctx context.Context) bool {
	if !p.limited() {
		return true
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return false
	}
	now := time.Now()
	turn := p.limit.ReserveN(now, 1)
	pause := turn.DelayFrom(now)
	if pause == 0 {
		return true
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		turn.Cancel()
		return false
	}
}

// next is when the next request is allowed, while nobody waits; zero where that is now.
func (p *pace) next() time.Time {
	if !p.limited() {
		return time.Time{}
	}
	now := time.Now()
	missing := 1 - p.limit.TokensAt(now)
	if missing <= 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(missing * float64(p.interval())))
}

// batch is how many requests may begin within longestPause, at most limit and at least one.
func (p *pace) batch(limit int) int {
	if !p.limited() {
		return limit
	}
	return max(1, min(limit, int(float64(p.limit.Limit())*longestPause.Seconds())))
}
