package worker

import (
	"strings"

	"golang.org/x/mod/semver"
)

// builtLayout is how a build id begins where it is known from when its source is.
const builtLayout = "20060102T150405Z"

// BuildID names a build: committed, the time of its source's commit in UTC as 20061231T150405Z,
// and its version. Either may be empty. Builds are told apart by it, and put in order.
func BuildID(committed, version string) string {
	if committed == "" {
		return version
	}
	return committed + "-" + version
}

// Newer tells whether build a is newer than build b, as far as that can be seen: by the time of
// the commit where both have one, else by the version where both have a semantic one.
func Newer(a, b string) bool {
	timeA, versionA := parts(a)
	timeB, versionB := parts(b)
	if timeA != "" && timeB != "" {
		return timeA > timeB // all of one length and in UTC
	}
	return semver.IsValid(versionA) && semver.IsValid(versionB) && semver.Compare(versionA, versionB) > 0
}

func parts(build string) (committed, version string) {
	before, after, found := strings.Cut(build, "-")
	if !found || len(before) != len(builtLayout) || before[8] != 'T' || !strings.HasSuffix(before, "Z") {
		return "", build
	}
	return before, after
}
