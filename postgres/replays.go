package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

const replayColumns = `r.id, r.webhook_id, r.kind, r.status, r.after, r.until, r.types, r.position, r.total, r.done, r.queued,
	r.resumed_at, r.resumed_done, r.created_at, r.finished_at, now() AS now`

type replayRow struct {
	ID          int64          `db:"id"`
	WebhookID   int64          `db:"webhook_id"`
	Kind        string         `db:"kind"`
	Status      string         `db:"status"`
	After       int64          `db:"after"`
	Until       int64          `db:"until"`
	Types       pq.StringArray `db:"types"`
	Position    int64          `db:"position"`
	Total       int64          `db:"total"`
	Done        int64          `db:"done"`
	Queued      int64          `db:"queued"`
	ResumedAt   time.Time      `db:"resumed_at"`
	ResumedDone int64          `db:"resumed_done"`
	CreatedAt   time.Time      `db:"created_at"`
	FinishedAt  sql.NullTime   `db:"finished_at"`
	Now         time.Time      `db:"now"`
}

// replay works out the rate since it was started or resumed, and from that when it will be done.
// One that is paused has none; one that is over has that of its last stretch.
func (r replayRow) replay() pipeline.Replay {
	out := pipeline.Replay{
		ID: r.ID, WebhookID: r.WebhookID, Kind: pipeline.ReplayKind(r.Kind), Status: pipeline.ReplayStatus(r.Status),
		After: r.After, Until: r.Until, Types: r.Types, Position: r.Position, Total: r.Total, Done: r.Done, Queued: r.Queued,
		CreatedAt: r.CreatedAt.UTC(), FinishedAt: instant(r.FinishedAt),
	}
	end := r.Now
	if r.FinishedAt.Valid {
		end = r.FinishedAt.Time
	}
	seconds := end.Sub(r.ResumedAt).Seconds()
	if out.Status == pipeline.ReplayPaused || seconds <= 0 {
		return out
	}
	out.Rate = math.Round(10*float64(r.Done-r.ResumedDone)/seconds) / 10
	if left := max(r.Total-r.Done, 0); out.Status == pipeline.ReplayRunning && out.Rate > 0 {
		out.ETA = pipeline.Instant(r.Now.UTC().Add(time.Duration(float64(left) / out.Rate * float64(time.Second))))
	}
	return out
}

// insertReplay begins a replay, which is to have WebhookID, Kind, After, Until, Types and Total.
// CodeConflict where the webhook has one that is not over.
func insertReplay(ctx context.Context, tx transaction, r pipeline.Replay) (pipeline.Replay, error) {
	if r.Types == nil {
		r.Types = []string{}
	}
	var rows []replayRow
	err := tx.SelectContext(ctx, &rows, `INSERT INTO replays AS r (webhook_id, kind, status, after, until, types, position, total)
		VALUES ($1, $2, 'running', $3, $4, $5, $3, $6) ON CONFLICT DO NOTHING RETURNING `+replayColumns,
		r.WebhookID, string(r.Kind), r.After, r.Until, pq.Array(r.Types), r.Total)
	if err != nil {
		return pipeline.Replay{}, err
	}
	if len(rows) == 0 {
		return pipeline.Replay{}, pipeline.Errorf(pipeline.CodeConflict,
			"the webhook has a replay that is running or paused: wait for its end, or cancel it")
	}
	return rows[0].replay(), nil
}

