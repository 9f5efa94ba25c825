// Package app wires the parts of the engine together: it is where store, workflows, API and
// worker meet, for the dealwright command and for standalone alike.
package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// Config comes from the environment. Where Temporal is comes from Temporal's own variables
// (TEMPORAL_ADDRESS and so on), which its envconfig reads.
type Config struct {
	Addr           string        `env:"DEALWRIGHT_ADDR"            envDefault:"127.0.0.1:8080"`
	DatabaseURL    string        `env:"DATABASE_URL"`
	Key            string        `env:"DEALWRIGHT_KEY"`
	EncryptionKey  string        `env:"DEALWRIGHT_ENCRYPTION_KEY"`
	AllowTargets   string        `env:"DEALWRIGHT_ALLOW_TARGETS"`
	RetrySchedule  string        `env:"DEALWRIGHT_RETRY_SCHEDULE"`
	DisableAfter   time.Duration `env:"DEALWRIGHT_DISABLE_AFTER"   envDefault:"120h"`      // of failing, a webhook is disabled
	KeepAttempts   time.Duration `env:"DEALWRIGHT_KEEP_ATTEMPTS"   envDefault:"720h"`      // 30 days
	KeepDeliveries time.Duration `env:"DEALWRIGHT_KEEP_DELIVERIES" envDefault:"2160h"`     // 90 days
	Documents      string        `env:"DEALWRIGHT_DOCUMENTS"`                              // the bucket of signed documents: a folder or a URL
	MaxDocument    int64         `env:"DEALWRIGHT_MAX_DOCUMENT"    envDefault:"104857600"` // bytes; 100 MiB
	MetricsAddr    string        `env:"DEALWRIGHT_METRICS_ADDR"`                           // where a worker serves /metrics; empty: nowhere
	LogLevel       string        `env:"DEALWRIGHT_LOG_LEVEL"       envDefault:"info"`
	LogFormat      string        `env:"DEALWRIGHT_LOG_FORMAT"      envDefault:"json"`
	MaxConns       int           `env:"DEALWRIGHT_MAX_CONNS"       envDefault:"20"`
	AuthFailures   int           `env:"DEALWRIGHT_AUTH_FAILURES"   envDefault:"100"`
	KeyRate        float64       `env:"DEALWRIGHT_KEY_RATE"        envDefault:"1000"` // requests a second
	TrustedProxies []string      `env:"DEALWRIGHT_TRUSTED_PROXIES"`                   // addresses and networks
	BuildID        string        `env:"DEALWRIGHT_BUILD_ID"`                          // for Temporal; empty: the binary's own
	MaxCommands    int           `env:"DEALWRIGHT_MAX_COMMANDS"    envDefault:"64"`   // with Temporal at a time
	MaxRequests    int           `env:"DEALWRIGHT_MAX_REQUESTS"    envDefault:"40"`   // at work on the store at a time
	MaxConnections int           `env:"DEALWRIGHT_MAX_CONNECTIONS" envDefault:"4096"` // of clients
	UIOrigin       string        `env:"DEALWRIGHT_UI_ORIGIN"`                         // of the Temporal UI; several with commas
	DrainDelay     time.Duration `env:"DEALWRIGHT_DRAIN_DELAY"     envDefault:"0s"`   // between "not ready" and the listener's end
	Version        string        `env:"-"`

	KeepInbox       time.Duration `env:"DEALWRIGHT_KEEP_INBOX"       envDefault:"2160h"` // what providers sent; 90 days
	KeepIdempotency time.Duration `env:"DEALWRIGHT_KEEP_IDEMPOTENCY" envDefault:"720h"`  // keys; 30 days
}

// defaultConnections is what MaxConnections is where it was not read from the environment.
const defaultConnections = 4096

// ReadConfig reads the environment.
func ReadConfig(version string) (Config, error) {
	cfg := Config{Version: version}
	if err := ReadEnvironment(&cfg); err != nil {
		return cfg, err
	}
	for i, proxy := range cfg.TrustedProxies {
		cfg.TrustedProxies[i] = strings.TrimSpace(proxy)
	}
	return cfg, cfg.checkSpans()
}

// minSpan: what is meant to be "never" has to be said as a very long time. Zero would disable
// every webhook that stumbles, or leave nothing to look into when a partner asks.
const minSpan = time.Second

// minIdempotency: a key that is forgotten while its caller still tries does the thing twice.
const minIdempotency = 24 * time.Hour

// minKeyRate is a request in a hundred seconds.
const minKeyRate = 0.01

// checkSpans says which of the spans and limits that were read cannot be meant. It is not part of
// CheckValues: in a Config that was made otherwise, a zero span stands for the default.
func (c Config) checkSpans() error {
	var wrong []error
	for _, s := range []struct {
		name  string
		is    time.Duration
		least time.Duration
	}{
		{"DEALWRIGHT_DISABLE_AFTER", c.DisableAfter, minSpan},
		{"DEALWRIGHT_KEEP_ATTEMPTS", c.KeepAttempts, minSpan},
		{"DEALWRIGHT_KEEP_DELIVERIES", c.KeepDeliveries, minSpan},
		{"DEALWRIGHT_KEEP_INBOX", c.KeepInbox, minSpan},
		{"DEALWRIGHT_KEEP_IDEMPOTENCY", c.KeepIdempotency, minIdempotency},
	} {
		if s.is < s.least {
			wrong = append(wrong, fmt.Errorf("%s has to be %s or more, not %s", s.name, pipeline.Duration(s.least), pipeline.Duration(s.is)))
		}
	}
	if c.AuthFailures < 1 {
		wrong = append(wrong, fmt.Errorf("DEALWRIGHT_AUTH_FAILURES has to be 1 or more, not %d", c.AuthFailures))
	}
	if c.KeyRate < minKeyRate || math.IsInf(c.KeyRate, 0) || math.IsNaN(c.KeyRate) {
		wrong = append(wrong, fmt.Errorf("DEALWRIGHT_KEY_RATE has to be %v requests a second or more, not %v", minKeyRate, c.KeyRate))
	}
	if c.KeepAttempts > c.KeepDeliveries {
		wrong = append(wrong, fmt.Errorf("DEALWRIGHT_KEEP_ATTEMPTS is %s, longer than DEALWRIGHT_KEEP_DELIVERIES, which is %s: "+
			"an attempt goes with its delivery", pipeline.Duration(c.KeepAttempts), pipeline.Duration(c.KeepDeliveries)))
	}
	return errors.Join(wrong...)
}

