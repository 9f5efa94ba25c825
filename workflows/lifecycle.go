// Package workflows holds the lifecycles as Temporal workflows: one workflow for each customer
// and each proposal, which alone writes that entity's stream, one for each webhook that has
// something left to deliver, and short ones for samples, the sweep and what is to be forgotten.
package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// CustomerInput starts or continues the workflow of a customer. Listed is the stage that the
// search attributes show already.
type CustomerInput struct {
	State  pipeline.Customer
	Listed string
	Left   Left
	Prompt bool // see lifecycle
}

// ProposalInput starts or continues the workflow of a proposal.
type ProposalInput struct {
	State  pipeline.Proposal
	Listed string
	Left   Left
	Prompt bool // see lifecycle
}

// Left is what one run leaves for the next to do: how many deliveries are still to be sent,
// and what follows from signatures.
type Left struct {
	Undelivered int
	FollowUps   []activities.SignCustomerInput
}

// LifecycleResult is what a lifecycle ends with. It ends only where nothing ever happened: its
// first command could not be recorded.
type LifecycleResult struct {
	Version int64
}

// Customer is the workflow of one customer.
func Customer(ctx workflow.Context, in CustomerInput) (LifecycleResult, error) {
	l := newLifecycle(ctx, in.State, in.Listed, in.Left)
	l.prompt = in.Prompt
	return l.run(ctx, func(l *lifecycle[pipeline.Customer]) error {
		return workflow.NewContinueAsNewError(ctx, Customer, CustomerInput{State: l.state, Listed: l.listed, Left: l.left(), Prompt: true})
	})
}

// Proposal is the workflow of one proposal.
func Proposal(ctx workflow.Context, in ProposalInput) (LifecycleResult, error) {
	l := newLifecycle(ctx, in.State, in.Listed, in.Left)
	l.prompt = in.Prompt
	return l.run(ctx, func(l *lifecycle[pipeline.Proposal]) error {
		return workflow.NewContinueAsNewError(ctx, Proposal, ProposalInput{State: l.state, Listed: l.listed, Left: l.left(), Prompt: true})
	})
}

// lifecycle is the state of one run. The store is the truth; state is a fold of it.
type lifecycle[S pipeline.State[S]] struct {
	state     S
	listed    string
	lock      workflow.Mutex
	undeliver int                            // deliveries that were recorded and are still to be sent
	latest    pipeline.EventType             // of the latest event that this run has seen, for people to read
	ensuing   []activities.SignCustomerInput // follow-ups that have not begun
	begun     []activities.SignCustomerInput // follow-ups that have not ended
	erased    bool                           // what is left of the customer is to be cleaned up
	stillborn bool                           // the first command came to nothing
	prompt    bool                           // follow-ups do not wait for partners; in runs from before this was so, they do
	story     story
}

func newLifecycle[S pipeline.State[S]](ctx workflow.Context, state S, listed string, left Left) *lifecycle[S] {
	return &lifecycle[S]{
		state: state, listed: listed, lock: workflow.NewMutex(ctx), undeliver: left.Undelivered, ensuing: left.FollowUps,
	}
}

// left: a follow-up that is under way when the run ends is begun anew by the next run.
func (l *lifecycle[S]) left() Left {
	return Left{Undelivered: l.undeliver, FollowUps: slices.Concat(l.begun, l.ensuing)}
}

// run takes commands until there is so much history that a new run is due.
func (l *lifecycle[S]) run(ctx workflow.Context, renew func(*lifecycle[S]) error) (LifecycleResult, error) {
	err := workflow.SetUpdateHandlerWithOptions(ctx, UpdateTransition, l.transition, workflow.UpdateHandlerOptions{
		Validator: l.validate,
	})
	if err != nil {
		return LifecycleResult{}, fmt.Errorf("set update handler: %w", err)
	}
	look := workflow.GetSignalChannel(ctx, SignalLook)
	for {
		err := workflow.Await(ctx, func() bool { return look.Len() > 0 || l.hasWork(ctx) || l.isOver(ctx) || l.isFull(ctx) })
		switch {
		case err != nil:
			return LifecycleResult{Version: l.version()}, err
		case look.Len() > 0:
			drainSignals(look)
			l.look(ctx)
		case l.isFull(ctx):
			return LifecycleResult{}, renew(l)
		case l.hasWork(ctx):
			l.work(ctx)
		default:
			return LifecycleResult{}, nil // it is over
		}
	}
}

func (l *lifecycle[S]) version() int64 { return l.state.Ref().Version }

// hasWork: once a new run is due, what is left is for that one to do. Under a steady stream of
// commands there is always something left, and the history would grow until Temporal ends it.
func (l *lifecycle[S]) hasWork(ctx workflow.Context) bool {
	return (l.undeliver > 0 || len(l.ensuing) > 0 || l.erased) && !workflow.GetInfo(ctx).GetContinueAsNewSuggested()
}

