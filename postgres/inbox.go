package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// inboundColumns are without the body, which a list has no use for.
const inboundColumns = `i.id, i.company_id, i.connection_id, i.document_status, i.quote, i.site, i.date_updated, i.status, i.note,
	i.proposal_id, i.received_at, i.handled_at`

type inboundRow struct {
	ID             int64          `db:"id"`
	CompanyID      int64          `db:"company_id"`
	ConnectionID   int64          `db:"connection_id"`
	DocumentStatus string         `db:"document_status"`
	Quote          sql.NullString `db:"quote"`
	Site           sql.NullString `db:"site"`
	DateUpdated    sql.NullTime   `db:"date_updated"`
	Status         string         `db:"status"`
	Note           string         `db:"note"`
	ProposalID     sql.NullInt64  `db:"proposal_id"`
	ReceivedAt     time.Time      `db:"received_at"`
	HandledAt      sql.NullTime   `db:"handled_at"`
	Body           sql.NullString `db:"body"` // null: forgotten
	CreateMissing  bool           `db:"create_missing"`
}

func (r inboundRow) inbound() pipeline.Inbound {
	return pipeline.Inbound{
		ID: r.ID, CompanyID: r.CompanyID, ConnectionID: r.ConnectionID, Status: pipeline.InboundStatus(r.Status), Note: pipeline.Text(r.Note),
		DocumentStatus: pipeline.Text(r.DocumentStatus), Quote: pipeline.Text(r.Quote.String), Site: pipeline.Text(r.Site.String),
		UpdatedAt: instant(r.DateUpdated), ProposalID: pipeline.ID(r.ProposalID.Int64), ReceivedAt: r.ReceivedAt.UTC(),
		HandledAt: instant(r.HandledAt), Body: pipeline.Object(r.Body.String), CreateMissing: r.CreateMissing,
	}
}

// KeepInbound records what a provider told us, before anything is made of it. Hash is that of
// its content: where the connection has brought the same before, that is answered, and repeated.
func (s *Store) KeepInbound(ctx context.Context, in pipeline.Inbound, hash []byte) (kept pipeline.Inbound, repeated bool, err error) {
	// The update changes nothing; it is there so that RETURNING answers the row of whoever was
	// first. A row that this very statement inserted has no xmax.
	var row struct {
		inboundRow
		Repeated bool `db:"repeated"`
	}
	err = s.get(ctx, &row, "inbound", `INSERT INTO inbox AS i
		(company_id, connection_id, hash, body, document_status, quote, site, date_updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (connection_id, hash) DO UPDATE SET hash = i.hash
		RETURNING `+inboundColumns+`, xmax <> 0 AS repeated`,
		in.CompanyID, in.ConnectionID, hash, string(in.Body), string(in.DocumentStatus),
		nullText(string(in.Quote)), nullText(string(in.Site)), nullTime(time.Time(in.UpdatedAt)))
	return row.inbound(), row.Repeated, err
}

// Inbound reads one of a company's, with its body.
func (s *Store) Inbound(ctx context.Context, companyID, id int64) (pipeline.Inbound, error) {
	var row inboundRow
	err := s.get(ctx, &row, "inbound", `SELECT `+inboundColumns+`, i.body FROM inbox i WHERE i.id = $1 AND i.company_id = $2`, id, companyID)
	return row.inbound(), err
}

// Inbox lists what providers told a company, newest first and without bodies.
func (s *Store) Inbox(ctx context.Context, q pipeline.InboundQuery) ([]pipeline.Inbound, error) {
	f := newFilter(q.CompanyID, q.Page)
	if q.Status != "" {
		f.and("status = ?", string(q.Status))
	}
	if q.ConnectionID != 0 {
		f.and("connection_id = ?", q.ConnectionID)
	}
	query, args := f.sql(`SELECT ` + inboundColumns + ` FROM inbox i`)
	var rows []inboundRow
	if err := s.page(ctx, &rows, "inbox", query, args...); err != nil {
		return nil, err
	}
	out := make([]pipeline.Inbound, len(rows))
	for i, r := range rows {
		out[i] = r.inbound()
	}
	return out, nil
}

