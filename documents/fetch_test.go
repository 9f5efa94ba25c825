package documents_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/documents"
	"github.com/dealwright/dealwright/pipeline"
)

// plainGetter is HTTP without any of the safety, which is tested where it is.
type plainGetter struct{ client *http.Client }

func (g plainGetter) Get(ctx context.Context, r pipeline.Remote, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	resp, err := g.client.Do(req)
	if err != nil {
		return nil, pipeline.Errorf(pipeline.CodeUnavailable, "no answer")
	}
	return resp, nil
}

// office is a provider and the folder that its documents come into.
type office struct {
	*httptest.Server
	keeper *documents.Keeper
	dir    string
}

func newOffice(t *testing.T, stall time.Duration, answer http.HandlerFunc) *office {
	t.Helper()
	o := &office{Server: httptest.NewServer(answer), dir: filepath.Join(t.TempDir(), "documents")}
	t.Cleanup(o.Close)
	var err error
	o.keeper, err = documents.Open(t.Context(), documents.Config{
		Bucket: o.dir, Getter: plainGetter{o.Client()}, MaxSize: 1 << 20, Stall: stall,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.keeper.Close()) })
	return o
}

func (o *office) fetch(t *testing.T) (pipeline.File, error) {
	t.Helper()
	return o.keeper.Fetch(t.Context(), pipeline.Remote{URL: o.URL + "/contract.pdf"}, id, "", func(int64) {})
}

// files in the folder, whatever their names.
func (o *office) files(t *testing.T) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(o.dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, d.Name())
		}
		return err
	}))
	return out
}

var content = bytes.Repeat([]byte("%PDF-1.7 a signed contract\n"), 20_000)

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// send writes to somebody who may have hung up.
func send(w io.Writer, b []byte) { _, _ = w.Write(b) }

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

const (
	ample = time.Minute
	id    = "1-e24f5a7a-1d6d-4417-8af2-22da3d67d4cc"
)

func TestFetch(t *testing.T) {
	t.Parallel()
	o := newOffice(t, ample, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pdf; charset=binary")
		w.Header().Set("Content-Disposition", `attachment; filename="../../Agreement.pdf"`)
		send(w, content)
	})
	var last int64
	for _, name := range []string{"", "Cash Agreement (2).pdf"} {
		file, err := o.keeper.Fetch(t.Context(), pipeline.Remote{URL: o.URL}, id, name, func(n int64) { last = n })
		require.NoError(t, err)
		if name == "" {
			name = "Agreement.pdf"
		}
		require.Equal(t, pipeline.File{Name: name, ContentType: "application/pdf", Size: int64(len(content)), SHA256: sumOf(content)}, file)
	}
	require.EqualValues(t, len(content), last)
	require.Equal(t, []string{sumOf(content)}, o.files(t), "the same document is kept once, and nothing unfinished is left")

	r, err := o.keeper.Read(t.Context(), sumOf(content))
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Seek(5, io.SeekStart)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, content[5:], got)
}

func TestRead_OfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	o := newOffice(t, ample, nil)
	for _, sum := range []string{"", "../../etc/passwd", sumOf(nil)} {
		_, err := o.keeper.Read(t.Context(), sum)
		require.Equal(t, pipeline.CodeNotFound, pipeline.CodeOf(err), sum)
	}
}

func TestFetch_Refusals(t *testing.T) {
	t.Parallel()
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   pipeline.Code
	}{
		"not there yet":    {status(404), pipeline.CodeUnavailable},
		"failing":          {status(503), pipeline.CodeUnavailable},
		"partial, unasked": {status(206), pipeline.CodeUnavailable},
		"unauthorized":     {status(401), pipeline.CodeForbidden},
		"forbidden":        {status(403), pipeline.CodeForbidden},
		"empty":            {status(200), pipeline.CodeUnavailable},
		"too large, and it says so": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(1<<20+1))
			send(w, make([]byte, 1<<20+1))
		}, pipeline.CodeTooLarge},
		"too large, and it does not say": {func(w http.ResponseWriter, _ *http.Request) {
			for range 40 {
				send(w, make([]byte, 32<<10))
				flush(w)
			}
		}, pipeline.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, ample, c.answer)
			_, err := o.fetch(t)
			require.Equal(t, c.want, pipeline.CodeOf(err), err)
			require.Empty(t, o.files(t))
		})
	}
}

// cutter answers with the content and hangs up in the middle; ranges it serves as they are asked.
func cutter(ranges bool, asked *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if from := r.Header.Get("Range"); from != "" && ranges {
			http.ServeContent(w, r, "", time.Unix(1_700_000_000, 0), bytes.NewReader(content))
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Header().Set("Last-Modified", time.Unix(1_700_000_000, 0).UTC().Format(http.TimeFormat))
		if n > 1 {
			send(w, content)
			return
		}
		send(w, content[:len(content)/2])
		panic(http.ErrAbortHandler) //nolint:forbidigo // how a handler hangs up
	}
}

func TestFetch_GoesOnWhereItWasCutOff(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	o := newOffice(t, ample, cutter(true, &asked))
	file, err := o.fetch(t)
	require.NoError(t, err)
	require.Equal(t, sumOf(content), file.SHA256)
	require.EqualValues(t, 2, asked.Load())
}

func TestFetch_BeginsAnewWhereTheProviderTakesNoRanges(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	o := newOffice(t, ample, cutter(false, &asked))
	_, err := o.fetch(t)
	require.Equal(t, pipeline.CodeUnavailable, pipeline.CodeOf(err))
	require.Empty(t, o.files(t))
	file, err := o.fetch(t)
	require.NoError(t, err)
	require.Equal(t, sumOf(content), file.SHA256)
}

func TestFetch_DoesNotPatchTwoFilesTogether(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	o := newOffice(t, ample, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 { // another file by now, which has another tag
			w.Header().Set("ETag", `"second"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
			return
		}
		w.Header().Set("ETag", `"first"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		send(w, content[:1000])
		panic(http.ErrAbortHandler) //nolint:forbidigo // how a handler hangs up
	})
	_, err := o.fetch(t)
	require.Equal(t, pipeline.CodeUnavailable, pipeline.CodeOf(err))
}

func TestFetch_OfAProviderThatSendsNothing(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	o := newOffice(t, 50*time.Millisecond, func(w http.ResponseWriter, _ *http.Request) {
		send(w, content[:1000])
		flush(w)
		<-done
	})
	defer close(done)
	_, err := o.fetch(t)
	require.Equal(t, pipeline.CodeUnavailable, pipeline.CodeOf(err))
	require.ErrorContains(t, err, "nothing came")
	require.Empty(t, o.files(t))
}

func TestFetch_IsEndedFromOutside(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	o := newOffice(t, ample, func(w http.ResponseWriter, r *http.Request) {
		send(w, content[:1000])
		flush(w)
		cancel()
		<-r.Context().Done()
	})
	_, err := o.keeper.Fetch(ctx, pipeline.Remote{URL: o.URL}, id, "", func(int64) {})
	require.Error(t, err)
	require.Empty(t, o.files(t))
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, bucket := range []string{"", "no-such-scheme://bucket"} {
		_, err := documents.Open(t.Context(), documents.Config{Bucket: bucket})
		require.Error(t, err, bucket)
	}
	k, err := documents.Open(t.Context(), documents.Config{Bucket: "mem://"})
	require.NoError(t, err)
	require.NoError(t, k.Close())
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = documents.Open(t.Context(), documents.Config{Bucket: file})
	require.Error(t, err)
	require.NotErrorIs(t, err, fs.ErrNotExist)
}
