package documents

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/google/uuid"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/dealwright/dealwright/pipeline"
)

// A blob appears whole or not at all, and nothing can be added to it. So a file that is fetched
// arrives in parts, each a blob, and whoever goes on after a worker was lost begins behind the
// last of them. At the end the parts are put together and removed.
//
// A part's name has in it of which file it is, so that two workers who fetch the same document,
// of which one is taken for dead, write the same bytes into the same part or into different ones.

// incoming is where what is not complete is kept.
const incoming = "incoming/"

// head is what is known of a file that is on its way. As JSON it is kept beside the whole parts.
type head struct {
	URL         string `json:"url"`       // its SHA-256: the URL itself may let whoever has it in
	Same        string `json:"validator"` // see validator; empty: nobody can go on with it
	Total       int64  `json:"total"`     // its size, -1 where the provider does not say
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	PartSize    int64  `json:"part_size"`
	Parts       int    `json:"parts"` // that are whole
}

func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// tag tells the versions of a file apart.
func (h head) tag() string {
	return fingerprint(fmt.Sprintf("%s\n%s\n%d\n%d", h.URL, h.Same, h.Total, h.PartSize))[:16]
}

func headKey(id string) string { return incoming + id + ".json" }

func partKey(id, tag string, n int) string { return fmt.Sprintf("%s%s.%s.%06d", incoming, id, tag, n) }

// parts are what there is of a file: size bytes, of which sum is the hash.
type parts struct {
	*Keeper

	id   string
	head head
	sum  hash.Hash
	size int64

	open *blob.Writer // the part that is being written; nil between two
	undo context.CancelFunc
	lone string // instead of a tag, where nobody can go on with it

	noted bool // there is a blob that says which parts are whole
}

func (p *parts) key(n int) string {
	if p.head.Same != "" {
		return partKey(p.id, p.head.tag(), n)
	}
	if p.lone == "" { // another download may bring other bytes
		p.lone = uuid.NewString()
	}
	return partKey(p.id, p.lone, n)
}

// left reads what an earlier download has left; nothing is no error.
func (p *parts) left(ctx context.Context) (head, error) {
	var h head
	text, err := p.bucket.ReadAll(ctx, headKey(p.id))
	if gcerrors.Code(err) == gcerrors.NotFound {
		return head{}, nil
	}
	if err != nil {
		return head{}, bucketError(err)
	}
	p.noted = true
	if err := json.Unmarshal(text, &h); err != nil || h.Parts < 0 {
		return head{}, nil //nolint:nilerr // it is of another version of this program
	}
	return h, nil
}

// recall takes up the parts that an earlier download has left. It reads them, since their hash
// goes on. Where one is missing or not whole, it is as if there were none. Tick is called now and then.
func (p *parts) recall(ctx context.Context, left head, tick func()) error {
	p.head = left
	for n := range left.Parts {
		size, err := p.read(ctx, n, p.sum)
		if gcerrors.Code(err) == gcerrors.NotFound || err == nil && size != p.partSize {
			return p.anew(ctx)
		}
		if err != nil {
			return bucketError(err)
		}
		p.size += size
		tick()
	}
	return nil
}

func (p *parts) read(ctx context.Context, n int, into io.Writer) (int64, error) {
	r, err := p.bucket.NewReader(ctx, p.key(n), nil)
	if err != nil {
		return 0, err //nolint:wrapcheck // by the caller
	}
	size, err := io.Copy(into, r)
	return size, errors.Join(err, r.Close())
}

// anew forgets what there is.
func (p *parts) anew(ctx context.Context) error {
	err := p.remove(ctx)
	p.head, p.size = head{}, 0
	p.sum.Reset()
	return err
}

