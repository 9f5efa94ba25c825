package documents

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"gocloud.dev/blob"

	"github.com/dealwright/dealwright/pipeline"
)

const (
	bufferSize = 64 << 10
	// maxResumes is how often a download that is cut off goes on where it was.
	maxResumes = 20
	// patchTime bounds what is done after a download, whatever has become of its context.
	patchTime = time.Minute
)

// Fetch downloads a file into the bucket and says what it is. Name is what it is called; where
// that is empty, the answer or the URL says. Progress is told how many bytes have come so far.
//
// A download that is cut off goes on where it was, where the provider can do that and says that
// the file is still the same; else it has to begin anew, with another call.
//
// Every error has a code: CodeForbidden and CodeTooLarge where another try is of no use,
// CodeUnavailable where it may be. In the last case the bucket is as before.
func (k *Keeper) Fetch(ctx context.Context, r pipeline.Remote, name string, progress func(bytes int64)) (pipeline.File, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &download{
		Keeper: k, remote: r, progress: progress, sum: sha256.New(), key: "incoming/" + uuid.NewString(),
		alive: time.AfterFunc(k.stall, func() { cancel(errStalled) }),
	}
	defer d.alive.Stop()
	file, err := d.run(ctx)
	if err != nil {
		if context.Cause(ctx) == errStalled { //nolint:errorlint // the very one
			return pipeline.File{}, pipeline.Errorf(pipeline.CodeUnavailable, "nothing came for %s", k.stall)
		}
		return pipeline.File{}, err
	}
	file.Name = cmp.Or(name, file.Name)
	return file, nil
}

var errStalled = errors.New("the provider sends nothing")

// download is one on its way into the bucket.
type download struct {
	*Keeper

	remote   pipeline.Remote
	progress func(int64)
	key      string // of the unfinished object
	sum      hash.Hash
	size     int64
	alive    *time.Timer // ends the download unless it is wound up again
}

func (d *download) run(ctx context.Context) (pipeline.File, error) {
	resp, err := d.getter.Get(ctx, d.remote, http.Header{"Accept": {"application/pdf, */*;q=0.5"}})
	if err != nil {
		return pipeline.File{}, err
	}
	file, err := d.begun(resp)
	if err != nil {
		resp.Body.Close()
		return pipeline.File{}, err
	}
	// Cancelling a writer's context is what undoes it.
	writing, undo := context.WithCancel(ctx)
	defer undo()
	w, err := d.bucket.NewWriter(writing, d.key, &blob.WriterOptions{ContentType: file.ContentType})
	if err != nil {
		resp.Body.Close()
		return pipeline.File{}, bucketError(err)
	}
	if err := d.fill(ctx, w, resp); err != nil {
		undo()
		w.Close() // it says that it was undone, as it was to be
		return pipeline.File{}, err
	}
	if err := w.Close(); err != nil {
		return pipeline.File{}, bucketError(err)
	}
	file.Size, file.SHA256 = d.size, hex.EncodeToString(d.sum.Sum(nil))
	return file, d.settle(ctx, file.SHA256)
}

// begun judges the answer's head.
func (d *download) begun(resp *http.Response) (pipeline.File, error) {
	if err := judge(resp.StatusCode, http.StatusOK); err != nil {
		return pipeline.File{}, err
	}
	if resp.ContentLength > d.maxSize {
		return pipeline.File{}, d.tooLarge()
	}
	return pipeline.File{Name: nameOf(resp, d.remote.URL), ContentType: typeOf(resp.Header)}, nil
}

func (d *download) tooLarge() error {
	return pipeline.Errorf(pipeline.CodeTooLarge, "the document is larger than %d bytes", d.maxSize)
}

// judge an answer. What is not there now may be there later: providers tell of a signature
// before its document can be fetched.
func judge(status, want int) error {
	switch status {
	case want:
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return pipeline.Errorf(pipeline.CodeForbidden, "answered %d: the connection's auth is not accepted", status)
	default:
		return pipeline.Errorf(pipeline.CodeUnavailable, "answered %d", status)
	}
}

