package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/pipeline"
)

// atOnce runs n requests side by side and gives their answers.
func atOnce(t *testing.T, n int, request func(i int) (answer, error)) []answer {
	t.Helper()
	answers, errs := make([]answer, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { answers[i], errs[i] = request(i) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	return answers
}

func TestOfSixteenThatRaceOneWins(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)
	stream := c.proposal(t, c.customer(t).ID).Ref().Stream()
	c.moved(t, stream, pipeline.TypeProposalSent, nil)

	won := 0
	for _, a := range atOnce(t, 16, func(int) (answer, error) {
		return c.try(http.MethodPost, pathOf(stream)+"/transitions", body(pipeline.TypeProposalSelected, nil))
	}) {
		if a.status == http.StatusCreated {
			won++
			continue
		}
		refused(t, a, http.StatusConflict, pipeline.CodeIllegalTransition)
	}
	require.Equal(t, 1, won)
	c.requireStream(t, stream, pipeline.TypeProposalRequested, pipeline.TypeProposalSent, pipeline.TypeProposalSelected)
}

func TestARequestThatIsRepeatedAtTheSameTimeHappensOnce(t *testing.T) {
	t.Parallel()
	e := sharedEngine(t)
	c := e.newCompany(t)

	t.Run("a creation", func(t *testing.T) {
		answers := atOnce(t, 8, func(int) (answer, error) {
			return c.try(http.MethodPost, "/v1/customers", newCustomer(), idempotent("create"))
		})
		for _, a := range answers {
			require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
			require.JSONEq(t, string(answers[0].body), string(a.body))
		}
		require.Len(t, want[list[pipeline.Customer]](t, c.get(t, "/v1/customers"), http.StatusOK).Data, 1)

		other := object{"name": "Jane Doe", "email": "jane.doe@example.com"}
		refused(t, c.post(t, "/v1/customers", other, idempotent("create")), http.StatusUnprocessableEntity, pipeline.CodeIdempotencyKeyReused)
	})

	t.Run("a transition", func(t *testing.T) {
		stream := c.proposal(t, c.customer(t).ID).Ref().Stream()
		path := pathOf(stream) + "/transitions"
		answers := atOnce(t, 8, func(int) (answer, error) {
			return c.try(http.MethodPost, path, body(pipeline.TypeProposalSent, nil), idempotent("send"))
		})
		for _, a := range answers {
			require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
			require.JSONEq(t, string(answers[0].body), string(a.body))
		}
		c.requireStream(t, stream, pipeline.TypeProposalRequested, pipeline.TypeProposalSent)

		// Another body, another kind of event, another entity: none of them is that request.
		elsewhere := c.proposal(t, c.customer(t).ID).Ref().Stream()
		for _, a := range []answer{
			c.move(t, stream, pipeline.TypeProposalSent, object{"channel": "email"}, idempotent("send")),
			c.move(t, stream, pipeline.TypeProposalSelected, nil, idempotent("send")),
			c.move(t, elsewhere, pipeline.TypeProposalSent, nil, idempotent("send")),
		} {
			refused(t, a, http.StatusUnprocessableEntity, pipeline.CodeIdempotencyKeyReused)
		}
		c.requireStream(t, elsewhere, pipeline.TypeProposalRequested)
	})
}

func TestAWorkflowThatContinuesAsNewLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	const (
		writers  = 8
		commands = 50 // of each
	)
	e := sharedEngine(t)
	c := e.newCompany(t)
	partner := newReceiver(t)
	h := c.webhook(t, partner.URL+"/", nil)
	stream := c.customer(t).Ref().Stream()
	firstRun := e.runOf(t, stream)
	path := pathOf(stream) + "/transitions"
	key := func(writer, n int) string { return fmt.Sprintf("%d-%d", writer, n) }

	old := c.post(t, path, note(0), idempotent("old"))
	recorded := make([][]answer, writers)
	atOnce(t, writers, func(writer int) (answer, error) {
		for n := range commands {
			a, _, err := c.insist(path, note(n), key(writer, n))
			if err != nil {
				return a, err
			}
			recorded[writer] = append(recorded[writer], a)
		}
		return answer{}, nil
	})

	// Every command has one event, and all the events there are have a command.
	const total = writers*commands + 2
	seen := map[int64]bool{1: true}
	for _, a := range slices.Concat([]answer{old}, slices.Concat(recorded...)) {
		seen[want[transition](t, a, http.StatusCreated).Event.Version] = true
	}
	require.Len(t, seen, total)
	require.Len(t, c.events(t, stream), total)
	customer := want[pipeline.Customer](t, c.get(t, pathOf(stream)), http.StatusOK)
	require.Equal(t, int64(total), customer.Version)
	require.Equal(t, "john.doe@example.com", customer.Email, "the state was handed on")

	runs := e.runs(t, stream)
	require.Greater(t, len(runs), 2, "it continued as new more than once")
	require.Equal(t, firstRun, runs[0])

	// What earlier runs did is remembered beyond them.
	for _, test := range []struct {
		key    string
		note   int
		answer answer
	}{
		{"old", 0, old},
		{key(0, 0), 0, recorded[0][0]},
		{key(writers-1, commands-1), commands - 1, recorded[writers-1][commands-1]},
	} {
		again := c.post(t, path, note(test.note), idempotent(test.key))
		require.Equal(t, http.StatusCreated, again.status, "%s", again.body)
		require.JSONEq(t, string(test.answer.body), string(again.body))
		require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
		refused(t, c.post(t, path, note(-1), idempotent(test.key)), http.StatusUnprocessableEntity, pipeline.CodeIdempotencyKeyReused)
	}

	c.allAre(t, h, pipeline.DeliveryDelivered, total)
	require.Equal(t, upTo(total), partner.firstOf("/", stream))
	e.settled(t, string(stream))
}
