package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// board is where all clients of the load see each other's entities, so that two now and then ask for
// something at the same time, or ask for what is not theirs.
type board struct {
	mu   sync.Mutex
	seen []sighting
}

type sighting struct {
	companyID int64
	stream    pipeline.Stream
}

func (b *board) pin(companyID int64, s pipeline.Stream) {
	const kept = 200
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, sighting{companyID, s})
	b.seen = b.seen[max(0, len(b.seen)-kept):]
}

// pick gives an entity of a company, or of another one.
func (b *board) pick(random *rand.Rand, companyID int64, own bool) (pipeline.Stream, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fit := slices.DeleteFunc(slices.Clone(b.seen), func(s sighting) bool { return (s.companyID == companyID) != own })
	if len(fit) == 0 {
		return "", false
	}
	return fit[random.IntN(len(fit))].stream, true
}

// driver is a client that drives deals, one after the other, at its own pace.
type driver struct {
	load    *Load
	party   *party
	clients [2]*client // the second is for what is asked twice at the same time
	random  *rand.Rand
	step    time.Duration
	first   time.Duration
	keys    int
	due     time.Time
}

func (d *driver) drive(ctx context.Context) {
	defer d.clients[0].close()
	defer d.clients[1].close()
	d.due = time.Now().Add(d.first)
	for d.turn() && ctx.Err() == nil {
		d.deal(ctx)
	}
}

// turn waits until the driver may ask again. What a fault has delayed is not made up for.
func (d *driver) turn() bool {
	now := time.Now()
	wait := d.due.Sub(now)
	d.due = latest(d.due.Add(d.step), now)
	return d.load.wait(max(0, wait))
}

// chance is true in so many of a hundred cases.
func (d *driver) chance(percent int) bool { return d.random.IntN(100) < percent }

func (d *driver) key() string {
	d.keys++
	return fmt.Sprintf("chaos-%s-%d-%d-%d", d.party.name, d.load.options.Seed, d.first, d.keys)
}

// deal is a customer and their proposals, until they are sold or nobody cares any more.
func (d *driver) deal(ctx context.Context) {
	customer, ok := begin[pipeline.Customer](ctx, d, "/v1/customers", pipeline.TypeCustomerCreated, map[string]any{
		"name": "Ada Byrne", "email": fmt.Sprintf("ada.%d@example.com", d.random.Int32()), "type": "RESIDENTIAL",
	})
	if !ok {
		return
	}
	for range 1 + d.random.IntN(2) {
		if !d.turn() {
			return
		}
		draft := d.chance(30)
		first := pipeline.TypeProposalRequested
		if draft {
			first = pipeline.TypeProposalDrafted
		}
		path := fmt.Sprintf("/v1/customers/%d/proposals", customer.ID)
		proposal, ok := begin[pipeline.Proposal](ctx, d, path, first, map[string]any{"nickname": "north roof", "draft": draft})
		if !ok {
			return
		}
		d.walk(ctx, &customer, &proposal)
	}
}

// begin makes an entity.
func begin[S pipeline.State[S]](ctx context.Context, d *driver, path string, t pipeline.EventType, body any) (S, bool) {
	var state S
	in := asking{call: call{method: http.MethodPost, path: path, key: d.key(), body: body}, t: t}
	if a, acked := d.ask(ctx, in); !acked || json.Unmarshal(a.State, &state) != nil {
		return state, false
	}
	d.load.board.pin(d.party.id, state.Ref().Stream())
	return state, true
}

// way is the way to a sale. What else may happen does so in between.
var way = []pipeline.EventType{
	pipeline.TypeProposalRequested, pipeline.TypeProposalSent, pipeline.TypeProposalSelected, pipeline.TypeContractRequested,
	pipeline.TypeContractSent, pipeline.TypeContractSigned, pipeline.TypeProposalSold,
}

