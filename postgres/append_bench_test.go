package postgres_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// walk is five transitions of a proposal, each matched by one webhook.
var walk = []pipeline.EventType{
	pipeline.TypeProposalSent, pipeline.TypeProposalSelected,
	pipeline.TypeContractRequested, pipeline.TypeContractSent, pipeline.TypeContractSigned,
}

// BenchmarkAppend reports the wall-clock time of one append, the CPU time that Postgres spends
// on it (Linux only) and how much it logs, which unlike the others hardly depends on the machine. Run it with a server that keeps fsync on:
//
//	.bin/withpostgres sh -c 'psql "$DEALWRIGHT_TEST_DATABASE_URL" -qc "ALTER SYSTEM SET fsync=on" \
//	  -c "ALTER SYSTEM SET synchronous_commit=on" -c "ALTER SYSTEM SET full_page_writes=on" -c "SELECT pg_reload_conf()" &&
//	  go test ./postgres -run "^$" -bench Append -benchtime 2000x'
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name               string
		writers, companies int
		filter             string
	}{
		{"one connection", 1, 1, ""},
		{"one connection, a filter", 1, 1, `{"data.state.nickname":"Roof","data.payload.price.amount":{"$gt":10000}}`},
		{"8 connections, one company", 8, 1, ""},
		{"8 connections, 8 companies", 8, 8, ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := newDatabase(b)
			customers := make([]pipeline.Customer, c.companies)
			for i := range customers {
				company := newCompany(b, d.Store)
				newWebhook(b, d.Store, company, []string{"*"}, withFilter(c.filter))
				customers[i] = newCustomer(b, d.Store, company)
			}
			before, written := postgresCPU(b, d), postgresLog(b, d)
			b.ResetTimer()
			var writers sync.WaitGroup
			for w := range c.writers {
				writers.Go(func() { appendWalks(b, d.Store, customers[w%c.companies], b.N/c.writers) })
			}
			writers.Wait()
			b.StopTimer()
			b.ReportMetric(float64(postgresCPU(b, d)-before)*10_000/float64(b.N), "pgcpu-µs/op")
			b.ReportMetric(float64(postgresLog(b, d)-written)/float64(b.N), "wal-bytes/op")
		})
	}
}

func appendWalks(b *testing.B, store *postgres.Store, c pipeline.Customer, n int) {
	b.Helper()
	var p pipeline.Proposal
	for i := range n {
		var e pipeline.Event
		if step := i % (len(walk) + 1); step == 0 {
			e, p = proposalRequested(b, c, reserve(b, store, c.CompanyID, pipeline.KindProposal))
		} else {
			e, p = next(b, p, walk[step-1], `{}`)
		}
		idem := pipeline.Idempotency{Key: e.ID, Fingerprint: "f"}
		if e.Version == 1 {
			idem = noKey
		}
		_, err := store.Append(b.Context(), e, idem)
		require.NoError(b, err)
	}
}

// postgresCPU sums the CPU time of all of the server's processes, in hundredths of a second.
func postgresCPU(b *testing.B, d database) int64 {
	b.Helper()
	var backend int
	require.NoError(b, d.DB.Get(&backend, `SELECT pg_backend_pid()`))
	postmaster := stat(strconv.Itoa(backend)).parent
	files, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(b, err)
	var sum int64
	for _, f := range files {
		if s := stat(filepath.Base(f)); s.parent == postmaster {
			sum += s.ticks
		}
	}
	return sum
}

// postgresLog is how many bytes of write-ahead log the server has written so far.
func postgresLog(b *testing.B, d database) int64 {
	b.Helper()
	var written int64
	require.NoError(b, d.DB.Get(&written, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint`))
	return written
}

type processStat struct {
	parent string
	ticks  int64
}

func stat(pid string) processStat {
	content, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return processStat{} // gone meanwhile, or not Linux
	}
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	user, _ := strconv.ParseInt(string(fields[11]), 10, 64)
	system, _ := strconv.ParseInt(string(fields[12]), 10, 64)
	return processStat{parent: string(fields[1]), ticks: user + system}
}