// write adds to the part that is open, and begins the next where that is full.
func (p *parts) write(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		if p.open == nil {
			if err := p.begin(ctx); err != nil {
				return err
			}
		}
		now := b
		if p.head.Same != "" { // what nobody can go on with is one part
			now = b[:min(int64(len(b)), p.partSize-p.size%p.partSize)]
		}
		if _, err := p.open.Write(now); err != nil {
			return bucketError(err)
		}
		p.sum.Write(now) // never fails
		p.size += int64(len(now))
		b = b[len(now):]
		if p.head.Same != "" && p.size%p.partSize == 0 {
			if err := p.whole(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *parts) begin(ctx context.Context) error {
	writing, undo := context.WithCancel(ctx) // cancelling a writer's context is what undoes it
	w, err := p.bucket.NewWriter(writing, p.key(p.head.Parts), &blob.WriterOptions{ContentType: p.head.ContentType})
	if err != nil {
		undo()
		return bucketError(err)
	}
	p.open, p.undo = w, undo
	return nil
}

// whole: the open part is complete. That is noted, unless it is the only one.
func (p *parts) whole(ctx context.Context) error {
	if err := p.end(); err != nil || p.head.Parts == 1 && p.size == p.head.Total {
		return err
	}
	p.noted = true
	text, err := json.Marshal(p.head)
	if err != nil {
		return fmt.Errorf("encode the head of a document: %w", err)
	}
	return bucketError(p.bucket.WriteAll(ctx, headKey(p.id), text, &blob.WriterOptions{ContentType: "application/json"}))
}

func (p *parts) end() error {
	err := p.open.Close()
	p.undo()
	p.open = nil
	if err != nil {
		return bucketError(err)
	}
	p.head.Parts++
	return nil
}

// drop undoes the part that is open, if any.
func (p *parts) drop() {
	if p.open == nil {
		return
	}
	p.undo()
	p.open.Close() // it says that it was undone, as it was to be
	p.open = nil
}

// finish moves all that there is to its place.
func (p *parts) finish(ctx context.Context) (pipeline.File, error) {
	if p.open != nil {
		if err := p.end(); err != nil {
			return pipeline.File{}, err
		}
	}
	file := pipeline.File{
		Name: p.head.Name, ContentType: p.head.ContentType, Size: p.size, SHA256: hex.EncodeToString(p.sum.Sum(nil)),
	}
	// What is quick is carried through even where the context ends now.
	patching, cancel := context.WithTimeout(context.WithoutCancel(ctx), patchTime)
	defer cancel()
	if p.head.Parts == 1 {
		err := p.bucket.Copy(patching, keyOf(file.SHA256), p.key(0), nil)
		return file, errors.Join(bucketError(err), p.remove(patching))
	}
	if err := p.compose(ctx, file); err != nil {
		return pipeline.File{}, err
	}
	return file, p.remove(patching)
}

// compose puts the parts together where the document is not there already. They are compared with
// what has come: who fetches the same document may have removed them.
func (p *parts) compose(ctx context.Context, file pipeline.File) error {
	there, err := p.bucket.Exists(ctx, keyOf(file.SHA256))
	if err != nil || there {
		return bucketError(err)
	}
	writing, undo := context.WithCancel(ctx)
	defer undo()
	w, err := p.bucket.NewWriter(writing, keyOf(file.SHA256), &blob.WriterOptions{ContentType: file.ContentType})
	if err != nil {
		return bucketError(err)
	}
	sum := sha256.New()
	for n := range p.head.Parts {
		if _, err := p.read(ctx, n, io.MultiWriter(w, sum)); err != nil {
			undo()
			w.Close()
			return unavailable(err)
		}
	}
	if hex.EncodeToString(sum.Sum(nil)) != file.SHA256 {
		undo()
		w.Close()
		return errors.Join(pipeline.Errorf(pipeline.CodeUnavailable, "what was fetched has come to harm in the bucket"), p.anew(ctx))
	}
	return bucketError(w.Close())
}

// remove the whole parts, and what was noted of them: that goes first, so that nobody looks for
// parts that are not there.
func (p *parts) remove(ctx context.Context) error {
	var err error
	if p.noted {
		err = p.discard(ctx, headKey(p.id))
	}
	p.noted = p.noted && err != nil
	for n := range p.head.Parts {
		err = errors.Join(err, p.discard(ctx, p.key(n)))
	}
	return err
}

// discard a blob, which may have gone already.
func (k *Keeper) discard(ctx context.Context, key string) error {
	err := k.bucket.Delete(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return bucketError(err)
}

// Forget removes what has come of a file that is not fetched any more; see Fetch for its id.
func (k *Keeper) Forget(ctx context.Context, id string) error {
	p := &parts{Keeper: k, id: id, sum: sha256.New()}
	left, err := p.left(ctx)
	if err != nil {
		return err
	}
	p.head = left
	return p.remove(ctx)
}

// PruneIncoming removes what was left behind before a time and nobody has gone on with, at most
// limit blobs; it says how many. Among it are unfinished files of workers that were killed.
func (k *Keeper) PruneIncoming(ctx context.Context, before time.Time, limit int) (int64, error) {
	var n int64
	list := k.bucket.List(&blob.ListOptions{Prefix: incoming})
	for n < int64(limit) {
		object, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return n, bucketError(err)
		}
		if !object.ModTime.Before(before) {
			continue
		}
		if err := k.discard(ctx, object.Key); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