// walk takes a proposal to its sale, with detours.
func (d *driver) walk(ctx context.Context, customer *pipeline.Customer, proposal *pipeline.Proposal) {
	const longest = 25
	done := map[pipeline.EventType]bool{}
	for range longest {
		if !d.turn() || ctx.Err() != nil {
			return
		}
		switch {
		case d.chance(12):
			move(ctx, d, customer, d.any(customer.Allowed()))
		case d.chance(5):
			d.meddle(ctx)
		case d.chance(4):
			d.trespass(ctx)
		case d.chance(8):
			d.offend(ctx, *proposal)
		case d.chance(20):
			move(ctx, d, proposal, d.any(proposal.Allowed()))
		default:
			next := slices.IndexFunc(way, func(t pipeline.EventType) bool { return !done[t] && slices.Contains(proposal.Allowed(), t) })
			if next < 0 {
				return
			}
			move(ctx, d, proposal, way[next])
			done[way[next]] = way[next] == pipeline.TypeProposalSent // it may be sent again, for ever
		}
		if proposal.Status == pipeline.StateSold && proposal.ContractStatus == pipeline.StateSigned {
			return
		}
	}
}

// any picks one of what is legal. That a document was stored is for the engine to say.
func (d *driver) any(legal []pipeline.EventType) pipeline.EventType {
	legal = slices.DeleteFunc(slices.Clone(legal), func(t pipeline.EventType) bool { return t == pipeline.TypeContractDocumentStored })
	return legal[d.random.IntN(len(legal))]
}

// move asks for something that was legal by the last answer. Another client may have been before us:
// then it is refused, and the entity is read again.
func move[S pipeline.State[S]](ctx context.Context, d *driver, state *S, t pipeline.EventType) {
	stream := (*state).Ref().Stream()
	a, acked := d.ask(ctx, d.transition(stream, t))
	if acked && json.Unmarshal(a.State, state) == nil {
		return
	}
	d.reread(ctx, stream, state)
}

func (d *driver) reread(ctx context.Context, s pipeline.Stream, state any) {
	a, err := d.clients[0].do(ctx, call{method: http.MethodGet, path: pathOf(s)})
	if err == nil && (!a.ok() || json.Unmarshal(a.body, state) != nil) {
		d.load.ledger.complain(breachf(BreachRefusal, time.Now(), "%s cannot be read: %d %s", s, a.status, a.problem().Detail))
	}
}

// offend asks for what is not legal.
func (d *driver) offend(ctx context.Context, p pipeline.Proposal) {
	legal := p.Allowed()
	var illegal []pipeline.EventType
	for _, r := range pipeline.Rules(pipeline.KindProposal) {
		if !slices.Contains(legal, r.Type) && r.Type != pipeline.TypeContractDocumentStored && r.Type != pipeline.TypeProposalDrafted {
			illegal = append(illegal, r.Type)
		}
	}
	if len(illegal) > 0 {
		d.ask(ctx, d.transition(p.Ref().Stream(), illegal[d.random.IntN(len(illegal))]))
	}
}

// meddle writes to an entity that another client may be writing to at this moment.
func (d *driver) meddle(ctx context.Context) {
	if s, ok := d.load.board.pick(d.random, d.party.id, true); ok {
		d.ask(ctx, d.transition(s, pipeline.TypeEmailSent))
	}
}

// trespass looks at, and writes to, what is another company's: there is no such thing for us.
func (d *driver) trespass(ctx context.Context) {
	s, ok := d.load.board.pick(d.random, d.party.id, false)
	if !ok {
		return
	}
	in := d.transition(s, pipeline.TypeEmailSent)
	if d.chance(50) {
		in.call = call{method: http.MethodGet, path: pathOf(s)}
	}
	a, err := d.clients[0].do(ctx, in.call)
	if err != nil {
		return
	}
	if a.status != http.StatusNotFound {
		d.load.ledger.complain(breachf(BreachForeign, time.Now(), "%s %s answered %d to %s", in.method, in.path, a.status, d.party.name))
	}
	if in.key != "" {
		d.load.ledger.noteRequest(Request{
			Key: in.key, CompanyID: d.party.id, Stream: s, Type: in.t, Answered: time.Now(), Outcome: OutcomeRefused, Status: a.status,
		})
	}
}

