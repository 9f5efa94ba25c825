package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

// What the handlers keep in the request's context.
const (
	callerKey  = "caller"  // pipeline.Key
	failureKey = "failure" // error: what the log says about a 5xx
	requestKey = "request" // string: the request id
)

// maxSecret is longer than any key of ours; what is longer need not be looked up.
const maxSecret = 512

// admit lets a caller in whose key reaches this route. Who they are comes before all else, so
// that somebody without a key learns nothing about the route.
func (s *Server) admit(c *gin.Context, route Route) error {
	d := dialectOf(c)
	if len(route.Roles) == 0 || (d != nil && d.keyLast) {
		return nil
	}
	if err := s.authenticate(c); err != nil {
		return err
	}
	if err := checkRole(c, route.Roles); err != nil {
		return err
	}
	if d != nil {
		return nil
	}
	return refuseUnknown(c.Request.URL.RawQuery, route.Query)
}

func checkRole(c *gin.Context, roles []pipeline.Role) error {
	if role := caller(c).Role; !slices.Contains(roles, role) {
		return pipeline.Errorf(pipeline.CodeForbidden, "a key with the role %s may not do this", role)
	}
	return nil
}

func (s *Server) authenticate(c *gin.Context) error {
	secret, err := secretIn(c)
	if err != nil {
		return err
	}
	if err := s.gate.mayTry(c, secret); err != nil {
		return err
	}
	key, err := s.store.Authenticate(c.Request.Context(), secret)
	if pipeline.CodeOf(err) == pipeline.CodeUnauthenticated {
		s.gate.failed(c)
	}
	if err != nil {
		return err
	}
	s.gate.opened(secret)
	c.Set(callerKey, key)
	if err := s.gate.use(c, key); err != nil {
		return err
	}
	s.scope(c, key.CompanyID)
	s.noteUse(c.Request.Context(), key)
	return nil
}

// scope: whatever the request asks from here on, it asks for this company.
func (s *Server) scope(c *gin.Context, companyID int64) {
	c.Request = c.Request.WithContext(s.store.Scope(c.Request.Context(), companyID))
}

// secretIn reads the caller's key from where the route has it.
func secretIn(c *gin.Context) (string, error) {
	if d := dialectOf(c); d != nil {
		return d.secret(c.Request)
	}
	if isCodec(c) {
		return codecSecret(c.Request)
	}
	return bearer(c.Request)
}

// bearer reads the key from the Authorization header (RFC 6750).
func bearer(r *http.Request) (string, error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return "", pipeline.Errorf(pipeline.CodeUnauthenticated, "send an API key: Authorization: Bearer dw_…")
	}
	return checkSecret(secret)
}

// checkSecret refuses what cannot be a key.
func checkSecret(secret string) (string, error) {
	if secret == "" || len(secret) > maxSecret || !isVisibleASCII(secret) {
		return "", pipeline.Errorf(pipeline.CodeUnauthenticated, "the API key is unknown, was revoked or has expired")
	}
	return secret, nil
}

// caller is the key that the request came with.
func caller(c *gin.Context) pipeline.Key {
	key, _ := c.Value(callerKey).(pipeline.Key) // nobody, where there is no key
	return key
}

// partnerKey is the caller's key id where the caller is a partner, who sees only what is its
// own, and 0 for those who see all of the company.
func partnerKey(c *gin.Context) int64 {
	if key := caller(c); key.Role == pipeline.RolePartner {
		return key.ID
	}
	return 0
}

func isVisibleASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func isVersioned(c *gin.Context) bool { return strings.HasPrefix(c.Request.URL.Path, "/v1/") }
