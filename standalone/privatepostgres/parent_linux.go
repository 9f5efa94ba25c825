package privatepostgres

import "syscall"

// endWithParent has the kernel ask Postgres for a fast shutdown when we die, however we die: it then flushes and leaves. A new
// start waits for it if need be.
func endWithParent(attributes *syscall.SysProcAttr) {
	attributes.Pdeathsig = syscall.SIGINT
}
