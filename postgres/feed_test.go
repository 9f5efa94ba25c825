package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// The case that a feed by "position > n" loses events in: an append has drawn its position and
// is not committed, and a later one would be visible before it.
func TestFeedNeverSkipsALateCommit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	slow, quick, foreign := newCustomer(t, d.Store, 1), newCustomer(t, d.Store, 1), newCustomer(t, d.Store, other)
	start := lastPosition(t, d)

	late, err := d.DB.Beginx()
	require.NoError(t, err)
	e, _ := next(t, slow, pipeline.TypeEmailSent, `{}`)
	lateAppended, err := d.Store.AppendIn(t.Context(), late, e, noKey)
	require.NoError(t, err)

	done := make(chan pipeline.Appended, 1)
	failed := make(chan error, 1)
	later, _ := next(t, quick, pipeline.TypeSMSSent, `{}`)
	go func() {
		appended, err := d.Store.Append(context.WithoutCancel(t.Context()), later, noKey)
		if err != nil {
			failed <- err
			return
		}
		done <- appended
	}()
	requireWaiting(t, d)
	require.Empty(t, feed(t, d, pipeline.FeedQuery{CompanyID: 1, After: start, Limit: 10}), "nothing before the late one")

	// Another company does not wait.
	_, foreignAppended := happen(t, d.Store, foreign, pipeline.TypeEmailSent, `{}`)
	require.Equal(t, []int64{foreignAppended.Position}, positions(feed(t, d, pipeline.FeedQuery{CompanyID: other, After: start, Limit: 10})))
	requireWaiting(t, d)

	require.NoError(t, late.Commit())
	var laterAppended pipeline.Appended
	select {
	case laterAppended = <-done:
	case err := <-failed:
		require.NoError(t, err)
	}
	want := []int64{lateAppended.Position, laterAppended.Position}
	require.IsIncreasing(t, want)
	require.Equal(t, want, readThrough(t, d, pipeline.FeedQuery{CompanyID: 1, After: start, Limit: 1}))
}

// An append that is undone leaves a hole in the positions and no event in the feed.
func TestFeedPassesOverWhatWasUndone(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := newCustomer(t, d.Store, 1)
	start := lastPosition(t, d)
	tx, err := d.DB.Beginx()
	require.NoError(t, err)
	e, _ := next(t, c, pipeline.TypeEmailSent, `{}`)
	_, err = d.Store.AppendIn(t.Context(), tx, e, noKey)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())

	_, appended := happen(t, d.Store, c, pipeline.TypeSMSSent, `{}`)
	require.Equal(t, []int64{appended.Position}, positions(feed(t, d, pipeline.FeedQuery{CompanyID: 1, After: start, Limit: 10})))
	require.Equal(t, appended.Position, lastPosition(t, d))
}

// Readers that follow the feed while many write see every event once and in order.
func TestFeedWhileMany(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 25
	d := newDatabase(t)
	var all sync.WaitGroup
	for range writers {
		c := newCustomer(t, d.Store, 1)
		all.Go(func() {
			for range each {
				command := pipeline.Command{Type: pipeline.TypeEmailSent, OccurredAt: noon}
				e, after, err := pipeline.Next(c, command, fmt.Sprint("many ", commands.Add(1)))
				if err == nil {
					_, err = d.Store.Append(t.Context(), e, noKey)
				}
				if err != nil {
					t.Error(err)
					return
				}
				c = after
			}
		})
	}
	finished := make(chan struct{})
	go func() { all.Wait(); close(finished) }()

	var seen []int64
	after := int64(0)
	for over := false; ; {
		page := feed(t, d, pipeline.FeedQuery{CompanyID: 1, After: after, Limit: 3})
		if len(page) > 0 {
			seen = append(seen, positions(page)...)
			after = seen[len(seen)-1]
			continue
		}
		if over {
			break
		}
		select {
		case <-finished:
			over = true // and read once more
		default:
		}
	}
	require.Len(t, seen, writers*(each+1))
	require.IsIncreasing(t, seen)
}

