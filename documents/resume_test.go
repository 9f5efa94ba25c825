package documents_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/documents"
	"github.com/dealwright/dealwright/pipeline"
)

// partSize of these tests: some reads. The content below has five whole parts and a bit.
const partSize = 256 << 10

var manyParts = bytes.Repeat([]byte("a signed contract, page after page\n"), 40_000)[:5*partSize+1234]

// archive is a provider that serves ranges and counts what it has served.
type archive struct {
	*httptest.Server

	mu      sync.Mutex
	content []byte
	tag     string
	served  int64    // bytes
	ranges  []string // that were asked for
	until   int      // it hangs up before this byte of the file; 0: it does not
	chunked bool     // it does not say how much there is
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	a := &archive{content: manyParts, tag: `"one"`}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	content, tag, until, chunked := a.content, a.tag, a.until, a.chunked
	a.ranges = append(a.ranges, r.Header.Get("Range"))
	a.mu.Unlock()
	if tag != "" {
		w.Header().Set("ETag", tag)
	}
	out := &counting{ResponseWriter: w, a: a, left: int64(len(content) * 2)}
	if until > 0 {
		from := 0
		if r.Header.Get("If-Range") == tag {
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		}
		out.left = int64(until - from)
	}
	if chunked && r.Header.Get("Range") == "" {
		flush(w)
		_, _ = io.Copy(out, bytes.NewReader(content))
		return
	}
	http.ServeContent(out, r, "a.pdf", time.Time{}, bytes.NewReader(content))
}

// counting hangs up when it has written what is left to write.
type counting struct {
	http.ResponseWriter

	a    *archive
	left int64
}

func (c *counting) Write(b []byte) (int, error) {
	if c.left <= 0 {
		flush(c.ResponseWriter)
		panic(http.ErrAbortHandler) //nolint:forbidigo // how a handler hangs up
	}
	n, err := c.ResponseWriter.Write(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	c.a.mu.Lock()
	c.a.served += int64(n)
	c.a.mu.Unlock()
	if err == nil && n < len(b) {
		return c.Write(b[n:])
	}
	return n, err
}

// take answers what was served and asked for since the last time.
func (a *archive) take() (int64, []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	served, ranges := a.served, a.ranges
	a.served, a.ranges = 0, nil
	return served, ranges
}

func (a *archive) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// desk is a bucket, and whoever fetches into it: a new keeper each time, as after a restart.
type desk struct{ dir string }

func newDesk(t *testing.T) desk {
	t.Helper()
	return desk{filepath.Join(t.TempDir(), "documents")}
}

func (d desk) keeper(t *testing.T, a *archive, more func(*documents.Config)) *documents.Keeper {
	t.Helper()
	cfg := documents.Config{Bucket: d.dir, Getter: plainGetter{a.Client()}, MaxSize: 64 << 20, PartSize: partSize}
	if more != nil {
		more(&cfg)
	}
	k, err := documents.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.Close()) })
	return k
}

func (d desk) fetch(t *testing.T, a *archive, progress func(context.CancelFunc, int64)) (pipeline.File, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	return d.keeper(t, a, nil).Fetch(ctx, pipeline.Remote{URL: a.URL}, id, "", func(n int64) {
		if progress != nil {
			progress(cancel, n)
		}
	})
}

// dies fetches and is ended when so many bytes are there.
func (d desk) dies(t *testing.T, a *archive, at int64) {
	t.Helper()
	_, err := d.fetch(t, a, func(cancel context.CancelFunc, n int64) {
		if n >= at {
			cancel()
		}
	})
	require.Error(t, err)
}

// incoming is what is in the bucket that is not complete.
func (d desk) incoming(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(d.dir, "incoming", "*"))
	require.NoError(t, err)
	return found
}

func (d desk) requireDone(t *testing.T, file pipeline.File, content []byte) {
	t.Helper()
	require.Equal(t, sumOf(content), file.SHA256)
	require.EqualValues(t, len(content), file.Size)
	got, err := os.ReadFile(filepath.Join(d.dir, "sha256", file.SHA256[:2], file.SHA256))
	require.NoError(t, err)
	require.Equal(t, content, got)
	require.Empty(t, d.incoming(t), "nothing unfinished is left")
}

func TestFetch_AnotherWorkerGoesOnWhereOneWasEnded(t *testing.T) {
	t.Parallel()
	for name, chunked := range map[string]bool{"of a known size": false, "of an unknown size": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, d := newArchive(t), newDesk(t)
			a.set(func() { a.chunked = chunked })
			d.dies(t, a, 3*partSize+100)
			require.Len(t, d.incoming(t), 4, "three parts, and what is known of them")
			a.take()

			file, err := d.fetch(t, a, nil)
			require.NoError(t, err)
			served, ranges := a.take()
			require.Equal(t, []string{fmt.Sprintf("bytes=%d-", 3*partSize)}, ranges)
			require.EqualValues(t, len(manyParts)-3*partSize, served, "what was there is not served again")
			d.requireDone(t, file, manyParts)
		})
	}
}

