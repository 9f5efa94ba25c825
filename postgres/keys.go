package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/dealwright/dealwright/pipeline"
)

type transaction = *sqlx.Tx

// NewSecretKey makes an API key: a prefix that secret scanners can find and 256 random bits.
func NewSecretKey() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: it ends the process instead
	return "dw_" + base64.RawURLEncoding.EncodeToString(b)
}

func hashKey(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

const keyColumns = `id, company_id, name, role, created_at, last_used_at, revoked_at, expires_at, rate_limit`

type keyRow struct {
	ID         int64           `db:"id"`
	CompanyID  int64           `db:"company_id"`
	Name       string          `db:"name"`
	Role       string          `db:"role"`
	CreatedAt  time.Time       `db:"created_at"`
	LastUsedAt sql.NullTime    `db:"last_used_at"`
	RevokedAt  sql.NullTime    `db:"revoked_at"`
	ExpiresAt  sql.NullTime    `db:"expires_at"`
	RateLimit  sql.NullFloat64 `db:"rate_limit"`
}

func (r keyRow) key() pipeline.Key {
	return pipeline.Key{
		ID: r.ID, CompanyID: r.CompanyID, Name: r.Name, Role: pipeline.Role(r.Role), CreatedAt: r.CreatedAt.UTC(),
		LastUsedAt: instant(r.LastUsedAt), RevokedAt: instant(r.RevokedAt), ExpiresAt: instant(r.ExpiresAt),
		RateLimit: pipeline.Rate(r.RateLimit.Float64),
	}
}

func instant(t sql.NullTime) pipeline.Instant {
	if !t.Valid {
		return pipeline.Instant{}
	}
	return pipeline.Instant(t.Time.UTC())
}

// Authenticate finds the API key that a caller showed; CodeUnauthenticated where it is not one of
// ours, was revoked or has expired. It is asked anew each time, so that a revoked key opens nothing
// from that moment on.
//
// The look-up goes by the hash, so that how long it takes says nothing about the key. What was
// found is compared once more, in constant time: whether two keys are the same is then not left to
// what an index, a collation or a later change of the query takes for equal.
func (s *Store) Authenticate(ctx context.Context, secret string) (pipeline.Key, error) {
	hash := hashKey(secret)
	var row struct {
		keyRow
		Hash []byte `db:"hash"`
	}
	err := s.get(wherever(ctx), &row, "key", `SELECT `+keyColumns+`, hash FROM key_of_hash($1)`, hash)
	if pipeline.CodeOf(err) == pipeline.CodeNotFound || err == nil && subtle.ConstantTimeCompare(row.Hash, hash) != 1 {
		return pipeline.Key{}, pipeline.Errorf(pipeline.CodeUnauthenticated, "the API key is unknown, was revoked or has expired")
	}
	return row.key(), err
}

// NoteKeyUse keeps that a key was used now, unless that was noted within the last minute.
func (s *Store) NoteKeyUse(ctx context.Context, companyID, id int64) error {
	_, err := s.exec(ctx, "note use of key", `UPDATE api_keys SET last_used_at = now()
		WHERE id = $1 AND company_id = $2 AND coalesce(last_used_at < now() - interval '1 minute', true)`, id, companyID)
	return err
}

// CreateKey makes an API key of k's company, name, role, end and rate limit, and answers it with
// its secret, which is stored only as a hash. With an idempotency key, a second call answers the
// key of the first, and replayed.
func (s *Store) CreateKey(
	ctx context.Context, k pipeline.Key, idem pipeline.Idempotency,
) (created pipeline.NewKey, replayed bool, err error) {
	answer, replayed, err := s.once(ctx, k.CompanyID, idem, func(tx transaction) (string, error) {
		secret := NewSecretKey()
		var row keyRow
		err := tx.GetContext(ctx, &row, `INSERT INTO api_keys (company_id, name, role, hash, expires_at, rate_limit)
			VALUES ($1, $2, $3, $4, $5, $6) RETURNING `+keyColumns,
			k.CompanyID, k.Name, string(k.Role), hashKey(secret), nullTime(time.Time(k.ExpiresAt)), nullRate(k.RateLimit))
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(pipeline.NewKey{Key: row.key(), Secret: secret})
		return string(b), err
	})
	if err != nil {
		return pipeline.NewKey{}, false, err
	}
	var made pipeline.NewKey
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		return pipeline.NewKey{}, false, fmt.Errorf("decode remembered key: %w", err)
	}
	return made, replayed, nil
}

// EnsureKey makes a given secret an admin key of a company, or leaves it so: the bootstrap key.
func (s *Store) EnsureKey(ctx context.Context, companyID int64, name, secret string) error {
	_, err := s.exec(ForCompany(ctx, companyID), "ensure key", `INSERT INTO api_keys (company_id, name, role, hash)
		VALUES ($1, $2, 'admin', $3)
		ON CONFLICT (hash) DO NOTHING`, companyID, name, hashKey(secret))
	return err
}

// Keys lists a company's API keys, newest first, revoked ones too.
func (s *Store) Keys(ctx context.Context, companyID int64, page pipeline.Page) ([]pipeline.Key, error) {
	query, args := newFilter(companyID, page).sql(`SELECT ` + keyColumns + ` FROM api_keys`)
	var rows []keyRow
	if err := s.page(ctx, &rows, "keys", query, args...); err != nil {
		return nil, err
	}
	out := make([]pipeline.Key, len(rows))
	for i, r := range rows {
		out[i] = r.key()
	}
	return out, nil
}

// RevokeKey ends an API key at once. A revoked key stays in the list.
func (s *Store) RevokeKey(ctx context.Context, companyID, id int64) error {
	n, err := s.exec(ctx, "revoke key", `UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
		WHERE id = $1 AND company_id = $2`, id, companyID)
	if err == nil && n == 0 {
		return pipeline.Errorf(pipeline.CodeNotFound, "there is no such key")
	}
	return err
}

// CreateCompany makes a company and answers its id.
func (s *Store) CreateCompany(ctx context.Context, name string) (int64, error) {
	var id int64
	err := s.get(ctx, &id, "company", `INSERT INTO companies (name) VALUES ($1) RETURNING id`, name)
	return id, err
}

// Statuses that a company gives its customers.
func (s *Store) Statuses(ctx context.Context, companyID int64) (pipeline.Statuses, error) {
	var own []byte
	err := s.get(ctx, &own, "company", `SELECT statuses FROM companies WHERE id = $1`, companyID)
	if err != nil {
		return nil, err
	}
	if own == nil {
		return pipeline.DefaultStatuses(), nil
	}
	var statuses pipeline.Statuses
	err = decodeState(own, &statuses)
	return statuses, err
}
