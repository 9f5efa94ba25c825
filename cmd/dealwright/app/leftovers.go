package app

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
	"github.com/dealwright/dealwright/workflows"
)

// leftovers are what the lost workflows of some entities had still to do.
type leftovers struct {
	undelivered map[pipeline.Stream]bool
	followUps   map[pipeline.Stream][]activities.SignCustomerInput
}

// of an entity: what it has to send is counted by the activity that sends it.
func (l leftovers) of(ref pipeline.Ref) workflows.Left {
	left := workflows.Left{FollowUps: l.followUps[ref.Stream()]}
	if l.undelivered[ref.Stream()] {
		left.Undelivered = 1
	}
	return left
}

func leftoversOf[S pipeline.State[S]](ctx context.Context, store *postgres.Store, entities []S) (leftovers, error) {
	l := leftovers{undelivered: map[pipeline.Stream]bool{}, followUps: map[pipeline.Stream][]activities.SignCustomerInput{}}
	all := make([]pipeline.Stream, 0, len(entities))
	var signed []pipeline.Stream
	for _, entity := range entities {
		stream := entity.Ref().Stream()
		all = append(all, stream)
		if p, ok := any(entity).(pipeline.Proposal); ok && p.ContractStatus == pipeline.StateSigned {
			signed = append(signed, stream)
		}
	}
	fresh, err := store.Undelivered(ctx, all)
	if err != nil {
		return l, err
	}
	for _, stream := range fresh {
		l.undelivered[stream] = true
	}
	if len(signed) == 0 {
		return l, nil
	}
	return l, l.addFollowUps(ctx, store, entities[0].Ref().CompanyID, signed)
}

// addFollowUps finds signatures from which something has still to follow.
func (l leftovers) addFollowUps(ctx context.Context, store *postgres.Store, companyID int64, signed []pipeline.Stream) error {
	signatures, err := store.Signatures(ctx, signed)
	if err != nil {
		return err
	}
	for _, signature := range signatures {
		event, err := store.Event(ctx, companyID, signature.EventID)
		if err != nil {
			return err
		}
		documents := !signature.Stored && pipeline.NamesDocuments(event)
		customer, err := store.Customer(ctx, companyID, int64(event.CustomerID))
		if err != nil {
			return err
		}
		if !documents && customer.Status == pipeline.StatusSigned {
			continue
		}
		l.followUps[event.Stream] = append(l.followUps[event.Stream], workflows.FollowUp(event, documents))
	}
	return nil
}

// each starts one workflow for each of these, some at once, as fast as the pace allows.
func each[T any](ctx context.Context, r *recovery, all []T, start func(context.Context, T) error) error {
	if r.dryRun {
		return nil
	}
	group, starting := errgroup.WithContext(ctx)
	group.SetLimit(recoverAtOnce)
	for _, one := range all {
		if err := r.pace.Wait(starting); err != nil {
			break // the context has ended, or one has failed
		}
		group.Go(func() error { return start(starting, one) })
	}
	if err := group.Wait(); err != nil {
		return err // it is start's, which says what it could not do
	}
	return ctx.Err()
}