// StartReplay begins a replay of a webhook; its workflow has to be woken then. With an
// idempotency key, a second call answers the replay as it was begun, and replayed. It fails with
// CodeConflict where the webhook is not active or has a replay that is not over.
func (s *Store) StartReplay(
	ctx context.Context, r pipeline.NewReplay, idem pipeline.Idempotency,
) (replay pipeline.Replay, replayed bool, err error) {
	wanted, err := s.resolve(ctx, r)
	if err != nil {
		return pipeline.Replay{}, false, err
	}
	answer, replayed, err := s.once(ctx, r.CompanyID, idem, func(tx transaction) (string, error) {
		var active []bool
		// Locked, so that whoever switches it off finds what the replay has queued.
		err := tx.SelectContext(ctx, &active, `SELECT active FROM webhooks
			WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL FOR SHARE`, r.WebhookID, r.CompanyID)
		if err != nil {
			return "", err
		}
		if len(active) == 0 {
			return "", noSuchWebhook()
		}
		if !active[0] {
			return "", pipeline.Errorf(pipeline.CodeConflict, "the webhook is not active; enable it first")
		}
		begun, err := insertReplay(ctx, tx, wanted)
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(begun)
		return string(b), err
	})
	if err != nil {
		return pipeline.Replay{}, false, err
	}
	if err := json.Unmarshal([]byte(answer), &replay); err != nil {
		return pipeline.Replay{}, false, fmt.Errorf("decode remembered replay: %w", err)
	}
	return replay, replayed, nil
}

// resolve finds the positions that a replay is from and to, and counts what is between.
func (s *Store) resolve(ctx context.Context, r pipeline.NewReplay) (pipeline.Replay, error) {
	out := pipeline.Replay{WebhookID: r.WebhookID, Kind: r.Kind, Types: r.Types}
	row, err := s.selectionOf(ctx, r.CompanyID, r.WebhookID)
	if err != nil {
		return out, err
	}
	newest, err := s.newestPosition(ctx, r.CompanyID)
	if err != nil {
		return out, err
	}
	if out.After, err = s.after(ctx, r.CompanyID, r.After, r.Since); err != nil {
		return out, err
	}
	out.Until = newest
	switch {
	case !r.UntilTime.IsZero():
		out.Until, err = s.positionBefore(ctx, r.CompanyID, r.UntilTime)
	case r.Until != 0:
		out.Until = min(r.Until, newest)
	}
	if err != nil {
		return out, err
	}
	if r.Kind == pipeline.ReplayRecover {
		out.Total, err = s.countUnusual(ctx, r.WebhookID, out.After, out.Until)
		return out, err
	}
	out.Total, err = s.countEvents(ctx, r.CompanyID, row.selection(r.WebhookID, r.Types).types, out.After, out.Until)
	return out, err
}

func (s *Store) selectionOf(ctx context.Context, companyID, webhookID int64) (selectionRow, error) {
	var row selectionRow
	err := s.get(ctx, &row, "webhook", selectionSQL+` AND w.company_id = $2`, webhookID, companyID)
	return row, err
}

// countUnusual is countEvents for what a recovery goes through.
func (s *Store) countUnusual(ctx context.Context, webhookID, after, until int64) (int64, error) {
	var n int64
	err := s.get(ctx, &n, "number of deliveries", `SELECT coalesce(sum(CASE WHEN c.n < $4 THEN c.n
			ELSE c.n * ($3::bigint - $2::bigint)::numeric / (c.last - $2::bigint) END), 0)::bigint
		FROM unnest(`+recoverable+`) AS s (status) CROSS JOIN LATERAL (
			SELECT count(*) AS n, max(p.event_position) AS last FROM (
				SELECT event_position FROM deliveries
				WHERE webhook_id = $1 AND status NOT IN ('pending', 'delivered') AND status = s.status
				  AND event_position > $2::bigint AND event_position <= $3::bigint
				ORDER BY event_position LIMIT $4) p) c`, webhookID, after, until, countEach)
	return n, err
}

// recoverable are the deliveries that a recovery sends again. What was superseded stays so.
const recoverable = `ARRAY['exhausted', 'held', 'discarded']`

