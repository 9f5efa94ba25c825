package api

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

// secretPrefix is how Standard Webhooks marks a signing secret.
const secretPrefix = "whsec_"

const (
	// newSecretBytes is how long a secret of our making is; HMAC-SHA256 gains nothing from more.
	newSecretBytes = 32
	// leastDistinct is how many different bytes a secret has to have. Of 24 random bytes, fewer
	// than that are different once in 10^16.
	leastDistinct = 8
)

// newSecret makes a signing secret in the form that Standard Webhooks gives it.
func newSecret() string {
	b := make([]byte, newSecretBytes)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return secretPrefix + base64.StdEncoding.EncodeToString(b)
}

// standardSecret is a secret as Standard Webhooks writes it: 24 to 64 bytes in base64.
var standardSecret = regexp.MustCompile(`^whsec_([A-Za-z0-9+/]{4}){8,20}` +
	`([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{6}==)?$`)

// secretOf is what a new webhook of a format signs with: the owner's own secret, or one of our
// making, or nothing where the format does not sign or leaves it to the owner.
func secretOf(format, own string) (string, error) {
	switch {
	case format == pipeline.FormatNative:
		return secretOr(own)
	case format == pipeline.FormatSolve360 || own == "":
		return own, nil // which Solve360 takes as it is, whatever it is
	default:
		return "", pipeline.Invalid(pipeline.FieldError{Pointer: "/secret", Detail: "is nothing that " + format + " signs with"})
	}
}

// secretOr gives the caller's own secret, which must not be one that is easily guessed, or a
// new one where there is none.
func secretOr(own string) (string, error) {
	if own == "" {
		return newSecret(), nil
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(own, secretPrefix))
	if err != nil || !standardSecret.MatchString(own) {
		return "", pipeline.Invalid(pipeline.FieldError{
			Pointer: "/secret", Detail: `has to be "` + secretPrefix + `" and then 24 to 64 bytes in base64`,
		})
	}
	if distinct(key) < leastDistinct {
		return "", pipeline.Invalid(pipeline.FieldError{Pointer: "/secret", Detail: "is too easily guessed: take random bytes"})
	}
	return own, nil
}

func distinct(b []byte) int {
	var seen [256]bool
	n := 0
	for _, x := range b {
		if !seen[x] {
			seen[x] = true
			n++
		}
	}
	return n
}

// The time for which a secret signs after it was replaced.
const (
	defaultOverlap = pipeline.Duration(24 * time.Hour)
	maxOverlap     = pipeline.Duration(7 * 24 * time.Hour)
)

// rotation is the body of POST /v1/webhooks/{id}/rotate-secret.
type rotation struct {
	Overlap pipeline.Given[pipeline.Duration] `json:"overlap"`
	Secret  string                            `json:"secret"`
}

// of gives the new secret of a webhook of a format, and how long the one before signs beside it.
func (in rotation) of(format string) (secret string, overlap pipeline.Duration, err error) {
	switch format {
	case pipeline.FormatNative:
		overlap = defaultOverlap
		if in.Overlap.Set {
			overlap = in.Overlap.Value
		}
		secret, err = secretOr(in.Secret)
		return secret, overlap, allInvalid(err, within(overlap, 0, maxOverlap, "/overlap"))
	case pipeline.FormatSolve360:
		if in.Overlap.Value != 0 {
			return "", 0, pipeline.Invalid(pipeline.FieldError{Pointer: "/overlap", Detail: "has to be 0: " + format + " signs with one secret"})
		}
		return cmp.Or(in.Secret, newSecret()), 0, nil
	default:
		return "", 0, pipeline.Errorf(pipeline.CodeConflict, "webhooks of the format %s are not signed", format)
	}
}

// rotated is a new secret, at the one moment when it is shown, and until when the one before
// signs beside it: null where it does not.
type rotated struct {
	Secret             string           `json:"secret"`
	PreviousValidUntil pipeline.Instant `json:"previous_valid_until"`
}

// rotateSecret answers POST /v1/webhooks/{id}/rotate-secret.
func (s *Server) rotateSecret(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	var in rotation
	idem, err := decodeOptionalKeyed(c, schemas.RotateSecret, &in)
	if err != nil {
		return err
	}
	secret, overlap, err := in.of(w.Format)
	if err != nil {
		return err
	}
	secret, until, replayed, err := s.store.RotateSecret(c.Request.Context(), w.CompanyID, w.ID, secret, time.Duration(overlap), idem)
	if err != nil {
		return err
	}
	if replayed {
		markReplayed(c)
	}
	return answer(c, http.StatusOK, rotated{Secret: secret, PreviousValidUntil: pipeline.Instant(until)})
}

// publicKey is what a partner checks v1a signatures with.
type publicKey struct {
	PublicKey string `json:"public_key"`
	Algorithm string `json:"algorithm"`
}

// publicKey answers GET /v1/webhooks/{id}/public-key.
func (s *Server) publicKey(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	if w.Format != pipeline.FormatNative {
		return pipeline.Errorf(pipeline.CodeNotFound, "webhooks of the format %s have no public key", w.Format)
	}
	seed, err := s.store.SigningSeed(c.Request.Context(), w.CompanyID, w.ID)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, publicKey{PublicKey: pipeline.PublicKey(seed), Algorithm: "ed25519"})
}