// RetryInbound has something handled again that came to nothing; CodeConflict where it did
// come to something.
func (s *Store) RetryInbound(ctx context.Context, companyID, id int64) (pipeline.Inbound, error) {
	n, err := s.exec(ctx, "retry inbound", `UPDATE inbox SET status = 'received', note = '', begun_at = now(), handled_at = NULL
		WHERE id = $1 AND company_id = $2 AND status IN ('received', 'unmatched', 'failed')`, id, companyID)
	if err != nil {
		return pipeline.Inbound{}, err
	}
	in, err := s.Inbound(ctx, companyID, id)
	if err == nil && n == 0 {
		err = pipeline.Errorf(pipeline.CodeConflict, "it is %s: only what is unmatched or failed can be tried again", in.Status)
	}
	return in, err
}

// BeginInbound takes up what a provider told us: it answers it with its body, and keeps the
// sweep from it for a while.
func (s *Store) BeginInbound(ctx context.Context, id int64) (pipeline.Inbound, error) {
	var row inboundRow
	err := s.get(ctx, &row, "inbound", `UPDATE inbox i SET begun_at = now() FROM connections c
		WHERE i.id = $1 AND c.id = i.connection_id
		RETURNING `+inboundColumns+`, i.body, c.create_missing`, id)
	return row.inbound(), err
}

// SettleInbound says what has become of it. What it said of a customer that was erased meanwhile is
// not kept.
func (s *Store) SettleInbound(ctx context.Context, id int64, status pipeline.InboundStatus, note string, proposalID int64) error {
	_, err := s.exec(ctx, "settle inbound", `UPDATE inbox
		SET status = $2, note = $3, proposal_id = coalesce($4, proposal_id), handled_at = now(),
			body = CASE WHEN `+aboutErased+` THEN NULL ELSE body END
		WHERE id = $1 AND status = 'received'`, id, string(status), note, nullInt(proposalID))
	return err
}

// aboutErased is the condition that what a provider told us is about an erased customer, or about a
// proposal of one. Each of them is looked up by itself: of a join of them Postgres makes a walk
// through the company's customers.
const aboutErased = `(
		EXISTS (SELECT FROM customers c WHERE c.company_id = inbox.company_id AND c.uuid = inbox.site AND c.state ? 'erased')
		OR EXISTS (SELECT FROM proposals p WHERE p.company_id = inbox.company_id AND p.uuid = inbox.quote AND p.state ? 'erased')
		OR EXISTS (SELECT FROM proposals p WHERE p.company_id = inbox.company_id AND p.id = $4 AND p.state ? 'erased'))`

// NewestInbound is the provider's date of the newest thing that led to something for a
// proposal; zero where there is none.
func (s *Store) NewestInbound(ctx context.Context, companyID, proposalID int64) (time.Time, error) {
	var newest sql.NullTime
	err := s.get(ctx, &newest, "inbound", `SELECT max(date_updated) FROM inbox
		WHERE company_id = $1 AND proposal_id = $2 AND status = 'handled'`, companyID, proposalID)
	return newest.Time.UTC(), err
}

// LeftInbound finds what nobody has taken up for a while.
func (s *Store) LeftInbound(ctx context.Context, grace time.Duration, limit int) ([]int64, error) {
	var ids []int64
	err := s.page(ctx, &ids, "inbox", `SELECT id FROM inbox
		WHERE status = 'received' AND begun_at < now() - make_interval(secs => $1) ORDER BY begun_at LIMIT $2`, grace.Seconds(), limit)
	return ids, err
}

// ProposalByUUID finds a company's proposal by the uuid that other systems know it by.
func (s *Store) ProposalByUUID(ctx context.Context, companyID int64, uuid string) (pipeline.Proposal, error) {
	return entityState[pipeline.Proposal](ctx, s, "proposal",
		`SELECT state FROM proposals WHERE company_id = $1 AND uuid = $2`, companyID, uuid)
}

// CustomerByUUID finds a company's customer by the uuid that other systems know it by.
func (s *Store) CustomerByUUID(ctx context.Context, companyID int64, uuid string) (pipeline.Customer, error) {
	return entityState[pipeline.Customer](ctx, s, "customer",
		`SELECT state FROM customers WHERE company_id = $1 AND uuid = $2`, companyID, uuid)
}