// Replays lists the replays of a webhook, newest first.
func (s *Store) Replays(ctx context.Context, companyID, webhookID int64, page pipeline.Page) ([]pipeline.Replay, error) {
	before := page.Cursor
	if before == 0 {
		before = math.MaxInt64
	}
	var rows []replayRow
	err := s.page(ctx, &rows, "replays", `SELECT `+replayColumns+` FROM replays r JOIN webhooks w ON w.id = r.webhook_id
		WHERE r.webhook_id = $1 AND w.company_id = $2 AND r.id < $3 ORDER BY r.id DESC LIMIT $4`, webhookID, companyID, before, page.Limit)
	if err != nil {
		return nil, err
	}
	out := make([]pipeline.Replay, len(rows))
	for i, r := range rows {
		out[i] = r.replay()
	}
	return out, nil
}

// Replay reads one replay of a webhook.
func (s *Store) Replay(ctx context.Context, companyID, webhookID, id int64) (pipeline.Replay, error) {
	var row replayRow
	err := s.get(ctx, &row, "replay", `SELECT `+replayColumns+` FROM replays r JOIN webhooks w ON w.id = r.webhook_id
		WHERE r.id = $1 AND r.webhook_id = $2 AND w.company_id = $3`, id, webhookID, companyID)
	return row.replay(), err
}

// SetReplayStatus pauses a replay (ReplayPaused), resumes it (ReplayRunning) or cancels it
// (ReplayCancelled); CodeConflict where it is over. After it was resumed, the webhook's workflow
// has to be woken.
//
// A webhook whose start is cancelled goes on with what happens from now on; what it did not get
// of the past are gaps.
func (s *Store) SetReplayStatus(
	ctx context.Context, companyID, webhookID, id int64, status pipeline.ReplayStatus,
) (replay pipeline.Replay, err error) {
	err = s.inTx(ctx, "change replay", func(tx transaction) error {
		row, err := lockReplay(ctx, tx, companyID, webhookID, id, status)
		if err != nil {
			return err
		}
		if row.Status != string(pipeline.ReplayRunning) && row.Status != string(pipeline.ReplayPaused) {
			return pipeline.Errorf(pipeline.CodeConflict, "the replay is %s: start another one", row.Status)
		}
		if row.Status != string(status) {
			err = tx.GetContext(ctx, &row, `UPDATE replays r SET status = $2, updated_at = now(),
					resumed_at   = CASE WHEN $2 = 'running' THEN now() ELSE resumed_at END,
					resumed_done = CASE WHEN $2 = 'running' THEN done ELSE resumed_done END,
					finished_at  = CASE WHEN $2 = 'cancelled' THEN now() END
				WHERE id = $1 RETURNING `+replayColumns, id, string(status))
		}
		if err == nil && status == pipeline.ReplayCancelled && row.Kind == string(pipeline.ReplayStart) {
			_, err = tx.ExecContext(ctx, `UPDATE webhooks SET catching_up = false WHERE id = $1`, webhookID)
		}
		replay = row.replay()
		return err
	})
	return replay, err
}

// lockReplay locks a replay, and before it, where that may switch the webhook over to the live
// stream, the company's turn and the webhook; see lockHealth for the order of the locks, of
// which replays are the last but deliveries.
func lockReplay(
	ctx context.Context, tx transaction, companyID, webhookID, id int64, status pipeline.ReplayStatus,
) (replayRow, error) {
	if status == pipeline.ReplayCancelled {
		if err := takeTurn(ctx, tx, companyID); err != nil {
			return replayRow{}, err
		}
		_, err := tx.ExecContext(ctx, `SELECT FROM webhooks WHERE id = $1 AND company_id = $2 FOR NO KEY UPDATE`, webhookID, companyID)
		if err != nil {
			return replayRow{}, err
		}
	}
	var rows []replayRow
	err := tx.SelectContext(ctx, &rows, `SELECT `+replayColumns+` FROM replays r JOIN webhooks w ON w.id = r.webhook_id
		WHERE r.id = $1 AND r.webhook_id = $2 AND w.company_id = $3 FOR UPDATE OF r`, id, webhookID, companyID)
	if err == nil && len(rows) == 0 {
		err = pipeline.Errorf(pipeline.CodeNotFound, "there is no such replay")
	}
	if err != nil {
		return replayRow{}, err
	}
	return rows[0], nil
}

