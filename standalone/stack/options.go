// Package stack starts and stops everything that standalone consists of, in one process.
package stack

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
	"github.com/dealwright/dealwright/postgres"
)

// Options come from the environment, on top of what every process of the engine reads.
type Options struct {
	App          app.Config `env:"-"`
	Data         string     `env:"DEALWRIGHT_DATA"          envDefault:"./.dealwright"`
	TemporalPort int        `env:"DEALWRIGHT_TEMPORAL_PORT" envDefault:"7233"`
	UIPort       int        `env:"DEALWRIGHT_UI_PORT"       envDefault:"8233"`
	// MetricsPort is that of Temporal's own metrics, 0 for none: the benchmark reads them.
	MetricsPort int `env:"DEALWRIGHT_TEMPORAL_METRICS_PORT" envDefault:"0"`
	// TemporalAddress, where it is set, is a Temporal server to use instead of an own one.
	TemporalAddress string `env:"TEMPORAL_ADDRESS"`
	// TemporalRenewAfter, where it is not 0, makes workflows continue as new after so many events
	// of history: tests cannot wait for thousands.
	TemporalRenewAfter int `env:"-"`
	// MoreWorkers are started beside the one that there always is, as other processes would be:
	// for tests of what workers share.
	MoreWorkers int `env:"-"`
	// NoWorker leaves the worker to other processes: for tests that kill it.
	NoWorker bool         `env:"-"`
	Logger   *slog.Logger `env:"-"`
}

// localTargets: on one's own machine the receivers are local too.
const localTargets = "127.0.0.0/8,::1/128"

// ReadOptions reads the environment.
func ReadOptions(version string) (Options, error) {
	var o Options
	err := app.ReadEnvironment(&o)
	if err != nil {
		return Options{}, err
	}
	if o.App, err = app.ReadConfig(version); err != nil {
		return Options{}, err
	}
	if _, set := os.LookupEnv("DEALWRIGHT_LOG_FORMAT"); !set {
		o.App.LogFormat = "text"
	}
	if _, set := os.LookupEnv("DEALWRIGHT_ALLOW_TARGETS"); !set {
		o.App.AllowTargets = localTargets
	}
	if err := o.check(); err != nil {
		return Options{}, err
	}
	o.Logger, err = o.App.Logger(os.Stderr)
	return o, err
}

// check finds what is set wrong before anything is started.
func (o *Options) check() error {
	wrong := []error{o.App.CheckValues()}
	for name, port := range map[string]int{
		"DEALWRIGHT_TEMPORAL_PORT": o.TemporalPort, "DEALWRIGHT_UI_PORT": o.UIPort,
		"DEALWRIGHT_TEMPORAL_METRICS_PORT": o.MetricsPort,
	} {
		if port < 0 || port > maxPort {
			wrong = append(wrong, fmt.Errorf("%s has to be between 0 and %d, not %d", name, maxPort, port))
		}
	}
	return errors.Join(wrong...)
}

const maxPort = 1<<16 - 1

// keepSecrets fills in what was not given: keys, made at the first start and kept in the data
// folder, and where documents are kept, which is there too.
func (o *Options) keepSecrets() error {
	if err := os.MkdirAll(o.Data, 0o755); err != nil {
		return fmt.Errorf("make DEALWRIGHT_DATA: %w", err)
	}
	if o.App.Documents == "" {
		o.App.Documents = filepath.Join(o.Data, "documents")
	}
	if o.App.Key == "" {
		key, err := kept(filepath.Join(o.Data, "key"), postgres.NewSecretKey)
		if err != nil {
			return err
		}
		o.App.Key = key
	}
	if o.App.EncryptionKey == "" {
		key, err := kept(filepath.Join(o.Data, "encryption-key"), newEncryptionKey)
		if err != nil {
			return err
		}
		o.App.EncryptionKey = key
	}
	return nil
}

func newEncryptionKey() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return base64.StdEncoding.EncodeToString(b)
}

// kept reads a secret from a file, or makes it. The file appears whole or not at all, so that
// a kill in between cannot leave half a key that nothing opens.
func kept(path string, fresh func() string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read kept secret: %w", err)
	}
	secret := fresh()
	unfinished := path + ".new"
	if err := os.WriteFile(unfinished, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep secret: %w", err)
	}
	if err := os.Rename(unfinished, path); err != nil {
		return "", fmt.Errorf("keep secret: %w", err)
	}
	return secret, nil
}
