package e2e_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

func TestWhatIsKilledComesBackWithAllItHad(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	partner := newReceiver(t)
	running := startProcess(t, dir)
	key := running.ready.Key
	h := running.company().webhook(t, partner.URL+"/", nil)
	stream := running.company().customer(t).Ref().Stream()
	types := []pipeline.EventType{pipeline.TypeCustomerCreated}
	goOn := func(t *testing.T) {
		t.Helper()
		c := running.company()
		c.moved(t, stream, pipeline.TypeEmailSent, nil)
		types = append(types, pipeline.TypeEmailSent)
		c.requireStream(t, stream, types...)
		c.allAre(t, h, pipeline.DeliveryDelivered, len(types))
		require.Equal(t, upTo(len(types)), partner.firstOf("/", stream))
	}
	goOn(t)
	parent := t // what is started in one step is there for the next

	t.Run("the process alone, its Postgres is left to itself", func(t *testing.T) {
		running.kill()
		running = startProcess(parent, dir)
		require.Equal(t, key, running.ready.Key)
		goOn(t)
	})

	t.Run("all at once, as by a power cut", func(t *testing.T) {
		pid := postmaster(t, dir)
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP)) // or it would have time to leave in order
		running.kill()
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		running = startProcess(parent, dir)
		goOn(t)
	})

	t.Run("a second one may not use the same folder", func(t *testing.T) {
		status, said := runToEnd(t, command(t, dir))
		require.Equal(t, 1, status)
		require.Contains(t, said, "is in use by another dealwright")
		require.Contains(t, said, "DEALWRIGHT_DATA")
		goOn(t)
	})

	t.Run("asked to end, it leaves nothing behind", func(t *testing.T) {
		all := family(t, running.Process.Pid)
		require.Greater(t, len(all), 2, "Postgres and its own processes are among them")
		require.NoError(t, running.Process.Signal(syscall.SIGTERM))
		<-running.done
		require.NoError(t, running.err, "%s", running.output.String())
		for _, pid := range all {
			gone(t, pid)
		}
		require.NoFileExists(t, filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	})
}

func TestWhatIsSetWrongIsSaidClearly(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for setting, says := range map[string]string{
		"DEALWRIGHT_ADDR=nonsense":                            "DEALWRIGHT_ADDR",
		"DEALWRIGHT_ADDR=127.0.0.1:99999":                     "DEALWRIGHT_ADDR",
		"DEALWRIGHT_DATA=" + file:                             "DEALWRIGHT_DATA",
		"DEALWRIGHT_TEMPORAL_PORT=many":                       "DEALWRIGHT_TEMPORAL_PORT",
		"DEALWRIGHT_UI_PORT=-1":                               "DEALWRIGHT_UI_PORT",
		"DEALWRIGHT_KEY=secret":                               "DEALWRIGHT_KEY",
		"DEALWRIGHT_ENCRYPTION_KEY=short":                     "DEALWRIGHT_ENCRYPTION_KEY",
		"DEALWRIGHT_ALLOW_TARGETS=everything":                 "DEALWRIGHT_ALLOW_TARGETS",
		"DEALWRIGHT_RETRY_SCHEDULE=soon":                      "DEALWRIGHT_RETRY_SCHEDULE",
		"DEALWRIGHT_LOG_LEVEL=loud":                           "DEALWRIGHT_LOG_LEVEL",
		"DEALWRIGHT_LOG_FORMAT=xml":                           "DEALWRIGHT_LOG_FORMAT",
		"DEALWRIGHT_MAX_CONNS=some":                           "DEALWRIGHT_MAX_CONNS",
		"DATABASE_URL=mysql://root@localhost:3306/dealwright": "DATABASE_URL",
	} {
		t.Run(setting, func(t *testing.T) {
			status, said := runToEnd(t, command(t, newFolder(t), setting))
			require.Equal(t, 1, status, "%s", said)
			require.Contains(t, said, says)
			require.NotContains(t, said, "panic")
			require.NotContains(t, said, "goroutine")
		})
	}
}
