package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/swaggest/swgui/v5emb"
)

const (
	docsPath    = "/docs"
	openAPIPath = "/openapi.json"
)

// docsPage shows the OpenAPI document with Swagger UI, whose files are in the binary.
type docsPage struct {
	files  http.Handler
	page   []byte
	policy string
}

func newDocsPage() docsPage {
	files := v5emb.New("Dealwright API", openAPIPath, docsPath)
	page := &writtenPage{header: http.Header{}}
	files.ServeHTTP(page, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: docsPath}})
	html := page.body.Bytes()
	return docsPage{files: files, page: html, policy: policyFor(html)}
}

// writtenPage keeps an answer in memory.
type writtenPage struct {
	header http.Header
	body   bytes.Buffer
}

// Header of the answer.
func (p *writtenPage) Header() http.Header { return p.header }

// Write keeps a part of it.
func (p *writtenPage) Write(b []byte) (int, error) { return p.body.Write(b) } //nolint:wrapcheck // it never fails

// WriteHeader passes over the status.
func (*writtenPage) WriteHeader(int) {}

var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// policyFor allows the scripts that are written into the page and no others. Swagger UI sets
// styles by itself, and draws its icons from data URLs.
func policyFor(html []byte) string {
	scripts := []string{"'self'"} //nolint:prealloc // there are two or three
	for _, script := range inlineScript.FindAllSubmatch(html, -1) {
		sum := sha256.Sum256(script[1])
		scripts = append(scripts, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	return "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; script-src " + strings.Join(scripts, " ")
}

// showDocs answers GET /docs: the OpenAPI document, for people.
func (s *Server) showDocs(c *gin.Context) error {
	c.Header("Content-Security-Policy", s.docs.policy)
	c.Data(http.StatusOK, "text/html; charset=utf-8", s.docs.page)
	return nil
}

// docsFile answers GET /docs/{file}: what the page is made of.
func (s *Server) docsFile(c *gin.Context) error {
	c.Header("Cache-Control", "public, max-age=86400")
	s.docs.files.ServeHTTP(c.Writer, c.Request)
	return nil
}
