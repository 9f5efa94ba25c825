package postgres_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	idem := pipeline.Idempotency{Key: "K", Fingerprint: "f"}
	made, replayed, err := d.Store.CreateKey(t.Context(), pipeline.Key{CompanyID: 1, Name: "CRM", Role: pipeline.RoleApp}, idem)
	require.NoError(t, err)
	require.False(t, replayed)
	require.Regexp(t, `^dw_[A-Za-z0-9_-]{43}$`, made.Secret)
	require.Equal(t, "CRM", made.Name)
	require.Equal(t, pipeline.RoleApp, made.Role)

	again, replayed, err := d.Store.CreateKey(t.Context(), pipeline.Key{CompanyID: 1, Name: "CRM", Role: pipeline.RoleApp}, idem)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, made, again, "the secret too")
	require.Zero(t, count(t, d, `SELECT count(*) FROM api_keys k, idempotency i WHERE position($1 IN encode(k.hash, 'escape')) > 0
		OR position($1 IN encode(i.answer, 'escape')) > 0`, made.Secret[3:]))

	who, err := d.Store.Authenticate(t.Context(), made.Secret)
	require.NoError(t, err)
	require.Equal(t, made.ID, who.ID)
	require.EqualValues(t, 1, who.CompanyID)
	for _, wrong := range []string{"", "dw_", made.Secret + "x", made.Secret[:45], "dw_\x00\xff"} {
		_, err := d.Store.Authenticate(t.Context(), wrong)
		requireCode(t, pipeline.CodeUnauthenticated, err)
	}

	theirs := newKey(t, d.Store, other, pipeline.RoleAdmin)
	requireCode(t, pipeline.CodeNotFound, d.Store.RevokeKey(t.Context(), 1, theirs.ID))
	require.NoError(t, d.Store.RevokeKey(t.Context(), 1, made.ID))
	require.NoError(t, d.Store.RevokeKey(t.Context(), 1, made.ID))
	_, err = d.Store.Authenticate(t.Context(), made.Secret)
	requireCode(t, pipeline.CodeUnauthenticated, err)
	_, err = d.Store.Authenticate(t.Context(), theirs.Secret)
	require.NoError(t, err)

	second := newKey(t, d.Store, 1, pipeline.RolePartner)
	keys, err := d.Store.Keys(t.Context(), 1, pipeline.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.Equal(t, second.ID, keys[0].ID)
	require.False(t, time.Time(keys[1].RevokedAt).IsZero())
	shown, err := json.Marshal(keys)
	require.NoError(t, err)
	require.NotContains(t, string(shown), made.Secret)

	_, _, err = d.Store.CreateKey(t.Context(), pipeline.Key{CompanyID: 999, Name: "nobody's", Role: pipeline.RoleApp}, noKey)
	requireCode(t, pipeline.CodeNotFound, err)
}

// When a key was used is noted once a minute at most, so that a request does not cost a write.
func TestKeyLastUsed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	key := newKey(t, d.Store, 1, pipeline.RoleApp)
	require.Zero(t, key.LastUsedAt)
	used := func() string {
		t.Helper()
		require.NoError(t, d.Store.NoteKeyUse(t.Context(), 1, key.ID))
		require.NoError(t, d.Store.NoteKeyUse(t.Context(), 2, key.ID), "of another company: nothing")
		var at string
		require.NoError(t, d.DB.Get(&at, `SELECT last_used_at::text FROM api_keys WHERE id = $1`, key.ID))
		return at
	}
	first := used()
	require.Equal(t, first, used())
	_, err := d.DB.Exec(`UPDATE api_keys SET last_used_at = now() - interval '59 seconds'`)
	require.NoError(t, err)
	require.Less(t, used(), first)
	_, err = d.DB.Exec(`UPDATE api_keys SET last_used_at = now() - interval '61 seconds'`)
	require.NoError(t, err)
	require.Greater(t, used(), first)
}

// A key that has expired opens nothing and stays in the list; one that has a limit of its own
// shows it.
func TestKeyExpires(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	made, _, err := d.Store.CreateKey(t.Context(), pipeline.Key{
		CompanyID: 1, Name: "trial", Role: pipeline.RolePartner, ExpiresAt: pipeline.Instant(end), RateLimit: 2.5,
	}, noKey)
	require.NoError(t, err)
	who, err := d.Store.Authenticate(t.Context(), made.Secret)
	require.NoError(t, err)
	require.Equal(t, pipeline.Instant(end), who.ExpiresAt)
	require.InDelta(t, 2.5, float64(who.RateLimit), 0)

	_, err = d.DB.Exec(`UPDATE api_keys SET expires_at = now()`)
	require.NoError(t, err)
	_, err = d.Store.Authenticate(t.Context(), made.Secret)
	requireCode(t, pipeline.CodeUnauthenticated, err)
	keys, err := d.Store.Keys(t.Context(), 1, pipeline.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.False(t, time.Time(keys[0].ExpiresAt).IsZero())
}

func TestEnsureKey(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	secret := postgres.NewSecretKey()
	for range 2 {
		require.NoError(t, d.Store.EnsureKey(t.Context(), 1, "bootstrap", secret))
	}
	key, err := d.Store.Authenticate(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, pipeline.RoleAdmin, key.Role)
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM api_keys`))
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	got, err := d.Store.Statuses(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, pipeline.DefaultStatuses(), got)
	_, err = d.DB.Exec(`UPDATE companies SET statuses = '[{"code":5,"name":"Own"}]'`)
	require.NoError(t, err)
	got, err = d.Store.Statuses(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, pipeline.Statuses{{Code: 5, Name: "Own"}}, got)
	_, err = d.Store.Statuses(t.Context(), 999)
	requireCode(t, pipeline.CodeNotFound, err)
}

// The encryption key was changed: a clear error, not a webhook with an empty secret.
func TestOtherEncryptionKey(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"*"})
	newCustomer(t, d.Store, 1)
	store := openStore(t, d.URL, otherKey)
	_, err := store.Webhook(t.Context(), 1, 0, w.ID)
	require.ErrorContains(t, err, "DEALWRIGHT_ENCRYPTION_KEY")
	_, err = store.FreshDeliveries(t.Context(), "customer-1", 10)
	require.ErrorContains(t, err, "DEALWRIGHT_ENCRYPTION_KEY")
}
