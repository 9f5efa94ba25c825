package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

const keysPath = "/v1/keys/"

// newKey is the body of POST /v1/keys.
type newKey struct {
	Name      string           `json:"name"`
	Role      pipeline.Role    `json:"role"`
	ExpiresAt pipeline.Instant `json:"expires_at"`
	RateLimit pipeline.Rate    `json:"rate_limit"`
}

// createKey answers POST /v1/keys: the key itself is shown here and never again.
func (s *Server) createKey(c *gin.Context) error {
	var in newKey
	idem, err := decodeKeyed(c, schemas.CreateKey, &in)
	if err != nil {
		return err
	}
	end := time.Time(in.ExpiresAt)
	if !end.IsZero() && !end.After(s.now()) {
		return pipeline.Invalid(pipeline.FieldError{Pointer: "/expires_at", Detail: "has to lie in the future"})
	}
	key, replayed, err := s.store.CreateKey(c.Request.Context(), pipeline.Key{
		CompanyID: caller(c).CompanyID, Name: in.Name, Role: in.Role, ExpiresAt: pipeline.Instant(end.UTC()), RateLimit: in.RateLimit,
	}, idem)
	if err != nil {
		return err
	}
	if replayed {
		markReplayed(c)
	}
	return created(c, keysPath, key.ID, key)
}

// listKeys answers GET /v1/keys, newest first, revoked ones too.
func (s *Server) listKeys(c *gin.Context) error {
	query := newQuery(c)
	page := query.page()
	if err := query.err(); err != nil {
		return err
	}
	rows, err := s.store.Keys(c.Request.Context(), caller(c).CompanyID, page)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, newList(rows, page, func(k pipeline.Key) int64 { return k.ID }))
}

// revokeKey answers DELETE /v1/keys/{id}: from now on the key opens nothing.
func (s *Server) revokeKey(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := s.store.RevokeKey(c.Request.Context(), caller(c).CompanyID, id); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
