package privatepostgres

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// settings is the whole configuration, written anew at each start; a person's own changes (ALTER SYSTEM) are kept apart by
// Postgres and win over it. The figures are for a small machine that also runs the rest.
const settings = `# Written at every start. To change a setting use ALTER SYSTEM, which wins over this file.
listen_addresses = ''
unix_socket_directories = %s
port = ` + socketPort + `
max_connections = 200

shared_buffers = 128MB
work_mem = 8MB
maintenance_work_mem = 64MB
effective_cache_size = 1GB
random_page_cost = 1.1

# Many small transactions: compiling queries or running them in parallel costs more than it saves.
jit = off
max_parallel_workers_per_gather = 0

# Smaller log records; recovery reads at most about this much after a crash, which takes seconds.
wal_compression = on
wal_buffers = 16MB
max_wal_size = 1GB
min_wal_size = 128MB
checkpoint_timeout = 5min

# Queue-like tables change all the time: clean up early.
autovacuum_naptime = 30s
autovacuum_vacuum_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.05

# Statements that fail are reported to the client; their text and values may be personal data and stay out of the log.
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_checkpoints = off
log_line_prefix = '%%m [%%p] '
logging_collector = off

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
`

const durable = `
fsync = on
synchronous_commit = on
full_page_writes = on
`

const throwaway = `
fsync = off
synchronous_commit = off
full_page_writes = off
`

func (s *Server) writeSettings() error {
	content := fmt.Sprintf(settings, quoted(quotedListItem(s.home.socketFolder)))
	if s.options.Throwaway {
		content += throwaway
	} else {
		content += durable
	}
	accounts, err := mappedAccounts(s.account)
	if err != nil {
		return err
	}
	files := map[string]string{
		"postgresql.conf": content,
		"pg_hba.conf":     "# any database, any role\nlocal all all peer map=dealwright\n", //nolint:dupword // its syntax
		"pg_ident.conf":   accounts,
	}
	for name, content := range files {
		path := filepath.Join(s.home.data, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("write postgres' settings: %w", err)
		}
		if err := s.account.own(path); err != nil {
			return fmt.Errorf("write postgres' settings: %w", err)
		}
	}
	return nil
}

// mappedAccounts lists who may be the superuser: root, whoever runs Postgres, and whoever runs us.
func mappedAccounts(runAs account) (string, error) {
	names := map[string]bool{runAs.name: true}
	for _, uid := range []int{0, os.Geteuid()} {
		known, err := user.LookupId(strconv.Itoa(uid))
		if err != nil {
			return "", fmt.Errorf("the name of user id %d: %w", uid, err)
		}
		names[known.Username] = true
	}
	var lines strings.Builder
	for name := range names {
		fmt.Fprintf(&lines, "dealwright %s %s\n", strconv.Quote(name), superuser)
	}
	return lines.String(), nil
}

// quoted is a value as the configuration file wants it.
func quoted(value string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(value, `\`, `\\`), "'", "''") + "'"
}

// quotedListItem is an item of a setting that is a list, where a comma or a blank would separate.
func quotedListItem(value string) string {
	return `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
}
