package activities_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
)

// pruning has so many old rows.
type pruning struct {
	attempts, deliveries, inbox, idempotency, incoming int64

	takes   time.Duration // one batch
	fails   error
	befores map[string]time.Time
}

func (p *pruning) PruneAttempts(_ context.Context, before time.Time, limit int) (int64, error) {
	return p.prune("attempts", &p.attempts, before, limit)
}

func (p *pruning) PruneDeliveries(_ context.Context, before time.Time, limit int) (int64, error) {
	return p.prune("deliveries", &p.deliveries, before, limit)
}

func (p *pruning) PruneInbox(_ context.Context, before time.Time, limit int) (int64, error) {
	return p.prune("inbox", &p.inbox, before, limit)
}

func (p *pruning) PruneIdempotency(_ context.Context, before time.Time, limit int) (int64, error) {
	return p.prune("idempotency", &p.idempotency, before, limit)
}

func (p *pruning) PruneIncoming(_ context.Context, before time.Time, limit int) (int64, error) {
	return p.prune("incoming", &p.incoming, before, limit)
}

func (p *pruning) prune(what string, left *int64, before time.Time, limit int) (int64, error) {
	if p.fails != nil {
		return 0, p.fails
	}
	if p.befores == nil {
		p.befores = map[string]time.Time{}
	}
	p.befores[what] = before
	time.Sleep(p.takes)
	n := min(*left, int64(limit))
	*left -= n
	return n, nil
}

func newRetention(store *pruning) *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(&activities.Retention{
		Store: store, Incoming: store, KeepAttempts: time.Hour, KeepDeliveries: 3 * time.Hour, KeepInbox: 4 * time.Hour,
		KeepIdempotency: 5 * time.Hour,
	})
	return env
}

var retention *activities.Retention

func TestPruneTakesAllThatIsOldInBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &pruning{
			attempts: 3*activities.PruneLimit + 7, deliveries: activities.PruneLimit, inbox: 3, idempotency: activities.PruneLimit + 1, incoming: 2,
		}
		out, err := run(newRetention(store), retention.Prune, activities.PruneInput{})
		require.NoError(t, err)
		require.Equal(t, activities.PruneResult{
			Attempts: 3*activities.PruneLimit + 7, Deliveries: activities.PruneLimit, Inbox: 3, Idempotency: activities.PruneLimit + 1, Incoming: 2,
		}, out)
		require.Equal(t, map[string]time.Time{
			"attempts": time.Now().Add(-time.Hour), "deliveries": time.Now().Add(-3 * time.Hour), "inbox": time.Now().Add(-4 * time.Hour),
			"idempotency": time.Now().Add(-5 * time.Hour), "incoming": time.Now().Add(-7 * 24 * time.Hour),
		}, store.befores)
	})
}

func TestPruneLeavesTheRestToTheNextRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &pruning{attempts: 100 * activities.PruneLimit, takes: 30 * time.Second}
		out, err := run(newRetention(store), retention.Prune, activities.PruneInput{})
		require.NoError(t, err)
		require.Equal(t, activities.PruneResult{Attempts: 10 * activities.PruneLimit, More: true}, out)
	})
}

func TestPruneStopsWithItsWorker(t *testing.T) {
	t.Parallel()
	store := &pruning{attempts: 1}
	env := newRetention(store)
	stop := make(chan struct{})
	close(stop)
	env.SetWorkerStopChannel(stop)
	out, err := run(env, retention.Prune, activities.PruneInput{})
	require.NoError(t, err)
	require.Equal(t, activities.PruneResult{More: true}, out)
	require.Equal(t, int64(1), store.attempts)
}

func TestPruneGoesOnCounting(t *testing.T) {
	t.Parallel()
	env := newRetention(&pruning{attempts: 5, deliveries: 2})
	env.SetHeartbeatDetails(activities.PruneResult{Attempts: 100, Deliveries: 10})
	out, err := run(env, retention.Prune, activities.PruneInput{})
	require.NoError(t, err)
	require.Equal(t, activities.PruneResult{Attempts: 105, Deliveries: 12}, out)
}

func TestPruneReportsWhatTheStoreCannotDo(t *testing.T) {
	t.Parallel()
	_, err := run(newRetention(&pruning{fails: unavailable}), retention.Prune, activities.PruneInput{})
	requireFailure(t, err, pipeline.CodeUnavailable, true)
}
