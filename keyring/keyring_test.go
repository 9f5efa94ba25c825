package keyring_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/keyring"
)

// keyOf makes a key that is easy to tell from others.
func keyOf(letter string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
}

func newRing(t *testing.T, keys ...string) *keyring.Ring {
	t.Helper()
	r, err := keyring.New(strings.Join(keys, ","))
	require.NoError(t, err)
	return r
}

// sealedFirst is "secret" as it was sealed with the key "aaa…" before values named their key.
const sealedFirst = "AeQjwrSguPQlxVSwhokdP03kdRtkNCZbWglr2+BhuODDcDg="

func TestWhatIsSealedOpens(t *testing.T) {
	t.Parallel()
	ring := newRing(t, keyOf("a"))
	sealed := ring.Seal("secret")
	require.NotContains(t, string(sealed), "secret")
	require.NotEqual(t, sealed, ring.Seal("secret"), "equal secrets do not look equal")
	plain, err := ring.Open(sealed)
	require.NoError(t, err)
	require.Equal(t, "secret", plain)
	plain, err = ring.Open(ring.Seal(""))
	require.NoError(t, err)
	require.Empty(t, plain)
}

func TestWhatWasChangedDoesNotOpen(t *testing.T) {
	t.Parallel()
	ring := newRing(t, keyOf("a"), keyOf("b"))
	sealed := ring.Seal("secret")
	for i := range sealed {
		changed := append([]byte{}, sealed...)
		changed[i] ^= 1
		_, err := ring.Open(changed)
		require.Error(t, err, "byte %d", i)
	}
	for _, short := range [][]byte{nil, {1}, {2}, sealed[:5], sealed[:12], sealed[:17]} {
		_, err := ring.Open(short)
		require.Error(t, err)
	}
	// What another key of the ring has sealed cannot be passed off as this one's.
	other := newRing(t, keyOf("b"), keyOf("a"))
	_, err := ring.Open(append(ring.Header(), other.Seal("secret")[5:]...))
	require.Error(t, err)
}

func TestTheFirstKeySealsAndAllOpen(t *testing.T) {
	t.Parallel()
	old, both, fresh := newRing(t, keyOf("a")), newRing(t, keyOf("b"), " "+keyOf("a")+" "), newRing(t, keyOf("b"))
	for _, ring := range []*keyring.Ring{old, both} {
		plain, err := ring.Open(old.Seal("secret"))
		require.NoError(t, err)
		require.Equal(t, "secret", plain)
	}
	for _, ring := range []*keyring.Ring{fresh, both} {
		plain, err := ring.Open(both.Seal("secret"))
		require.NoError(t, err)
		require.Equal(t, "secret", plain)
	}
	_, err := fresh.Open(old.Seal("secret"))
	require.EqualError(t, err, "sealed with a key that is not in DEALWRIGHT_ENCRYPTION_KEY (id "+old.IDs()[0].String()+")")
	var unknown keyring.UnknownKeyError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, old.IDs()[0], unknown.ID)
	require.Equal(t, []keyring.ID{fresh.IDs()[0], old.IDs()[0]}, both.IDs())
}

func TestValuesFromBeforeKeysHadNamesOpen(t *testing.T) {
	t.Parallel()
	sealed, err := base64.StdEncoding.DecodeString(sealedFirst)
	require.NoError(t, err)
	for _, ring := range []*keyring.Ring{newRing(t, keyOf("a")), newRing(t, keyOf("b"), keyOf("a"))} {
		plain, err := ring.Open(sealed)
		require.NoError(t, err)
		require.Equal(t, "secret", plain)
	}
	_, err = newRing(t, keyOf("b")).Open(sealed)
	require.ErrorContains(t, err, "DEALWRIGHT_ENCRYPTION_KEY")
}

func TestADigestIsKnownByAnyKey(t *testing.T) {
	t.Parallel()
	old, both, fresh := newRing(t, keyOf("a")), newRing(t, keyOf("b"), keyOf("a")), newRing(t, keyOf("b"))
	require.True(t, both.IsDigest(old.Digest("text"), "text"))
	require.True(t, both.IsDigest(fresh.Digest("text"), "text"))
	require.Equal(t, fresh.Digest("text"), both.Digest("text"))
	require.False(t, both.IsDigest(old.Digest("text"), "another"))
	require.False(t, fresh.IsDigest(old.Digest("text"), "text"))
}

func TestEachUseHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	ring := newRing(t, keyOf("a"), keyOf("b"))
	one, err := ring.Derive("one use")
	require.NoError(t, err)
	another, err := ring.Derive("another")
	require.NoError(t, err)
	require.Len(t, one, 2)
	seen := map[string]bool{}
	for i, d := range append(one, another...) {
		require.Equal(t, ring.IDs()[i%2], d.ID)
		require.Len(t, d.Key, 32)
		require.False(t, seen[string(d.Key)])
		seen[string(d.Key)] = true
	}
}

func TestBadKeysAreRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	good := keyOf("a")
	tests := map[string]struct{ keys, want string }{
		"none":         {"", "DEALWRIGHT_ENCRYPTION_KEY has to be 32 bytes in base64; make one with: openssl rand -base64 32"},
		"short":        {"short", "DEALWRIGHT_ENCRYPTION_KEY has to be 32 bytes in base64"},
		"no base64":    {"not base64 at all, but of some length", "has to be 32 bytes in base64"},
		"a byte more":  {good + "A", "has to be 32 bytes in base64"},
		"second":       {good + ",c2hvcnQ=", "key 2 of DEALWRIGHT_ENCRYPTION_KEY has to be 32 bytes in base64"},
		"empty second": {good + ",", "key 2 of DEALWRIGHT_ENCRYPTION_KEY has to be 32 bytes in base64"},
		"twice":        {good + "," + good, "twice"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := keyring.New(test.keys)
			require.ErrorContains(t, err, test.want)
			if test.keys != "" {
				require.NotContains(t, err.Error(), test.keys)
			}
			require.NotContains(t, err.Error(), good)
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	ring, err := keyring.New(keyOf("a"))
	require.NoError(b, err)
	sealed := ring.Seal(strings.Repeat("s", 64))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ring.Open(sealed); err != nil {
			b.Fatal(err)
		}
	}
}
