package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFullBucketTakesNothingUntilItIsFreed(t *testing.T) {
	t.Parallel()
	here, err := makeBucket(t.TempDir())
	require.NoError(t, err)
	taken := filepath.Join(t.TempDir(), "documents")
	require.NoError(t, os.Mkdir(taken, 0o700))
	for name, b := range map[string]*bucket{"as it is here": here, "a folder taken away": {path: taken}} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { require.NoError(t, b.close()) })
			write := func(name string) error {
				return os.WriteFile(filepath.Join(b.path, name), []byte("a document"), 0o600)
			}
			require.NoError(t, write("before"))
			require.NoError(t, b.fill())
			require.Error(t, write("meanwhile"))
			require.NoError(t, b.free())
			require.NoError(t, write("after"))
			require.FileExists(t, filepath.Join(b.path, "before"))
		})
	}
}
