package postgres

import (
	"context"
	"time"
)

// deadAfter is how long a worker counts that has not been heard of: three of its beats.
const deadAfter = 30 * time.Second

// Beat says that a worker lives, and answers how many do. It is to be called every ten seconds.
func (s *Store) Beat(ctx context.Context, workerID string) (alive int, err error) {
	err = s.get(ctx, &alive, "worker", `WITH me AS (
			INSERT INTO workers (id, seen_at) VALUES ($1, now()) ON CONFLICT (id) DO UPDATE SET seen_at = now()
		), dead AS (
			DELETE FROM workers WHERE id <> $1 AND seen_at < now() - make_interval(secs => $2)
		)
		SELECT 1 + count(*) FROM workers WHERE id <> $1 AND seen_at >= now() - make_interval(secs => $2)`, workerID, deadAfter.Seconds())
	return alive, err
}

// Leave says that a worker stops, so that the others need not wait for its beat to fail.
func (s *Store) Leave(ctx context.Context, workerID string) error {
	_, err := s.exec(ctx, "leave", `DELETE FROM workers WHERE id = $1`, workerID)
	return err
}