// ReadEnvironment fills a struct in whose fields have env tags. Its error names the variables
// that do not fit, which those of the library do not.
func ReadEnvironment(into any) error {
	err := env.Parse(into)
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return err //nolint:wrapcheck // nil, as a rule
	}
	wrong := make([]error, len(all.Errors))
	for i, one := range all.Errors {
		wrong[i] = one
		parse, ok := errors.AsType[env.ParseError](one)
		if !ok {
			continue
		}
		if field, ok := reflect.TypeOf(into).Elem().FieldByName(parse.Name); ok {
			name := field.Tag.Get("env")
			wrong[i] = fmt.Errorf("%s is %q, which is no %s", name, os.Getenv(name), described(field.Type))
		}
	}
	return errors.Join(wrong...)
}

// described says what a type wants to be set to.
func described(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "duration such as 90m or 120h"
	}
	return t.String()
}

// Check says what is missing or wrong for a process that serves.
func (c Config) Check() error {
	var missing []error
	if c.DatabaseURL == "" {
		missing = append(missing, errors.New("DATABASE_URL is not set: postgres://user:password@host:port/database"))
	}
	if c.EncryptionKey == "" {
		missing = append(missing, errors.New("DEALWRIGHT_ENCRYPTION_KEY is not set; make one with: openssl rand -base64 32"))
	}
	return errors.Join(append(missing, c.CheckValues())...)
}

// CheckValues says what is wrong with what is set, without reaching anything. What is missing
// may still be filled in.
func (c Config) CheckValues() error {
	var wrong []error
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		wrong = append(wrong, fmt.Errorf("DEALWRIGHT_ADDR has to be host:port: %w", err))
	}
	if c.EncryptionKey != "" {
		if _, err := keyring.New(c.EncryptionKey); err != nil {
			wrong = append(wrong, err)
		}
	}
	if _, err := c.uiOrigins(); err != nil {
		wrong = append(wrong, err)
	}
	if c.MaxConns < 1 {
		wrong = append(wrong, fmt.Errorf("DEALWRIGHT_MAX_CONNS has to be 1 or more, not %d", c.MaxConns))
	}
	for name, most := range map[string]int{
		"DEALWRIGHT_MAX_COMMANDS": c.MaxCommands, "DEALWRIGHT_MAX_REQUESTS": c.MaxRequests, "DEALWRIGHT_MAX_CONNECTIONS": c.MaxConnections,
	} {
		if most < 0 { // 0 is the default, in a Config that was not read from the environment
			wrong = append(wrong, fmt.Errorf("%s has to be 1 or more, not %d", name, most))
		}
	}
	for _, proxy := range c.TrustedProxies {
		if _, err := netip.ParsePrefix(proxy); err == nil {
			continue
		}
		if _, err := netip.ParseAddr(proxy); err != nil {
			wrong = append(wrong, fmt.Errorf("DEALWRIGHT_TRUSTED_PROXIES: %q is no address and no network such as 10.0.0.0/8", proxy))
		}
	}
	if c.MaxDocument < 0 {
		wrong = append(wrong, fmt.Errorf("DEALWRIGHT_MAX_DOCUMENT has to be a number of bytes, not %d", c.MaxDocument))
	}
	if c.Key != "" && (!strings.HasPrefix(c.Key, "dw_") || len(c.Key) < 35) {
		wrong = append(wrong, errors.New("DEALWRIGHT_KEY has to be dw_ and at least 32 characters"))
	}
	if _, err := webhook.ParseSchedule(c.RetrySchedule); err != nil {
		wrong = append(wrong, fmt.Errorf("DEALWRIGHT_RETRY_SCHEDULE: %w", err))
	}
	if _, err := webhook.NewTargets(c.AllowTargets); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// uiOrigins are those of DEALWRIGHT_UI_ORIGIN, as browsers write them.
func (c Config) uiOrigins() ([]string, error) {
	var all []string
	for text := range strings.SplitSeq(c.UIOrigin, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Scheme+"://"+u.Host != text {
			return nil, fmt.Errorf("DEALWRIGHT_UI_ORIGIN has to be like https://temporal.example, without a path, not %q", text)
		}
		all = append(all, text)
	}
	return all, nil
}

// Logger writes to w in the format and from the level that the environment asks for.
func (c Config) Logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, fmt.Errorf("DEALWRIGHT_LOG_LEVEL has to be debug, info, warn or error, not %q", c.LogLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch c.LogFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("DEALWRIGHT_LOG_FORMAT has to be json or text, not %q", c.LogFormat)
	}
}