// AdvanceReplay queues the next deliveries of a webhook's replay, at most limit of them, and
// moves its position, in one transaction. It looks at a bounded number of events for that, so
// that queued means: look at DueDeliveries, and then here again; there may be nothing due yet.
// Without one that is running, while the webhook is not active and while its endpoint rests,
// there is nothing to do.
//
// What is on its way is left alone: what its entity is about to send, and what waits behind an
// earlier event.
func (s *Store) AdvanceReplay(ctx context.Context, webhookID int64, limit int) (queued bool, err error) {
	// Most webhooks have no replay most of the time, and a question is cheaper than a transaction.
	var running []int64
	err = s.list(ctx, &running, "replays", `SELECT r.id FROM replays r JOIN webhook_health h ON h.webhook_id = r.webhook_id
		WHERE r.webhook_id = $1 AND r.status = 'running' AND (h.rest_until IS NULL OR h.rest_until <= now())`, webhookID)
	if err != nil || len(running) == 0 {
		return false, err
	}
	step, err := s.stepReplay(ctx, webhookID, limit)
	if err != nil || !step.caughtUp {
		return step.queued, err
	}
	return s.goLive(ctx, webhookID)
}

// stepReplay tries again where attempts at the same deliveries are being recorded, which locks
// them in another order.
func (s *Store) stepReplay(ctx context.Context, webhookID int64, limit int) (replayStep, error) {
	return pastConflicts(func() (step replayStep, err error) {
		err = s.inTx(ctx, "advance replay", func(tx transaction) error {
			step, err = s.advance(ctx, tx, webhookID, limit)
			return err
		})
		return step, err
	})
}

// replayStep says what came of a step of a replay: whether to look again, and whether a start has
// come to the end of the past.
type replayStep struct {
	queued, caughtUp bool
}

// lockRunning locks a webhook, with lock, and its running replay; false where there is none or
// the webhook is not active.
func lockRunning(ctx context.Context, tx transaction, webhookID int64, lock string) (w selectionRow, r replayRow, ok bool, err error) {
	err = tx.GetContext(ctx, &w, selectionSQL+` AND w.active FOR `+lock+` OF w`, webhookID)
	if err == nil {
		err = tx.GetContext(ctx, &r, `SELECT `+replayColumns+` FROM replays r WHERE webhook_id = $1 AND status = 'running' FOR UPDATE`, webhookID)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return w, r, false, nil
	}
	return w, r, err == nil, err
}

// looksAhead is how many events a step of a replay looks at, for each that it may queue.
const looksAhead = 4

func (s *Store) advance(ctx context.Context, tx transaction, webhookID int64, limit int) (replayStep, error) {
	w, r, ok, err := lockRunning(ctx, tx, webhookID, "SHARE")
	if err != nil || !ok {
		return replayStep{}, err
	}
	until := r.Until
	if r.Kind == string(pipeline.ReplayStart) {
		until = math.MaxInt64
	}
	var at queuedRow
	if r.Kind == string(pipeline.ReplayRecover) {
		err = tx.GetContext(ctx, &at, requeueUnusual, webhookID, r.Position, until, limit)
		at.More = at.Picked == int64(limit)
	} else {
		at, err = s.queueEvents(ctx, tx, w.selection(webhookID, r.Types), r.Position, until, limit)
	}
	if err != nil {
		return replayStep{}, err
	}
	over := !at.More && r.Kind != string(pipeline.ReplayStart)
	if over {
		at.Last.Int64 = until
	}
	// When it is first looked at, it begins; see goLive.
	_, err = tx.ExecContext(ctx, `UPDATE replays SET position = greatest(position, $2), done = done + $3, queued = queued + $4,
			total       = CASE WHEN $5 THEN done + $3 ELSE greatest(total, done + $3) END,
			status      = CASE WHEN $5 THEN 'done' ELSE status END,
			finished_at = CASE WHEN $5 THEN clock_timestamp() END,
			resumed_at  = CASE WHEN updated_at = created_at THEN now() ELSE resumed_at END,
			updated_at  = clock_timestamp()
		WHERE id = $1`, r.ID, at.Last.Int64, at.Picked, at.Queued, over)
	if err != nil {
		return replayStep{}, err
	}
	caughtUp := !at.More && at.Queued == 0 && r.Kind == string(pipeline.ReplayStart)
	return replayStep{queued: at.Queued > 0 || !over && !caughtUp, caughtUp: caughtUp}, nil
}

