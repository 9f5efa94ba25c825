package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// clock is Postgres' own, which libfaketime can move while Postgres runs. Go asks the kernel past the C library, so the clock of
// the engine's own processes cannot be moved this way.
type clock struct {
	library string // empty: there is none, and the clock cannot be moved
	file    string // says how far it is moved
}

// usualLibraries are where packages put it.
var usualLibraries = []string{
	"/usr/lib/*/faketime/libfaketime.so.1", // Debian, Ubuntu
	"/usr/lib*/faketime/libfaketime.so.1",  // Fedora, Arch
	"/usr/local/lib/faketime/libfaketime.so.1",
}

func findClock(given, folder string) *clock {
	c := &clock{file: filepath.Join(folder, "clock")}
	patterns := usualLibraries
	if given != "" {
		patterns = []string{given}
	}
	for _, pattern := range patterns {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 && c.move(0) == nil {
			c.library = found[0]
			return c
		}
	}
	return c
}

// move sets the clock ahead of the true one, or behind it where by is negative.
func (c *clock) move(by time.Duration) error {
	unfinished := c.file + ".new"
	if err := os.WriteFile(unfinished, fmt.Appendf(nil, "%+.0f\n", by.Seconds()), 0o644); err != nil {
		return err
	}
	return os.Rename(unfinished, c.file)
}

// preload has the Postgres that is started from now on use the moved clock. It is in our own environment, from where privatepostgres
// takes that of Postgres each time it starts it again; plainEnvironment keeps it from the others.
func (c *clock) preload() {
	if c.library == "" {
		return
	}
	for name, value := range map[string]string{
		"LD_PRELOAD": c.library, "FAKETIME_TIMESTAMP_FILE": c.file,
		"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DISABLE_SHM": "1",
	} {
		os.Setenv(name, value)
	}
}
