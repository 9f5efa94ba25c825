package documents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/memblob"  // mem://, for tests
	"gocloud.dev/gcerrors"

	"github.com/dealwright/dealwright/pipeline"
)

// Getter asks a provider for a file. Its errors have a code of package pipeline; an answer is
// given whatever its status.
type Getter interface {
	Get(ctx context.Context, r pipeline.Remote, header http.Header) (*http.Response, error)
}

// Config says where documents are kept and how they are fetched.
type Config struct {
	// Bucket is a URL as gocloud.dev/blob reads it (file:///…, s3://…, gs://…, azblob://…), or the
	// path of a folder, which is made. Only the drivers that the program imports are there.
	Bucket  string
	Getter  Getter        // nil where nothing is fetched, only read
	MaxSize int64         // bytes; 0 means DefaultMaxSize
	Stall   time.Duration // how long a provider may send nothing; 0 means a minute
	// PartSize is how much of a document at most has to be fetched again after a worker was lost,
	// in bytes; 0 means 8 MiB. A document that is no larger comes in one piece.
	PartSize int64
}

// DefaultMaxSize is how large a document may be where nobody says otherwise: 100 MiB.
const DefaultMaxSize = 100 << 20

const (
	defaultStall    = time.Minute
	defaultPartSize = 8 << 20
)

// Keeper keeps documents. It is safe for concurrent use. Close it.
type Keeper struct {
	bucket  *blob.Bucket
	getter  Getter
	maxSize int64
	stall   time.Duration

	partSize int64
}

// Open prepares a bucket; whether it can be reached shows when it is used.
func Open(ctx context.Context, cfg Config) (*Keeper, error) {
	at, err := bucketURL(cfg.Bucket)
	if err != nil {
		return nil, err
	}
	bucket, err := blob.OpenBucket(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("open the bucket of documents: %w", err)
	}
	return &Keeper{
		bucket: bucket, getter: cfg.Getter, maxSize: cmp.Or(cfg.MaxSize, DefaultMaxSize), stall: cmp.Or(cfg.Stall, defaultStall),
		partSize: cmp.Or(cfg.PartSize, defaultPartSize),
	}, nil
}

// bucketURL makes a URL of the path of a folder. Unfinished files stay in that folder: the
// system's own may be on another disk, from where they cannot be renamed.
func bucketURL(bucket string) (string, error) {
	if u, err := url.Parse(bucket); err == nil && len(u.Scheme) > 1 {
		return bucket, nil
	}
	if bucket == "" {
		return "", errors.New("there is no bucket for documents")
	}
	dir, err := filepath.Abs(bucket)
	if err != nil {
		return "", fmt.Errorf("find the folder of documents: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("make the folder of documents: %w", err)
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(dir), RawQuery: "no_tmp_dir=true&metadata=skip"}
	return u.String(), nil
}

// Close lets go of the bucket.
func (k *Keeper) Close() error { return k.bucket.Close() } //nolint:wrapcheck // it says what it could not do

func keyOf(sha256 string) string { return "sha256/" + sha256[:2] + "/" + sha256 }

// Read opens the document with this SHA-256, in hex; CodeNotFound where the bucket has none,
// CodeUnavailable where the bucket does not answer. Close it.
func (k *Keeper) Read(ctx context.Context, sha256 string) (io.ReadSeekCloser, error) {
	if len(sha256) != hexDigits {
		return nil, pipeline.Errorf(pipeline.CodeNotFound, "there is no such document")
	}
	r, err := k.bucket.NewReader(ctx, keyOf(sha256), nil)
	if err != nil {
		return nil, bucketError(err)
	}
	return r, nil
}

// Delete removes the document with this SHA-256; one that is not there is gone already.
func (k *Keeper) Delete(ctx context.Context, sha256 string) error {
	if len(sha256) != hexDigits {
		return nil
	}
	if err := k.bucket.Delete(ctx, keyOf(sha256)); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return bucketError(err)
	}
	return nil
}

const hexDigits = 64

// bucketError gives an error of the bucket its code, which is CodeUnavailable as a rule: a
// bucket that is not there, or does not let us in, is mended by an operator.
func bucketError(err error) error {
	if err == nil {
		return nil
	}
	if gcerrors.Code(err) == gcerrors.NotFound {
		return fmt.Errorf("%w: %w", pipeline.Errorf(pipeline.CodeNotFound, "there is no such document"), err)
	}
	return unavailable(err)
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", pipeline.Errorf(pipeline.CodeUnavailable, "the bucket of documents cannot be used; try again"), err)
}
