package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestCreateWebhook(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	key := newKey(t, d.Store, 1, pipeline.RolePartner)
	want := pipeline.Webhook{
		CompanyID: 1, KeyID: key.ID, URL: "https://partner.example/a?b=c", Events: []string{"proposal.*", "a \"b\", {c}"},
		Format: pipeline.FormatNative, Signing: pipeline.Signing{Secret: "whsec_c2VjcmV0"}, Ordered: true, Active: true, Description: "Zoë's",
	}
	idem := pipeline.Idempotency{Scope: key.ID, Key: "K", Fingerprint: "f"}
	made, replayed, err := d.Store.CreateWebhook(t.Context(), want, pipeline.Start{}, idem)
	require.NoError(t, err)
	require.False(t, replayed)
	want.ID, want.CreatedAt, want.UpdatedAt = made.ID, made.CreatedAt, made.UpdatedAt
	require.Len(t, made.Signing.Seed, 32)
	want.Signing.Seed = made.Signing.Seed
	want.Timeout, want.MaxConcurrency = pipeline.DefaultTimeout, pipeline.DefaultMaxConcurrency
	require.Positive(t, made.ID)
	require.False(t, made.CreatedAt.IsZero())
	require.Equal(t, want, made)

	read, err := d.Store.Webhook(t.Context(), 1, key.ID, made.ID)
	require.NoError(t, err)
	require.Equal(t, want, read)

	again, replayed, err := d.Store.CreateWebhook(t.Context(), want, pipeline.Start{}, idem)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, made, again, "the secret too")
	require.Equal(t, 1, count(t, d, `SELECT count(*) FROM webhooks`))

	_, _, err = d.Store.CreateWebhook(t.Context(), want, pipeline.Start{}, pipeline.Idempotency{Scope: key.ID, Key: "K", Fingerprint: "other"})
	requireCode(t, pipeline.CodeIdempotencyKeyReused, err)
	_, replayed, err = d.Store.CreateWebhook(t.Context(), want, pipeline.Start{}, pipeline.Idempotency{Key: "K", Fingerprint: "other"})
	require.NoError(t, err)
	require.False(t, replayed)

	require.Zero(t, count(t, d, `SELECT count(*) FROM webhooks w, idempotency i
		WHERE position('c2VjcmV0' IN encode(w.secret, 'escape')) > 0 OR position('c2VjcmV0' IN encode(i.answer, 'escape')) > 0`), "sealed")
}

func TestWebhooksAreTheirOwners(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := newCompany(t, d.Store)
	mine, neighbours := newWebhook(t, d.Store, 1, []string{"*"}), newWebhook(t, d.Store, 1, []string{"*"})
	foreign := newWebhook(t, d.Store, other, []string{"*"})

	require.Equal(t, []int64{neighbours.ID, mine.ID}, webhookIDs(t, d, 1, 0, pipeline.Page{Limit: 10}))
	require.Equal(t, []int64{mine.ID}, webhookIDs(t, d, 1, 0, pipeline.Page{Limit: 10, Cursor: neighbours.ID}))
	require.Equal(t, []int64{mine.ID}, webhookIDs(t, d, 1, mine.KeyID, pipeline.Page{Limit: 10}))
	require.Equal(t, []int64{foreign.ID}, webhookIDs(t, d, other, 0, pipeline.Page{Limit: 10}))

	_, err := d.Store.Webhook(t.Context(), 1, mine.KeyID, neighbours.ID)
	requireCode(t, pipeline.CodeNotFound, err)
	_, err = d.Store.Webhook(t.Context(), 1, 0, foreign.ID)
	requireCode(t, pipeline.CodeNotFound, err)
	requireCode(t, pipeline.CodeNotFound, d.Store.DeleteWebhook(t.Context(), 1, foreign.ID))
	stolen := foreign
	stolen.CompanyID = 1
	_, _, err = d.Store.UpdateWebhook(t.Context(), stolen.CompanyID, stolen.ID, as(stolen))
	requireCode(t, pipeline.CodeNotFound, err)
}

