package worker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/dealwright/dealwright/worker"
)

// The old workers are ended as soon as the new ones run, so the work must not stay with their build.
func TestABuildThatCouldNotTakeTheWorkWhenItStartedTakesItLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &deployment{current: older, fails: serviceerror.NewUnavailable("away"), back: time.Now().Add(20 * time.Second)}
		d.register(older)
		k := worker.NewKeeper(d.versions(), newer, quiet)
		k.Start(t.Context())
		time.Sleep(31 * time.Second)
		k.Stop()
		require.Equal(t, newer, d.current)
	})
}
