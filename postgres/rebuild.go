package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/dealwright/dealwright/pipeline"
)

// Difference is a projection, or the state kept beside the last event, that was not the fold
// of its stream's events. Field is the first field in which they differ; "row" where the whole
// row was missing, "events.state/…" where it is the state beside the event, which stays as it
// is since events do. Was and Is are JSON.
type Difference struct {
	Stream pipeline.Stream
	Field  string
	Was    string
	Is     string
}

// Rebuilt sums a rebuild up. Differences lists the first thousand of the Differing.
type Rebuilt struct {
	Streams     int64
	Events      int64
	Differing   int64
	Differences []Difference
}

// rebuildPage is how many streams are folded at a time, maxDifferences how many are listed.
const (
	rebuildPage    = 500
	maxDifferences = 1000
)

// Rebuild folds every stream from its events, compares the result with the projection (and
// with the state kept beside the last event) and, unless dryRun, writes the projection anew
// where it differs. It can run while the engine does. progress is called after each page of
// streams.
func (s *Store) Rebuild(ctx context.Context, dryRun bool, progress func(Rebuilt)) (Rebuilt, error) {
	var sum Rebuilt
	after := ""
	for {
		heads, err := s.streamsAfter(ctx, after)
		if err != nil || len(heads) == 0 {
			return sum, err
		}
		for _, h := range heads {
			n, differences, err := s.rebuildStream(ctx, h, dryRun)
			if err != nil {
				return sum, err
			}
			sum.Streams++
			sum.Events += n
			sum.Differing += int64(len(differences))
			sum.Differences = append(sum.Differences, differences...)
			sum.Differences = sum.Differences[:min(len(sum.Differences), maxDifferences)]
		}
		after = heads[len(heads)-1].Stream
		progress(sum)
	}
}

// streamHead is the first event of a stream, in short.
type streamHead struct {
	Stream     string `db:"stream"`
	CompanyID  int64  `db:"company_id"`
	CustomerID int64  `db:"customer_id"`
	EntityID   int64  `db:"entity_id"`
}

// streamsAfter leaves out the streams of operational events, which have no projection. In the
// order of the index those of webhooks come last; those of documents are few.
func (s *Store) streamsAfter(ctx context.Context, after string) ([]streamHead, error) {
	var heads []streamHead
	err := s.list(ctx, &heads, "streams", `SELECT stream, company_id, customer_id, coalesce(proposal_id, customer_id) AS entity_id
		FROM events
		WHERE stream > $1 AND stream < '`+string(pipeline.KindWebhook)+`-' AND version = 1 AND customer_id IS NOT NULL
		ORDER BY stream LIMIT $2`, after, rebuildPage)
	return heads, err
}

func (s *Store) rebuildStream(ctx context.Context, h streamHead, dryRun bool) (int64, []Difference, error) {
	read := func(dest any, query string, args ...any) error { return s.list(ctx, dest, "stream", query, args...) }
	found, err := s.compareStream(h, read)
	if err != nil || len(found.differences) == 0 {
		return found.events, nil, err
	}
	// It may only look different because the stream moved on between the two reads. So look
	// again with the projection locked, which keeps appends out, before believing it.
	err = s.inTx(ctx, "rebuild "+h.Stream, func(tx transaction) error {
		read := func(dest any, query string, args ...any) error { return tx.SelectContext(ctx, dest, query, args...) }
		lock := `SELECT FROM ` + h.table() + ` WHERE company_id = $1 AND id = $2 FOR UPDATE`
		if _, err := tx.ExecContext(ctx, lock, h.CompanyID, h.EntityID); err != nil {
			return err
		}
		found, err = s.compareStream(h, read)
		if err != nil || !found.repairable || dryRun {
			return err
		}
		return writeProjection(ctx, tx, h, found.state)
	})
	return found.events, found.differences, err
}

func (h streamHead) table() string { return projectionTable(pipeline.Stream(h.Stream).Kind()) }

// comparison is what a stream folds to, and where what is kept differs from that.
type comparison struct {
	events      int64
	state       []byte
	differences []Difference
	repairable  bool // the projection differs, not only the state beside the last event
}

// reader reads all rows of a query, inside a transaction or outside.
type reader func(dest any, query string, args ...any) error

