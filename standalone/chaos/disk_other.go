//go:build !linux

package main

import (
	"errors"
	"os"
)

func smallDisk(string, int) (*os.File, error) {
	return nil, errors.New("only on Linux")
}
