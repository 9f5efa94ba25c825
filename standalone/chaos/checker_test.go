package main

import (
	"context"
	"encoding/base64"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
	"github.com/dealwright/dealwright/standalone/stack"
)

// On a quiet day nothing is broken, so what the checker says is about the checker, or the load.
func TestOnAQuietDayTheCheckerFindsNothing(t *testing.T) {
	t.Parallel()
	const lasts = 8 * time.Second
	engine := startStack(t)
	db, err := sqlx.Open("postgres", engine.DatabaseURL())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })

	load, err := StartLoad(t.Context(), Target{
		APIs: []string{engine.Ready().API}, Key: engine.Ready().Key, DatabaseURL: engine.DatabaseURL(),
	}, LoadOptions{Clients: 4, Rate: 30, Seed: 1})
	require.NoError(t, err)
	load.wait(lasts)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, load.Stop(ctx))
	last, err := load.Settled(ctx, db)
	require.NoError(t, err)
	require.NoError(t, load.Close())

	report, err := Check(ctx, db, load.Ledger(), nil)
	require.NoError(t, err)
	require.Empty(t, report.Breaches)
	require.Zero(t, report.Open)
	require.Positive(t, report.Acked)
	require.Positive(t, report.Refused)
	require.Positive(t, report.Repeats)
	require.Equal(t, last, report.LastDelivered)
	require.Len(t, report.Stalls, 6, "every webhook got something that is not interrupted")
	t.Logf("%d acked, %d refused, %d repeats, %d events, %d deliveries, %d receptions, %d again, %+v",
		report.Acked, report.Refused, report.Repeats, report.Events, report.Deliveries, report.Receptions, report.Again, report.Stalls)
}

// startStack is everything in this process, with two workers.
func startStack(t *testing.T) *stack.Stack {
	t.Helper()
	//nolint:usetesting // Postgres' own account cannot enter those of t.TempDir
	dir, err := os.MkdirTemp("", "dealwright-chaos-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	engine, err := stack.Start(t.Context(), stack.Options{
		App: app.Config{
			Addr: "127.0.0.1:0", EncryptionKey: base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))),
			AllowTargets: "127.0.0.0/8,::1/128", RetrySchedule: strings.Join(patientSchedule(), ","), MaxConns: 20, Version: "chaos",
			Documents: dir + "/documents",
		},
		Data: dir, MoreWorkers: 1, TemporalRenewAfter: 200,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Stop()) })
	return engine
}
