package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// The bounds of recovering workflows: how many are read at a time, how many are started at once,
// and how many a second where nobody says.
const (
	recoverPage    = 200
	recoverAtOnce  = 16
	recoverPerStep = 50.0
)

func recoverCommand(version string) *cobra.Command {
	r := recovery{}
	from := ""
	c := &cobra.Command{
		Use: "recover-workflows", Short: "Start the workflows that the store says should run, in a Temporal that has lost them",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if r.at, err = parsePlace(from); err != nil {
				return err
			}
			if r.perSecond <= 0 {
				return fmt.Errorf("--rate has to be more than 0, not %v", r.perSecond)
			}
			return serving(version, func(p *Process) error {
				r.process, r.out, r.progress = p, cmd.OutOrStdout(), cmd.ErrOrStderr()
				return r.run(cmd.Context())
			})
		},
	}
	c.Flags().BoolVar(&r.dryRun, "dry-run", false, "count only; Temporal is not asked")
	c.Flags().Float64Var(&r.perSecond, "rate", recoverPerStep, "how many workflows a second, at most")
	c.Flags().StringVar(&from, "from", "", "where an earlier run stopped, as it said")
	return c
}

// recovery goes through the store once and starts what should run. Doing it again does no harm:
// what runs is left as it is.
type recovery struct {
	process   *Process
	dryRun    bool
	perSecond float64
	out       io.Writer
	progress  io.Writer

	at    place
	pace  *rate.Limiter
	count recovered
	begun atomic.Int64 // of the customers and proposals, those that did not run
}

// recovered is what a run has come across.
type recovered struct {
	Webhooks, Inbound, Documents, Customers, Proposals int64
}

func (c recovered) String() string {
	return fmt.Sprintf("%d webhooks, %d in the inbox, %d documents, %d customers, %d proposals",
		c.Webhooks, c.Inbound, c.Documents, c.Customers, c.Proposals)
}

// place is how far a recovery has come: before which entity, the newest coming first.
type place struct {
	company int64
	kind    pipeline.Kind
	before  int64 // 0: from the newest on
}

func (p place) String() string { return fmt.Sprintf("%d/%s/%d", p.company, p.kind, p.before) }

func parsePlace(text string) (place, error) {
	if text == "" {
		return place{kind: pipeline.KindCustomer}, nil
	}
	parts := strings.Split(text, "/")
	wrong := fmt.Errorf("--from has to be a place that an earlier run named, such as 1/customer/4711, not %q", text)
	if len(parts) != 3 { //nolint:mnd // company, kind, id
		return place{}, wrong
	}
	company, err := strconv.ParseInt(parts[0], 10, 64)
	before, err2 := strconv.ParseInt(parts[2], 10, 64)
	kind := pipeline.Kind(parts[1])
	if errors.Join(err, err2) != nil || kind != pipeline.KindCustomer && kind != pipeline.KindProposal {
		return place{}, wrong
	}
	return place{company: company, kind: kind, before: before}, nil
}

// run starts what is short and urgent first: what partners wait for, and what providers told us.
// Then it goes through the entities.
func (r *recovery) run(ctx context.Context) error {
	r.pace = rate.NewLimiter(rate.Limit(r.perSecond), recoverAtOnce)
	if !r.dryRun {
		if err := r.process.prepareTemporal(ctx); err != nil {
			return err
		}
	}
	err := r.deliveries(ctx)
	if err == nil {
		err = r.entities(ctx)
	}
	if err != nil {
		return fmt.Errorf("stopped after %s; go on with --from %s: %w", r.count, r.at, err)
	}
	if r.dryRun {
		fmt.Fprintf(r.out, "%s should run\n", r.count)
		return nil
	}
	fmt.Fprintf(r.out, "%s; %d of these customers and proposals had to be started\n", r.count, r.begun.Load())
	return nil
}