// queuedRow is what a step has gone through: the last position, how many events, how many
// deliveries it queued, and whether there is more.
type queuedRow struct {
	Last   sql.NullInt64 `db:"last"`
	Picked int64         `db:"picked"`
	Queued int64         `db:"queued"`
	Looked int64         `db:"looked"`
	More   bool          `db:"-"`
}

// queueEvents queues the next events of a selection, oldest first.
func (s *Store) queueEvents(
	ctx context.Context, tx transaction, of selection, after, until int64, limit int,
) (queuedRow, error) {
	if of.filter == "" {
		return queuePicked(ctx, tx, of, after, until, limit, nil)
	}
	var found struct {
		Picked pq.Int64Array `db:"picked"`
		Last   sql.NullInt64 `db:"last"`
	}
	look := limit * looksAhead
	err := tx.GetContext(ctx, &found, `WITH looked AS MATERIALIZED (`+of.looked()+`)
		SELECT ARRAY(SELECT position FROM looked WHERE wanted ORDER BY position LIMIT $5) AS picked, (SELECT max(position) FROM looked) AS last`,
		of.args(after, until, limit, look, nil)[:argsOfLooked]...)
	if err != nil || !found.Last.Valid {
		return queuedRow{}, err
	}
	read := func(dest any, query string, args ...any) error { return tx.SelectContext(ctx, dest, query, args...) }
	fit, err := s.fitting(of, found.Picked, read)
	if err != nil {
		return queuedRow{}, err
	}
	// What is recorded meanwhile comes next time: it was not asked whether it fits.
	return queuePicked(ctx, tx, of, after, min(until, found.Last.Int64), limit, fit)
}

func queuePicked(
	ctx context.Context, tx transaction, s selection, after, until int64, limit int, fit []int64,
) (queuedRow, error) {
	var row queuedRow
	look := limit * looksAhead
	err := tx.GetContext(ctx, &row, `WITH looked AS MATERIALIZED (`+s.looked()+`
		), picked AS MATERIALIZED (
			SELECT position FROM looked WHERE wanted ORDER BY position LIMIT $5
		), first AS MATERIALIZED (
			SELECT e.stream, $8::bigint AS webhook_id, min(e.version) AS version
			FROM picked JOIN events e ON e.company_id = $1 AND e.position = picked.position GROUP BY e.stream
		), ahead AS (`+bringForward("first")+`), queued AS (
			INSERT INTO deliveries AS d (company_id, webhook_id, event_position, stream, version, status, next_attempt_at)
			SELECT e.company_id, $8::bigint, e.position, e.stream, e.version, 'pending', now()
			FROM picked JOIN events e ON e.company_id = $1 AND e.position = picked.position
			WHERE `+matchesSelection+`
			ORDER BY e.position
			ON CONFLICT ON CONSTRAINT deliveries_once DO UPDATE SET `+sentAnew+`
			WHERE `+notOnItsWay+`
			RETURNING 1
		)
		SELECT (SELECT count(*) FROM looked) AS looked, (SELECT count(*) FROM picked) AS picked, (SELECT count(*) FROM queued) AS queued,
			CASE WHEN (SELECT count(*) FROM picked) = $5 THEN (SELECT max(position) FROM picked)
				ELSE (SELECT max(position) FROM looked) END AS last`,
		s.args(after, until, limit, look, fit)...)
	row.More = row.Picked == int64(limit) || len(s.types) > narrow && row.Looked == int64(look)
	return row, err
}

