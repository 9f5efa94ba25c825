package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// archive is a store of documents in memory, with a provider behind it.
type archive struct {
	*desk
	connections []pipeline.Connection
	docs        map[string]pipeline.KeptDocument
	file        pipeline.File
	refusal     error
	asked       []pipeline.Remote
	lastID      string
	failures    []failure
	waker       waker
	forgotten   []string
}

// failure is what was said of a document that was given up.
type failure struct {
	token  string
	reason pipeline.FailureReason
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	return &archive{
		desk: newDesk(t, "SIGN"), docs: map[string]pipeline.KeptDocument{},
		connections: []pipeline.Connection{
			{ID: 3, CompanyID: 1, BaseURL: "https://sighten.example", Auth: pipeline.Auth{Type: pipeline.AuthNone}},
		},
		file: pipeline.File{Name: "a.pdf", ContentType: "application/pdf", Size: 3, SHA256: string(make64('a'))},
	}
}

func make64(b byte) []byte {
	out := make([]byte, 64)
	for i := range out {
		out[i] = b
	}
	return out
}

func (a *archive) Connection(_ context.Context, _, id int64) (pipeline.Connection, error) {
	for _, c := range a.connections {
		if c.ID == id {
			return c, nil
		}
	}
	return pipeline.Connection{}, pipeline.Errorf(pipeline.CodeNotFound, "there is no such connection")
}

func (a *archive) Connections(context.Context, int64, pipeline.Page) ([]pipeline.Connection, error) {
	return a.connections, nil
}

func (a *archive) AddDocument(_ context.Context, d pipeline.KeptDocument) error {
	d.Status = pipeline.KeptWaiting
	a.docs[d.UUID] = d
	return nil
}

func (a *archive) Document(_ context.Context, _, _ int64, uuid string) (pipeline.KeptDocument, error) {
	d, ok := a.docs[uuid]
	if !ok {
		return d, pipeline.Errorf(pipeline.CodeNotFound, "there is no such document")
	}
	return d, nil
}

func (a *archive) DocumentStored(_ context.Context, _ int64, uuid string, f pipeline.File) error {
	d := a.docs[uuid]
	d.Status, d.File, d.Note = pipeline.KeptStored, f, ""
	a.docs[uuid] = d
	return nil
}

func (a *archive) DocumentMissing(_ context.Context, _ int64, uuid, note string) error {
	d := a.docs[uuid]
	d.Note = note
	a.docs[uuid] = d
	return nil
}

func (a *archive) FailDocument(
	_ context.Context, _ int64, uuid, token string, reason pipeline.FailureReason, note string,
) ([]int64, error) {
	d := a.docs[uuid]
	d.Status, d.Note = pipeline.KeptFailed, note
	a.docs[uuid] = d
	a.failures = append(a.failures, failure{token, reason})
	return []int64{7, 8}, nil
}

func (a *archive) Forget(_ context.Context, id string) error {
	a.forgotten = append(a.forgotten, id)
	return nil
}

func (a *archive) Fetch(_ context.Context, r pipeline.Remote, _, _ string, progress func(int64)) (pipeline.File, error) {
	a.asked = append(a.asked, r)
	progress(1)
	return a.file, a.refusal
}

func (a *archive) Command(ctx context.Context, to pipeline.Ref, cmd pipeline.Command, id string) error {
	a.lastID = id
	return a.desk.Command(ctx, to, cmd, id)
}

// sign leads proposal 5 to where its contract is signed, with this data.
func (a *archive) sign(t *testing.T, data pipeline.ContractSigned) activities.SignCustomerInput {
	t.Helper()
	a.propose(t, 5, quote, pipeline.TypeProposalSent, pipeline.TypeProposalSelected, pipeline.TypeContractRequested, pipeline.TypeContractSent)
	data.SignedAt = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	cmd, err := pipeline.NewCommand(pipeline.TypeContractSigned, data, pipeline.Actor{}, pipeline.Cause{})
	require.NoError(t, err)
	require.NoError(t, a.Command(t.Context(), a.proposals[5].Ref(), cmd, "sign"))
	id := pipeline.EventID("proposal-5", "sign")
	return activities.SignCustomerInput{CompanyID: 1, CustomerID: 2, Cause: pipeline.Cause{EventID: id}, Documents: true}
}

func listed() []pipeline.ContractDocument {
	return []pipeline.ContractDocument{
		{UUID: "451c2577-96b7-48dd-a7d0-eb2e47293e96", Name: "b.pdf", CreationType: "GENERATED"},
		{UUID: uploaded, Name: "a.pdf", CreationType: "UPLOADED"},
	}
}

