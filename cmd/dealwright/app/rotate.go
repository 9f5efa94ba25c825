package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/postgres"
)

func rotateCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate-encryption-key",
		Short: "Encrypt what is in Postgres anew, with the first key of " + keyring.Variable,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := ReadConfig(version)
			if err != nil {
				return err
			}
			ring, err := keyring.New(cfg.EncryptionKey)
			if err != nil {
				return err
			}
			return withStore(version, func(s *postgres.Store) error {
				return rotate(cmd.Context(), s, ring.IDs(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}
}

// rotate goes through the store twice: what an engine sealed with an old key meanwhile is found
// the second time.
func rotate(ctx context.Context, s *postgres.Store, ids []keyring.ID, out, progress io.Writer) error {
	var sealed int64
	for range 2 {
		sum, err := s.Reseal(ctx, func(r postgres.Resealed) {
			fmt.Fprintf(progress, "%s: %d values sealed with key %s\n", r.Column, sealed+r.Sealed, ids[0])
		})
		sealed += sum.Sealed
		if err != nil {
			return err
		}
	}
	left, err := s.SealedWith(ctx)
	if err != nil {
		return err
	}
	kept := left[ids[0]]
	delete(left, ids[0])
	fmt.Fprintf(out, "%d values sealed anew; %d are sealed with key %s\n", sealed, kept, ids[0])
	if len(left) > 0 {
		return stillSealing(left)
	}
	if len(ids) == 1 {
		return nil
	}
	fmt.Fprintf(out, "No longer needed in Postgres: %s.\n", keyNames(ids[1:]))
	fmt.Fprint(out, "Temporal's histories still need them, and so do backups from before: "+
		"see docs/operations.md, \"Another encryption key\".\n")
	return nil
}

func stillSealing(left map[keyring.ID]int64) error {
	all := make([]error, 0, len(left))
	for id, n := range left {
		all = append(all, fmt.Errorf("%d values have been sealed with key %s in the meantime: a process still has that one first; "+
			"restart it with the new key in front and run this again", n, id))
	}
	return errors.Join(all...)
}

func keyNames(ids []keyring.ID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = "key " + id.String()
	}
	return strings.Join(names, ", ")
}
