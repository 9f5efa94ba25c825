package app

import (
	"runtime/debug"
	"time"

	"golang.org/x/mod/semver"

	"github.com/dealwright/dealwright/worker"
)

// committed is when the source of this binary was committed, in UTC as 20061231T150405Z. The
// linker sets it where Go itself does not ask git (make build).
var committed string

// NoBuild as DEALWRIGHT_BUILD_ID has a worker run without a build.
const NoBuild = "none"

// build names the build of this worker to Temporal; empty where the binary does not know its own
// and nobody has said: two such binaries could not be told apart.
func (c Config) build() string {
	switch c.BuildID {
	case "":
		return ownBuild(c.Version)
	case NoBuild:
		return ""
	default:
		return c.BuildID
	}
}

func ownBuild(version string) string {
	if committed != "" {
		return worker.BuildID(committed, version)
	}
	if at, revision := stamped(); at != "" {
		return worker.BuildID(at, revision)
	}
	if semver.IsValid(version) {
		return worker.BuildID("", version)
	}
	return ""
}

// stamped is what the Go tool has noted of the checkout, where it was asked to.
func stamped() (at, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", ""
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.time":
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				at = t.UTC().Format("20060102T150405Z")
			}
		case "vcs.revision":
			revision = s.Value[:min(len(s.Value), shortRevision)]
		}
	}
	return at, revision
}

const shortRevision = 12
