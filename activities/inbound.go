package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// InboundStore is what handling what providers tell us needs of the store.
type InboundStore interface {
	BeginInbound(ctx context.Context, id int64) (pipeline.Inbound, error)
	SettleInbound(ctx context.Context, id int64, status pipeline.InboundStatus, note string, proposalID int64) error
	NewestInbound(ctx context.Context, companyID, proposalID int64) (time.Time, error)
	LeftInbound(ctx context.Context, grace time.Duration, limit int) ([]int64, error)
	LeftDocuments(ctx context.Context, grace time.Duration, limit int) ([]pipeline.KeptDocument, error)
	LeftErasures(ctx context.Context, grace time.Duration, limit int) ([]pipeline.ErasedCustomer, error)
	DealStore
}

// DealStore is where what the news are about is looked up.
type DealStore interface {
	ProposalByUUID(ctx context.Context, companyID int64, uuid string) (pipeline.Proposal, error)
	CustomerByUUID(ctx context.Context, companyID int64, uuid string) (pipeline.Customer, error)
	Proposal(ctx context.Context, companyID, id int64) (pipeline.Proposal, error)
	Proposals(ctx context.Context, q pipeline.ProposalQuery) ([]pipeline.Proposal, error)
	Event(ctx context.Context, companyID int64, id string) (pipeline.Event, error)
	Statuses(ctx context.Context, companyID int64) (pipeline.Statuses, error)
	Reserve(ctx context.Context, companyID int64, kind pipeline.Kind, idem pipeline.Idempotency) (pipeline.Reservation, error)
	AddDocument(ctx context.Context, d pipeline.KeptDocument) error
}

// Starter starts workflows that are not an entity's; one that runs already is left as it is.
type Starter interface {
	HandleInbound(ctx context.Context, inboundID int64) error
	KeepDocument(ctx context.Context, companyID int64, uuid string) error
	EraseStarter
}

// Inbox are the activities that make something of what providers tell us.
type Inbox struct {
	Store     InboundStore
	Commander Commander
	Starter   Starter
}

// HandleInboundInput names what a provider told us. What it says stays in the store: it has
// names and addresses of people.
type HandleInboundInput struct {
	ID int64
}

// HandleInboundResult says what has become of it.
type HandleInboundResult struct {
	Status pipeline.InboundStatus
	Note   string
}

// verdict is what has become of something that a provider told us.
type verdict struct {
	status     pipeline.InboundStatus
	note       string
	proposalID int64
}

// HandleInbound finds the proposal that a provider told us something about and records what
// follows, step by step. It can be run again at any point: each step's command has an id of its
// own, and what was recorded is seen in the state of the proposal.
func (b *Inbox) HandleInbound(ctx context.Context, in HandleInboundInput) (HandleInboundResult, error) {
	item, err := b.Store.BeginInbound(ctx, in.ID)
	if err != nil {
		return HandleInboundResult{}, Failure(err)
	}
	if item.Status != pipeline.InboundReceived {
		return HandleInboundResult{Status: item.Status, Note: string(item.Note)}, nil
	}
	v, err := b.handle(ctx, item)
	if err != nil {
		return HandleInboundResult{}, again(err)
	}
	if err := b.Store.SettleInbound(ctx, item.ID, v.status, v.note, v.proposalID); err != nil {
		return HandleInboundResult{}, Failure(err)
	}
	return HandleInboundResult{Status: v.status, Note: v.note}, nil
}

// again: whatever went wrong, the next try reads everything anew.
func again(err error) error {
	if retryable(pipeline.CodeOf(err)) {
		return Failure(err)
	}
	return Failure(pipeline.Errorf(pipeline.CodeUnavailable, "%s", err.Error()))
}

func (b *Inbox) handle(ctx context.Context, item pipeline.Inbound) (verdict, error) {
	news, err := pipeline.ReadContractNews([]byte(item.Body))
	if err != nil {
		return verdict{status: pipeline.InboundFailed, note: err.Error()}, nil //nolint:nilerr // it is the verdict
	}
	id, why, err := b.match(ctx, item, news)
	if err != nil {
		return verdict{}, err
	}
	if id == 0 {
		return verdict{status: pipeline.InboundUnmatched, note: why}, nil
	}
	return b.record(ctx, item, news, id)
}

// maxRounds bounds how often the plan is made anew: a step each, and some more where somebody
// else moves the proposal meanwhile.
const maxRounds = 30

// record does what the plan says, one step at a time, and looks at the proposal anew before each:
// it may have been moved meanwhile, by the sales app or by other news of the provider.
func (b *Inbox) record(ctx context.Context, item pipeline.Inbound, news pipeline.ContractNews, proposalID int64) (verdict, error) {
	for range maxRounds {
		p, err := b.Store.Proposal(ctx, item.CompanyID, proposalID)
		if err != nil {
			return verdict{}, err
		}
		if p.Erased {
			return verdict{pipeline.InboundIgnored, erasedCustomer, p.ID}, nil
		}
		if v, over, err := b.isOver(ctx, item, news, p); err != nil || over {
			return v, err
		}
		plan := p.PlanContract(news, item.ReceivedAt)
		if err := b.expect(ctx, item, p, plan.Fetch); err != nil {
			return verdict{}, err
		}
		if len(plan.Steps) == 0 {
			return b.nothingToRecord(ctx, item, p, plan)
		}
		step := plan.Steps[0]
		err = b.command(ctx, item, p.Ref(), step)
		switch pipeline.CodeOf(err) {
		case pipeline.CodeIllegalTransition, pipeline.CodeConflict: // the proposal was moved meanwhile
		case pipeline.CodeInvalid:
			return verdict{pipeline.InboundFailed, err.Error(), p.ID}, nil
		default:
			if err != nil {
				return verdict{}, err
			}
			if len(plan.Steps) == 1 {
				return verdict{pipeline.InboundHandled, "", p.ID}, nil
			}
		}
	}
	return verdict{}, pipeline.Errorf(pipeline.CodeUnavailable, "the proposal keeps changing")
}

