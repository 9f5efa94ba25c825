package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// binaries are the programs that run, as files.
type binaries struct {
	dealwright string
	temporal   string
}

func binariesIn(folder string) binaries {
	return binaries{dealwright: filepath.Join(folder, "dealwright"), temporal: filepath.Join(folder, "temporalserver")}
}

// buildAll builds this checkout's programs, where make puts them. The Go tool leaves alone what is up to date.
func buildAll(ctx context.Context) (binaries, error) {
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("find the module (run it in standalone/): %w", err)
	}
	standalone := filepath.Dir(strings.TrimSpace(string(module)))
	root := filepath.Dir(standalone)
	built := binariesIn(filepath.Join(root, ".bin"))
	if err := build(ctx, root, built.dealwright, "./cmd/dealwright"); err != nil {
		return binaries{}, err
	}
	return built, build(ctx, standalone, built.temporal, "./cmd/temporalserver")
}

func build(ctx context.Context, module, binary, program string) error {
	command := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, program)
	command.Dir, command.Stdout, command.Stderr = module, os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("build %s: %w", program, err)
	}
	return nil
}