func TestFeedFilters(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	key := newKey(t, d.Store, 1, pipeline.RolePartner)
	ofKey := func(w *pipeline.Webhook) { w.KeyID = key.ID }
	newWebhook(t, d.Store, 1, []string{"proposal.*"}, ofKey)
	newWebhook(t, d.Store, 1, []string{"proposal.sent", "contract.sent"}, ofKey, inactive)
	gone := newWebhook(t, d.Store, 1, []string{"customer.created"}, ofKey)
	newWebhook(t, d.Store, 1, []string{"*"})
	c := newCustomer(t, d.Store, 1)
	require.NoError(t, d.Store.DeleteWebhook(t.Context(), 1, gone.ID))
	p := newProposal(t, d.Store, c)
	for _, step := range walk {
		p, _ = happen(t, d.Store, p, step, `{}`)
	}
	newCustomer(t, d.Store, 1)
	newCustomer(t, d.Store, other)

	story := []pipeline.EventType{
		"customer.created", "proposal.requested", "proposal.sent", "proposal.selected",
		"contract.requested", "contract.sent", "contract.signed", "customer.created",
	}
	for _, test := range []struct {
		name  string
		query pipeline.FeedQuery
		want  []pipeline.EventType
	}{
		{"all", pipeline.FeedQuery{}, story},
		{"a type", pipeline.FeedQuery{Types: []string{"customer.created"}}, []pipeline.EventType{"customer.created", "customer.created"}},
		{
			"types, one twice, one unknown",
			pipeline.FeedQuery{Types: []string{"proposal.sent", "contract.signed", "proposal.sent", "no.such"}},
			[]pipeline.EventType{"proposal.sent", "contract.signed"},
		},
		{"no event of that type", pipeline.FeedQuery{Types: []string{"credit.ran"}}, []pipeline.EventType{}},
		{
			"a partner's, once each, also what a deleted or disabled webhook matched",
			pipeline.FeedQuery{PartnerKey: key.ID},
			[]pipeline.EventType{"customer.created", "proposal.requested", "proposal.sent", "proposal.selected", "contract.sent"},
		},
		{
			"a partner's of a type",
			pipeline.FeedQuery{PartnerKey: key.ID, Types: []string{"contract.sent", "contract.signed"}},
			[]pipeline.EventType{"contract.sent"},
		},
		{"a partner's without webhooks", pipeline.FeedQuery{PartnerKey: 12345}, []pipeline.EventType{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.query.CompanyID = 1
			for _, limit := range []int{1, 2, 100} {
				test.query.Limit = limit
				got := []pipeline.EventType{}
				for _, e := range follow(t, d, test.query) {
					got = append(got, e.Type)
					require.EqualValues(t, 1, e.CompanyID)
				}
				require.Equal(t, test.want, got, "limit %d", limit)
			}
		})
	}
	foreign := pipeline.FeedQuery{CompanyID: other, PartnerKey: key.ID, Limit: 100}
	require.Empty(t, feed(t, d, foreign))
}

func TestLastPosition(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	require.Zero(t, lastPosition(t, d))
	_, c := customerCreated(t, 1, 1)
	e, _ := customerCreated(t, 1, 1)
	appended, err := d.Store.Append(t.Context(), e, noKey)
	require.NoError(t, err)
	require.Equal(t, appended.Position, lastPosition(t, d))
	_, appended = happen(t, d.Store, c, pipeline.TypeEmailSent, `{}`)
	require.Equal(t, appended.Position, lastPosition(t, d))
}

func lastPosition(t *testing.T, d database) int64 {
	t.Helper()
	n, err := d.Store.LastPosition(t.Context())
	require.NoError(t, err)
	return n
}

func feed(t *testing.T, d database, q pipeline.FeedQuery) []pipeline.Event {
	t.Helper()
	events, err := d.Store.Feed(t.Context(), q)
	require.NoError(t, err)
	require.LessOrEqual(t, len(events), q.Limit)
	return events
}

// follow reads a feed page by page to its end.
func follow(t *testing.T, d database, q pipeline.FeedQuery) []pipeline.Event {
	t.Helper()
	var all []pipeline.Event
	for {
		page := feed(t, d, q)
		if len(page) == 0 {
			return all
		}
		all = slices.Concat(all, page)
		q.After = page[len(page)-1].Position
	}
}

func readThrough(t *testing.T, d database, q pipeline.FeedQuery) []int64 {
	t.Helper()
	return positions(follow(t, d, q))
}

// requireWaiting waits until an append of this database waits for its turn.
func requireWaiting(t *testing.T, d database) {
	t.Helper()
	require.Eventually(t, func() bool { return waiting(t, d.DB) == 1 }, patience, tick)
}

func waiting(t *testing.T, db *sqlx.DB) int {
	t.Helper()
	var n int
	require.NoError(t, db.Get(&n, `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database()`))
	return n
}