func archived[In, Out any](
	t *testing.T, a *archive, f func(*activities.Documents) func(context.Context, In) (Out, error), in In,
) (Out, error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	documents := &activities.Documents{Store: a, Fetcher: a, Commander: a, Starter: a, Waker: &a.waker}
	env.RegisterActivity(documents)
	var out Out
	value, err := env.ExecuteActivity(f(documents), in)
	if err == nil {
		require.NoError(t, value.Get(&out))
	}
	return out, err
}

type (
	startsDocuments = func(context.Context, activities.SignCustomerInput) (activities.StartDocumentsResult, error)
	fetchesDocument = func(context.Context, activities.DocumentInput) (activities.FetchDocumentResult, error)
	recordsDocument = func(context.Context, activities.DocumentInput) (activities.RecordDocumentResult, error)
	givesUpDocument = func(context.Context, activities.GiveUpDocumentInput) (activities.GiveUpDocumentResult, error)
)

func starting(d *activities.Documents) startsDocuments { return d.StartDocuments }
func fetching(d *activities.Documents) fetchesDocument { return d.FetchDocument }
func noting(d *activities.Documents) recordsDocument   { return d.RecordDocument }
func givingUp(d *activities.Documents) givesUpDocument { return d.GiveUpDocument }

func TestStartDocuments(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	out, err := archived(t, a, starting, a.sign(t, pipeline.ContractSigned{Documents: listed()}))
	require.NoError(t, err)
	require.Equal(t, 1, out.Started)
	require.Equal(t, []string{"document-" + uploaded}, a.started)
	require.EqualValues(t, 3, a.docs[uploaded].ConnectionID)
	require.EqualValues(t, 5, a.docs[uploaded].ProposalID)

	// Where it is not clear at which provider it is, nobody is asked for it.
	a = newArchive(t)
	a.connections = append(a.connections, pipeline.Connection{ID: 4})
	out, err = archived(t, a, starting, a.sign(t, pipeline.ContractSigned{Documents: listed()}))
	require.NoError(t, err)
	require.Zero(t, out.Started)
	a.docs[uploaded] = pipeline.KeptDocument{UUID: uploaded, ConnectionID: 4}
	signature := pipeline.Cause{EventID: pipeline.EventID("proposal-5", "sign")}
	out, err = archived(t, a, starting, activities.SignCustomerInput{CompanyID: 1, Cause: signature})
	require.NoError(t, err)
	require.Equal(t, 1, out.Started)
	require.EqualValues(t, 4, a.docs[uploaded].ConnectionID)

	a = newArchive(t)
	in := a.sign(t, pipeline.ContractSigned{DocumentURL: "https://files.example/a.pdf"})
	_, err = archived(t, a, starting, in)
	require.NoError(t, err)
	id := webhook.SignedDocument(in.Cause.EventID)
	require.Equal(t, []string{"document-" + id}, a.started)
	require.Equal(t, "https://files.example/a.pdf", a.docs[id].URL)
	require.Equal(t, in.Cause.EventID, a.docs[id].EventID)
}

func TestFetchDocument(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.docs[uploaded] = pipeline.KeptDocument{CompanyID: 1, UUID: uploaded, ConnectionID: 3, Status: pipeline.KeptWaiting}
	in := activities.DocumentInput{CompanyID: 1, UUID: uploaded}
	for range 2 {
		out, err := archived(t, a, fetching, in)
		require.NoError(t, err)
		require.Equal(t, activities.FetchDocumentResult{Size: 3, SHA256: a.file.SHA256}, out)
	}
	require.Equal(t, []pipeline.Remote{{
		URL: "https://sighten.example/api/v1/document/" + uploaded + "/download/", Auth: pipeline.Auth{Type: pipeline.AuthNone},
	}}, a.asked, "it is fetched once")
	require.Equal(t, pipeline.KeptStored, a.docs[uploaded].Status)
}