// isFull: a new run may begin only when no handler is at work, or its update would be lost.
func (l *lifecycle[S]) isFull(ctx workflow.Context) bool {
	return workflow.GetInfo(ctx).GetContinueAsNewSuggested() && workflow.AllHandlersFinished(ctx)
}

func (l *lifecycle[S]) isOver(ctx workflow.Context) bool {
	return l.stillborn && l.version() == 0 && workflow.AllHandlersFinished(ctx)
}

// work begins what follows from the latest events and sends what is queued. Follow-ups may
// take long, and nothing waits for them. A failure ends nothing: what was not delivered is in
// the store, where the sweep finds it.
func (l *lifecycle[S]) work(ctx workflow.Context) {
	if l.erased {
		l.erased = false
		if err := beginErasure(ctx, l.state.Ref()); err != nil {
			workflow.GetLogger(ctx).Warn("what is left of the customer is left to the sweep", "stream", l.state.Ref().Stream(), "error", err)
		}
	}
	l.beginEnsuing(ctx)
	if l.undeliver == 0 {
		return
	}
	deliveries := l.undeliver
	l.undeliver = 0
	delivered := l.deliver(ctx, deliveries)
	for l.prompt && !delivered.IsReady() && ctx.Err() == nil {
		// Cancelled or not, what is to be said about it is said below.
		_ = workflow.Await(ctx, func() bool { return delivered.IsReady() || len(l.ensuing) > 0 })
		l.beginEnsuing(ctx)
	}
	var sent activities.DeliverResult
	if err := delivered.Get(ctx, &sent); err != nil {
		workflow.GetLogger(ctx).Warn("deliveries are left to the sweep", "stream", l.state.Ref().Stream(), "error", err)
	}
	l.keepUp(ctx, sent.Newest)
}

// keepUp folds in what was delivered and this workflow knows nothing of: the task in which it was
// recorded was lost, and Temporal with it. Its caller has been answered from the store since, and
// nobody else would tell us; a signature would never reach its customer.
func (l *lifecycle[S]) keepUp(ctx workflow.Context, delivered int64) {
	if delivered > l.version() { // unless the handler that recorded it is at work still
		l.readOn(ctx, func() bool { return delivered > l.version() })
	}
}

// readOn folds in what the store has, after the handler that is at work now, if the workflow is
// still behind then.
func (l *lifecycle[S]) readOn(ctx workflow.Context, behind func() bool) {
	err := l.lock.Lock(ctx)
	if err == nil {
		if behind() {
			err = l.catchUp(ctx)
		}
		l.lock.Unlock()
	}
	if err != nil {
		workflow.GetLogger(ctx).Warn("cannot look for what the store has", "stream", l.state.Ref().Stream(), "error", err)
	}
}

func (l *lifecycle[S]) beginEnsuing(ctx workflow.Context) {
	for _, f := range l.ensuing {
		l.begin(ctx, f)
	}
	l.ensuing = nil
}

func (l *lifecycle[S]) begin(ctx workflow.Context, f activities.SignCustomerInput) {
	l.begun = append(l.begun, f)
	ended := signCustomer(ctx, f)
	var started workflow.Future
	if f.Documents && workflow.GetVersion(ctx, changeDocuments, workflow.DefaultVersion, 1) >= 1 {
		started = startDocuments(ctx, f)
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		if err := ended.Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Error("customer was not moved to Signed", "customer", f.CustomerID, "error", err)
		}
		if started != nil {
			if err := started.Get(ctx, nil); err != nil {
				workflow.GetLogger(ctx).Error("the contract's document is not fetched", "event", f.Cause.EventID, "error", err)
			}
		}
		l.begun = slices.DeleteFunc(l.begun, func(other activities.SignCustomerInput) bool { return other == f })
	})
}

// validate refuses what is illegal before anything is written anywhere. Where the caller has
// seen a newer version in the store than this workflow knows, only the handler can tell.
func (l *lifecycle[S]) validate(_ workflow.Context, t Transition) error {
	if t.StoreVersion > l.version() {
		return nil
	}
	_, err := l.state.Decide(t.Command)
	return activities.Failure(err)
}

// transition decides a command again, since others may have been before it, and records it.
func (l *lifecycle[S]) transition(ctx workflow.Context, t Transition) (Outcome, error) {
	if err := l.lock.Lock(ctx); err != nil {
		return Outcome{}, err
	}
	defer l.lock.Unlock()
	out, err := l.decide(ctx, t)
	if err != nil {
		l.stillborn = l.version() == 0
		return Outcome{}, withRequest(err, t.RequestID)
	}
	return out, nil
}

// maxConflicts bounds how often a command is decided anew because the store was ahead. Only
// this workflow writes the stream, so once is the rule.
const maxConflicts = 5

