package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// bucket is where documents are kept, on a disk that can be full.
type bucket struct {
	path string
	how  string   // the way in which it is full, for the table
	disk *os.File // holds a small file system of its own; nil where there is none
}

// diskSize is for all documents of a run, which are small.
const diskSize = 64 << 20

// makeBucket uses a file system of its own where we may mount one, else a folder that can be taken away.
func makeBucket(folder string) (*bucket, error) {
	path := filepath.Join(folder, "documents")
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, err
	}
	disk, err := smallDisk(path, diskSize)
	if err != nil {
		return &bucket{path: path, how: "a folder taken away, since nothing can be mounted here"}, nil //nolint:nilerr // as it says
	}
	return &bucket{path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), disk.Fd()), disk: disk, how: "a file system without a free byte"}, nil
}

func (b *bucket) filler() string { return filepath.Join(b.path, "filler") }

func (b *bucket) aside() string { return b.path + ".aside" }

// fill leaves no room for another byte.
func (b *bucket) fill() error {
	if b.disk == nil {
		if err := os.Rename(b.path, b.aside()); err != nil {
			return err
		}
		return os.WriteFile(b.path, nil, 0o600) // no folder is made in its place
	}
	filler, err := os.Create(b.filler())
	if err != nil {
		return err
	}
	_, err = io.Copy(filler, zeros{})
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return errors.Join(err, filler.Close())
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// free undoes fill.
func (b *bucket) free() error {
	if b.disk != nil {
		return os.Remove(b.filler())
	}
	if err := os.Remove(b.path); err != nil {
		return err
	}
	return os.Rename(b.aside(), b.path)
}

func (b *bucket) close() error {
	if b.disk == nil {
		return nil
	}
	return b.disk.Close()
}
