package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// plainBytes are the binary columns that the encryption key has nothing to do with.
var plainBytes = map[string]string{
	"api_keys.hash":          "a hash",
	"connections.token_hash": "a hash",
	"inbox.hash":             "a hash",
	"events.personal":        "sealed with the customer's data key, which is sealed",
}

// Whoever adds a binary column has to say what is in it.
func TestEveryBinaryColumnIsSealedOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	var all []string
	require.NoError(t, d.DB.Select(&all, `SELECT c.relname || '.' || a.attname FROM pg_attribute a
		JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
		WHERE a.atttypid = 'bytea'::regtype AND NOT a.attisdropped AND a.attnum > 0`))
	sealed := postgres.SealedColumns()
	for _, column := range all {
		if _, exempt := plainBytes[column]; !exempt {
			require.Contains(t, sealed, column, "rotate-encryption-key has to know of it: see sealedTables")
		}
	}
	require.Subset(t, all, sealed)
	require.Len(t, all, len(sealed)+len(plainBytes))
}

// sealedThings makes at least one value in every sealed column; all does something with each.
func sealedThings(t *testing.T, d database) (all func(*testing.T, *postgres.Store)) {
	t.Helper()
	ctx := t.Context()
	newCustomer(t, d.Store, 1)
	auth := pipeline.Auth(pipeline.KeptAuth{Type: pipeline.AuthBearer, Token: "bearer-token"})
	idem := pipeline.Idempotency{Key: "once", Fingerprint: "the request"}
	w := newWebhook(t, d.Store, 1, []string{"*"}, func(w *pipeline.Webhook) { w.Auth = auth })
	rotated, _, _, err := d.Store.RotateSecret(ctx, 1, w.ID, "whsec_bmV3", time.Hour, idem)
	require.NoError(t, err)
	require.Equal(t, "whsec_bmV3", rotated)
	c, _, err := d.Store.CreateConnection(ctx, pipeline.Connection{
		CompanyID: 1, Provider: "sighten", BaseURL: "https://sighten.example", Token: "the-token", Auth: auth,
	}, pipeline.Idempotency{})
	require.NoError(t, err)
	file := pipeline.KeptDocument{CompanyID: 1, UUID: uuid.NewString(), ProposalID: 1, URL: "https://files.example/signed?key=s"}
	require.NoError(t, d.Store.AddDocument(ctx, file))
	for _, column := range postgres.SealedColumns() {
		var n int
		table, name, _ := strings.Cut(column, ".")
		require.NoError(t, d.DB.Get(&n, fmt.Sprintf(`SELECT count(%s) FROM %s`, name, table)))
		require.Positive(t, n, column)
	}
	return func(t *testing.T, s *postgres.Store) {
		t.Helper()
		ctx := t.Context()
		got, err := s.Webhook(ctx, 1, 0, w.ID)
		require.NoError(t, err)
		require.Equal(t, "whsec_bmV3", got.Signing.Secret)
		require.Equal(t, w.Signing.Secret, got.Signing.PreviousSecret)
		require.Equal(t, w.Signing.Seed, got.Signing.Seed)
		require.Equal(t, auth, got.Auth)
		connection, err := s.Connection(ctx, 1, c.ID)
		require.NoError(t, err)
		require.Equal(t, "the-token", connection.Token)
		require.Equal(t, auth, connection.Auth)
		kept, err := s.Document(ctx, 1, 0, file.UUID)
		require.NoError(t, err)
		require.Equal(t, file.URL, kept.URL)
		secret, _, replayed, err := s.RotateSecret(ctx, 1, w.ID, "another", time.Hour, idem)
		require.NoError(t, err)
		require.True(t, replayed, "the key is remembered, whatever its request is digested with")
		require.Equal(t, "whsec_bmV3", secret)
		another := pipeline.Idempotency{Key: "once", Fingerprint: "another request"}
		secret, _, _, err = s.RotateSecret(ctx, 1, w.ID, "another", time.Hour, another)
		require.Empty(t, secret)
		requireCode(t, pipeline.CodeIdempotencyKeyReused, err)
		events, err := s.Feed(ctx, pipeline.FeedQuery{CompanyID: 1, Limit: 10})
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Contains(t, string(events[0].Payload), "name")
	}
}

