package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// meter reads what the servers have done so far.
type meter struct {
	standalone int
	postmaster int
	metricsURL string
	database   *sql.DB
}

// usage is what a meter reads, or the difference of two readings.
type usage struct {
	cpu     cpuTimes
	writes  writes
	commits int64 // transactions of Postgres, of which a statement by itself is one
}

func newMeter(s *standalone) (*meter, error) {
	postmaster, _, _, err := s.postmaster()
	if err != nil {
		return nil, err
	}
	database, err := s.openDatabase()
	if err != nil {
		return nil, err
	}
	return &meter{standalone: s.pid(), postmaster: postmaster, metricsURL: s.metricsURL, database: database}, nil
}

func (m *meter) close() error { return closeDatabase(m.database) }

func (m *meter) read(ctx context.Context) (usage, error) {
	var u usage
	err := m.database.QueryRowContext(ctx, `SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`).Scan(&u.commits)
	if err != nil {
		return u, fmt.Errorf("read postgres' statistics: %w", err)
	}
	if u.writes, err = readWrites(ctx, m.metricsURL); err != nil {
		return u, err
	}
	u.cpu, err = readCPU(m.standalone, m.postmaster)
	return u, err
}

func (u usage) minus(before usage) usage {
	return usage{cpu: u.cpu.minus(before.cpu), writes: u.writes.minus(before.writes), commits: u.commits - before.commits}
}

func closeDatabase(database *sql.DB) error {
	if err := database.Close(); err != nil {
		return fmt.Errorf("close postgres: %w", err)
	}
	return nil
}

// openDatabase opens the standalone's Postgres with as many connections as the engine has.
func (s *standalone) openDatabase() (*sql.DB, error) {
	url, err := s.databaseURL()
	if err != nil {
		return nil, err
	}
	database, err := sql.Open("postgres", url)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	database.SetMaxOpenConns(20)
	database.SetMaxIdleConns(20)
	database.SetConnMaxIdleTime(5 * time.Minute)
	return database, nil
}
