package api

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/dealwright/dealwright/pipeline"
)

const (
	// askAgain is after how many seconds it is worth asking for a document that is not there yet.
	askAgain = "60"
	// downloadPatience is how long a download may take: longer than an answer usually may.
	downloadPatience = 30 * time.Minute
)

// shownInline are the types that a browser only shows. Anything else that a provider has sent
// might run, in our own name.
var shownInline = []string{"application/pdf", "image/png", "image/jpeg"}

// downloadDocument answers GET /v1/documents/{uuid}/download, and what Sighten has in its place:
// /api/v1/document/{uuid}/download/. A partner gets the documents that its webhooks were told of.
func (s *Server) downloadDocument(c *gin.Context) error { return s.serveDocument(c, false) }

// previewDocument answers GET /api/v1/document/{uuid}/preview/.
func (s *Server) previewDocument(c *gin.Context) error { return s.serveDocument(c, true) }

// failAsSighten writes an error as Sighten does.
func failAsSighten(c *gin.Context, p problem) {
	writeJSON(c, p.Status, struct {
		Detail string `json:"detail"`
	}{p.Detail})
}

// sightenKey reads the key as clients of Sighten's send theirs: as a token, whatever they call
// it, or with basic authentication as the password or, without one, as the user.
func sightenKey(r *http.Request) (string, error) {
	secret := ""
	if user, password, ok := r.BasicAuth(); ok {
		if secret = password; secret == "" {
			secret = user
		}
	} else if scheme, rest, found := strings.Cut(r.Header.Get("Authorization"), " "); found &&
		(strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Token")) {
		secret = strings.TrimSpace(rest)
	}
	return checkSecret(secret)
}

func noSuchDocument() error {
	return pipeline.Errorf(pipeline.CodeNotFound, "there is no such document, or not yet")
}

// serveDocument answers with the bytes of a document. Where it is not there, the answer is to ask
// again: who was just told of it may be faster than we are.
func (s *Server) serveDocument(c *gin.Context, inline bool) error {
	id, err := uuid.Parse(c.Param("uuid"))
	if err != nil {
		return noSuchDocument()
	}
	ctx := c.Request.Context()
	doc, err := s.store.Document(ctx, caller(c).CompanyID, partnerKey(c), id.String())
	if pipeline.CodeOf(err) == pipeline.CodeNotFound {
		c.Header("Retry-After", askAgain)
		return noSuchDocument()
	}
	if err != nil {
		return err
	}
	switch {
	case doc.Status == pipeline.KeptFailed:
		return pipeline.Errorf(pipeline.CodeNotFound, "the document could not be fetched: %s", doc.Note)
	case doc.Status == pipeline.KeptWaiting || s.documents == nil:
		c.Header("Retry-After", askAgain)
		return noSuchDocument()
	}
	claimOf(ctx).rest() // sending it takes as long as the caller takes
	content, err := s.documents.Read(ctx, doc.File.SHA256)
	if err != nil {
		return fmt.Errorf("read document %s: %w", doc.UUID, notInBucket(err))
	}
	defer content.Close()
	if err := describe(c, doc.File, inline); err != nil {
		return err
	}
	deadline := time.Now().Add(downloadPatience)
	if err := http.NewResponseController(c.Writer).SetWriteDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("prolong the answer: %w", err)
	}
	http.ServeContent(c.Writer, c.Request, "", time.Time(doc.StoredAt), content)
	return nil
}

// notInBucket: what the store has and the bucket has not is our own fault, and not the caller's.
func notInBucket(err error) error {
	if pipeline.CodeOf(err) == pipeline.CodeNotFound {
		return errors.New("the bucket does not have it")
	}
	return err
}

// describe sets the headers of a document: what it is, what it is called, and its digest (RFC 9530,
// and RFC 3230 for those who know that one).
func describe(c *gin.Context, f pipeline.File, inline bool) error {
	sum, err := hex.DecodeString(f.SHA256)
	if err != nil {
		return fmt.Errorf("digest of a document: %w", err)
	}
	digest := base64.StdEncoding.EncodeToString(sum)
	disposition := "attachment"
	if inline && slices.Contains(shownInline, f.ContentType) {
		disposition = "inline"
	}
	c.Header("Content-Type", f.ContentType)
	c.Header("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": f.Name}))
	c.Header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	c.Header("ETag", `"`+f.SHA256+`"`)
	c.Header("Repr-Digest", "sha-256=:"+digest+":")
	c.Header("Digest", "sha-256="+digest)
	return nil
}

// documentReceipt says where the fetching of a document stands.
type documentReceipt struct {
	UUID   string              `json:"uuid"`
	Status pipeline.KeptStatus `json:"status"`
}

// retryDocument answers POST /v1/documents/{uuid}/retry: a document that could not be had is
// fetched again.
func (s *Server) retryDocument(c *gin.Context) error {
	id, err := uuid.Parse(c.Param("uuid"))
	if err != nil {
		return noSuchDocument()
	}
	if err := decodeNothing(c); err != nil {
		return err
	}
	ctx := c.Request.Context()
	doc, err := s.store.RetryDocument(ctx, caller(c).CompanyID, id.String())
	if err != nil {
		return err
	}
	if err := s.engine.KeepDocument(ctx, doc.CompanyID, doc.UUID); err != nil {
		s.logger.WarnContext(ctx, "document not begun; the sweep will do it", "document", doc.UUID, "error", err)
	}
	return accepted(c, "/v1/documents/"+doc.UUID+"/download", documentReceipt{UUID: doc.UUID, Status: doc.Status})
}