func TestUpdateWebhook(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	other := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	p := backlog(t, d, 3)
	mine := fresh(t, d, p)
	record(t, d, delivered(mine[0]))
	handOver(t, d, mine[1].DeliveryID)

	w.URL, w.Events, w.Ordered, w.Description, w.Active = "https://new.example", []string{"customer.created"}, true, "new", false
	updated, wake, err := d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
	require.NoError(t, err)
	require.Empty(t, wake)
	require.True(t, updated.UpdatedAt.After(w.UpdatedAt))
	read, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.Equal(t, updated, read)
	require.Equal(t, []string{"delivered", "held", "held"}, statuses(t, d, w), "kept until it is switched on")
	require.Equal(t, []string{"pending", "pending", "pending"}, statuses(t, d, other))
	require.Empty(t, due(t, d, w))

	updated.Active, updated.Ordered = true, false
	updated, wake, err = d.Store.UpdateWebhook(t.Context(), updated.CompanyID, updated.ID, as(updated))
	require.NoError(t, err)
	require.Equal(t, []int64{w.ID}, wake)
	require.Equal(t, []string{"delivered", "pending", "pending"}, statuses(t, d, w))
	require.Equal(t, []string{entry(p, 2), entry(p, 3)}, entries(due(t, d, w)), "due at once, in order")

	_, wake, err = d.Store.UpdateWebhook(t.Context(), updated.CompanyID, updated.ID, as(updated))
	require.NoError(t, err)
	require.Empty(t, wake, "nothing was held")
}

func TestDeleteWebhook(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w, off := newWebhook(t, d.Store, 1, []string{"proposal.*"}), newWebhook(t, d.Store, 1, []string{"proposal.*"}, inactive)
	p := backlog(t, d, 3)
	mine := fresh(t, d, p)
	record(t, d, delivered(mine[0]))
	handOver(t, d, mine[1].DeliveryID)

	require.NoError(t, d.Store.DeleteWebhook(t.Context(), 1, w.ID))
	require.NoError(t, d.Store.DeleteWebhook(t.Context(), 1, off.ID))
	require.Equal(t, []string{"delivered", "discarded", "discarded"}, statuses(t, d, w))
	require.Equal(t, []string{"discarded", "discarded", "discarded"}, statuses(t, d, off))
	require.Empty(t, due(t, d, w))
	require.Empty(t, webhookIDs(t, d, 1, 0, pipeline.Page{Limit: 10}))
	_, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
	requireCode(t, pipeline.CodeNotFound, err)
	requireCode(t, pipeline.CodeNotFound, d.Store.DeleteWebhook(t.Context(), 1, w.ID))
	_, _, err = d.Store.UpdateWebhook(t.Context(), w.CompanyID, w.ID, as(w))
	requireCode(t, pipeline.CodeNotFound, err)
	require.Len(t, list(t, d, pipeline.DeliveryQuery{WebhookID: w.ID}), 3, "still history")
}

// A webhook is switched while an append is under way: whoever is second sees the first, so no
// delivery is left held at a webhook that is on, or pending at one that is off or gone.
//
//nolint:tparallel,paralleltest // each goes on from where the one before left the webhook
func TestWebhookSwitchedDuringAppend(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"email.sent"})
	c := newCustomer(t, d.Store, 1)
	off := w
	off.Active = false

	t.Run("the append is first", func(t *testing.T) {
		tx, err := d.DB.Beginx()
		require.NoError(t, err)
		var e pipeline.Event
		e, c = next(t, c, pipeline.TypeEmailSent, `{}`)
		_, err = d.Store.AppendIn(t.Context(), tx, e, noKey)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			_, _, err := d.Store.UpdateWebhook(context.WithoutCancel(t.Context()), off.CompanyID, off.ID, as(off))
			done <- err
		}()
		requireBlocked(t, d, "SELECT pg_advisory_xact_lock")
		require.NoError(t, tx.Commit())
		require.NoError(t, <-done)
		require.Equal(t, []string{"held"}, statuses(t, d, w))
	})
	t.Run("switched on first", func(t *testing.T) {
		tx, err := d.DB.Beginx()
		require.NoError(t, err)
		_, err = tx.Exec(`UPDATE webhooks SET active = true WHERE id = $1`, w.ID)
		require.NoError(t, err)
		done := make(chan error, 1)
		var e pipeline.Event
		e, c = next(t, c, pipeline.TypeEmailSent, `{}`)
		go func() {
			appended, err := d.Store.Append(context.WithoutCancel(t.Context()), e, noKey)
			if err == nil && appended.Deliveries != 1 {
				t.Errorf("%d deliveries wait, wanted 1", appended.Deliveries)
			}
			done <- err
		}()
		requireBlocked(t, d, "WITH moved")
		require.NoError(t, tx.Commit())
		require.NoError(t, <-done)
		require.Equal(t, []string{"held", "pending"}, statuses(t, d, w))
	})
	t.Run("deleted first", func(t *testing.T) {
		tx, err := d.DB.Beginx()
		require.NoError(t, err)
		_, err = tx.Exec(`UPDATE webhooks SET deleted_at = now() WHERE id = $1`, w.ID)
		require.NoError(t, err)
		done := make(chan error, 1)
		e, _ := next(t, c, pipeline.TypeEmailSent, `{}`)
		go func() {
			_, err := d.Store.Append(context.WithoutCancel(t.Context()), e, noKey)
			done <- err
		}()
		requireBlocked(t, d, "WITH moved")
		require.NoError(t, tx.Commit())
		require.NoError(t, <-done)
		require.Len(t, statuses(t, d, w), 2)
	})
}

