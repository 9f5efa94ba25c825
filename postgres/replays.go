package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// errNotBuilt is what the replays answer for now.
var errNotBuilt = errors.New("replays are not built yet")

func insertReplay(context.Context, transaction, pipeline.Replay) (pipeline.Replay, error) {
	return pipeline.Replay{}, errNotBuilt
}

func (s *Store) countEvents(context.Context, int64, []string, int64, int64) (int64, error) {
	return 0, errNotBuilt
}

// StartReplay begins a replay.
func (s *Store) StartReplay(context.Context, pipeline.NewReplay, pipeline.Idempotency) (replay pipeline.Replay, replayed bool, err error) {
	return pipeline.Replay{}, false, errNotBuilt
}

// Replays lists the replays of a webhook.
func (s *Store) Replays(context.Context, int64, int64, pipeline.Page) ([]pipeline.Replay, error) {
	return nil, errNotBuilt
}

// Replay reads one.
func (s *Store) Replay(context.Context, int64, int64, int64) (pipeline.Replay, error) {
	return pipeline.Replay{}, errNotBuilt
}

// SetReplayStatus pauses, resumes or cancels a replay.
func (s *Store) SetReplayStatus(context.Context, int64, int64, int64, pipeline.ReplayStatus) (pipeline.Replay, error) {
	return pipeline.Replay{}, errNotBuilt
}

// AdvanceReplay queues what comes next.
func (s *Store) AdvanceReplay(context.Context, int64, int) (queued bool, err error) {
	return false, nil
}

// Gaps lists what a partner has not acknowledged.
func (s *Store) Gaps(context.Context, pipeline.GapQuery) (pipeline.Gaps, error) {
	return pipeline.Gaps{}, errNotBuilt
}

// Stats sums up attempts.
func (s *Store) Stats(context.Context, int64, int64, time.Time) ([]pipeline.StatsHour, error) {
	return nil, errNotBuilt
}

// Resend sends a delivery anew.
func (s *Store) Resend(context.Context, int64, int64, int64) (pipeline.Delivery, error) {
	return pipeline.Delivery{}, errNotBuilt
}

// newestPosition of a company; 0 where nothing has happened.
const newestPosition = `SELECT coalesce((SELECT position FROM events WHERE company_id = $1 ORDER BY position DESC LIMIT 1), 0)`

func (s *Store) newestPosition(ctx context.Context, companyID int64) (int64, error) {
	var n int64
	err := s.get(ctx, &n, "position", newestPosition, companyID)
	return n, err
}

// after is the position that something is asked for from: a position, or where since is given,
// the last one before that time.
func (s *Store) after(ctx context.Context, companyID, position int64, since time.Time) (int64, error) {
	if since.IsZero() {
		return position, nil
	}
	return s.positionBefore(ctx, companyID, since)
}