func pathOf(s pipeline.Stream) string {
	return "/v1/" + string(s.Kind()) + "s/" + strconv.FormatInt(entityID(s), 10)
}

func (d *driver) transition(s pipeline.Stream, t pipeline.EventType) asking {
	body := map[string]any{"type": t, "data": d.data(t), "actor": map[string]any{"user_id": 1 + d.random.IntN(50)}}
	return asking{call: call{method: http.MethodPost, path: pathOf(s) + "/transitions", key: d.key(), body: body}, t: t, stream: s}
}

// data is what an event of a type needs to be told.
func (d *driver) data(t pipeline.EventType) map[string]any {
	switch t {
	case pipeline.TypeCustomerUpdated:
		return map[string]any{"phone": fmt.Sprintf("+61 2 5550 %04d", d.random.IntN(10000))}
	case pipeline.TypeCustomerStatusChanged:
		return map[string]any{"status": []int{0, 1, 3}[d.random.IntN(3)]}
	case pipeline.TypeAppointmentSet:
		return map[string]any{"starts_at": time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339), "location": "123 Main St"}
	case pipeline.TypeEmailSent:
		return map[string]any{"to": "ada@example.com", "subject": "Your proposal"}
	case pipeline.TypeSMSSent:
		return map[string]any{"body": "We are on our way"}
	case pipeline.TypeProposalSaved:
		return map[string]any{"nickname": fmt.Sprintf("roof %d", d.random.IntN(100))}
	case pipeline.TypeProposalSent:
		return map[string]any{"channel": "email"}
	case pipeline.TypeProposalLinkPublished:
		return map[string]any{"url": "https://proposals.example.com/p/1"}
	case pipeline.TypeCreditRan:
		return map[string]any{"outcome": "approved", "provider": "Example Credit"}
	case pipeline.TypeContractSent:
		return map[string]any{"envelope_id": "env-1"}
	case pipeline.TypeContractSigned:
		if d.chance(40) {
			return map[string]any{"document_url": d.load.receivers.documentURL(fmt.Sprintf("contract-%d.pdf", d.random.Int32()))}
		}
	default:
	}
	return map[string]any{}
}

// asking is a command on its way to a stream; of a creation the stream is not known yet.
type asking struct {
	call

	t      pipeline.EventType
	stream pipeline.Stream
}

// outcome is what an API answers to a command: of a creation the state alone, which is then all.
type outcome struct {
	Event struct {
		ID  string `json:"id"`
		Seq int64  `json:"seq"`
	} `json:"event"`
	State json.RawMessage `json:"state"`
}

// ask asks for a command until there is an answer, notes it, and now and then asks once more.
func (d *driver) ask(ctx context.Context, in asking) (out outcome, acked bool) {
	r := Request{Key: in.key, CompanyID: d.party.id, Stream: in.stream, Type: in.t, Sent: time.Now()}
	a, err := d.once(ctx, in)
	r.Answered, r.Tries, r.Status = time.Now(), a.tries, a.status
	switch {
	case err != nil:
		r.Outcome = OutcomeOpen
	case a.status == http.StatusCreated:
		if out, err = read(in, a); err != nil {
			d.load.ledger.complain(breachf(BreachAnswer, r.Answered, "%s: %v", in.path, err))
			return out, false
		}
		var ref struct {
			ID int64 `json:"id"`
		}
		_ = json.Unmarshal(out.State, &ref) // read has done so before
		if in.stream == "" {
			r.Stream = pipeline.StreamOf(kindOf(in.t), ref.ID)
			out.Event.ID, out.Event.Seq = pipeline.EventID(r.Stream, in.key), 1
		}
		r.Outcome, acked = OutcomeAcked, true
		r.EventID, r.Version, r.State = out.Event.ID, out.Event.Seq, out.State
	default:
		r.Outcome = OutcomeRefused
		if !rightlyRefused(in.t, a) {
			d.load.ledger.complain(breachf(BreachRefusal, r.Answered, "%s %s: %d %s", in.path, in.t, a.status, a.problem().Detail))
		}
	}
	d.load.ledger.noteRequest(r)
	if acked && d.chance(6) {
		d.repeat(ctx, in, a)
	}
	return out, acked
}

