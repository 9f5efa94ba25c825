package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/dealwright/dealwright/worker"
)

func promoteCommand(version string) *cobra.Command {
	force, unversioned := false, false
	c := &cobra.Command{
		Use: "promote [BUILD]", Short: "Give the work to a build of the worker, an older one too; alone, list the builds",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if unversioned && len(args) == 1 {
				return errors.New("name a build, or say --unversioned, not both")
			}
			return serving(version, func(p *Process) error {
				v := worker.NewVersions(p.client)
				if len(args) == 0 && !unversioned {
					return listVersions(cmd.Context(), v, cmd.OutOrStdout())
				}
				build := ""
				if len(args) == 1 {
					build = args[0]
				}
				if err := v.Promote(cmd.Context(), build, force); err != nil {
					return err
				}
				return listVersions(cmd.Context(), v, cmd.OutOrStdout())
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "even where no worker of that build was ever seen")
	c.Flags().BoolVar(&unversioned, "unversioned", false, "give it to workers that run with DEALWRIGHT_BUILD_ID=none")
	return c
}

func listVersions(ctx context.Context, v *worker.Versions, out io.Writer) error {
	all, err := v.List(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BUILD\tFIRST SEEN\tSTATUS")
	for _, one := range all {
		status := ""
		if one.Current {
			status = "current"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", one.BuildID, one.CreatedAt.UTC().Format(time.RFC3339), status)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
