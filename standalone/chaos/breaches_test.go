package main

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// plant is something wrong, in the store or in what was seen from outside, and what the checker has
// to call it.
type plant struct {
	store   []string // statements
	seen    func(*Ledger)
	windows []Window
	found   BreachKind
}

// The last event of company 1 and what belongs to it, in SQL. Its customer stays as it was before.
const (
	lastEvent   = `(SELECT max(position) FROM events WHERE company_id = 1)`
	customersIs = `UPDATE customers SET state = (SELECT state::jsonb FROM events WHERE stream = 'customer-1' ORDER BY version DESC LIMIT 1)
		WHERE id = 1`
)

func TestTheCheckerFindsEachKindOfBreach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, p := range map[string]plant{
		"an event is lost": {
			store: []string{`DELETE FROM events WHERE position = ` + lastEvent, customersIs}, found: BreachLost,
		},
		"an event is there that nobody asked for": {
			store: []string{insertLike(`'evt_twin'`)}, found: BreachDoubled,
		},
		"a signature is followed by two": {
			store: []string{insertLike(`'evt_twin', 'type', 'customer.status_changed', 'cause', (
				SELECT cause FROM events WHERE stream = 'customer-1' AND cause IS NOT NULL LIMIT 1)`)}, found: BreachDoubled,
		},
		"the answer was another event's": {
			seen: func(l *Ledger) { l.requests[2].Version++ }, found: BreachAnswer,
		},
		"the answer had another state": {
			seen: func(l *Ledger) { l.requests[2].State = []byte(`{}`) }, found: BreachAnswer,
		},
		"a signature does not reach its customer": {
			store: []string{
				`DELETE FROM events WHERE stream = 'customer-1' AND version > 1`,
				`DELETE FROM deliveries WHERE stream = 'customer-1' AND version > 1`, customersIs,
			},
			seen: func(l *Ledger) {
				forget(l, func(e pipeline.Event) bool { return e.Stream == "customer-1" && e.Version > 1 })
			},
			found: BreachFollowUp,
		},
		"a version is missing": {
			store: []string{`UPDATE events SET version = version + 1 WHERE position = ` + lastEvent}, found: BreachGap,
		},
		"a projection is not the fold": {
			store: []string{`UPDATE customers SET state = jsonb_set(state, '{status}', '7') WHERE id = 1`}, found: BreachFold,
		},
		"a projection is missing": {
			store: []string{`DELETE FROM proposals`}, found: BreachFold,
		},
		"the state beside an event is not the fold": {
			seen: func(l *Ledger) { l.feeds[1][3].State = []byte(`{"id":1}`) }, found: BreachFold,
		},
		"what was refused was recorded": {
			seen: func(l *Ledger) { l.requests[3].Outcome = OutcomeRefused }, found: BreachTrace,
		},
		"the key of what was refused is remembered": {
			store: []string{`INSERT INTO idempotency (company_id, scope, key, fingerprint, event_id)
				VALUES (1, 0, 'refused', '', 'evt_other')`}, found: BreachTrace,
		},
		"a delivery is missing": {
			store: []string{`DELETE FROM deliveries WHERE event_position = ` + lastEvent}, found: BreachNoDelivery,
		},
		"a delivery is there twice": {
			store: []string{`ALTER TABLE deliveries DROP CONSTRAINT deliveries_once`, `INSERT INTO deliveries
				(company_id, webhook_id, event_position, stream, version, status)
				SELECT company_id, webhook_id, event_position, stream, version, status FROM deliveries LIMIT 1`}, found: BreachDelivery,
		},
		"a delivery is there that the filter does not want": {
			store: []string{`INSERT INTO deliveries (company_id, webhook_id, event_position, stream, version, status)
				SELECT 1, w.id, e.position, e.stream, e.version, 'delivered' FROM webhooks w, events e
				WHERE w.filter IS NOT NULL AND e.type = 'proposal.requested'`}, found: BreachDelivery,
		},
		"a delivery is pending":   {store: []string{`UPDATE deliveries SET status = 'pending' WHERE id = 3`}, found: BreachUnsent},
		"a delivery is given up":  {store: []string{`UPDATE deliveries SET status = 'exhausted' WHERE id = 3`}, found: BreachUnsent},
		"nobody took a delivery":  {seen: func(l *Ledger) { l.receptions[4].Status = 500 }, found: BreachNotReceived},
		"nobody saw a delivery":   {seen: func(l *Ledger) { l.receptions = l.receptions[1:] }, found: BreachNotReceived},
		"another webhook-id":      {seen: again(func(r *Reception) { r.MessageID = "evt_other" }), found: BreachMessage},
		"another seq":             {seen: again(func(r *Reception) { r.Version++ }), found: BreachMessage},
		"an event of nowhere":     {seen: again(func(r *Reception) { r.EventID, r.MessageID = "evt_other", "evt_other" }), found: BreachMessage},
		"out of order":            {seen: swapped("steady"), found: BreachOrder},
		"overtaken":               {seen: untaken, found: BreachOvertaken},
		"overtaken by a retry":    {seen: takenLate, found: BreachOvertaken},
		"a feed skipped an event": {seen: func(l *Ledger) { l.feeds[1] = slices.Delete(l.feeds[1], 2, 3) }, found: BreachFeed},
		"a feed went back":        {seen: func(l *Ledger) { l.feeds[1] = append(l.feeds[1], l.feeds[1][2]) }, found: BreachFeed},
		"a feed has what is not there": {
			seen: func(l *Ledger) { l.feeds[1][2].ID = "evt_other" }, found: BreachFeed,
		},
		"a feed has another company's": {
			seen: func(l *Ledger) { l.feeds[1] = append(l.feeds[1], l.feeds[2]...) }, found: BreachForeign,
		},
		"a receiver got another company's": {
			seen: again(func(r *Reception) { r.WebhookID = 4 }), found: BreachForeign,
		},
		"a delivery of another company's": {
			store: []string{`INSERT INTO deliveries (company_id, webhook_id, event_position, stream, version, status)
				SELECT 1, 4, position, stream, version, 'delivered' FROM events WHERE position = ` + lastEvent}, found: BreachForeign,
		},
		"a webhook waited without a fault": {seen: late(1), found: BreachStalled},
		"late after the last fault": {
			seen: late(2), windows: []Window{{Fault: "kill", From: began, Healed: began.Add(time.Second)}}, found: BreachLate,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, ledger := w.copied(t)
			for _, statement := range p.store {
				_, err := db.Exec(statement)
				require.NoError(t, err)
			}
			if p.seen != nil {
				p.seen(ledger)
			}
			report, err := Check(t.Context(), db, ledger, p.windows)
			require.NoError(t, err)
			kinds := make([]BreachKind, len(report.Breaches))
			for i, b := range report.Breaches {
				kinds[i] = b.Kind
			}
			require.Contains(t, kinds, p.found, "%v", report.Breaches)
		})
	}
	t.Run("nothing is wrong", func(t *testing.T) {
		t.Parallel()
		db, ledger := w.copied(t)
		report, err := Check(t.Context(), db, ledger, []Window{{Fault: "kill", From: began, Healed: began.Add(time.Second)}})
		require.NoError(t, err)
		require.Empty(t, report.Breaches)
		require.Equal(t, 9, report.Acked)
		require.Equal(t, 1, report.Refused)
		require.Equal(t, []Row{{Fault: quiet}, {
			Fault: "kill", Times: 1, Acked: 9, LongestStall: 10 * time.Millisecond, UntilDelivered: 10 * time.Millisecond,
		}}, report.PerFault)
	})
}

