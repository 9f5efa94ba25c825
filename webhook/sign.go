package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

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