func (r *recovery) deliveries(ctx context.Context) error {
	store, engine := r.process.store, r.process.engine
	err := pages(ctx, store.BusyWebhooks, func(all []int64) error {
		r.count.Webhooks += int64(len(all))
		return each(ctx, r, all, engine.WakeWebhook)
	})
	if err != nil {
		return err
	}
	err = pages(ctx, store.OpenInbound, func(all []int64) error {
		r.count.Inbound += int64(len(all))
		return each(ctx, r, all, engine.HandleInbound)
	})
	if err != nil {
		return err
	}
	return pages(ctx, store.WaitingDocuments, func(all []postgres.WaitingDocument) error {
		r.count.Documents += int64(len(all))
		return each(ctx, r, all, func(ctx context.Context, d postgres.WaitingDocument) error {
			return engine.KeepDocument(ctx, d.CompanyID, d.UUID)
		})
	})
}

// pages reads page after page, each after the last of the one before.
func pages[T any](ctx context.Context, read func(context.Context, T, int) ([]T, error), use func([]T) error) error {
	var after T
	for {
		all, err := read(ctx, after, recoverPage)
		if err != nil {
			return err
		}
		if err := use(all); err != nil || len(all) < recoverPage {
			return err
		}
		after = all[len(all)-1]
	}
}

// entities goes through the companies, and in each through customers and proposals.
func (r *recovery) entities(ctx context.Context) error {
	for {
		companies, err := r.process.store.CompaniesFrom(ctx, r.at.company, 1)
		if err != nil || len(companies) == 0 {
			return err
		}
		if companies[0] != r.at.company {
			r.at = place{company: companies[0], kind: pipeline.KindCustomer}
		}
		if err := r.company(ctx); err != nil {
			return err
		}
		r.at = place{company: r.at.company + 1, kind: pipeline.KindCustomer}
	}
}

func (r *recovery) company(ctx context.Context) error {
	store := r.process.store
	if r.at.kind == pipeline.KindCustomer {
		err := entityPages(ctx, r, func(page pipeline.Page) ([]pipeline.Customer, error) {
			return store.Customers(ctx, pipeline.CustomerQuery{CompanyID: r.at.company, Page: page})
		}, r.customers)
		if err != nil {
			return err
		}
		r.at = place{company: r.at.company, kind: pipeline.KindProposal}
	}
	return entityPages(ctx, r, func(page pipeline.Page) ([]pipeline.Proposal, error) {
		return store.Proposals(ctx, pipeline.ProposalQuery{CompanyID: r.at.company, Page: page})
	}, r.proposals)
}

// entityPages reads a company's list, the newest first, from where the recovery is. Erased
// customers and their proposals are left out: nothing can happen to them, and their workflows were
// deleted on purpose. What is left to clean up after them, the sweep finds.
func entityPages[S pipeline.State[S]](
	ctx context.Context, r *recovery, read func(pipeline.Page) ([]S, error), use func(context.Context, []S, leftovers) error,
) error {
	for {
		all, err := read(pipeline.Page{Cursor: r.at.before, Limit: recoverPage})
		if err != nil || len(all) == 0 {
			return err
		}
		before := all[len(all)-1].Ref().ID
		all = slices.DeleteFunc(all, isErased[S])
		left, err := leftoversOf(ctx, r.process.store, all)
		if err != nil {
			return err
		}
		if err := use(ctx, all, left); err != nil {
			return err
		}
		r.at.before = before
		fmt.Fprintf(r.progress, "%s; at %s\n", r.count, r.at)
	}
}

func isErased[S pipeline.State[S]](entity S) bool {
	switch e := any(entity).(type) {
	case pipeline.Customer:
		return e.Erased
	case pipeline.Proposal:
		return e.Erased
	}
	return false
}

func (r *recovery) customers(ctx context.Context, all []pipeline.Customer, left leftovers) error {
	r.count.Customers += int64(len(all))
	return each(ctx, r, all, func(ctx context.Context, c pipeline.Customer) error {
		return r.started(r.process.engine.RecoverCustomer(ctx, c, left.of(c.Ref())))
	})
}

func (r *recovery) proposals(ctx context.Context, all []pipeline.Proposal, left leftovers) error {
	r.count.Proposals += int64(len(all))
	return each(ctx, r, all, func(ctx context.Context, p pipeline.Proposal) error {
		return r.started(r.process.engine.RecoverProposal(ctx, p, left.of(p.Ref())))
	})
}

func (r *recovery) started(isNew bool, err error) error {
	if isNew {
		r.begun.Add(1)
	}
	return err
}
