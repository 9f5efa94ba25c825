//go:build !linux

package main

import "syscall"

// endWithParent can do nothing here: when we are killed, our children have to be ended by hand.
func endWithParent(*syscall.SysProcAttr) {}
