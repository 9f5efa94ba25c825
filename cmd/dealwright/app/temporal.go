package app

import (
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	temporallog "go.temporal.io/sdk/log"

	"github.com/dealwright/dealwright/codec"
	"github.com/dealwright/dealwright/keyring"
)

// How soon a connection to Temporal that has gone dead without a word is noticed and made anew: a
// worker that waits on one for tasks gets none. A server takes more than one ping in 10 s for abuse.
const (
	keepAliveTime    = 11 * time.Second
	keepAliveTimeout = 4 * time.Second
)

// TemporalOptions reads Temporal's own variables and files: TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_… and TEMPORAL_PROFILE, so that a cluster
// or Temporal Cloud is configured as everywhere else. What goes there is encrypted with cfg's
// encryption key.
func TemporalOptions(cfg Config, log *slog.Logger) (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return client.Options{}, fmt.Errorf("read temporal's configuration: %w", err)
	}
	options.Logger = temporallog.NewStructuredLogger(log)
	payloads, err := PayloadCodec(cfg)
	if err != nil {
		return client.Options{}, err
	}
	options.DataConverter, options.FailureConverter = payloads.Data(), payloads.Failures()
	options.ConnectionOptions.KeepAliveTime = keepAliveTime
	options.ConnectionOptions.KeepAliveTimeout = keepAliveTimeout
	return options, nil
}

// PayloadCodec encrypts and decrypts what goes to Temporal.
func PayloadCodec(cfg Config) (*codec.Codec, error) {
	ring, err := keyring.New(cfg.EncryptionKey)
	if err != nil {
		return nil, err
	}
	return codec.New(ring)
}
