package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

// hardened are the headers of every answer. They keep browsers from making more of it than it
// is: from guessing its type, from running, framing or embedding it, from telling others of it.
// Strict-Transport-Security is for the proxy that speaks TLS.
var hardened = map[string]string{
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

const (
	policyHeader = "Content-Security-Policy"
	// dataPolicy is for what is no page: nothing in it may do anything.
	dataPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// pagePolicy is for pages: they may use what comes from here, and nothing that is written into
	// them, so that what somebody gets into a page does not run.
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

// secure sets the headers of an answer.
func secure(c *gin.Context) {
	harden(c.Writer.Header(), dataPolicy)
	c.Header("Cache-Control", "no-store")
}

func harden(h http.Header, policy string) {
	for name, value := range hardened {
		h.Set(name, value)
	}
	h.Set(policyHeader, policy)
}

// SecurePages puts the headers of pages around what serves them, and refuses what a page of
// somebody else's sends in its user's name.
func SecurePages(next http.Handler) http.Handler {
	guarded := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		harden(w.Header(), pagePolicy)
		guarded.ServeHTTP(w, r)
	})
}

// refuseForgeries stops what another site's page makes a browser send, with what the browser adds
// by itself: cookies, or the user and password that were typed in once (/hooks takes those). A
// key in a Bearer header is nothing that a browser adds.
func (s *Server) refuseForgeries(c *gin.Context) {
	scheme, _, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Token") || s.isUI(c) {
		return
	}
	if err := s.origins.Check(c.Request); err != nil {
		s.fail(c, pipeline.Errorf(pipeline.CodeForbidden, "this was sent by a page of another site"))
	}
}