// Whatever it takes, no byte of a whole part is served twice.
func TestFetch_GoesOnAgainAndAgain(t *testing.T) {
	t.Parallel()
	a, d := newArchive(t), newDesk(t)
	for n := range int64(5) {
		d.dies(t, a, n*partSize+partSize+1)
	}
	a.take()
	file, err := d.fetch(t, a, nil)
	require.NoError(t, err)
	served, _ := a.take()
	require.EqualValues(t, 1234, served)
	d.requireDone(t, file, manyParts)
}

// A file that ends with a part, and a worker that was lost when it had all of it.
func TestFetch_GoesOnWhereAllIsThere(t *testing.T) {
	t.Parallel()
	for name, chunked := range map[string]bool{"of a known size": false, "of an unknown size": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, d := newArchive(t), newDesk(t)
			whole := manyParts[:3*partSize]
			a.set(func() { a.content, a.chunked = whole, chunked })
			d.dies(t, a, 3*partSize)
			a.take()
			file, err := d.fetch(t, a, nil)
			require.NoError(t, err)
			served, _ := a.take()
			require.Less(t, served, int64(100), "an answer that there is no more, if any")
			d.requireDone(t, file, whole)
		})
	}
}

func TestFetch_BeginsAnewWhereTheFileChanged(t *testing.T) {
	t.Parallel()
	other := bytes.ToUpper(manyParts)
	for name, change := range map[string]func(*archive) []byte{
		"another tag":     func(a *archive) []byte { a.content, a.tag = other, `"two"`; return other },
		"no tag any more": func(a *archive) []byte { a.content, a.tag = other, ""; return other },
		"a shorter one":   func(a *archive) []byte { a.content, a.tag = other[:100], `"two"`; return other[:100] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, d := newArchive(t), newDesk(t)
			d.dies(t, a, 3*partSize+100)
			a.take()
			var want []byte
			a.set(func() { want = change(a) })
			file, err := d.fetch(t, a, nil)
			require.NoError(t, err)
			served, ranges := a.take()
			require.Len(t, ranges, 1, "the answer has all of the new file")
			require.EqualValues(t, len(want), served)
			d.requireDone(t, file, want)
		})
	}
}

// A provider that says that the file is the same, and has less of it, is not believed twice.
func TestFetch_OfAProviderThatContradictsItself(t *testing.T) {
	t.Parallel()
	a, d := newArchive(t), newDesk(t)
	d.dies(t, a, 3*partSize+100)
	a.set(func() { a.content = manyParts[:partSize] })
	_, err := d.fetch(t, a, nil)
	require.Equal(t, pipeline.CodeUnavailable, pipeline.CodeOf(err))
	require.Empty(t, d.incoming(t))
	file, err := d.fetch(t, a, nil)
	require.NoError(t, err)
	d.requireDone(t, file, manyParts[:partSize])
}

func TestFetch_BeginsAnewWhereItsPartsAreNotWhatTheyWere(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(part string) error{
		"gone":      os.Remove,
		"too short": func(part string) error { return os.Truncate(part, 7) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, d := newArchive(t), newDesk(t)
			d.dies(t, a, 3*partSize+100)
			var parts []string
			for _, name := range d.incoming(t) {
				if !strings.HasSuffix(name, ".json") {
					parts = append(parts, name)
				}
			}
			require.NoError(t, harm(parts[1]))
			a.take()
			file, err := d.fetch(t, a, nil)
			require.NoError(t, err)
			_, ranges := a.take()
			require.Equal(t, []string{""}, ranges)
			d.requireDone(t, file, manyParts)
		})
	}
}

// What nobody can go on with comes in one piece, and leaves nothing behind.
func TestFetch_WithoutAValidator(t *testing.T) {
	t.Parallel()
	a, d := newArchive(t), newDesk(t)
	a.set(func() { a.tag = "" })
	d.dies(t, a, 3*partSize+100)
	require.Empty(t, d.incoming(t))
	file, err := d.fetch(t, a, nil)
	require.NoError(t, err)
	d.requireDone(t, file, manyParts)
}

