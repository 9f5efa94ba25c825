package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jellydator/ttlcache/v3"

	"github.com/dealwright/dealwright/pipeline"
)

// The headers of Standard Webhooks, by the names that net/http keeps them under.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

const (
	secretPrefix = "whsec_"
	maxKeys      = 4096 // private keys that are kept
	// maxSignatures is how long two of v1 and one of v1a are, and a bit.
	maxSignatures = 256
)

// signer signs by Standard Webhooks. It keeps the private keys, since making one from its seed
// takes as long as signing.
type signer struct {
	keys *ttlcache.Cache[[ed25519.SeedSize]byte, ed25519.PrivateKey]
}

func newSigner() *signer {
	return &signer{keys: ttlcache.New(ttlcache.WithCapacity[[ed25519.SeedSize]byte, ed25519.PrivateKey](maxKeys))}
}

// sign sets the three headers of Standard Webhooks. The id stays the same on every attempt,
// so that a receiver can tell a repeat; the time is that of the attempt. The signatures are
// v1 with the secret, v1 with the one before it while that counts, and v1a where there is a
// seed: a receiver takes the message if it knows any of them.
func (s *signer) sign(h http.Header, keys pipeline.Signing, id string, at time.Time, body []byte) error {
	stamp := strconv.FormatInt(at.Unix(), 10)
	prefix := id + "." + stamp + "."
	signatures, err := appendV1(make([]byte, 0, maxSignatures), keys.Secret, prefix, body)
	if err != nil {
		return err
	}
	if keys.PreviousSecret != "" && at.Before(keys.PreviousUntil) {
		if signatures, err = appendV1(append(signatures, ' '), keys.PreviousSecret, prefix, body); err != nil {
			return err
		}
	}
	if len(keys.Seed) > 0 {
		if signatures, err = s.appendV1a(append(signatures, ' '), keys.Seed, prefix, body); err != nil {
			return err
		}
	}
	h.Set(headerID, id)
	h.Set(headerTimestamp, stamp)
	h.Set(headerSignature, string(signatures))
	return nil
}

// appendV1 signs with HMAC-SHA256.
func appendV1(to []byte, secret, prefix string, body []byte) ([]byte, error) {
	if secret == "" {
		return nil, errors.New("the webhook has no signing secret") // an empty key would sign, for anybody
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil || len(key) == 0 {
		return nil, errors.New("the webhook's signing secret is not base64")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(prefix))
	mac.Write(body)
	return base64.StdEncoding.AppendEncode(append(to, "v1,"...), mac.Sum(nil)), nil
}

// appendV1a signs with ed25519.
func (s *signer) appendV1a(to, seed []byte, prefix string, body []byte) ([]byte, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, errors.New("the webhook's signing seed is not one of ed25519")
	}
	key, _ := s.keys.GetOrSetFunc([ed25519.SeedSize]byte(seed), func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(seed) })
	content := append([]byte(prefix), body...)
	return base64.StdEncoding.AppendEncode(append(to, "v1a,"...), ed25519.Sign(key.Value(), content)), nil
}