func (s *Store) compareStream(h streamHead, read reader) (comparison, error) {
	events, err := s.streamEvents(h, read)
	if err != nil {
		return comparison{}, err
	}
	out := comparison{events: int64(len(events))}
	if out.state, err = foldStream(h, events); err != nil {
		return out, err
	}
	differ := func(prefix string, was []byte) bool {
		field, before, after := firstDifference(was, out.state)
		if field == "" {
			return false
		}
		out.differences = append(out.differences, Difference{Stream: pipeline.Stream(h.Stream), Field: prefix + field, Was: before, Is: after})
		return true
	}
	differ("events.state/", events[len(events)-1].State)

	// The columns that identify the entity are laid over what state says of them.
	columns := `jsonb_build_object('id', id, 'company_id', company_id, 'uuid', uuid)`
	if h.table() == "proposals" {
		columns += ` || jsonb_build_object('customer_id', customer_id)`
	}
	var rows []struct {
		State  []byte `db:"state"`
		Merged []byte `db:"merged"`
	}
	err = read(&rows, `SELECT state, state || `+columns+` AS merged FROM `+h.table()+`
		WHERE company_id = $1 AND id = $2`, h.CompanyID, h.EntityID)
	if err != nil {
		return out, err
	}
	if len(rows) == 0 {
		out.differences = append(out.differences, Difference{Stream: pipeline.Stream(h.Stream), Field: "row", Is: string(out.state)})
		out.repairable = true
		return out, nil
	}
	out.repairable = differ("", rows[0].State) || differ("column ", rows[0].Merged)
	return out, nil
}

func (s *Store) streamEvents(h streamHead, read reader) ([]pipeline.Event, error) {
	var rows []eventRow
	if err := read(&rows, `SELECT `+eventColumns+` FROM events e WHERE e.stream = $1 ORDER BY e.version`, h.Stream); err != nil {
		return nil, err
	}
	for i, r := range rows {
		if r.Version != int64(i+1) {
			return nil, fmt.Errorf("stream %s has a gap: version %d where %d was expected", h.Stream, r.Version, i+1)
		}
	}
	return s.events(rows)
}

func foldStream(h streamHead, events []pipeline.Event) ([]byte, error) {
	if pipeline.Stream(h.Stream).Kind() == pipeline.KindCustomer {
		return foldEntity(pipeline.NewCustomer(h.CompanyID, h.EntityID), events)
	}
	return foldEntity(pipeline.NewProposal(h.CompanyID, h.CustomerID, h.EntityID), events)
}

func foldEntity[S pipeline.State[S]](empty S, events []pipeline.Event) ([]byte, error) {
	folded, err := pipeline.Fold(empty, events)
	if err != nil {
		return nil, err
	}
	state, err := json.Marshal(folded)
	if err != nil {
		return nil, fmt.Errorf("encode state of %s: %w", folded.Ref().Stream(), err)
	}
	return state, nil
}

// firstDifference compares two JSON objects field by field, in the order of the fields' names.
func firstDifference(was, want []byte) (field, before, after string) {
	var a, b map[string]pipeline.Object
	if json.Unmarshal(was, &a) != nil || json.Unmarshal(want, &b) != nil {
		return "state", string(was), string(want)
	}
	names := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	slices.Sort(names)
	for _, name := range names {
		if a[name] != b[name] {
			return name, string(a[name]), string(b[name])
		}
	}
	return "", "", ""
}

// writeProjection puts a row right that differs from its events, or puts a missing one back.
func writeProjection(ctx context.Context, tx transaction, h streamHead, state []byte) error {
	columns, values, owner := "", "", ""
	if h.table() == "proposals" {
		columns, values, owner = ", customer_id", ", $4", ", customer_id = excluded.customer_id"
	}
	args := []any{h.CompanyID, h.EntityID, string(state)}
	if owner != "" {
		args = append(args, h.CustomerID)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO `+h.table()+` (company_id, id, uuid, state`+columns+`)
		VALUES ($1, $2, ($3::jsonb ->> 'uuid')::uuid, $3::jsonb`+values+`)
		ON CONFLICT (company_id, id) DO UPDATE SET uuid = excluded.uuid, state = excluded.state`+owner, args...)
	return err
}
