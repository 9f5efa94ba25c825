package temporalserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// schemaVersion is what the file must have been made with. Temporal has no migrations for SQLite.
const schemaVersion = sqliteschema.Version + "/" + sqliteschema.VisibilityVersion

// pragmas are set on every connection. Temporal's plugin passes on what is no URI parameter as a pragma.
var pragmas = map[string]string{
	"busy_timeout": "10000",
	"journal_mode": "wal",

	// The log is flushed at checkpoints rather than at each commit. See the package comment for what that means.
	"synchronous": "normal",

	// In bytes: what the log may keep after a checkpoint.
	"journal_size_limit": "67108864",

	// In KiB when negative: pages kept in memory, instead of the 2 MB that SQLite takes by itself.
	"cache_size": "-65536",
}

// databaseConfig is how Temporal opens the file. It keeps to one connection: SQLite has one writer at a time anyway, and
// a second connection fails at once when it wants to write what it read before another's commit.
func databaseConfig(file string) *config.SQL {
	attributes := map[string]string{"mode": "rwc"}
	maps.Copy(attributes, pragmas)
	return &config.SQL{
		PluginName:        sqliteplugin.PluginName,
		DatabaseName:      uriPath(file),
		ConnectAttributes: attributes,
	}
}

// uriPath escapes what would end the path in a URI.
func uriPath(path string) string {
	return (&url.URL{Path: path}).EscapedPath()
}

// prepareDatabase makes the file if there is none, with tables and namespace.
func prepareDatabase(ctx context.Context, options Options) error {
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	for _, file := range []string{options.databaseFile(), options.visibilityFile()} {
		if err := prepareSchema(ctx, file); err != nil {
			return err
		}
	}
	namespace, err := sqliteschema.NewNamespaceConfig(clusterName, options.Namespace, false, searchAttributes)
	if err != nil {
		return fmt.Errorf("describe the namespace %s: %w", options.Namespace, err)
	}
	namespace.Detail.Config.Retention = durationpb.New(options.Retention)
	if err := sqliteschema.CreateNamespaces(databaseConfig(options.databaseFile()), namespace); err != nil {
		return fmt.Errorf("make the namespace %s: %w", options.Namespace, err)
	}
	return nil
}

func prepareSchema(ctx context.Context, file string) error {
	versionFile := strings.TrimSuffix(file, filepath.Ext(file)) + ".schema"
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeDatabase(ctx, file, versionFile)
	}
	if err != nil {
		return fmt.Errorf("find the database: %w", err)
	}
	made, err := os.ReadFile(versionFile)
	if err != nil {
		return fmt.Errorf("read what version made the database: %w", err)
	}
	if found := strings.TrimSpace(string(made)); found != schemaVersion {
		return fmt.Errorf("%s was made with Temporal's tables %s, this version wants %s, and Temporal cannot convert them: "+
			"finish with the version that made it, or move the file away (workflows that run are lost; customers, proposals and events are not)",
			file, found, schemaVersion)
	}
	return nil
}

// makeDatabase builds the file under another name and moves it into place when complete, so that being killed half-way leaves
// no half of it.
func makeDatabase(ctx context.Context, file, versionFile string) error {
	unfinished := file + ".new"
	for _, leftover := range []string{unfinished, unfinished + "-journal"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an unfinished database: %w", err)
		}
	}
	if err := fillDatabase(ctx, unfinished); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	if err := os.WriteFile(versionFile, []byte(schemaVersion+"\n"), 0o600); err != nil {
		return fmt.Errorf("note what version made the database: %w", err)
	}
	if err := os.Rename(unfinished, file); err != nil {
		return fmt.Errorf("move the database into place: %w", err)
	}
	return nil
}

func fillDatabase(ctx context.Context, path string) (err error) {
	db, err := openFile(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	transaction, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := sqliteschema.SetupSchemaOnDB(schemaTarget{ctx: ctx, transaction: transaction}); err != nil {
		return errors.Join(err, transaction.Rollback())
	}
	if err := transaction.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// schemaTarget has Temporal's tables made through our own connection, all in one transaction. A connection of Temporal's
// plugin is never closed while the process lives, and would hold on to the unfinished file.
type schemaTarget struct {
	sqlplugin.AdminDB // the rest of the interface is not called

	ctx         context.Context //nolint:containedctx // the interface passes none
	transaction *sql.Tx
}

// Exec runs one statement of the schema.
func (t schemaTarget) Exec(statement string, arguments ...any) error {
	if _, err := t.transaction.ExecContext(t.ctx, statement, arguments...); err != nil {
		return fmt.Errorf("make a table: %w", err)
	}
	return nil
}

// tidyDatabase moves the log into the file after Temporal has stopped, so that the file alone is complete.
func tidyDatabase(options Options) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db, err := openFile(options.databaseFile())
	if err != nil {
		return fmt.Errorf("temporal server: tidy the database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return fmt.Errorf("temporal server: tidy the database: %w", err)
	}
	return nil
}

func openFile(path string) (*sql.DB, error) {
	db, err := sql.Open(sqliteDriver, "file:"+uriPath(path)+"?_pragma=busy_timeout=10000")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// sqliteDriver is registered by Temporal's plugin.
const sqliteDriver = "sqlite"