// rightlyRefused: what is illegal, and a status that the customer has already.
func rightlyRefused(t pipeline.EventType, a answer) bool {
	switch code := a.problem().Code; a.status {
	case http.StatusConflict:
		return code == pipeline.CodeIllegalTransition
	case http.StatusUnprocessableEntity:
		return code == pipeline.CodeInvalid && t == pipeline.TypeCustomerStatusChanged
	default:
		return false
	}
}

// once asks for a command; now and then by two APIs at the same time, which then answer the same.
func (d *driver) once(ctx context.Context, in asking) (a answer, err error) {
	if !d.chance(3) {
		return d.clients[0].do(ctx, in.call)
	}
	var twin answer
	var twinErr error
	both(func() { twin, twinErr = d.clients[1].do(ctx, in.call) }, func() { a, err = d.clients[0].do(ctx, in.call) })
	if err == nil && twinErr == nil {
		d.compare(in, a, twin)
	}
	return a, err
}

// repeat asks for what was done before: the same again is answered as before, and under the same key
// nothing else can be asked for.
func (d *driver) repeat(ctx context.Context, in asking, before answer) {
	if d.chance(70) {
		if again, err := d.clients[0].do(ctx, in.call); err == nil {
			d.compare(in, before, again)
		}
		return
	}
	other := in.call
	other.body = map[string]any{"type": pipeline.TypeSMSSent, "data": map[string]any{"body": "something else"}}
	if in.stream == "" {
		other.body = map[string]any{"name": "Somebody Else", "email": "else@example.com"}
		if kindOf(in.t) == pipeline.KindProposal {
			other.body = map[string]any{"nickname": "another roof"}
		}
	}
	a, err := d.clients[0].do(ctx, other)
	if err != nil {
		return
	}
	d.load.ledger.noteRepeat()
	if a.status != http.StatusUnprocessableEntity || a.problem().Code != pipeline.CodeIdempotencyKeyReused {
		d.load.ledger.complain(breachf(BreachAnswer, time.Now(), "another request with the key of %s %s was answered %d %s",
			in.path, in.t, a.status, a.problem().Detail))
	}
}

func (d *driver) compare(in asking, a, b answer) {
	d.load.ledger.noteRepeat()
	x, errX := read(in, a)
	y, errY := read(in, b)
	if a.status != b.status || errX != nil || errY != nil || x.Event != y.Event || !equalJSON(x.State, y.State) {
		d.load.ledger.complain(breachf(BreachAnswer, time.Now(), "the same again, %s %s, was answered %d %.300s and %d %.300s",
			in.path, in.t, a.status, a.body, b.status, b.body))
	}
}

func read(in asking, a answer) (out outcome, err error) {
	if !a.ok() {
		return outcome{State: []byte("{}")}, nil
	}
	if in.stream == "" {
		return outcome{State: a.body}, json.Unmarshal(a.body, &struct{}{})
	}
	err = json.Unmarshal(a.body, &out)
	return out, err
}

func kindOf(t pipeline.EventType) pipeline.Kind {
	if t == pipeline.TypeCustomerCreated {
		return pipeline.KindCustomer
	}
	return pipeline.KindProposal
}