func quiet(postgres.Resealed) {}

func idOf(t *testing.T, key string) keyring.ID {
	t.Helper()
	ring, err := keyring.New(key)
	require.NoError(t, err)
	return ring.IDs()[0]
}

func TestTheEncryptionKeyIsReplaced(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	all := sealedThings(t, d)
	all(t, d.Store)
	both := openStore(t, d.URL, otherKey+","+encryptionKey)
	all(t, both)

	before, err := both.SealedWith(t.Context())
	require.NoError(t, err)
	old := idOf(t, encryptionKey)
	require.Len(t, before, 1)
	seen := 0
	sum, err := both.Reseal(t.Context(), func(r postgres.Resealed) {
		seen++
		require.NotEmpty(t, r.Column)
	})
	require.NoError(t, err)
	require.Equal(t, before[old], sum.Sealed)
	require.Zero(t, sum.Passed)
	require.Positive(t, seen)
	after, err := both.SealedWith(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[keyring.ID]int64{idOf(t, otherKey): before[old]}, after)
	all(t, both)

	again, err := both.Reseal(t.Context(), quiet)
	require.NoError(t, err)
	require.Zero(t, again.Sealed, "what is done is done")
	all(t, openStore(t, d.URL, otherKey))
	_, err = d.Store.Connections(t.Context(), 1, pipeline.Page{Limit: 10})
	require.ErrorContains(t, err, "(id "+idOf(t, otherKey).String()+")")
}

// Every page is a step that can be the last one: what is left is done by the next run.
func TestReplacingTheEncryptionKeyGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	const webhooks = 1100 // more than two pages
	w := newWebhook(t, d.Store, 1, []string{"*"})
	_, err := d.DB.Exec(`INSERT INTO webhooks (company_id, key_id, url, events, format, secret, ordered, active, description)
		SELECT company_id, key_id, url, events, format, secret, ordered, active, description
		FROM webhooks, generate_series(2, $1)`, webhooks)
	require.NoError(t, err)
	both := openStore(t, d.URL, otherKey+","+encryptionKey)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = both.Reseal(ctx, func(r postgres.Resealed) {
		require.EqualValues(t, 500, r.Sealed)
		cancel()
	})
	require.Error(t, err)
	sum, err := both.Reseal(t.Context(), quiet)
	require.NoError(t, err)
	require.EqualValues(t, webhooks-500+1, sum.Sealed, "the rest of the secrets, and the seed")
	_, err = openStore(t, d.URL, otherKey).Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
}

// A secret that its owner changes at the same moment stays changed.
func TestReplacingTheEncryptionKeyOverwritesNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*"})
	ring, err := keyring.New(encryptionKey)
	require.NoError(t, err)
	tx, err := d.DB.Begin()
	require.NoError(t, err)
	_, err = tx.Exec(`UPDATE webhooks SET secret = $1 WHERE id = $2`, ring.Seal("whsec_Y2hhbmdlZA=="), w.ID)
	require.NoError(t, err)

	both := openStore(t, d.URL, otherKey+","+encryptionKey)
	done := make(chan postgres.Resealed, 1)
	go func() {
		sum, err := both.Reseal(t.Context(), quiet)
		if err != nil {
			sum.Passed = -1
		}
		done <- sum
	}()
	require.Eventually(t, func() bool {
		return count(t, d, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, tx.Commit())
	require.EqualValues(t, 1, (<-done).Passed)
	got, err := both.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.Equal(t, "whsec_Y2hhbmdlZA==", got.Signing.Secret)

	_, err = both.Reseal(t.Context(), quiet)
	require.NoError(t, err)
	got, err = openStore(t, d.URL, otherKey).Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.Equal(t, "whsec_Y2hhbmdlZA==", got.Signing.Secret)
}
