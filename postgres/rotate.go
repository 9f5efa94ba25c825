package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/lib/pq"

	"github.com/dealwright/dealwright/keyring"
)

// sealedTable lists the columns of a table that are sealed with the encryption key, and its
// primary key, by which it is walked through.
type sealedTable struct {
	name    string
	key     []keyColumn
	columns []string
}

type keyColumn struct{ name, typ string }

// sealedTables is all that the encryption key seals; a test finds what is missing here.
var sealedTables = []sealedTable{
	{"webhooks", []keyColumn{{"id", "bigint"}}, []string{"secret", "previous_secret", "signing_seed", "credentials"}},
	{"connections", []keyColumn{{"id", "bigint"}}, []string{"auth", "token"}},
	{"documents", []keyColumn{{"company_id", "bigint"}, {"uuid", "uuid"}}, []string{"url"}},
	{"idempotency", []keyColumn{{"company_id", "bigint"}, {"scope", "bigint"}, {"key", "text"}}, []string{"answer"}},
	{"data_keys", []keyColumn{{"company_id", "bigint"}, {"customer_id", "bigint"}}, []string{"sealed"}},
}

// Resealed counts what a rotation has done so far, in all columns.
type Resealed struct {
	Column string // the one that it is at, table.column
	Sealed int64  // values that are under the first key now
	Passed int64  // values that somebody changed, or removed, at the same moment
}

// resealPage is how many values are sealed anew in one transaction.
const resealPage = 500

// Reseal seals every value anew that is not sealed with the ring's first key. It can run while the
// engine does: a value is replaced only where it still is what was read, so that nothing that was
// changed or erased meanwhile comes back. It can be stopped at any time; the next run goes on with
// what is left. progress is called after each page.
func (s *Store) Reseal(ctx context.Context, progress func(Resealed)) (Resealed, error) {
	var sum Resealed
	for _, t := range sealedTables {
		for _, column := range t.columns {
			sum.Column = t.name + "." + column
			if err := s.resealColumn(ctx, t, column, &sum, progress); err != nil {
				return sum, err
			}
		}
	}
	return sum, nil
}

func (s *Store) resealColumn(ctx context.Context, t sealedTable, column string, sum *Resealed, progress func(Resealed)) error {
	var after []string
	for {
		page, err := s.sealedOtherwise(ctx, t, column, after)
		if err != nil || len(page) == 0 {
			return err
		}
		n, err := s.resealPage(ctx, t, column, page)
		if err != nil {
			return err
		}
		sum.Sealed += n
		sum.Passed += int64(len(page)) - n
		progress(*sum)
		after = page[len(page)-1].key
	}
}

// sealedValue is a value and the key of its row, as texts.
type sealedValue struct {
	key   []string
	value []byte
}

// sealedOtherwise reads the next values that are not sealed with the first key.
func (s *Store) sealedOtherwise(ctx context.Context, t sealedTable, column string, after []string) (page []sealedValue, err error) {
	header := s.sealer.Header()
	args := []any{header, len(header), resealPage}
	beyond := ""
	if after != nil {
		places := make([]string, len(t.key))
		for i, k := range t.key {
			args = append(args, after[i])
			places[i] = "$" + strconv.Itoa(len(args)) + "::" + k.typ
		}
		beyond = " AND (" + t.names("") + ") > (" + strings.Join(places, ", ") + ")"
	}
	rows, err := s.db.QueryContext(ctx, `SELECT ARRAY[`+t.names("::text")+`], `+column+` FROM `+t.name+`
		WHERE `+column+` IS NOT NULL AND substring(`+column+` FROM 1 FOR $2) <> $1`+beyond+`
		ORDER BY `+t.names("")+` LIMIT $3`, args...)
	if err != nil {
		return nil, mapError(err, "read sealed values")
	}
	defer func() { err = firstOf(err, rows.Close()) }()
	for rows.Next() {
		var v sealedValue
		if err := rows.Scan((*pq.StringArray)(&v.key), &v.value); err != nil {
			return nil, mapError(err, "read sealed values")
		}
		page = append(page, v)
	}
	return page, mapError(rows.Err(), "read sealed values")
}

func firstOf(one, other error) error {
	if one != nil {
		return one
	}
	return other
}

// names of the primary key's columns, each with a suffix.
func (t sealedTable) names(suffix string) string {
	all := make([]string, len(t.key))
	for i, k := range t.key {
		all[i] = k.name + suffix
	}
	return strings.Join(all, ", ")
}

// resealPage replaces values, in the order of their keys: so do appends lock webhooks.
func (s *Store) resealPage(ctx context.Context, t sealedTable, column string, page []sealedValue) (n int64, err error) {
	same := make([]string, len(t.key))
	for i, k := range t.key {
		same[i] = fmt.Sprintf("%s = $%d::%s", k.name, i+3, k.typ)
	}
	update := `UPDATE ` + t.name + ` SET ` + column + ` = $2 WHERE ` + column + ` = $1 AND ` + strings.Join(same, " AND ")
	err = s.inTx(ctx, "seal anew", func(tx transaction) error {
		n = 0
		for _, v := range page {
			plain, err := s.sealer.Open(v.value)
			if err != nil {
				return fmt.Errorf("%s.%s: %w", t.name, column, err)
			}
			args := []any{v.value, s.sealer.Seal(plain)}
			for _, part := range v.key {
				args = append(args, part)
			}
			res, err := tx.ExecContext(ctx, update, args...)
			if err != nil {
				return err
			}
			changed, err := res.RowsAffected()
			if err != nil {
				return err
			}
			n += changed
		}
		return nil
	})
	return n, err
}

// SealedWith counts the values at rest by the key that has sealed them. The zero id stands for
// those from before values named their key.
func (s *Store) SealedWith(ctx context.Context) (map[keyring.ID]int64, error) {
	parts := make([]string, 0, len(sealedTables))
	for _, t := range sealedTables {
		for _, column := range t.columns {
			parts = append(parts, `SELECT `+column+` AS v FROM `+t.name+` WHERE `+column+` IS NOT NULL`)
		}
	}
	var counts []struct {
		ID []byte `db:"id"`
		N  int64  `db:"n"`
	}
	err := s.page(ctx, &counts, "sealed values", `SELECT
			CASE WHEN get_byte(v, 0) = 2 THEN substring(v FROM 2 FOR 4) ELSE '\x00000000' END AS id, count(*) AS n
		FROM (`+strings.Join(parts, " UNION ALL ")+`) x WHERE length(v) > 0 GROUP BY 1`)
	if err != nil {
		return nil, err
	}
	all := map[keyring.ID]int64{}
	for _, c := range counts {
		var id keyring.ID
		copy(id[:], c.ID)
		all[id] = c.N
	}
	return all, nil
}
