package main

import "syscall"

// endWithParent has the kernel kill a child when we die, however we die, so that a run leaves nothing behind.
func endWithParent(attributes *syscall.SysProcAttr) {
	attributes.Pdeathsig = syscall.SIGKILL
}
