package postgres

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-migrate/migrate/v4"
	migratepg "github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/golang-migrate/migrate/v4/source/iofs"

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
func MigrateUp(databaseURL string) error {
	return withMigrations(databaseURL, func(m *migrate.Migrate) error { return m.Up() })
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
