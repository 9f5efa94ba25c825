//go:build !linux

package privatepostgres

import "syscall"

// endWithParent can do nothing here: Postgres outlives us when we are killed, and the next start ends it.
func endWithParent(*syscall.SysProcAttr) {}
