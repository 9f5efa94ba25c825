package privatepostgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/standalone/privatepostgres"
)

// patience bounds waits that end as soon as what they wait for happens.
const patience = time.Minute

// helperDir tells a copy of this test binary to be an owner of a server in that folder, to be killed.
const helperDir = "PRIVATEPOSTGRES_TEST_HELPER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		runOwner(dir)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runOwner starts a server, says its process id, and waits to be killed.
func runOwner(dir string) {
	server, err := privatepostgres.Start(context.Background(), privatepostgres.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Fprintln(os.Stdout, server.PID())
	<-server.Done()
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := freshDir(t)

	first := start(t, privatepostgres.Options{Dir: dir})
	execute(t, first, "CREATE TABLE deals (name text)", "INSERT INTO deals VALUES ('kept')")
	require.NoError(t, first.Stop())
	require.NoError(t, first.Stop(), "stopping twice is no mistake")
	require.NoError(t, first.Err())

	second := start(t, privatepostgres.Options{Dir: dir})
	require.Equal(t, "kept", query(t, second, "SELECT name FROM deals"))
}

func TestSettings(t *testing.T) {
	t.Parallel()
	durable := start(t, privatepostgres.Options{Dir: freshDir(t), Database: `odd "name"`})
	for setting, want := range map[string]string{
		"listen_addresses":   "",
		"fsync":              "on",
		"synchronous_commit": "on",
		"full_page_writes":   "on",
		"data_checksums":     "on",
		"jit":                "off",
		"max_connections":    "200",
		"server_encoding":    "UTF8",
	} {
		require.Equal(t, want, query(t, durable, "SHOW "+setting), setting)
	}
	require.Equal(t, "ÄÖ", query(t, durable, "SELECT upper('äö')"), "names in other scripts can be compared without case")
	require.Equal(t, `odd "name"`, query(t, durable, "SELECT current_database()"))
}

func TestThrowawayLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := freshDir(t)
	server := start(t, privatepostgres.Options{Dir: dir, Throwaway: true})
	require.Equal(t, "off", query(t, server, "SHOW fsync"))
	require.NoError(t, server.Stop())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestAKilledPostgresComesBack(t *testing.T) {
	t.Parallel()
	server := start(t, privatepostgres.Options{Dir: freshDir(t)})
	execute(t, server, "CREATE TABLE deals (name text)", "INSERT INTO deals VALUES ('kept')")

	killed := server.PID()
	require.NoError(t, syscall.Kill(killed, syscall.SIGKILL))
	require.Eventually(t, func() bool { return server.PID() != killed }, patience, 10*time.Millisecond)
	require.Equal(t, "kept", query(t, server, "SELECT name FROM deals"))
}

func TestAKilledOwnerIsFollowed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ postgresToo bool }{
		"only the owner is killed": {postgresToo: false},
		"all is killed at once":    {postgresToo: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := freshDir(t)
			owner, postmaster := startOwner(t, dir)
			require.NoError(t, owner.Process.Kill())
			if test.postgresToo {
				require.NoError(t, syscall.Kill(postmaster, syscall.SIGKILL))
			}
			require.Error(t, owner.Wait())

			server := start(t, privatepostgres.Options{Dir: dir})
			require.NotEqual(t, postmaster, server.PID())
			require.Equal(t, "1", query(t, server, "SELECT 1"))
		})
	}
}

func TestAnOrphanIsEnded(t *testing.T) {
	t.Parallel()
	dir := freshDir(t)
	first := start(t, privatepostgres.Options{Dir: dir})
	execute(t, first, "CREATE TABLE deals (name text)", "INSERT INTO deals VALUES ('kept')")
	binary := query(t, first, "SELECT setting || '/postgres' FROM pg_config WHERE name = 'BINDIR'")
	require.NoError(t, first.Stop())

	orphan := startOrphan(t, binary, filepath.Join(dir, "data"))
	second := start(t, privatepostgres.Options{Dir: dir})
	require.Equal(t, "kept", query(t, second, "SELECT name FROM deals"))
	require.NoError(t, orphan.Wait(), "it was asked to leave and left in order")
}

func TestAStalePIDFileIsNoObstacle(t *testing.T) {
	t.Parallel()
	bystander := exec.Command("sleep", "1000")
	require.NoError(t, bystander.Start())
	t.Cleanup(func() {
		require.NoError(t, bystander.Process.Kill())
		_ = bystander.Wait() // "killed" is what it says
	})
	dir := freshDir(t)
	require.NoError(t, start(t, privatepostgres.Options{Dir: dir}).Stop())

	for _, content := range []string{"", strconv.Itoa(bystander.Process.Pid) + "\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(content), 0o600))
		require.NoError(t, start(t, privatepostgres.Options{Dir: dir}).Stop())
	}
	require.NoError(t, bystander.Process.Signal(syscall.Signal(0)), "the process that got the number is left alone")
}

