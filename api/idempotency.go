package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/dealwright/dealwright/pipeline"
)

const maxIdempotencyKey = 255

// idempotency reads the caller's promise that equal keys mean the same request. Without the
// header there is none, and Key is empty.
func idempotency(c *gin.Context, body []byte) (pipeline.Idempotency, error) {
	given := c.Request.Header.Values("Idempotency-Key")
	if len(given) == 0 {
		return pipeline.Idempotency{}, nil
	}
	key := given[0]
	if len(given) > 1 || key == "" || len(key) > maxIdempotencyKey || !isVisibleASCII(key) {
		return pipeline.Idempotency{}, invalid("Idempotency-Key has to be 1 to %d visible ASCII characters, given once", maxIdempotencyKey)
	}
	sum, err := fingerprint(c.Request.Method, c.Request.URL.Path, body)
	return pipeline.Idempotency{Scope: partnerKey(c), Key: key, Fingerprint: sum}, err
}

// fingerprint tells one request from another. Equal JSON has equal fingerprints, however it
// is spaced and in whatever order its fields stand.
func fingerprint(method, path string, body []byte) (string, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	canonical, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s\n%s", method, path, canonical))
	return hex.EncodeToString(sum[:]), nil
}

// commandID names the command that a request stands for. A retry is the same command.
func commandID(idem pipeline.Idempotency) string {
	if idem.Key != "" {
		return idem.Key
	}
	return uuid.NewString()
}

// markReplayed says that the answer is that of an earlier request.
func markReplayed(c *gin.Context) { c.Header("Idempotency-Replayed", "true") }
