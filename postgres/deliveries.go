package postgres

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/dealwright/dealwright/pipeline"
)

const deliveryColumns = `d.id, d.webhook_id, d.stream, d.version, d.status,
	nullif(d.next_attempt_at, 'infinity') AS next_attempt_at, d.created_at,
	e.id AS event_id, e.type AS event_type`

// pickedColumns are those of a delivery that deliveryColumns, the join and the order need.
const pickedColumns = `d.id, d.company_id, d.webhook_id, d.event_position, d.stream, d.version, d.status, d.next_attempt_at, d.created_at`

type deliveryRow struct {
	ID            int64        `db:"id"`
	WebhookID     int64        `db:"webhook_id"`
	EventID       string       `db:"event_id"`
	EventType     string       `db:"event_type"`
	Stream        string       `db:"stream"`
	Version       int64        `db:"version"`
	Status        string       `db:"status"`
	NextAttemptAt sql.NullTime `db:"next_attempt_at"`
	CreatedAt     time.Time    `db:"created_at"`
}

func (r deliveryRow) delivery() pipeline.Delivery {
	return pipeline.Delivery{
		ID: r.ID, WebhookID: r.WebhookID, EventID: r.EventID, EventType: pipeline.EventType(r.EventType),
		Stream: pipeline.Stream(r.Stream), Version: r.Version, Status: pipeline.DeliveryStatus(r.Status),
		NextAttemptAt: instant(r.NextAttemptAt), CreatedAt: r.CreatedAt.UTC(), Attempts: []pipeline.Attempt{},
	}
}

// Deliveries lists a company's deliveries with their attempts, those of the newest event
// first. The fields of the query narrow it.
func (s *Store) Deliveries(ctx context.Context, q pipeline.DeliveryQuery) ([]pipeline.Delivery, error) {
	var rows []deliveryRow
	query, args := deliveriesSQL(q)
	if err := s.page(ctx, &rows, "deliveries", query, args...); err != nil {
		return nil, err
	}
	out := make([]pipeline.Delivery, len(rows))
	for i, r := range rows {
		out[i] = r.delivery()
	}
	return out, s.addAttempts(ctx, out)
}

// deliveriesSQL reads a page of each webhook, picks the newest out of these, and joins the
// events of the page only. A company has few webhooks, and this way one index serves all.
func deliveriesSQL(q pipeline.DeliveryQuery) (string, []any) {
	var webhooks, deliveries conditions
	webhooks.and("w.company_id = ?", q.CompanyID)
	deliveries.and("d.webhook_id = w.id")
	if q.WebhookID != 0 {
		webhooks.and("w.id = ?", q.WebhookID)
	}
	if q.PartnerKey != 0 {
		webhooks.and("w.key_id = ?", q.PartnerKey)
	}
	if q.Status != "" {
		deliveries.and("d.status = ?", string(q.Status))
	}
	if q.EventID != "" {
		deliveries.and("d.event_position = (SELECT position FROM events WHERE id = ? AND company_id = ?)", q.EventID, q.CompanyID)
	}
	if q.Page.Cursor > 0 {
		deliveries.and(`d.event_position <= (SELECT event_position FROM deliveries WHERE id = ?)
			AND (d.event_position, d.id) < (SELECT event_position, id FROM deliveries WHERE id = ?)`, q.Page.Cursor, q.Page.Cursor)
	}
	query := `SELECT ` + deliveryColumns + ` FROM (
			SELECT ` + pickedColumns + ` FROM webhooks w CROSS JOIN LATERAL (
				SELECT ` + pickedColumns + ` FROM deliveries d WHERE ` + deliveries.sql() + ` ORDER BY d.event_position DESC LIMIT ?) d
			WHERE ` + webhooks.sql() + ` ORDER BY d.event_position DESC, d.id DESC LIMIT ?) d
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		ORDER BY d.event_position DESC, d.id DESC`
	args := slices.Concat(deliveries.args, []any{q.Page.Limit}, webhooks.args, []any{q.Page.Limit})
	return sqlx.Rebind(sqlx.DOLLAR, query), args
}

// Delivery reads one delivery of a company with its attempts; a partner's key finds only those
// of its own webhooks.
func (s *Store) Delivery(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Delivery, error) {
	var row deliveryRow
	err := s.get(ctx, &row, "delivery", `SELECT `+deliveryColumns+` FROM deliveries d
		JOIN events e ON e.company_id = d.company_id AND e.position = d.event_position
		JOIN webhooks w ON w.id = d.webhook_id
		WHERE d.id = $1 AND d.company_id = $2 AND ($3::bigint = 0 OR w.key_id = $3)`, id, companyID, partnerKey)
	if err != nil {
		return pipeline.Delivery{}, err
	}
	one := []pipeline.Delivery{row.delivery()}
	err = s.addAttempts(ctx, one)
	return one[0], err
}

// addAttempts fills in the attempts of a page of deliveries.
func (s *Store) addAttempts(ctx context.Context, deliveries []pipeline.Delivery) error {
	index := make(map[int64]*pipeline.Delivery, len(deliveries))
	ids := make([]int64, len(deliveries))
	for i := range deliveries {
		ids[i] = deliveries[i].ID
		index[ids[i]] = &deliveries[i]
	}
	var rows []struct {
		DeliveryID   int64         `db:"delivery_id"`
		At           time.Time     `db:"at"`
		Status       sql.NullInt64 `db:"status"`
		LatencyMS    int64         `db:"latency_ms"`
		Error        string        `db:"error"`
		ResponseBody string        `db:"response_body"`
	}
	err := s.list(ctx, &rows, "attempts", `SELECT delivery_id, at, status, latency_ms, error, response_body
		FROM attempts WHERE delivery_id = ANY($1) ORDER BY delivery_id, n`, pq.Array(ids))
	if err != nil {
		return err
	}
	for _, r := range rows {
		d := index[r.DeliveryID]
		d.Attempts = append(d.Attempts, pipeline.Attempt{
			At: r.At.UTC(), Status: pipeline.ID(r.Status.Int64), LatencyMS: r.LatencyMS,
			Error: pipeline.Text(r.Error), ResponseBody: pipeline.Text(r.ResponseBody),
		})
	}
	return nil
}