// insertLike copies company 1's last event, with another place, version and id.
func insertLike(id string) string {
	//nolint:unqueryvet // all columns, whichever there are, are copied
	return `INSERT INTO events SELECT e.* FROM events o, jsonb_populate_record(o, jsonb_build_object(
		'position', nextval('event_positions'), 'version', o.version + 1, 'id', ` + id + `)) e WHERE o.position = ` + lastEvent
}

// forget has nobody heard of some events.
func forget(l *Ledger, which func(pipeline.Event) bool) {
	ids := map[string]bool{}
	for company, events := range l.feeds {
		for _, e := range events {
			ids[e.ID] = which(e)
		}
		l.feeds[company] = slices.DeleteFunc(events, which)
	}
	l.requests = slices.DeleteFunc(l.requests, func(r Request) bool { return ids[r.EventID] })
	l.receptions = slices.DeleteFunc(l.receptions, func(r Reception) bool { return ids[r.EventID] })
}

// again has the first reception come once more, with a difference.
func again(change func(*Reception)) func(*Ledger) {
	return func(l *Ledger) {
		r := l.receptions[0]
		change(&r)
		l.receptions = append(l.receptions, r)
	}
}

// of gives the receptions of a webhook of the proposal's events.
func of(l *Ledger, name string) []*Reception {
	hook := l.hooks[slices.IndexFunc(l.hooks, func(h Subscription) bool { return h.Name == name })]
	var all []*Reception
	for i := range l.receptions {
		if r := &l.receptions[i]; r.WebhookID == hook.ID && r.Stream == "proposal-1" {
			all = append(all, r)
		}
	}
	return all
}

func swapped(name string) func(*Ledger) {
	return func(l *Ledger) {
		all := of(l, name)
		all[1].At, all[2].At = all[2].At, all[1].At
	}
}

// untaken: the ordered webhook was sent the next although it had refused one.
func untaken(l *Ledger) {
	first := of(l, "ordered")[1]
	first.Status = 500
	retry := *first
	retry.Status, retry.At, retry.Answered = 204, retry.At.Add(time.Hour), retry.Answered.Add(time.Hour)
	l.receptions = append(l.receptions, retry)
}

// takenLate: the ordered webhook was sent the next while it had not answered yet.
func takenLate(l *Ledger) {
	first := of(l, "ordered")[1]
	first.Answered = first.Answered.Add(2 * time.Second)
}

// late has the nth webhook take the newest event half a minute after it was asked for.
func late(hook int64) func(*Ledger) {
	return func(l *Ledger) {
		all := slices.DeleteFunc(slices.Clone(l.receptions), func(r Reception) bool { return r.WebhookID != hook })
		newest := all[len(all)-1]
		for i := range l.receptions {
			if l.receptions[i] == newest {
				l.receptions[i].At = newest.At.Add(30 * time.Second)
			}
		}
	}
}
