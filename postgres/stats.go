package postgres

import (
	"context"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// Stats sums up the attempts at a webhook by the hour since a time, oldest first. An hour without
// an attempt is left out.
//
// Latencies are in milliseconds, so there are few different ones however many attempts there
// were: they are counted first, and the percentiles read off the counts. To sort a million
// attempts would take longer than anybody waits for it.
func (s *Store) Stats(ctx context.Context, companyID, webhookID int64, since time.Time) ([]pipeline.StatsHour, error) {
	var rows []struct {
		Hour      time.Time `db:"hour"`
		Attempts  int64     `db:"attempts"`
		Succeeded int64     `db:"succeeded"`
		P50       float64   `db:"p50"`
		P95       float64   `db:"p95"`
	}
	err := s.list(ctx, &rows, "statistics", `WITH counted AS (
			SELECT date_bin('1 hour', a.at, 'epoch') AS hour, a.latency_ms, count(*) AS n, count(*) FILTER (WHERE a.ok) AS ok
			FROM attempts a
			WHERE a.webhook_id = (SELECT id FROM webhooks WHERE id = $1 AND company_id = $2) AND a.at >= $3
			GROUP BY 1, 2
		), ranked AS (
			SELECT hour, latency_ms, n, ok, sum(n) OVER (PARTITION BY hour ORDER BY latency_ms) AS up_to, sum(n) OVER (PARTITION BY hour) AS of
			FROM counted
		)
		SELECT hour, sum(n)::bigint AS attempts, sum(ok)::bigint AS succeeded,
			min(latency_ms) FILTER (WHERE up_to >= of * 0.5) AS p50, min(latency_ms) FILTER (WHERE up_to >= of * 0.95) AS p95
		FROM ranked GROUP BY hour ORDER BY hour`, webhookID, companyID, since)
	if err != nil {
		return nil, err
	}
	out := make([]pipeline.StatsHour, len(rows))
	for i, r := range rows {
		out[i] = pipeline.StatsHour{
			Hour: r.Hour.UTC(), Attempts: r.Attempts, Succeeded: r.Succeeded,
			SuccessRate: float64(r.Succeeded) / float64(r.Attempts), P50MS: r.P50, P95MS: r.P95,
		}
	}
	return out, nil
}