func (l *lifecycle[S]) decide(ctx workflow.Context, t Transition) (Outcome, error) {
	if t.StoreVersion > l.version() {
		if err := l.catchUp(ctx); err != nil {
			return Outcome{}, err
		}
	}
	if t.Command.OccurredAt.IsZero() {
		t.Command.OccurredAt = workflow.Now(ctx).UTC().Truncate(time.Millisecond)
	}
	for range maxConflicts {
		event, next, err := pipeline.Next(l.state, t.Command, t.CommandID)
		if err != nil {
			return Outcome{}, activities.Failure(err)
		}
		result, err := appendEvent(ctx, activities.AppendInput{Event: event, Idempotency: t.Idempotency})
		if err != nil {
			return Outcome{}, err
		}
		if len(result.Newer) == 0 {
			event.Position, event.RecordedAt = result.Appended.Position, result.Appended.RecordedAt
			l.undeliver += result.Appended.Deliveries
			return l.advance(event, next, result.Appended.Deliveries), l.show(ctx)
		}
		recorded, err := l.foldIn(ctx, result.Newer, event.ID)
		if err != nil || recorded.Event.ID != "" {
			return recorded, err
		}
	}
	return Outcome{}, activities.Failure(pipeline.Errorf(pipeline.CodeConflict, "the stream keeps changing; try again"))
}

// look finds out what the store has for this entity to do, where somebody has seen that it does not
// do it: the task in which its last event was recorded was lost, and Temporal with it. A run in which
// an older build passed over such a signal goes on doing so; the sweep is left to it.
func (l *lifecycle[S]) look(ctx workflow.Context) {
	if workflow.GetVersion(ctx, changeLook, workflow.DefaultVersion, 1) < 1 {
		return
	}
	l.undeliver++
	l.readOn(ctx, func() bool { return true })
}

// catchUp folds in what the store has and this workflow lacks: its worker died between the
// commit and the workflow task, or the workflow was ended and started anew.
func (l *lifecycle[S]) catchUp(ctx workflow.Context) error {
	for {
		read, err := readStream(ctx, activities.ReadInput{Stream: l.state.Ref().Stream(), Version: l.version()})
		if err != nil {
			return err
		}
		if _, err := l.foldIn(ctx, read.Events, ""); err != nil {
			return err
		}
		if !read.More {
			return nil
		}
	}
}

// foldIn takes over events that the store has. Where one of them is the one with this id, the
// command was recorded by an earlier run, and the outcome is that event's.
func (l *lifecycle[S]) foldIn(ctx workflow.Context, events []pipeline.Event, id string) (Outcome, error) {
	var found Outcome
	for _, e := range events {
		next, err := l.state.Apply(e)
		if err != nil {
			return Outcome{}, activities.Failure(err)
		}
		out := l.advance(e, next, 0)
		l.undeliver++ // whether it still has deliveries to send is not known here; one look tells
		if e.ID == id {
			found = out
		}
	}
	return found, l.show(ctx)
}

// advance makes a recorded event the present state, and queues what it entails.
func (l *lifecycle[S]) advance(e pipeline.Event, next S, deliveries int) Outcome {
	l.state, l.latest = next, e.Type
	l.erased = l.erased || e.Type == pipeline.TypeCustomerErased
	if e.Type == pipeline.TypeContractSigned {
		l.ensuing = append(l.ensuing, FollowUp(e, pipeline.NamesDocuments(e)))
	}
	l.story.add(e, deliveries)
	return Outcome{Event: e, Allowed: next.Allowed()}
}

// FollowUp is what follows from a signature: the customer becomes Signed, and its documents are
// fetched where it names any.
func FollowUp(signed pipeline.Event, documents bool) activities.SignCustomerInput {
	return activities.SignCustomerInput{
		CompanyID: signed.CompanyID, CustomerID: int64(signed.CustomerID), Actor: signed.Actor,
		Cause:     pipeline.Cause{EventID: signed.ID, Type: signed.Type, Stream: signed.Stream},
		Documents: documents,
	}
}

// show brings up to date what an operator sees. The search attribute only where the stage is
// another than before: an upsert is a write, and most events do not change the stage.
func (l *lifecycle[S]) show(ctx workflow.Context) error {
	workflow.SetCurrentDetails(ctx, l.story.String())
	stage := l.state.Stage()
	if stage == l.listed {
		return nil
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, AttributeStage.ValueSet(stage)); err != nil {
		return fmt.Errorf("list stage: %w", err)
	}
	l.listed = stage
	return nil
}

// withRequest notes for which request a command failed, so that a later request with the same
// update id can tell that it got an old answer (see Engine.Submit).
func withRequest(err error, requestID string) error {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return err
	}
	refusal := activities.Refusal(err)
	return temporal.NewApplicationErrorWithOptions(app.Message(), app.Type(), temporal.ApplicationErrorOptions{
		NonRetryable: app.NonRetryable(),
		Details:      []any{*refusal, requestID},
	})
}