func TestOneOwnerAtATime(t *testing.T) {
	t.Parallel()
	dir := freshDir(t)
	start(t, privatepostgres.Options{Dir: dir})
	_, err := privatepostgres.Start(t.Context(), privatepostgres.Options{Dir: dir, Logger: quiet()})
	require.ErrorContains(t, err, fmt.Sprintf("in use by another dealwright (process %d)", os.Getpid()))
}

func TestDataOfAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := freshDir(t)
	data := filepath.Join(dir, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("9\n"), 0o600))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(data, 65534, 65534))
	}
	_, err := privatepostgres.Start(t.Context(), privatepostgres.Options{Dir: dir, Logger: quiet()})
	require.ErrorContains(t, err, "was written by PostgreSQL 9")
	require.ErrorContains(t, err, "install PostgreSQL 9")
}

func TestALongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(freshDir(t), strings.Repeat("long", 20), `it's, a "path"`)
	server := start(t, privatepostgres.Options{Dir: dir, Throwaway: true})
	require.Equal(t, "1", query(t, server, "SELECT 1"))
	link, err := os.Readlink(filepath.Join(dir, "socket"))
	require.NoError(t, err)
	require.NoError(t, server.Stop())
	require.NoDirExists(t, link)
}

func TestAFolderThatPostgresCannotEnter(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs Postgres as somebody else")
	}
	closed := filepath.Join(freshDir(t), "closed")
	require.NoError(t, os.Mkdir(closed, 0o700))
	dir := filepath.Join(closed, "postgres")
	server := start(t, privatepostgres.Options{Dir: dir, Throwaway: true})
	require.Equal(t, "1", query(t, server, "SELECT 1"))
	place, err := os.Readlink(filepath.Join(dir, "elsewhere"))
	require.NoError(t, err)
	require.NoError(t, server.Stop())
	require.NoDirExists(t, place)
}

// TestAsAnOrdinaryUser runs the tests of this file that matter again, as nobody.
func TestAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the whole run is by an ordinary user")
	}
	dir := freshDir(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	binary := filepath.Join(dir, "tests")
	copyExecutable(t, binary)

	command := exec.Command(binary, "-test.run", "^(TestStateSurvivesARestart|TestAnOrphanIsEnded)$")
	command.Dir = dir
	command.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	require.NotContains(t, string(output), "no tests to run")
}

func start(t *testing.T, options privatepostgres.Options) *privatepostgres.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	options.Logger = quiet()
	server, err := privatepostgres.Start(ctx, options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// startOwner starts another process that owns the server of the folder.
func startOwner(t *testing.T, dir string) (owner *exec.Cmd, postmaster int) {
	t.Helper()
	owner = exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), helperDir+"="+dir)
	owner.Stderr = io.Discard
	said, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	_, err = fmt.Fscan(said, &postmaster)
	require.NoError(t, err)
	return owner, postmaster
}

// startOrphan runs Postgres on the data with nothing that ties it to an owner.
func startOrphan(t *testing.T, binary, data string) *exec.Cmd {
	t.Helper()
	socket := filepath.Join(filepath.Dir(data), "socket", ".s.PGSQL.5432")
	info, err := os.Stat(data)
	require.NoError(t, err)
	owner, ok := info.Sys().(*syscall.Stat_t)
	require.True(t, ok)

	orphan := exec.Command(binary, "-D", data)
	orphan.Dir = filepath.Dir(data)
	orphan.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		orphan.SysProcAttr.Credential = &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
	}
	require.NoError(t, orphan.Start())
	require.Eventually(t, func() bool {
		_, err := os.Stat(socket)
		return err == nil
	}, patience, 10*time.Millisecond)
	return orphan
}

// freshDir is an empty folder that every account can enter, unlike that of t.TempDir.
func freshDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg-") //nolint:usetesting // see above
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func copyExecutable(t *testing.T, target string) {
	t.Helper()
	content, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(target, content, 0o755))
}

func execute(t *testing.T, server *privatepostgres.Server, statements ...string) {
	t.Helper()
	withDatabase(t, server, func(db *sql.DB) {
		for _, statement := range statements {
			_, err := db.Exec(statement)
			require.NoError(t, err)
		}
	})
}

func query(t *testing.T, server *privatepostgres.Server, statement string) (value string) {
	t.Helper()
	withDatabase(t, server, func(db *sql.DB) {
		require.NoError(t, db.QueryRow(statement).Scan(&value))
	})
	return value
}

func withDatabase(t *testing.T, server *privatepostgres.Server, use func(*sql.DB)) {
	t.Helper()
	db, err := sql.Open("postgres", server.URL())
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	use(db)
}

func quiet() *slog.Logger {
	return slog.New(slog.DiscardHandler)
}
