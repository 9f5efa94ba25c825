package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
)

// OpenWith makes a Store with one connection, which the test's own connector gives.
func OpenWith(c driver.Connector, sealer *keyring.Ring) (*Store, error) {
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	return newStore(sqlx.NewDb(db, "postgres"), sealer, 0)
}

// OpenWalled is OpenWith for a store in the API's role.
func OpenWalled(c driver.Connector, sealer *keyring.Ring) (*Store, error) {
	s, err := OpenWith(inRole(c, RoleAPI), sealer)
	if err != nil {
		return nil, err
	}
	s.walledIn = true
	return s, nil
}

// Pooled is the store's pool, for queries that the store does not have.
func (s *Store) Pooled() *sqlx.DB { return s.db }

// AppendIn runs the append statement inside a transaction that the test holds open.
func (s *Store) AppendIn(ctx context.Context, tx *sqlx.Tx, e pipeline.Event, idem pipeline.Idempotency) (pipeline.Appended, error) {
	key, fresh, err := s.dataKeyFor(ctx, e)
	if err != nil {
		return pipeline.Appended{}, err
	}
	args, err := appendArgs(e, idem, key, fresh)
	if err != nil {
		return pipeline.Appended{}, err
	}
	var out pipeline.Appended
	err = tx.GetContext(ctx, &out, appendSQL(e), args...)
	return out, mapError(err, "append")
}

// HandOverIn is HandOver inside a transaction that the test holds open.
func HandOverIn(ctx context.Context, tx *sqlx.Tx, deliveryIDs []int64) (wake []int64, err error) {
	err = tx.SelectContext(ctx, &wake, handOver, pq.Array(deliveryIDs))
	return wake, err
}

// EndDrainIn is EndDrain inside a transaction that the test holds open.
func EndDrainIn(ctx context.Context, tx *sqlx.Tx, webhookID int64) (time.Time, error) {
	return endDrain(ctx, tx, webhookID, time.Time{})
}

// MapError is what every error of the driver goes through.
func MapError(err error) error { return mapError(err, "test") }

// OneConnection leaves the store one connection, so that a test can ask it about its session.
func (s *Store) OneConnection() *sqlx.DB {
	s.db.SetMaxOpenConns(1)
	return s.db
}

// OpenSilent makes a Store that gives a server up which has said nothing for that long.
func OpenSilent(url string, silence time.Duration) (*Store, error) {
	c, err := newConnector(url)
	if err != nil {
		return nil, err
	}
	c.silence = silence
	return newStore(sqlx.NewDb(sql.OpenDB(c), "postgres"), nil, 0)
}

// SealedColumns names what a rotation of the encryption key seals anew: table.column.
func SealedColumns() []string {
	var all []string
	for _, t := range sealedTables {
		for _, column := range t.columns {
			all = append(all, t.name+"."+column)
		}
	}
	return all
}