// lastSteps are what the statuses lead to.
var lastSteps = map[string]pipeline.EventType{
	pipeline.ContractGenerated: pipeline.TypeContractRequested,
	pipeline.ContractMailed:    pipeline.TypeContractSent,
	pipeline.ContractSignature: pipeline.TypeContractSigned,
	pipeline.ContractVoid:      pipeline.TypeContractVoided,
}

// isOver: an earlier run recorded it all, or newer news were handled before these.
func (b *Inbox) isOver(ctx context.Context, item pipeline.Inbound, news pipeline.ContractNews, p pipeline.Proposal) (verdict, bool, error) {
	if last, ok := lastSteps[news.Status]; ok {
		_, err := b.Store.Event(ctx, item.CompanyID, pipeline.EventID(p.Ref().Stream(), commandOf(item, last)))
		if err == nil {
			return verdict{pipeline.InboundHandled, "", p.ID}, true, nil
		}
		if pipeline.CodeOf(err) != pipeline.CodeNotFound {
			return verdict{}, false, err
		}
	}
	newest, err := b.Store.NewestInbound(ctx, item.CompanyID, p.ID)
	if err != nil || news.UpdatedAt.IsZero() || !news.UpdatedAt.Before(newest) {
		return verdict{}, false, err
	}
	note := fmt.Sprintf("an older status: what the provider said at %s was handled before", newest.Format(time.RFC3339))
	return verdict{pipeline.InboundIgnored, note, p.ID}, true, nil
}

// expect notes down the documents that are to be fetched, before the signature that names them
// is recorded: who hears of it may ask for them at once.
func (b *Inbox) expect(ctx context.Context, item pipeline.Inbound, p pipeline.Proposal, documents []pipeline.ContractDocument) error {
	for _, doc := range documents {
		err := b.Store.AddDocument(ctx, pipeline.KeptDocument{
			CompanyID: item.CompanyID, UUID: doc.UUID, ProposalID: p.ID, ConnectionID: item.ConnectionID, File: pipeline.File{Name: doc.Name},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// nothingToRecord: only a document may have come late. One that could not be had is tried again;
// where it is being fetched, that goes on.
func (b *Inbox) nothingToRecord(
	ctx context.Context, item pipeline.Inbound, p pipeline.Proposal, plan pipeline.ContractPlan,
) (verdict, error) {
	for _, doc := range plan.Fetch {
		if err := b.Starter.KeepDocument(ctx, item.CompanyID, doc.UUID); err != nil {
			return verdict{}, err
		}
	}
	if plan.Late {
		return verdict{pipeline.InboundHandled, plan.Ignored, p.ID}, nil
	}
	return verdict{pipeline.InboundIgnored, plan.Ignored, p.ID}, nil
}

// commandOf names the command of a step. A caller's key has no blanks, so it is nobody's key.
func commandOf(item pipeline.Inbound, t pipeline.EventType) string {
	return fmt.Sprintf("inbox %d %s", item.ID, t)
}

func (b *Inbox) command(ctx context.Context, item pipeline.Inbound, to pipeline.Ref, step pipeline.Step) error {
	cmd, err := pipeline.NewCommand(step.Type, step.Data, pipeline.Actor{}, pipeline.Cause{})
	if err != nil {
		return err
	}
	cmd.Implied = step.Implied
	cmd.OccurredAt = item.ReceivedAt.UTC().Truncate(time.Millisecond)
	return b.Commander.Command(ctx, to, cmd, commandOf(item, step.Type))
}

// The bounds of the sweep: after how long without a sign of life somebody has to look after
// something that a provider told us, and after a document. Between two tries to fetch one there
// may be as much as keepEvery of package workflows.
const (
	inboundGrace  = 2 * time.Minute
	documentGrace = 30 * time.Minute
	erasureGrace  = 2 * time.Minute
	inboundLimit  = 200
)

// SweepInboundInput is empty: a sweep looks at everything.
type SweepInboundInput struct{}

// SweepInboundResult counts the workflows that were started.
type SweepInboundResult struct {
	Inbound   int
	Documents int
	Erasures  int
}

// SweepInbound finds what nobody looks after: the process died between keeping what a provider
// told us and starting the workflow for it, or Temporal lost that.
func (b *Inbox) SweepInbound(ctx context.Context, _ SweepInboundInput) (SweepInboundResult, error) {
	var out SweepInboundResult
	ids, err := b.Store.LeftInbound(ctx, inboundGrace, inboundLimit)
	if err != nil {
		return out, Failure(err)
	}
	for _, id := range ids {
		if err := b.Starter.HandleInbound(ctx, id); err != nil {
			return out, Failure(err)
		}
		out.Inbound++
	}
	documents, err := b.Store.LeftDocuments(ctx, documentGrace, inboundLimit)
	if err != nil {
		return out, Failure(err)
	}
	for _, d := range documents {
		if err := b.Starter.KeepDocument(ctx, d.CompanyID, d.UUID); err != nil {
			return out, Failure(err)
		}
		out.Documents++
	}
	erased, err := b.Store.LeftErasures(ctx, erasureGrace, inboundLimit)
	if err != nil {
		return out, Failure(err)
	}
	for _, customer := range erased {
		if err := b.Starter.EraseTraces(ctx, customer); err != nil {
			return out, Failure(err)
		}
		out.Erasures++
	}
	return out, nil
}
