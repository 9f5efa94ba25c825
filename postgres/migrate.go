package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-migrate/migrate/v4"
	migratepg "github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/dealwright/dealwright/migrations"
)

// Schema is the version of the schema that a database is at; 0 is an empty one. A dirty one
// had a migration fail half-way and wants a person to look.
type Schema struct {
	Version uint
	Dirty   bool
}

// MigrateUp brings the schema to the newest version. Several processes may try at once: one
// works, the others wait for its lock and find nothing to do.
//
// The API's role, which belongs to the server and not to the database, is made first where it is
// missing, so that an account that may not do that gets to know before anything is changed. It is
// let in again where a database was restored on another server.
func MigrateUp(databaseURL string) error {
	if err := onDatabase(databaseURL, makeRole); err != nil {
		return err
	}
	if err := withMigrations(databaseURL, func(m *migrate.Migrate) error { return m.Up() }); err != nil {
		return err
	}
	return onDatabase(databaseURL, admitRole)
}

// MigrateDown takes the last steps migrations back.
func MigrateDown(databaseURL string, steps int) error {
	return withMigrations(databaseURL, func(m *migrate.Migrate) error { return m.Steps(-steps) })
}

// SchemaVersion reads where a database is.
func SchemaVersion(databaseURL string) (Schema, error) {
	var at Schema
	err := withMigrations(databaseURL, func(m *migrate.Migrate) error {
		var err error
		at.Version, at.Dirty, err = m.Version()
		if errors.Is(err, migrate.ErrNilVersion) {
			return nil
		}
		return err //nolint:wrapcheck // withMigrations says what it is
	})
	return at, err
}

// A migration may take as long as it needs, and whoever waits for its lock waits with it.
const (
	migrationTimeout = 0 // none
	lockPatience     = time.Hour
)

func withMigrations(databaseURL string, f func(*migrate.Migrate) error) error {
	files, err := iofs.New(migrations.Files, ".")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	dsn, err := withSettings(databaseURL, migrationTimeout)
	if err != nil {
		return err
	}
	driver, err := (&migratepg.Postgres{}).Open(dsn)
	if err != nil {
		return mapError(err, "reach postgres to migrate")
	}
	m, err := migrate.NewWithInstance("iofs", files, "postgres", driver)
	if err != nil {
		return errors.Join(fmt.Errorf("prepare migrations: %w", err), driver.Close())
	}
	m.LockTimeout = lockPatience
	err = f(m)
	if errors.Is(err, migrate.ErrNoChange) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("migrate: %w", err)
	}
	sourceErr, databaseErr := m.Close()
	return errors.Join(err, sourceErr, databaseErr)
}

// onDatabase runs f with a connection of its own.
func onDatabase(databaseURL string, f func(*sqlx.DB) error) error {
	dsn, err := withSettings(databaseURL, migrationTimeout)
	if err != nil {
		return err
	}
	db, err := sqlx.ConnectContext(context.Background(), "postgres", dsn)
	if err != nil {
		return mapError(err, "reach postgres to migrate")
	}
	return errors.Join(f(db), db.Close())
}

// makeRole makes RoleAPI and this account a member of it. 0005_walls does so too, for those who
// migrate with another tool.
func makeRole(db *sqlx.DB) error {
	var account string
	var member bool
	err := db.QueryRowContext(context.Background(), `SELECT current_user, to_regrole('`+RoleAPI+`') IS NOT NULL
		AND pg_has_role(current_user, to_regrole('`+RoleAPI+`'), 'MEMBER')`).Scan(&account, &member)
	if err != nil || member {
		return mapError(err, "look for the API's role")
	}
	for _, statement := range []string{`CREATE ROLE ` + RoleAPI + ` NOLOGIN`, `GRANT ` + RoleAPI + ` TO ` + pq.QuoteIdentifier(account)} {
		_, err := db.ExecContext(context.Background(), statement)
		switch refused, _ := errors.AsType[*pq.Error](err); {
		case err == nil:
		case refused != nil && (refused.Code == "42710" || refused.Code == "23505"): // it is there, or somebody was faster
		case refused != nil && refused.Code == "42501":
			return fmt.Errorf("the account %[1]s may not make the role %[2]s that the API takes; have an administrator run "+
				"CREATE ROLE %[2]s NOLOGIN; GRANT %[2]s TO %[1]s; and migrate again: %[3]w", pq.QuoteIdentifier(account), RoleAPI, err)
		default:
			return mapError(err, "make the API's role")
		}
	}
	return nil
}

// admitRole gives RoleAPI its rights where it does not have them.
func admitRole(db *sqlx.DB) error {
	var admitted bool
	err := db.GetContext(context.Background(), &admitted, `SELECT has_table_privilege('`+RoleAPI+`', 'companies', 'SELECT')`)
	if err != nil || admitted {
		return mapError(err, "look at the API's rights")
	}
	_, err = db.ExecContext(context.Background(), `SELECT admit_api()`)
	return mapError(err, "let the API's role in")
}
