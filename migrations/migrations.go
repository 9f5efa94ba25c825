// Package migrations holds the numbered SQL that builds the schema, each step with its way
// back. The files are plain golang-migrate migrations and can be run with its own tool too.
package migrations

import "embed"

// Files has every NNNN_name.up.sql and NNNN_name.down.sql.
//
//go:embed *.sql
var Files embed.FS
