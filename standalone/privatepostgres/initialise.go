package privatepostgres

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// characterTypes are tried in turn: with a UTF-8 one, upper and lower case work for names in any script. Sorting is by code point in
// all of them: fast, and the same on every machine.
var characterTypes = []string{"C.UTF-8", "en_US.UTF-8", "C"}

// initialise makes a new cluster unless there is one. It is made beside its place and moved there when complete, so that being
// killed half-way leaves nothing that a later start would take for data.
func (s *Server) initialise(ctx context.Context) error {
	version, err := dataVersion(s.home.data)
	if err != nil || version != 0 {
		return err
	}
	started := time.Now()
	s.options.Logger.Info("making a new database", "folder", s.home.data, "version", s.program.major)

	fresh := s.home.data + ".new"
	for _, characterType := range characterTypes {
		output, err := s.initdb(ctx, fresh, characterType)
		if err == nil {
			return s.moveIntoPlace(fresh, started)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("make a new database: %w", ctx.Err())
		}
		if !strings.Contains(output, "invalid locale name") {
			return fmt.Errorf("make a new database: initdb: %w: %s", err, output)
		}
	}
	return fmt.Errorf("make a new database: this system has none of the locales %s", strings.Join(characterTypes, ", "))
}

func (s *Server) initdb(ctx context.Context, fresh, characterType string) (output string, err error) {
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return "", err
	}
	if err := s.account.own(fresh); err != nil {
		return "", err
	}
	args := []string{
		"--pgdata=" + fresh,
		"--username=" + superuser,
		"--auth=peer",
		"--encoding=UTF8",
		"--locale=C",
		"--lc-ctype=" + characterType,
		"--data-checksums",
	}
	if s.options.Throwaway {
		args = append(args, "--no-sync")
	}
	command := s.account.command(s.program.initdb(), args...)
	command.Dir = s.home.dir
	return runToEnd(ctx, command)
}

func (s *Server) moveIntoPlace(fresh string, started time.Time) error {
	if err := os.RemoveAll(s.home.data); err != nil {
		return fmt.Errorf("clear the place of the new database: %w", err)
	}
	if err := os.Rename(fresh, s.home.data); err != nil {
		return fmt.Errorf("move the new database into place: %w", err)
	}
	s.options.Logger.Info("made a new database", "took", time.Since(started).Round(time.Millisecond))
	return nil
}
