package app_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
)

func TestSpansAreRead(t *testing.T) {
	cfg, err := app.ReadConfig("test")
	require.NoError(t, err)
	require.Equal(t, 5*24*time.Hour, cfg.DisableAfter)
	require.Equal(t, 30*24*time.Hour, cfg.KeepAttempts)
	require.Equal(t, 90*24*time.Hour, cfg.KeepDeliveries)
	require.Equal(t, 90*24*time.Hour, cfg.KeepInbox)
	require.Equal(t, 30*24*time.Hour, cfg.KeepIdempotency)

	t.Setenv("DEALWRIGHT_DISABLE_AFTER", "36h30m")
	t.Setenv("DEALWRIGHT_KEEP_ATTEMPTS", "1s")
	t.Setenv("DEALWRIGHT_KEEP_DELIVERIES", "1s")
	cfg, err = app.ReadConfig("test")
	require.NoError(t, err)
	require.Equal(t, 36*time.Hour+30*time.Minute, cfg.DisableAfter)
	require.Equal(t, time.Second, cfg.KeepAttempts)
	require.Equal(t, time.Second, cfg.KeepDeliveries)
}

func TestSpansThatCannotBeMeantAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		environment map[string]string
		says        []string
	}{
		"no duration": {
			map[string]string{"DEALWRIGHT_DISABLE_AFTER": "5d"},
			[]string{`DEALWRIGHT_DISABLE_AFTER is "5d", which is no duration such as 90m or 120h`},
		},
		"nothing": {
			map[string]string{"DEALWRIGHT_DISABLE_AFTER": "0", "DEALWRIGHT_KEEP_ATTEMPTS": "-1h"},
			[]string{"DEALWRIGHT_DISABLE_AFTER has to be 1s or more, not 0s", "DEALWRIGHT_KEEP_ATTEMPTS has to be 1s or more, not -1h"},
		},
		"kept for too short": {
			map[string]string{"DEALWRIGHT_KEEP_INBOX": "0s", "DEALWRIGHT_KEEP_IDEMPOTENCY": "1h"},
			[]string{"DEALWRIGHT_KEEP_INBOX has to be 1s or more, not 0s", "DEALWRIGHT_KEEP_IDEMPOTENCY has to be 24h or more, not 1h"},
		},
		"attempts without deliveries": {
			map[string]string{"DEALWRIGHT_KEEP_DELIVERIES": "240h"},
			[]string{"DEALWRIGHT_KEEP_ATTEMPTS is 720h, longer than DEALWRIGHT_KEEP_DELIVERIES, which is 240h"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range c.environment {
				t.Setenv(variable, value)
			}
			_, err := app.ReadConfig("test")
			for _, sentence := range c.says {
				require.ErrorContains(t, err, sentence)
			}
		})
	}
}

func TestLimitsOfCallersAreRead(t *testing.T) {
	cfg, err := app.ReadConfig("test")
	require.NoError(t, err)
	require.Equal(t, 100, cfg.AuthFailures)
	require.InDelta(t, 1000, cfg.KeyRate, 0)
	require.Empty(t, cfg.TrustedProxies)

	t.Setenv("DEALWRIGHT_AUTH_FAILURES", "5")
	t.Setenv("DEALWRIGHT_KEY_RATE", "0.5")
	t.Setenv("DEALWRIGHT_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
	cfg, err = app.ReadConfig("test")
	require.NoError(t, err)
	require.Equal(t, 5, cfg.AuthFailures)
	require.InDelta(t, 0.5, cfg.KeyRate, 0)
	require.Equal(t, []string{"10.0.0.0/8", "::1"}, cfg.TrustedProxies)
	require.NoError(t, cfg.CheckValues())

	t.Setenv("DEALWRIGHT_AUTH_FAILURES", "0")
	t.Setenv("DEALWRIGHT_KEY_RATE", "NaN")
	t.Setenv("DEALWRIGHT_TRUSTED_PROXIES", "proxy.example")
	cfg, err = app.ReadConfig("test")
	require.ErrorContains(t, err, "DEALWRIGHT_AUTH_FAILURES")
	require.ErrorContains(t, err, "DEALWRIGHT_KEY_RATE")
	require.ErrorContains(t, cfg.CheckValues(), `DEALWRIGHT_TRUSTED_PROXIES: "proxy.example"`)
}
