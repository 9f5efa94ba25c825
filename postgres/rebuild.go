package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/dealwright/dealwright/pipeline"
)

// Difference is a projection that was not the fold of its events. Field is the first field in
// which they differ; Was is empty where the row was missing.
type Difference struct {
	Stream pipeline.Stream
	Field  string
	Was    string
	Is     string
}

// Rebuilt sums a rebuild up.
type Rebuilt struct {
	Streams     int64
	Events      int64
	Differences []Difference
}

// rebuildPage is how many streams are folded at a time, maxDifferences how many are listed.
const (
	rebuildPage    = 500
	maxDifferences = 1000
)

// Rebuild folds every stream from its events, compares the result with the projection (and
// with the state kept beside the last event) and, unless dryRun, writes the projection anew
// where it differs. progress is called after each page of streams.
func (s *Store) Rebuild(ctx context.Context, dryRun bool, progress func(Rebuilt)) (Rebuilt, error) {
	var sum Rebuilt
	after := ""
	for {
		heads, err := s.streamsAfter(ctx, after)
		if err != nil || len(heads) == 0 {
			return sum, err
		}
		for _, h := range heads {
			n, diff, err := s.rebuildStream(ctx, h, dryRun)
			if err != nil {
				return sum, err
			}
			sum.Streams++
			sum.Events += n
			if diff != nil && len(sum.Differences) < maxDifferences {
				sum.Differences = append(sum.Differences, *diff)
			}
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

func (s *Store) streamsAfter(ctx context.Context, after string) ([]streamHead, error) {
	var heads []streamHead
	err := s.list(ctx, &heads, "streams", `SELECT stream, company_id, customer_id, coalesce(proposal_id, customer_id) AS entity_id
		FROM events WHERE stream > $1 AND version = 1 ORDER BY stream LIMIT $2`, after, rebuildPage)
	return heads, err
}

func (s *Store) rebuildStream(ctx context.Context, h streamHead, dryRun bool) (int64, *Difference, error) {
	if pipeline.Stream(h.Stream).Kind() == pipeline.KindCustomer {
		return rebuildEntity(ctx, s, h, pipeline.NewCustomer(h.CompanyID, h.EntityID), dryRun)
	}
	return rebuildEntity(ctx, s, h, pipeline.NewProposal(h.CompanyID, h.CustomerID, h.EntityID), dryRun)
}

func rebuildEntity[S pipeline.State[S]](ctx context.Context, s *Store, h streamHead, empty S, dryRun bool) (int64, *Difference, error) {
	events, err := s.EventsAfter(ctx, pipeline.Stream(h.Stream), 0, 1<<30)
	if err != nil {
		return 0, nil, err
	}
	for i, e := range events {
		if e.Version != int64(i+1) {
			return 0, nil, fmt.Errorf("stream %s has a gap: version %d where %d was expected", h.Stream, e.Version, i+1)
		}
	}
	folded, err := pipeline.Fold(empty, events)
	if err != nil {
		return 0, nil, err
	}
	want, err := json.Marshal(folded)
	if err != nil {
		return 0, nil, fmt.Errorf("encode state of %s: %w", h.Stream, err)
	}
	diff, err := s.compareProjection(ctx, h, want, events[len(events)-1].State)
	if err != nil || diff == nil || dryRun {
		return int64(len(events)), diff, err
	}
	return int64(len(events)), diff, s.writeProjection(ctx, h, folded.Ref().Version, want)
}

func (s *Store) compareProjection(ctx context.Context, h streamHead, want, lastState []byte) (*Difference, error) {
	if field, was, is := firstDifference(lastState, want); field != "" {
		return &Difference{Stream: pipeline.Stream(h.Stream), Field: "events.state/" + field, Was: was, Is: is}, nil
	}
	// A missing row compares as the empty object.
	var state []byte
	err := s.get(ctx, &state, "projection", `SELECT coalesce((SELECT state FROM `+projectionTable(pipeline.Stream(h.Stream).Kind())+` WHERE id = $1), '{}')`, h.EntityID)
	if err != nil {
		return nil, err
	}
	field, was, is := firstDifference(state, want)
	if field == "" {
		return nil, nil //nolint:nilnil // no difference is the usual answer
	}
	return &Difference{Stream: pipeline.Stream(h.Stream), Field: field, Was: was, Is: is}, nil
}

// firstDifference compares two JSON objects field by field, in the order of want's fields.
func firstDifference(was, want []byte) (field, before, after string) {
	var a, b map[string]pipeline.Object
	if json.Unmarshal(was, &a) != nil || json.Unmarshal(want, &b) != nil {
		return "state", string(was), string(want)
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if a[name] != b[name] {
			return name, string(a[name]), string(b[name])
		}
	}
	return "", "", ""
}

// writeProjection puts a row right that differs from its events, or puts a missing one back.
func (s *Store) writeProjection(ctx context.Context, h streamHead, version int64, state []byte) error {
	kind := pipeline.Stream(h.Stream).Kind()
	table := projectionTable(kind)
	set := `status = excluded.status, owner_id = excluded.owner_id, deleted = excluded.deleted`
	if kind == pipeline.KindProposal {
		set = `status = excluded.status, contract_status = excluded.contract_status, credit_status = excluded.credit_status`
	}
	columns, values := projectionColumns(kind)
	_, err := s.exec(ctx, "write projection", `INSERT INTO `+table+` (`+columns+`) SELECT `+values+`
		FROM (SELECT $1::bigint AS company_id, $2::bigint AS customer_id, $3::bigint AS version, $4::jsonb AS state) x
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state, `+set+`
		WHERE `+table+`.version <= excluded.version`,
		h.CompanyID, h.CustomerID, version, string(state))
	return err
}
