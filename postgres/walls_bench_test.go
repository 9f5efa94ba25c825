package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// BenchmarkWalls asks what GET /v1/customers/{id} and a transition ask before it goes to the
// engine: as the owner, as the API for one company all the time, and for two in turn, which sets
// the company for each request. The ways are taken in turn, so that what else the machine does
// hits all alike; the figures are medians.
//
//	.bin/withpostgres go test ./postgres -run '^$' -bench Walls -benchtime 5000x
func BenchmarkWalls(b *testing.B) {
	d := newDatabase(b)
	companies := []int64{1, newCompany(b, d.Store)}
	customers := make([]pipeline.Customer, 0, len(companies))
	keys := make([]string, 0, len(companies))
	for _, id := range companies {
		customers = append(customers, newCustomer(b, d.Store, id))
		keys = append(keys, newKey(b, d.Store, id, pipeline.RoleApp).Secret)
	}
	ask := func(s *postgres.Store, n int, then func(ctx context.Context, s *postgres.Store, c pipeline.Customer) error) {
		key, err := s.Authenticate(b.Context(), keys[n])
		require.NoError(b, err)
		require.NoError(b, then(s.Scope(b.Context(), key.CompanyID), s, customers[n]))
	}
	get := func(ctx context.Context, s *postgres.Store, c pipeline.Customer) error {
		_, err := s.Customer(ctx, c.CompanyID, c.ID)
		return err
	}
	target := func(ctx context.Context, s *postgres.Store, c pipeline.Customer) error {
		_, err := s.Target(ctx, c.CompanyID, c.Ref().Stream(), c.ID, pipeline.Idempotency{Key: "k", Fingerprint: "f"})
		return err
	}
	for name, then := range map[string]func(context.Context, *postgres.Store, pipeline.Customer) error{"get": get, "transition": target} {
		b.Run(name, func(b *testing.B) {
			ways := []struct {
				name  string
				store *postgres.Store
				turn  bool
			}{{"owner", d.Store, false}, {"api", d.asAPI(b, 1), false}, {"api-in-turn", d.asAPI(b, 1), true}}
			took := make([][]time.Duration, len(ways))
			for n := range b.N {
				for i, way := range ways {
					which := 0
					if way.turn {
						which = n % len(companies)
					}
					start := time.Now()
					ask(way.store, which, then)
					took[i] = append(took[i], time.Since(start))
				}
			}
			for i, way := range ways {
				slices.Sort(took[i])
				b.ReportMetric(float64(took[i][len(took[i])/2].Microseconds()), way.name+"-p50-µs")
			}
		})
	}
}
