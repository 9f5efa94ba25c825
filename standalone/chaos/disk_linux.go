package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// smallDisk mounts a file system of so many bytes and takes it out of the tree again while it holds its root open: it is reached by
// that open file (/proc/PID/fd/N), and gone with this process however that ends.
func smallDisk(path string, size int) (*os.File, error) {
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	root, err := os.Open(path)
	return root, errors.Join(err, syscall.Unmount(path, syscall.MNT_DETACH))
}