// A cut connection goes on within the call, in the middle of a part.
func TestFetch_GoesOnInTheMiddleOfAPart(t *testing.T) {
	t.Parallel()
	a, d := newArchive(t), newDesk(t)
	a.set(func() { a.until = 2*partSize + partSize/2 })
	k := d.keeper(t, a, nil)
	file, err := k.Fetch(t.Context(), pipeline.Remote{URL: a.URL}, id, "", func(n int64) {
		if n == 2*partSize+partSize/2 {
			a.set(func() { a.until = 0 })
		}
	})
	require.NoError(t, err)
	served, ranges := a.take()
	require.Equal(t, []string{"", fmt.Sprintf("bytes=%d-", 2*partSize+partSize/2)}, ranges)
	require.EqualValues(t, len(manyParts), served)
	d.requireDone(t, file, manyParts)
}

// Two workers who fetch the same document, of which one is taken for dead, do not harm each
// other: one of them has it, and the other one has it or is told to try again.
func TestFetch_TwoAtOnce(t *testing.T) {
	t.Parallel()
	a, d := newArchive(t), newDesk(t)
	var both sync.WaitGroup
	errs := make(chan error, 2)
	for range 2 {
		both.Go(func() {
			file, err := d.fetch(t, a, nil)
			if err == nil && file.SHA256 != sumOf(manyParts) {
				err = errors.New("another file")
			}
			errs <- err
		})
	}
	both.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			require.Equal(t, pipeline.CodeUnavailable, pipeline.CodeOf(err), err)
		}
	}
	file, err := d.fetch(t, a, nil)
	require.NoError(t, err)
	require.Equal(t, sumOf(manyParts), file.SHA256)
}

func TestForget(t *testing.T) {
	t.Parallel()
	a, d := newArchive(t), newDesk(t)
	d.dies(t, a, 3*partSize+100)
	k := d.keeper(t, a, nil)
	require.NoError(t, k.Forget(t.Context(), "2-another"))
	require.Len(t, d.incoming(t), 4)
	require.NoError(t, k.Forget(t.Context(), id))
	require.Empty(t, d.incoming(t))
	require.NoError(t, k.Forget(t.Context(), id))
}

// What nobody goes on with is removed when it is old, a worker's unfinished file among it.
func TestPruneIncoming(t *testing.T) {
	t.Parallel()
	a, d := newArchive(t), newDesk(t)
	k := d.keeper(t, a, nil)
	n, err := k.PruneIncoming(t.Context(), time.Now(), 10)
	require.NoError(t, err)
	require.Zero(t, n)
	file, err := d.fetch(t, a, nil)
	require.NoError(t, err)
	d.dies(t, a, 3*partSize+100)
	left := filepath.Join(d.dir, "incoming", "1-x.0123.000004.abc.tmp")
	require.NoError(t, os.WriteFile(left, []byte("left by a worker that was killed"), 0o600))

	n, err = k.PruneIncoming(t.Context(), time.Now().Add(-time.Hour), 10)
	require.NoError(t, err)
	require.Zero(t, n, "what is young stays")
	for _, want := range []int64{3, 2, 0} {
		n, err = k.PruneIncoming(t.Context(), time.Now().Add(time.Hour), 3)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	require.Empty(t, d.incoming(t))
	r, err := k.Read(t.Context(), file.SHA256)
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

// endless serves so many bytes, with a tag, without having them.
type endless int64

func (e endless) Read(b []byte) (int, error) { return len(b), nil }

func (e endless) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return int64(e), nil
	}
	return offset, nil
}

// However large a document is, it goes through a few buffers, also where it is gone on with and put
// together.
//
//nolint:paralleltest // it looks at the memory of the process
func TestFetch_HoldsLittleInMemory(t *testing.T) {
	const size = 96 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"large"`)
		http.ServeContent(w, r, "a.pdf", time.Time{}, endless(size))
	}))
	t.Cleanup(server.Close)
	a, d := &archive{Server: server}, newDesk(t)
	k := d.keeper(t, a, func(c *documents.Config) { c.MaxSize, c.PartSize = 0, 0 }) // as by default
	var most uint64
	look := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
	}
	runtime.GC()
	look()
	before := most
	ctx, cancel := context.WithCancel(t.Context())
	steps := 0
	fetch := func(ctx context.Context, at int64) (pipeline.File, error) {
		return k.Fetch(ctx, pipeline.Remote{URL: server.URL}, id, "", func(n int64) {
			steps++
			if steps%64 == 0 {
				look()
			}
			if n >= at {
				cancel()
			}
		})
	}
	_, err := fetch(ctx, size/2)
	require.Error(t, err)
	file, err := fetch(t.Context(), 2*size)
	require.NoError(t, err)
	look()
	require.EqualValues(t, size, file.Size)
	require.Empty(t, d.incoming(t))
	t.Logf("%d MiB more at the most", (most-before)>>20)
	require.Less(t, most-before, uint64(48<<20))
}
