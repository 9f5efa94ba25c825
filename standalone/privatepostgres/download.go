package privatepostgres

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// defaultMajor is downloaded when there is no data yet. It is what Debian's current release ships, so that a package
// installed later can take over the data.
const defaultMajor = 17

var downloads = map[int]embeddedpostgres.PostgresVersion{
	18: embeddedpostgres.V18,
	17: embeddedpostgres.V17,
	16: embeddedpostgres.V16,
	15: embeddedpostgres.V15,
	14: embeddedpostgres.V14,
}

func binariesFolder(place *home) string {
	return filepath.Join(place.dir, "binaries")
}

// download fetches the binaries of a major version (0: our choice) into the folder; later starts find them there.
func download(ctx context.Context, options Options, place *home, runAs account, major int) (program, error) {
	if major == 0 {
		major = defaultMajor
	}
	version, known := downloads[major]
	if !known {
		return program{}, fmt.Errorf("there is no download of PostgreSQL %d", major)
	}
	options.Logger.Info("no PostgreSQL on this machine: downloading it", "version", string(version))

	target := filepath.Join(binariesFolder(place), strconv.Itoa(major))
	finished := make(chan error, 1)
	go func() { finished <- fetch(options, version, major, target) }()
	select {
	case err := <-finished:
		if err != nil {
			return program{}, err
		}
	case <-ctx.Done():
		return program{}, fmt.Errorf("download PostgreSQL %s: %w", version, ctx.Err())
	}

	if err := runAs.own(target); err != nil {
		return program{}, fmt.Errorf("give the downloaded binaries to %s: %w", runAs.name, err)
	}
	downloaded, ok := inspect(filepath.Join(target, "bin"), runAs)
	if !ok {
		return program{}, fmt.Errorf("the downloaded PostgreSQL %s does not run on this machine", version)
	}
	options.Logger.Info("downloaded PostgreSQL", "version", string(version), "folder", target)
	return downloaded, nil
}

// fetch has the library download and unpack. It can only do so as part of a start, and a start by it is not what we
// want (it cannot drop root, and knows nothing of our settings). So it is pointed at an empty cluster, whose start fails at
// once after the binaries are in place; whether they are is what counts.
func fetch(options Options, version embeddedpostgres.PostgresVersion, major int, target string) (err error) {
	scratch, err := os.MkdirTemp(filepath.Dir(filepath.Dir(target)), "download-")
	if err != nil {
		return fmt.Errorf("make a folder for the download: %w", err)
	}
	defer func() {
		if removeErr := os.RemoveAll(scratch); err == nil {
			err = removeErr
		}
	}()
	emptyCluster := filepath.Join(scratch, "data")
	if err := os.MkdirAll(emptyCluster, 0o700); err != nil {
		return fmt.Errorf("make a folder for the download: %w", err)
	}
	if err := os.WriteFile(filepath.Join(emptyCluster, "PG_VERSION"), []byte(strconv.Itoa(major)+"\n"), 0o600); err != nil {
		return fmt.Errorf("make a folder for the download: %w", err)
	}

	config := embeddedpostgres.DefaultConfig().
		Version(version).
		Port(0).
		CachePath(filepath.Join(scratch, "cache")).
		RuntimePath(filepath.Join(scratch, "runtime")).
		DataPath(emptyCluster).
		BinariesPath(filepath.Join(scratch, "binaries")).
		Logger(io.Discard)
	if options.DownloadURL != "" {
		config = config.BinaryRepositoryURL(options.DownloadURL)
	}
	startErr := embeddedpostgres.NewDatabase(config).Start()

	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(scratch, "binaries", "bin", name)); err != nil {
			return fmt.Errorf("download PostgreSQL %s: %w", version, startErr)
		}
	}
	return keepDownload(filepath.Join(scratch, "binaries"), target)
}

// keepDownload moves the complete binaries in one step, so that a start killed half-way leaves no half of them.
func keepDownload(unpacked, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("keep the downloaded binaries: %w", err)
	}
	if err := os.RemoveAll(target); err != nil {
		return fmt.Errorf("keep the downloaded binaries: %w", err)
	}
	if err := os.Rename(unpacked, target); err != nil {
		return fmt.Errorf("keep the downloaded binaries: %w", err)
	}
	return nil
}
