package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// backlogSQL counts what waits. Each part reads an index of just the rows that it counts; none reads
// the deliveries that are done. A delivery without a time is an entity's own to send, at once.
var backlogSQL = `WITH due AS (
		SELECT webhook_id, count(*) AS n, min(next_attempt_at) AS since FROM deliveries
		WHERE status = 'pending' AND next_attempt_at <= now() GROUP BY webhook_id
	), held AS (
		SELECT webhook_id, count(*) AS n FROM deliveries WHERE status = 'held' GROUP BY webhook_id
	), broken AS (
		SELECT webhook_id FROM webhook_health WHERE failures >= ` + strconv.Itoa(pipeline.BreakerLimit) + `
	)
	SELECT webhook_id, coalesce(due.n, 0) AS due, coalesce(held.n, 0) AS held, broken.webhook_id IS NOT NULL AS circuit_open,
	       CASE WHEN broken.webhook_id IS NULL THEN coalesce(extract(epoch FROM now() - due.since), 0) ELSE 0 END AS waited
	FROM due FULL JOIN held USING (webhook_id) FULL JOIN broken USING (webhook_id)
	ORDER BY webhook_id LIMIT ` + strconv.Itoa(maxQueues)

// maxQueues bounds what one look at the backlog brings, and with it the series that a monitoring
// system keeps for us.
const maxQueues = 5000

// Backlog says what waits to be delivered, and how many workers are alive. It is for the operator's
// numbers and sees all companies.
func (s *Store) Backlog(ctx context.Context) (pipeline.Backlog, error) {
	var rows []struct {
		pipeline.Queue
		Waited float64 `db:"waited"`
	}
	if err := s.list(ctx, &rows, "backlog", backlogSQL); err != nil {
		return pipeline.Backlog{}, err
	}
	var b pipeline.Backlog
	for _, row := range rows {
		b.Queues = append(b.Queues, row.Queue)
		b.OldestDue = max(b.OldestDue, time.Duration(row.Waited*float64(time.Second)))
	}
	err := s.get(ctx, &b.Workers, "workers", `SELECT count(*) FROM workers WHERE seen_at >= now() - make_interval(secs => $1)`,
		deadAfter.Seconds())
	return b, err
}