// requireBlocked waits until a statement that begins so waits for a row.
func requireBlocked(t *testing.T, d database, statement string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return count(t, d, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1 || '%'`, statement) == 1
	}, patience, tick)
}

func webhookIDs(t *testing.T, d database, company, partnerKey int64, page pipeline.Page) []int64 {
	t.Helper()
	webhooks, err := d.Store.Webhooks(t.Context(), company, partnerKey, page)
	require.NoError(t, err)
	out := make([]int64, len(webhooks))
	for i, w := range webhooks {
		out[i] = w.ID
	}
	return out
}

// The process dies after a webhook was switched off, on, or deleted, and before its deliveries
// were: nothing is sent that should not be, and the sweep settles what is left.
func TestUnsettledDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	p := newProposal(t, d.Store, newCustomer(t, d.Store, 1))
	const many = 5001 // more than one batch
	repeat(t, d, p, w, many)
	swap := func(set string) {
		_, err := d.DB.Exec(`UPDATE webhooks SET `+set+` WHERE id = $1`, w.ID)
		require.NoError(t, err)
	}
	in := func(status string) int {
		return count(t, d, `SELECT count(*) FROM deliveries WHERE webhook_id = $1 AND status = $2`, w.ID, status)
	}

	swap("active = false")
	require.Empty(t, fresh(t, d, p))
	require.Equal(t, []int64{w.ID}, sweep(t, d, time.Hour))
	require.Equal(t, many, in("held"))
	require.Empty(t, sweep(t, d, time.Hour))

	swap("active = true, ordered = true")
	require.Empty(t, due(t, d, w))
	require.Equal(t, []int64{w.ID}, sweep(t, d, time.Hour))
	require.Equal(t, many, in("pending"))
	require.Equal(t, []string{entry(p, 1)}, entries(due(t, d, w)))
	require.Empty(t, sweep(t, d, time.Hour))

	swap("active = false")
	require.Empty(t, due(t, d, w))
	require.Zero(t, nextDue(t, d, w))
	swap("active = true, ordered = false")
	require.Equal(t, []int64{w.ID}, sweep(t, d, time.Hour))
	require.Len(t, due(t, d, w), 200)

	swap("active = false, deleted_at = now()")
	require.Empty(t, due(t, d, w))
	require.Equal(t, []int64{w.ID}, sweep(t, d, time.Hour))
	require.Equal(t, many, in("discarded"))
	require.Empty(t, sweep(t, d, time.Hour))
}

// What was changed since a caller read the webhook stays, and what f refuses is not written.
func TestUpdateWebhookAsItStands(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWebhook(t, d.Store, 1, []string{"proposal.*"})
	_, _, err := d.Store.DisableWebhook(t.Context(), 1, w.ID)
	require.NoError(t, err)

	updated, _, err := d.Store.UpdateWebhook(t.Context(), 1, w.ID, func(w pipeline.Webhook) (pipeline.Webhook, error) {
		w.Description = "new"
		return w, nil
	})
	require.NoError(t, err)
	require.False(t, updated.Active)
	require.Equal(t, pipeline.Text("new"), updated.Description)

	_, _, err = d.Store.UpdateWebhook(t.Context(), 1, w.ID, func(w pipeline.Webhook) (pipeline.Webhook, error) {
		w.Description = "newer"
		return w, pipeline.Errorf(pipeline.CodeInvalid, "no")
	})
	requireCode(t, pipeline.CodeInvalid, err)
	read, err := d.Store.Webhook(t.Context(), 1, 0, w.ID)
	require.NoError(t, err)
	require.Equal(t, updated.Description, read.Description)
}

// as makes a webhook as it is given, whatever it was.
func as(w pipeline.Webhook) func(pipeline.Webhook) (pipeline.Webhook, error) {
	return func(before pipeline.Webhook) (pipeline.Webhook, error) {
		w.Health = before.Health
		return w, nil
	}
}
