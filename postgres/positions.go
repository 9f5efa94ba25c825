package postgres

import (
	"context"
	"time"
)

// positionBefore finds the position of a company's last event that was recorded before a time,
// 0 where there is none.
func (s *Store) positionBefore(ctx context.Context, companyID int64, t time.Time) (int64, error) {
	var n int64
	err := s.get(ctx, &n, "position", `SELECT position_before($1, $2)`, companyID, t)
	return n, err
}
