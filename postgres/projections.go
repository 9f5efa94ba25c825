package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/jmoiron/sqlx"

	"github.com/dealwright/dealwright/pipeline"
)

// Customer reads one customer of a company.
func (s *Store) Customer(ctx context.Context, companyID, id int64) (pipeline.Customer, error) {
	return entityState[pipeline.Customer](ctx, s, "customer", `SELECT state FROM customers WHERE id = $1 AND company_id = $2`, id, companyID)
}

// Proposal reads one proposal of a company.
func (s *Store) Proposal(ctx context.Context, companyID, id int64) (pipeline.Proposal, error) {
	return entityState[pipeline.Proposal](ctx, s, "proposal", `SELECT state FROM proposals WHERE id = $1 AND company_id = $2`, id, companyID)
}

// entityState reads the state of one entity.
func entityState[S pipeline.State[S]](ctx context.Context, s *Store, what, query string, args ...any) (entity S, err error) {
	var state []byte
	if err := s.get(ctx, &state, what, query, args...); err != nil {
		return entity, err
	}
	err = decodeState(state, &entity)
	return entity, err
}

func decodeState(state []byte, into any) error {
	if err := json.Unmarshal(state, into); err != nil {
		return fmt.Errorf("decode state: %w", err)
	}
	return nil
}

// Target reads what a command needs to know of its entity before it goes to the workflow, and
// what an earlier request with the same idempotency key was, in one round trip. Where the key was
// forgotten meanwhile, the event is still there, and its id says which key it came from; what else
// the request said is not compared then.
func (s *Store) Target(
	ctx context.Context, companyID int64, stream pipeline.Stream, id int64, idem pipeline.Idempotency,
) (pipeline.Target, error) {
	customer := "customer_id"
	if stream.Kind() == pipeline.KindCustomer {
		customer = "id AS customer_id"
	}
	query := `SELECT t.version, t.` + customer + `, t.state ? 'erased' AS erased, i.fingerprint,
			coalesce(i.event_id, e.id) AS event_id
		FROM ` + projectionTable(stream.Kind()) + ` t
		LEFT JOIN idempotency i ON i.company_id = $2 AND i.scope = $3 AND i.key = $4
		LEFT JOIN events e ON i.key IS NULL AND e.id = $5 AND e.company_id = $2
		WHERE t.id = $1 AND t.company_id = $2`
	var event string
	if idem.Key != "" {
		event = pipeline.EventID(stream, idem.Key)
	}
	var row struct {
		Version     int64          `db:"version"`
		CustomerID  int64          `db:"customer_id"`
		Erased      bool           `db:"erased"`
		Fingerprint sql.NullString `db:"fingerprint"`
		EventID     sql.NullString `db:"event_id"`
	}
	err := s.get(ctx, &row, string(stream.Kind()), query, id, companyID, idem.Scope, idem.Key, event)
	if err != nil {
		return pipeline.Target{}, err
	}
	if row.Fingerprint.Valid && row.Fingerprint.String != idem.Fingerprint {
		return pipeline.Target{}, keyReused()
	}
	return pipeline.Target{Version: row.Version, CustomerID: row.CustomerID, EventID: row.EventID.String, Erased: row.Erased}, nil
}

// Customers lists a company's customers, newest first. Status, OwnerID and Search narrow it;
// Search matches the beginnings of words in name, e-mail and phone.
func (s *Store) Customers(ctx context.Context, q pipeline.CustomerQuery) ([]pipeline.Customer, error) {
	words := searchWords(q.Search)
	if words != "" && s.walledIn {
		return s.customersWithWords(ctx, q, words)
	}
	f := newFilter(q.CompanyID, q.Page)
	if q.Status.Set {
		f.and("status = ?", q.Status.Value)
	}
	if q.OwnerID != 0 {
		f.and("owner_id = ?", q.OwnerID)
	}
	if words != "" {
		f.and("customer_words(contact) @@ to_tsquery('simple', ?)", words)
	}
	return selectStates[pipeline.Customer](ctx, s, "customers", f)
}

// customersWithWords is Customers with a Search for a store with a role. The function's comment in
// the migration says why it takes one.
func (s *Store) customersWithWords(ctx context.Context, q pipeline.CustomerQuery, words string) ([]pipeline.Customer, error) {
	status := sql.NullInt64{Int64: int64(q.Status.Value), Valid: q.Status.Set}
	return states[pipeline.Customer](ctx, s, "customers", `SELECT customers_with_words($1, $2, $3, $4, $5, $6)`,
		q.CompanyID, words, status, nullInt(q.OwnerID), nullInt(q.Page.Cursor), q.Page.Limit)
}

// Proposals lists a company's proposals, newest first. The fields of the query narrow it.
func (s *Store) Proposals(ctx context.Context, q pipeline.ProposalQuery) ([]pipeline.Proposal, error) {
	f := newFilter(q.CompanyID, q.Page)
	if q.CustomerID != 0 {
		f.and("customer_id = ?", q.CustomerID)
	}
	if q.Status != "" {
		f.and("status = ?", q.Status)
	}
	if q.ContractStatus != "" {
		f.and("contract_status = ?", q.ContractStatus)
	}
	return selectStates[pipeline.Proposal](ctx, s, "proposals", f)
}

// conditions gathers what a query asks for. Conditions are constants of ours with a "?" for
// each argument; what a caller gave is only ever an argument.
type conditions struct {
	where []string
	args  []any
}

func (c *conditions) and(condition string, args ...any) {
	c.where = append(c.where, condition)
	c.args = append(c.args, args...)
}

func (c *conditions) sql() string { return strings.Join(c.where, " AND ") }

// filter is the conditions of a page of a company's list.
type filter struct {
	conditions
	limit int
}

func newFilter(companyID int64, page pipeline.Page) *filter {
	f := &filter{limit: page.Limit}
	f.and("company_id = ?", companyID)
	if page.Cursor > 0 {
		f.and("id < ?", page.Cursor)
	}
	return f
}

// sql completes a SELECT … FROM … with the conditions, newest first.
func (f *filter) sql(selectFrom string) (string, []any) {
	query := selectFrom + " WHERE " + f.conditions.sql() + " ORDER BY id DESC LIMIT ?"
	return sqlx.Rebind(sqlx.DOLLAR, query), append(f.args, f.limit)
}

func selectStates[S any](ctx context.Context, s *Store, table string, f *filter) ([]S, error) {
	query, args := f.sql("SELECT state FROM " + table)
	return states[S](ctx, s, table, query, args...)
}

// states reads a page of states.
func states[S any](ctx context.Context, s *Store, table, query string, args ...any) ([]S, error) {
	var rows [][]byte
	if err := s.page(ctx, &rows, table, query, args...); err != nil {
		return nil, err
	}
	out := make([]S, len(rows))
	for i, row := range rows {
		if err := decodeState(row, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// searchWords makes a tsquery that wants every word, by its beginning: "jo do" → "jo:* & do:*".
// Only letters and digits get through, so that nothing a caller types is tsquery syntax.
func searchWords(q string) string {
	words := strings.FieldsFunc(q, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range words {
		words[i] = w + ":*"
	}
	return strings.Join(words, " & ")
}