func TestFetchDocument_ThatCannotBeHad(t *testing.T) {
	t.Parallel()
	for code, final := range map[pipeline.Code]bool{
		pipeline.CodeUnavailable: false, pipeline.CodeForbidden: true, pipeline.CodeTooLarge: true,
	} {
		a := newArchive(t)
		a.refusal = pipeline.Errorf(code, "answered so")
		a.docs[uploaded] = pipeline.KeptDocument{
			CompanyID: 1, UUID: uploaded, URL: "https://files.example/a.pdf", Status: pipeline.KeptWaiting,
		}
		_, err := archived(t, a, fetching, activities.DocumentInput{CompanyID: 1, UUID: uploaded})
		var failure *temporal.ApplicationError
		require.ErrorAs(t, err, &failure)
		require.Equal(t, final, failure.NonRetryable(), code)
		require.Equal(t, "answered so", a.docs[uploaded].Note)
		require.Equal(t, pipeline.KeptWaiting, a.docs[uploaded].Status)
		require.Equal(t, "https://files.example/a.pdf", a.asked[0].URL)
	}
	// Without its connection another one has to be clear.
	a := newArchive(t)
	a.docs[uploaded] = pipeline.KeptDocument{CompanyID: 1, UUID: uploaded, ConnectionID: 99, Status: pipeline.KeptWaiting}
	_, err := archived(t, a, fetching, activities.DocumentInput{CompanyID: 1, UUID: uploaded})
	require.NoError(t, err, "the company's only one is its successor")
	a.docs[uploaded] = pipeline.KeptDocument{CompanyID: 1, UUID: uploaded, ConnectionID: 99, Status: pipeline.KeptWaiting}
	a.connections = nil
	_, err = archived(t, a, fetching, activities.DocumentInput{CompanyID: 1, UUID: uploaded})
	require.ErrorContains(t, err, "its connection was deleted")
}

func TestRecordDocument(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.sign(t, pipeline.ContractSigned{Documents: listed()})
	a.docs[uploaded] = pipeline.KeptDocument{CompanyID: 1, UUID: uploaded, ProposalID: 5, Status: pipeline.KeptStored, File: a.file}
	in := activities.DocumentInput{CompanyID: 1, UUID: uploaded}
	out, err := archived(t, a, noting, in)
	require.NoError(t, err)
	require.True(t, out.Recorded)
	first := a.lastID
	doc, _ := a.proposals[5].Listed(uploaded)
	require.True(t, doc.Stored)
	out, err = archived(t, a, noting, in)
	require.NoError(t, err)
	require.False(t, out.Recorded, "two signatures, one document")

	// A contract that is void needs none; the next one that has it gets its own event.
	next := func(typ pipeline.EventType, data any) {
		cmd, err := pipeline.NewCommand(typ, data, pipeline.Actor{}, pipeline.Cause{})
		require.NoError(t, err)
		cmd.OccurredAt = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		require.NoError(t, a.Command(t.Context(), a.proposals[5].Ref(), cmd, "again "+string(typ)))
	}
	next(pipeline.TypeContractVoided, pipeline.Reason{})
	next(pipeline.TypeContractRequested, pipeline.ContractRequested{})
	out, err = archived(t, a, noting, in)
	require.NoError(t, err)
	require.Contains(t, out.Note, "not legal")
	next(pipeline.TypeContractSent, pipeline.ContractSent{})
	next(pipeline.TypeContractSigned, pipeline.ContractSigned{Documents: listed()})
	out, err = archived(t, a, noting, in)
	require.NoError(t, err)
	require.True(t, out.Recorded)
	require.NotEqual(t, first, a.lastID)
}

func TestGiveUpDocument(t *testing.T) {
	t.Parallel()
	for code, reason := range map[pipeline.Code]pipeline.FailureReason{
		pipeline.CodeForbidden: pipeline.FailureRefused, pipeline.CodeTooLarge: pipeline.FailureTooLarge,
		pipeline.CodeNotFound: pipeline.FailureNoConnection, pipeline.CodeUnavailable: pipeline.FailureUnavailable,
		pipeline.CodeInternal: pipeline.FailureUnavailable, "": pipeline.FailureUnavailable,
	} {
		a := newArchive(t)
		a.docs[uploaded] = pipeline.KeptDocument{CompanyID: 1, UUID: uploaded, Status: pipeline.KeptWaiting}
		in := activities.GiveUpDocumentInput{CompanyID: 1, UUID: uploaded, Code: code, Why: "answered so"}
		_, err := archived(t, a, givingUp, in)
		require.NoError(t, err)
		require.Equal(t, pipeline.KeptFailed, a.docs[uploaded].Status)
		require.Equal(t, map[int64]int{7: 1, 8: 1}, a.waker.woken, "who is to hear of it is woken")
		require.Equal(t, []string{"1-" + uploaded}, a.forgotten)
		require.Len(t, a.failures, 1)
		require.Equal(t, reason, a.failures[0].reason, code)
		require.NotEmpty(t, a.failures[0].token)
	}
}
