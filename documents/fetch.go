package documents

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

const (
	bufferSize = 64 << 10
	// maxResumes is how often a download that is cut off goes on where it was.
	maxResumes = 20
	// patchTime bounds what is done after a download, whatever has become of its context.
	patchTime = time.Minute
	accept    = "application/pdf, */*;q=0.5"
)

// Fetch downloads a file into the bucket and says what it is. ID names what is fetched; two are
// never the same. Name is what it is called; where that is empty, the answer or the URL says.
// Progress is told how many bytes there are so far.
//
// A download that is cut off goes on where it was, where the provider can do that and says that
// the file is still the same; else it has to begin anew, with another call. A call with the same
// id goes on after the last whole part that an earlier one has left in the bucket, whatever ended
// that one.
//
// Every error has a code: CodeForbidden and CodeTooLarge where another try is of no use,
// CodeUnavailable where it may be. Whole parts stay in the bucket then; Forget them where nobody
// will go on.
func (k *Keeper) Fetch(ctx context.Context, r pipeline.Remote, id, name string, progress func(bytes int64)) (pipeline.File, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &download{
		parts: parts{Keeper: k, id: id, sum: sha256.New()}, remote: r, progress: progress,
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
	parts

	remote   pipeline.Remote
	progress func(int64)
	alive    *time.Timer // ends the download unless it is wound up again
}

func (d *download) run(ctx context.Context) (pipeline.File, error) {
	resp, err := d.begin(ctx)
	if err != nil {
		return pipeline.File{}, err
	}
	defer d.drop()
	if resp != nil {
		if err := d.fill(ctx, resp); err != nil {
			return pipeline.File{}, err
		}
	}
	d.alive.Stop() // what is left is between us and the bucket
	return d.finish(ctx)
}

// begin asks for the file, or for what an earlier download did not get of it. No answer is
// needed where that one got all.
func (d *download) begin(ctx context.Context) (*http.Response, error) {
	left, err := d.left(ctx)
	if err != nil {
		return nil, err
	}
	if left.Parts > 0 && left.URL == fingerprint(d.remote.URL) && left.PartSize == d.partSize {
		if err := d.recall(ctx, left, func() { d.alive.Reset(d.stall) }); err != nil {
			return nil, err
		}
	}
	if d.size > 0 {
		return d.goOn(ctx)
	}
	resp, err := d.getter.Get(ctx, d.remote, http.Header{"Accept": {accept}})
	if err != nil {
		return nil, err
	}
	return resp, d.begun(resp)
}

// goOn asks for the rest of what an earlier download has left. Where the file is another one by
// now, the answer is all of that one.
func (d *download) goOn(ctx context.Context) (*http.Response, error) {
	if d.head.Total > d.maxSize {
		return nil, d.tooLarge()
	}
	if d.size == d.head.Total {
		return nil, nil //nolint:nilnil // all is there
	}
	resp, err := d.ask(ctx)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusOK:
		if err := d.anew(ctx); err != nil {
			resp.Body.Close()
			return nil, err
		}
		return resp, d.begun(resp)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable &&
		resp.Header.Get("Content-Range") == fmt.Sprintf("bytes */%d", d.size): // there is no more
		resp.Body.Close()
		return nil, nil //nolint:nilnil // all is there
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable, // it is shorter than what there was
		resp.StatusCode == http.StatusPartialContent && !continues(resp.Header.Get("Content-Range"), d.size, d.head.Total):
		resp.Body.Close()
		return nil, errors.Join(pipeline.Errorf(pipeline.CodeUnavailable, "the document is not the one that it was"), d.anew(ctx))
	}
	if err := judge(resp.StatusCode, http.StatusPartialContent); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// begun judges the head of an answer that is to bring all of the file; where it does not, it
// closes the answer.
func (d *download) begun(resp *http.Response) error {
	err := judge(resp.StatusCode, http.StatusOK)
	if err == nil && resp.ContentLength > d.maxSize {
		err = d.tooLarge()
	}
	if err != nil {
		resp.Body.Close()
		return err
	}
	d.head = head{
		URL: fingerprint(d.remote.URL), Same: validator(resp.Header), Total: resp.ContentLength, PartSize: d.partSize,
		Name: nameOf(resp, d.remote.URL), ContentType: typeOf(resp.Header),
	}
	return nil
}

// validator is what says that a file is still the same, as If-Range takes it: a strong ETag, or a
// date that the file cannot have changed after without changing it (RFC 9110, section 8.8.2.2).
// Empty, there is none.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return ""
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil || now.Sub(modified) < time.Second {
		return ""
	}
	return h.Get("Last-Modified")
}

func (k *Keeper) tooLarge() error {
	return pipeline.Errorf(pipeline.CodeTooLarge, "the document is larger than %d bytes", k.maxSize)
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
func (d *download) fill(ctx context.Context, resp *http.Response) error {
	for resumes := 0; ; resumes++ {
		before := d.size
		cut, err := d.copy(ctx, resp.Body)
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
		if resp, err = d.resume(ctx); err != nil {
			return err
		}
	}
}

// copy reads to the end. Cut says that the body ended before; err, that the download has failed.
func (d *download) copy(ctx context.Context, body io.Reader) (cut, err error) {
	buffer := make([]byte, bufferSize)
	for {
		n, readErr := body.Read(buffer)
		if n > 0 {
			d.alive.Reset(d.stall)
			if d.size+int64(n) > d.maxSize {
				return nil, d.tooLarge()
			}
			if err := d.write(ctx, buffer[:n]); err != nil {
				return nil, err
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

// ask for the rest, on the condition that the file is still the same (RFC 9110, section 13.1.5).
func (d *download) ask(ctx context.Context) (*http.Response, error) {
	return d.getter.Get(ctx, d.remote, http.Header{
		"Range": {fmt.Sprintf("bytes=%d-", d.size)}, "If-Range": {d.head.Same}, "Accept": {accept},
	})
}

// resume goes on after the connection was cut.
func (d *download) resume(ctx context.Context) (*http.Response, error) {
	cutOff := pipeline.Errorf(pipeline.CodeUnavailable, "was cut off after %d bytes", d.size)
	if d.head.Same == "" {
		return nil, cutOff
	}
	resp, err := d.ask(ctx)
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
	if !continues(resp.Header.Get("Content-Range"), d.size, d.head.Total) {
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
