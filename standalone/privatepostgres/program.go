package privatepostgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// program is an installed Postgres.
type program struct {
	folder string // holds initdb and postgres
	major  int
}

func (p program) initdb() string   { return filepath.Join(p.folder, "initdb") }
func (p program) postgres() string { return filepath.Join(p.folder, "postgres") }

// usualFolders are where packages put the binaries without putting them on PATH.
var usualFolders = []string{
	"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
	"/usr/pgsql-*/bin",                  // PostgreSQL's own packages for Red Hat
	"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
	"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// findProgram picks the binaries: those that match the data when there is some, else the first on PATH, else the newest in
// the usual folders, else downloaded ones.
func findProgram(ctx context.Context, options Options, place *home, runAs account) (program, error) {
	wanted, err := dataVersion(place.data)
	if err != nil {
		return program{}, err
	}
	installed := installedPrograms(searchPath(options, place), runAs)
	for _, candidate := range installed {
		if wanted == 0 || candidate.major == wanted {
			return candidate, nil
		}
	}
	downloaded, err := download(ctx, options, place, runAs, wanted)
	if err == nil {
		return downloaded, nil
	}
	return program{}, fmt.Errorf("%w (%w)", notFound(wanted, place, installed), err)
}

func notFound(wanted int, place *home, installed []program) error {
	if wanted == 0 {
		return errors.New("no PostgreSQL on this machine (initdb and postgres), and none could be downloaded; " +
			"install it (Debian and Ubuntu: apt install postgresql; macOS: brew install postgresql) or set DATABASE_URL to a server of your own")
	}
	var found []string
	for _, one := range installed {
		found = append(found, strconv.Itoa(one.major))
	}
	if len(found) == 0 {
		found = []string{"none"}
	}
	return fmt.Errorf("the data in %s was written by PostgreSQL %d; this machine has %s, and %d could not be downloaded: "+
		"install PostgreSQL %d, or move the folder away to start empty",
		place.data, wanted, strings.Join(found, ", "), wanted, wanted)
}

// dataVersion is the major version that wrote the data, 0 if there is none.
func dataVersion(data string) (int, error) {
	content, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the data: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, fmt.Errorf("read the version of the data: %w", err)
	}
	return major, nil
}

func searchPath(options Options, place *home) []string {
	if options.SearchPath != nil {
		return options.SearchPath
	}
	folders := filepath.SplitList(os.Getenv("PATH"))
	var usual []string
	for _, pattern := range append(usualFolders, filepath.Join(binariesFolder(place), "*", "bin")) {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue // only a malformed pattern fails, and none of these is
		}
		usual = append(usual, matches...)
	}
	slices.SortStableFunc(usual, func(a, b string) int { return numberIn(b) - numberIn(a) })
	return append(folders, usual...)
}

var digits = regexp.MustCompile(`\d+`)

// numberIn is the version in a folder's name (the last number of the path), for newest first.
func numberIn(folder string) int {
	numbers := digits.FindAllString(folder, -1)
	if len(numbers) == 0 {
		return 0
	}
	number, err := strconv.Atoi(numbers[len(numbers)-1])
	if err != nil {
		return 0
	}
	return number
}

// installedPrograms are the folders that hold both binaries, in the order given, where the account may run them.
func installedPrograms(folders []string, runAs account) []program {
	var found []program
	for _, folder := range folders {
		if candidate, ok := inspect(folder, runAs); ok && !slices.Contains(found, candidate) {
			found = append(found, candidate)
		}
	}
	return found
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func inspect(folder string, runAs account) (program, bool) {
	// Links are followed since Postgres finds its libraries by where its binary really is.
	binary, err := filepath.EvalSymlinks(filepath.Join(folder, "postgres"))
	if err != nil {
		return program{}, false
	}
	candidate := program{folder: filepath.Dir(binary)}
	if _, err := os.Stat(candidate.initdb()); err != nil {
		return program{}, false
	}
	output, err := runAs.command(candidate.postgres(), "--version").Output()
	if err != nil {
		return program{}, false
	}
	match := versionPattern.FindSubmatch(output)
	if match == nil {
		return program{}, false
	}
	candidate.major, err = strconv.Atoi(string(match[1]))
	return candidate, err == nil
}
