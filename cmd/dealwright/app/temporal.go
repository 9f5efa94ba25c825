package app

import (
	"fmt"
	"log/slog"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	temporallog "go.temporal.io/sdk/log"
)

// TemporalOptions reads Temporal's own variables and files: TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_… and TEMPORAL_PROFILE, so that a cluster
// or Temporal Cloud is configured as everywhere else.
func TemporalOptions(log *slog.Logger) (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return client.Options{}, fmt.Errorf("read temporal's configuration: %w", err)
	}
	options.Logger = temporallog.NewStructuredLogger(log)
	return options, nil
}