// sentAnew makes a delivery d due, its retry schedule from the start. What was acknowledged
// before stays acknowledged. What waits for its first attempt keeps its place.
const sentAnew = `status = 'pending', attempts_before = d.attempts, next_attempt_at = CASE
	WHEN d.status = 'pending' AND d.attempts = d.attempts_before THEN least(d.next_attempt_at, now()) ELSE now() END`

// notOnItsWay: its entity is about to send a delivery without a time, and one that is parked
// will be due in its turn. To make either due would send it twice, or out of order.
const notOnItsWay = `NOT (d.status = 'pending' AND (d.next_attempt_at IS NULL OR d.next_attempt_at = 'infinity'))`

// requeueUnusual is a step of a recovery: $1 webhook, $2 after, $3 up to, $4 how many.
const requeueUnusual = `WITH picked AS MATERIALIZED (
		SELECT p.id, p.event_position FROM unnest(` + recoverable + `) AS s (status) CROSS JOIN LATERAL (
			SELECT id, event_position FROM deliveries
			WHERE webhook_id = $1 AND status NOT IN ('pending', 'delivered') AND status = s.status
			  AND event_position > $2 AND event_position <= $3
			ORDER BY event_position LIMIT $4) p
		ORDER BY p.event_position LIMIT $4
	), queued AS (
		UPDATE deliveries d SET ` + sentAnew + ` FROM picked
		WHERE d.id = picked.id AND d.status = ANY(` + recoverable + `) RETURNING 1
	)
	SELECT count(*) AS looked, count(*) AS picked, (SELECT count(*) FROM queued) AS queued, max(event_position) AS last FROM picked`

// goLive switches a webhook that has got the past over to the live stream, unless there is
// something left after all: then it is to be looked at again (true).
//
// It has the company's turn: no event is being recorded now, and looks with a statement that
// begins after it got that. Who comes after it sees the webhook as it is then. Only an append that
// began before the webhook was there does not see it at all; its event has to be waited for.
func (s *Store) goLive(ctx context.Context, webhookID int64) (again bool, err error) {
	err = s.inTx(ctx, "switch webhook to its live stream", func(tx transaction) error {
		again, err = goLive(ctx, tx, webhookID)
		return err
	})
	return again, err
}

func goLive(ctx context.Context, tx transaction, webhookID int64) (again bool, err error) {
	var companyID int64
	if err := tx.GetContext(ctx, &companyID, `SELECT company_id FROM webhooks WHERE id = $1`, webhookID); err != nil {
		return false, err
	}
	if err := takeTurn(ctx, tx, companyID); err != nil {
		return false, err
	}
	w, r, ok, err := lockRunning(ctx, tx, webhookID, "NO KEY UPDATE")
	if err != nil || !ok {
		return false, err
	}
	selected := w.selection(webhookID, r.Types)
	err = tx.GetContext(ctx, &again, `SELECT EXISTS (SELECT FROM (`+selected.looked()+`) l) OR `+oldAppends,
		append(selected.args(r.Position, math.MaxInt64, 1, 1, nil)[:argsOfLooked], r.ResumedAt)...)
	if err != nil || again {
		return again, err
	}
	_, err = tx.ExecContext(ctx, `WITH live AS (UPDATE webhooks SET catching_up = false WHERE id = $1)
		UPDATE replays SET status = 'done', total = done, until = greatest(until, position), finished_at = clock_timestamp(),
			updated_at = clock_timestamp() WHERE id = $2`, webhookID, r.ID)
	return false, err
}

// argsOfLooked is how many arguments looked has.
const argsOfLooked = 6

// oldAppends: an append is under way that began before the replay did ($7), and so perhaps before
// the webhook was there. The statement timeout bounds how long that can be so.
const oldAppends = `EXISTS (SELECT FROM pg_stat_activity
	WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE 'WITH moved AS%' AND query_start < $7)`

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
