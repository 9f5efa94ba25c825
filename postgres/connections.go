package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

const connectionColumns = `id, company_id, provider, base_url, auth, token, create_missing, created_at`

type connectionRow struct {
	ID            int64     `db:"id"`
	CompanyID     int64     `db:"company_id"`
	Provider      string    `db:"provider"`
	BaseURL       string    `db:"base_url"`
	Auth          []byte    `db:"auth"`
	Token         []byte    `db:"token"`
	CreateMissing bool      `db:"create_missing"`
	CreatedAt     time.Time `db:"created_at"`
}

// connection opens what is sealed.
func (s *Store) connection(r connectionRow) (pipeline.Connection, error) {
	c := pipeline.Connection{
		ID: r.ID, CompanyID: r.CompanyID, Provider: r.Provider, BaseURL: r.BaseURL, CreateMissing: r.CreateMissing, CreatedAt: r.CreatedAt.UTC(),
	}
	var err error
	if c.Token, err = s.sealer.Open(r.Token); err != nil {
		return pipeline.Connection{}, fmt.Errorf("token of connection %d: %w", r.ID, err)
	}
	if c.Auth, err = s.openAuth(r.Auth); err != nil {
		return pipeline.Connection{}, fmt.Errorf("auth of connection %d: %w", r.ID, err)
	}
	return c, nil
}

func (s *Store) openAuth(sealed []byte) (pipeline.Auth, error) {
	auth := pipeline.KeptAuth{Type: pipeline.AuthNone}
	if sealed == nil {
		return pipeline.Auth(auth), nil
	}
	plain, err := s.sealer.Open(sealed)
	if err != nil {
		return pipeline.Auth{}, err
	}
	if err := json.Unmarshal([]byte(plain), &auth); err != nil {
		return pipeline.Auth{}, fmt.Errorf("decode: %w", err)
	}
	return pipeline.Auth(auth), nil
}

func (s *Store) sealAuth(a pipeline.Auth) ([]byte, error) {
	if a.Type == "" || a.Type == pipeline.AuthNone {
		return nil, nil
	}
	b, err := json.Marshal(pipeline.KeptAuth(a))
	if err != nil {
		return nil, fmt.Errorf("encode auth: %w", err)
	}
	return s.sealer.Seal(string(b)), nil
}

// CreateConnection records a connection; its token is the caller's. With an idempotency key, a
// second call answers the connection of the first, and replayed.
func (s *Store) CreateConnection(
	ctx context.Context, c pipeline.Connection, idem pipeline.Idempotency,
) (created pipeline.Connection, replayed bool, err error) {
	auth, err := s.sealAuth(c.Auth)
	if err != nil {
		return pipeline.Connection{}, false, err
	}
	answer, replayed, err := s.once(ctx, c.CompanyID, idem, func(tx transaction) (string, error) {
		var id int64
		err := tx.GetContext(ctx, &id, `INSERT INTO connections (company_id, provider, base_url, auth, token_hash, token, create_missing)
			VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
			c.CompanyID, c.Provider, c.BaseURL, auth, hashKey(c.Token), s.sealer.Seal(c.Token), c.CreateMissing)
		return strconv.FormatInt(id, 10), err
	})
	if err != nil {
		return pipeline.Connection{}, false, err
	}
	id, err := strconv.ParseInt(answer, 10, 64)
	if err != nil {
		return pipeline.Connection{}, false, fmt.Errorf("decode remembered connection: %w", err)
	}
	created, err = s.Connection(ctx, c.CompanyID, id)
	return created, replayed, err
}

// Connection reads one of a company.
func (s *Store) Connection(ctx context.Context, companyID, id int64) (pipeline.Connection, error) {
	var row connectionRow
	err := s.get(ctx, &row, "connection", `SELECT `+connectionColumns+` FROM connections
		WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL`, id, companyID)
	if err != nil {
		return pipeline.Connection{}, err
	}
	return s.connection(row)
}

// ConnectionByToken finds the connection that a provider's request came by. As for API keys the
// look-up goes by the hash, so that how long it takes says nothing about the token.
// Whose it is, is asked first: before that, a store with a role sees no connection.
func (s *Store) ConnectionByToken(ctx context.Context, token string) (pipeline.Connection, error) {
	hash := hashKey(token)
	var company int64
	if err := s.get(wherever(ctx), &company, "connection", `SELECT company_of_token($1)`, hash); err != nil {
		return pipeline.Connection{}, err
	}
	var row connectionRow
	err := s.get(ForCompany(ctx, company), &row, "connection", `SELECT `+connectionColumns+` FROM connections
		WHERE token_hash = $1 AND company_id = $2 AND deleted_at IS NULL`, hash, company)
	if err != nil {
		return pipeline.Connection{}, err
	}
	return s.connection(row)
}

// Connections lists a company's, newest first.
func (s *Store) Connections(ctx context.Context, companyID int64, page pipeline.Page) ([]pipeline.Connection, error) {
	f := newFilter(companyID, page)
	f.and("deleted_at IS NULL")
	query, args := f.sql(`SELECT ` + connectionColumns + ` FROM connections`)
	var rows []connectionRow
	if err := s.page(ctx, &rows, "connections", query, args...); err != nil {
		return nil, err
	}
	out := make([]pipeline.Connection, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = s.connection(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// DeleteConnection ends one: nothing comes by it or is fetched with it any more. What came by it
// stays.
func (s *Store) DeleteConnection(ctx context.Context, companyID, id int64) error {
	n, err := s.exec(ctx, "delete connection", `UPDATE connections SET deleted_at = now()
		WHERE id = $1 AND company_id = $2 AND deleted_at IS NULL`, id, companyID)
	if err == nil && n == 0 {
		return pipeline.Errorf(pipeline.CodeNotFound, "there is no such connection")
	}
	return err
}

func nullTime(t time.Time) sql.NullTime { return sql.NullTime{Time: t, Valid: !t.IsZero()} }