// fill writes the body, and goes on where it is cut off.
func (d *download) fill(ctx context.Context, w io.Writer, resp *http.Response) error {
	first := resp.Header
	total := resp.ContentLength // -1: not known
	for resumes := 0; ; resumes++ {
		before := d.size
		cut, err := d.copy(w, resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return err
		case cut == nil && d.size == 0:
			return pipeline.Errorf(pipeline.CodeUnavailable, "the document is empty")
		case cut == nil:
			return nil
		case ctx.Err() != nil:
			return pipeline.Errorf(pipeline.CodeUnavailable, "the fetch was ended")
		case resumes >= maxResumes || resumes > 0 && d.size == before:
			return pipeline.Errorf(pipeline.CodeUnavailable, "was cut off after %d bytes", d.size)
		}
		if resp, err = d.resume(ctx, first, total); err != nil {
			return err
		}
	}
}

// copy reads to the end. Cut says that the body ended before; err, that the download has failed.
func (d *download) copy(w io.Writer, body io.Reader) (cut, err error) {
	buffer := make([]byte, bufferSize)
	for {
		n, readErr := body.Read(buffer)
		if n > 0 {
			d.alive.Reset(d.stall)
			d.size += int64(n)
			if d.size > d.maxSize {
				return nil, d.tooLarge()
			}
			d.sum.Write(buffer[:n]) // never fails
			if _, err := w.Write(buffer[:n]); err != nil {
				return nil, bucketError(err)
			}
			d.progress(d.size)
		}
		if errors.Is(readErr, io.EOF) {
			return nil, nil
		}
		if readErr != nil {
			return fmt.Errorf("read: %w", readErr), nil
		}
	}
}

// resume asks for the rest, on the condition that the file is still the same (RFC 9110, section
// 13.1.5).
func (d *download) resume(ctx context.Context, first http.Header, total int64) (*http.Response, error) {
	cutOff := pipeline.Errorf(pipeline.CodeUnavailable, "was cut off after %d bytes", d.size)
	same := first.Get("ETag")
	if same == "" || strings.HasPrefix(same, "W/") {
		same = first.Get("Last-Modified")
	}
	if same == "" {
		return nil, cutOff
	}
	resp, err := d.getter.Get(ctx, d.remote, http.Header{
		"Range": {fmt.Sprintf("bytes=%d-", d.size)}, "If-Range": {same}, "Accept": {"application/pdf, */*;q=0.5"},
	})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK { // all of it, and not the rest
		resp.Body.Close()
		return nil, cutOff
	}
	if err := judge(resp.StatusCode, http.StatusPartialContent); err != nil {
		resp.Body.Close()
		return nil, err
	}
	if !continues(resp.Header.Get("Content-Range"), d.size, total) {
		resp.Body.Close()
		return nil, cutOff
	}
	return resp, nil
}

// continues reads a Content-Range: it has to begin where we are, in a file of the same length.
func continues(contentRange string, from, total int64) bool {
	rest, ok := strings.CutPrefix(contentRange, "bytes "+strconv.FormatInt(from, 10)+"-")
	if !ok {
		return false
	}
	_, length, _ := strings.Cut(rest, "/")
	return total < 0 || length == "*" || length == strconv.FormatInt(total, 10)
}

// settle moves what has come to its place, where it may be already. It is carried through even
// where the context ends now.
func (d *download) settle(ctx context.Context, sum string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patchTime)
	defer cancel()
	there, err := d.bucket.Exists(ctx, keyOf(sum))
	if err == nil && !there {
		err = d.bucket.Copy(ctx, keyOf(sum), d.key, nil)
	}
	return bucketError(errors.Join(err, d.bucket.Delete(ctx, d.key)))
}

// typeOf the file, without parameters that nobody needs.
func typeOf(h http.Header) string {
	const unknown = "application/octet-stream"
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || len(kind) > 255 || !strings.Contains(kind, "/") {
		return unknown
	}
	return kind
}

// nameOf the file, as the answer or the URL has it.
func nameOf(resp *http.Response, rawURL string) string {
	if _, params, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
		return tidy(path.Base(strings.ReplaceAll(params["filename"], `\`, "/")))
	}
	if u, err := url.Parse(rawURL); err == nil && path.Ext(u.Path) != "" {
		return tidy(path.Base(u.Path))
	}
	return defaultName
}

const (
	defaultName = "contract.pdf"
	maxName     = 255 // characters
)

// tidy makes a name fit for an event.
func tidy(name string) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "")))
	if name == "" || name == "." || name == "/" {
		return defaultName
	}
	runes := []rune(name)
	return string(runes[:min(len(runes), maxName)])
}
