package privatepostgres_test

import (
	"archive/zip"
	"bytes"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/standalone/privatepostgres"
)

func TestDownload(t *testing.T) {
	t.Parallel()
	archive := archiveOfInstalled(t)
	var downloads atomic.Int64
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".jar") {
			http.NotFound(w, r)
			return
		}
		downloads.Add(1)
		_, _ = w.Write(archive) // a client that leaves is its own concern
	}))
	t.Cleanup(repository.Close)

	dir := freshDir(t)
	options := privatepostgres.Options{Dir: dir, SearchPath: []string{}, DownloadURL: repository.URL}
	first := start(t, options)
	require.Equal(t, "1", query(t, first, "SELECT 1"))
	require.NoError(t, first.Stop())
	require.EqualValues(t, 1, downloads.Load())

	options.SearchPath = nil // as in life: what was downloaded is found among the usual places
	second := start(t, options)
	require.Equal(t, "1", query(t, second, "SELECT 1"))
	require.EqualValues(t, 1, downloads.Load())
}

func TestNoBinariesAnywhere(t *testing.T) {
	t.Parallel()
	repository := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(repository.Close)
	_, err := privatepostgres.Start(t.Context(), privatepostgres.Options{
		Dir: freshDir(t), SearchPath: []string{}, DownloadURL: repository.URL, Logger: quiet(),
	})
	require.ErrorContains(t, err, "apt install postgresql")
	require.ErrorContains(t, err, "brew install postgresql")
}

// archiveOfInstalled packs the Postgres of this machine as the repository does: a jar that holds a tar.xz.
func archiveOfInstalled(t *testing.T) []byte {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/lib/dict_snowball.so")
	require.NoError(t, err)
	if _, err := exec.LookPath("xz"); err != nil || len(found) == 0 {
		t.Skip("needs xz and Debian's Postgres to make an archive")
	}
	root := filepath.Dir(filepath.Dir(found[0]))
	tarred, err := exec.CommandContext(t.Context(), "tar", "-C", root, "-I", "xz -0", "-cf", "-",
		"bin/initdb", "bin/postgres", "lib/dict_snowball.so", "lib/plpgsql.so").Output()
	require.NoError(t, err)
	var jar bytes.Buffer
	writer := zip.NewWriter(&jar)
	entry, err := writer.Create("postgres.txz")
	require.NoError(t, err)
	_, err = entry.Write(tarred)
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	return jar.Bytes()
}
