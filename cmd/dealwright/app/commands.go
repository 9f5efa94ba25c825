package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/dealwright/dealwright/cmd/dealwright/cli"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// Command is the dealwright command with all its subcommands.
func Command(version string) *cobra.Command {
	root := &cobra.Command{
		Use:           "dealwright",
		Short:         "An event-sourced workflow engine for sales pipelines",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		apiCommand(version), workerCommand(version), migrateCommand(version), keyCommand(version),
		companyCommand(version), rebuildCommand(version), healthCommand(version),
		promoteCommand(version), recoverCommand(version), rotateCommand(version),
	)
	root.AddCommand(cli.Commands()...)
	return root
}

func apiCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use: "api", Short: "Serve the HTTP API", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serving(version, func(p *Process) error {
				l, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", p.cfg.Addr)
				if err != nil {
					return fmt.Errorf("listen on DEALWRIGHT_ADDR: %w", err)
				}
				return p.ServeAPI(cmd.Context(), l, func() {})
			})
		},
	}
}

func workerCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use: "worker", Short: "Run workflows and deliver webhooks", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serving(version, func(p *Process) error { return p.RunWorker(cmd.Context(), func() {}) })
		},
	}
}

func serving(version string, f func(*Process) error) error {
	cfg, err := ReadConfig(version)
	if err != nil {
		return err
	}
	log, err := cfg.Logger(os.Stderr)
	if err != nil {
		return err
	}
	slog.SetDefault(log)
	if err := cfg.Check(); err != nil {
		return err
	}
	options, err := TemporalOptions(cfg, log)
	if err != nil {
		return err
	}
	stopTracing, err := StartTracing(context.Background(), version)
	if err != nil {
		return err
	}
	p, err := NewProcess(cfg, options, log)
	if err != nil {
		return err
	}
	return errors.Join(f(p), p.Close(), stopTracing())
}

func migrateCommand(version string) *cobra.Command {
	c := &cobra.Command{Use: "migrate", Short: "Bring the database's schema up to date, or back"}
	steps := 1
	down := &cobra.Command{
		Use: "down", Short: "Take the last migrations back", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return migrating(version, cmd.OutOrStdout(), func(url string) error { return postgres.MigrateDown(url, steps) })
		},
	}
	down.Flags().IntVar(&steps, "steps", 1, "how many")
	c.AddCommand(down,
		&cobra.Command{
			Use: "up", Short: "Run every migration that is missing", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return migrating(version, cmd.OutOrStdout(), postgres.MigrateUp)
			},
		},
		&cobra.Command{
			Use: "status", Short: "Say which version the schema is at", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return migrating(version, cmd.OutOrStdout(), func(string) error { return nil })
			},
		})
	return c
}

func migrating(version string, out io.Writer, f func(databaseURL string) error) error {
	cfg, err := ReadConfig(version)
	if err != nil {
		return err
	}
	if cfg.DatabaseURL == "" {
		return errors.New("DATABASE_URL is not set: postgres://user:password@host:port/database")
	}
	if err := f(cfg.DatabaseURL); err != nil {
		return err
	}
	at, err := postgres.SchemaVersion(cfg.DatabaseURL)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "schema is at version %d\n", at.Version)
	if at.Dirty {
		return errors.New("the last migration failed half-way: mend the schema by hand, then set schema_migrations.dirty to false")
	}
	return nil
}

func keyCommand(version string) *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "Make API keys"}
	var company int64
	var name, role string
	var expires time.Duration
	create := &cobra.Command{
		Use: "create", Short: "Make an API key and print it, this once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r := pipeline.Role(role); r != pipeline.RoleAdmin && r != pipeline.RoleApp && r != pipeline.RolePartner {
				return fmt.Errorf("--role has to be admin, app or partner, not %q", role)
			}
			k := pipeline.Key{CompanyID: company, Name: name, Role: pipeline.Role(role)}
			if cmd.Flags().Changed("expires") {
				if expires <= 0 {
					return fmt.Errorf("--expires has to be a time such as 720h, not %s", expires)
				}
				k.ExpiresAt = pipeline.Instant(time.Now().Add(expires))
			}
			return withStore(version, func(s *postgres.Store) error {
				key, _, err := s.CreateKey(cmd.Context(), k, pipeline.Idempotency{})
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), key.Secret)
				return nil
			})
		},
	}
	create.Flags().Int64Var(&company, "company", 1, "the company that the key is for")
	create.Flags().StringVar(&name, "name", "made with dealwright key create", "what the key is for")
	create.Flags().StringVar(&role, "role", string(pipeline.RoleApp), "admin, app or partner")
	create.Flags().DurationVar(&expires, "expires", 0, "after which time it opens nothing any more, such as 720h (default: never)")
	c.AddCommand(create)
	return c
}

func companyCommand(version string) *cobra.Command {
	c := &cobra.Command{Use: "company", Short: "Make companies"}
	c.AddCommand(&cobra.Command{
		Use: "create NAME", Short: "Make a company and print its id", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(version, func(s *postgres.Store) error {
				id, err := s.CreateCompany(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), id)
				return nil
			})
		},
	})
	return c
}

func rebuildCommand(version string) *cobra.Command {
	dryRun := false
	c := &cobra.Command{
		Use: "rebuild", Short: "Fold every stream anew, report where a projection differs, and put it right", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(version, func(s *postgres.Store) error {
				return rebuild(cmd.Context(), s, dryRun, cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "report only")
	return c
}

func rebuild(ctx context.Context, s *postgres.Store, dryRun bool, out, progress io.Writer) error {
	sum, err := s.Rebuild(ctx, dryRun, func(r postgres.Rebuilt) {
		fmt.Fprintf(progress, "%d streams, %d events, %d differences\n", r.Streams, r.Events, r.Differing)
	})
	if err != nil {
		return err
	}
	for _, d := range sum.Differences {
		fmt.Fprintf(out, "%s %s: was %s, is %s\n", d.Stream, d.Field, d.Was, d.Is)
	}
	fmt.Fprintf(out, "%d streams, %d events, %d differences\n", sum.Streams, sum.Events, sum.Differing)
	if dryRun && sum.Differing > 0 {
		return errors.New("projections differ from their events; run without --dry-run to put them right")
	}
	return nil
}

func withStore(version string, f func(*postgres.Store) error) error {
	cfg, err := ReadConfig(version)
	if err != nil {
		return err
	}
	if err := cfg.Check(); err != nil {
		return err
	}
	s, err := OpenStore(cfg)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

func healthCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Ask the API on DEALWRIGHT_ADDR whether it is ready; for container health checks", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := ReadConfig(version)
			if err != nil {
				return err
			}
			return health(cmd.Context(), cfg.Addr)
		},
	}
}

const healthPatience = 5 * time.Second

func health(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("read DEALWRIGHT_ADDR: %w", err)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := (&http.Client{Timeout: healthPatience}).Do(req)
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: status %d", resp.StatusCode)
	}
	return nil
}
