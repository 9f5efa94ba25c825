package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// NewSecret makes a signing secret as the Standard Webhooks specification wants it: a prefix
// and 24 to 64 random bytes in base64; ours has 32.
func NewSecret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: it would end the process instead
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

// sign sets the three headers of Standard Webhooks. The id stays the same on every attempt,
// so that a receiver can tell a repeat; the time is that of the attempt.
func sign(h http.Header, secret, id string, at time.Time, body []byte) error {
	if secret == "" {
		return errors.New("the webhook has no signing secret") // an empty key would sign, for anybody
	}
	signer, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return fmt.Errorf("read signing secret: %w", err)
	}
	signature, err := signer.Sign(id, at, body)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	h.Set(standardwebhooks.HeaderWebhookID, id)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return nil
}
