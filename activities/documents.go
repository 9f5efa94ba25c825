package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// DocumentStore is what keeping documents needs of the store.
type DocumentStore interface {
	Event(ctx context.Context, companyID int64, id string) (pipeline.Event, error)
	Proposal(ctx context.Context, companyID, id int64) (pipeline.Proposal, error)
	Connection(ctx context.Context, companyID, id int64) (pipeline.Connection, error)
	Connections(ctx context.Context, companyID int64, page pipeline.Page) ([]pipeline.Connection, error)
	AddDocument(ctx context.Context, d pipeline.KeptDocument) error
	Document(ctx context.Context, companyID, partnerKey int64, uuid string) (pipeline.KeptDocument, error)
	DocumentStored(ctx context.Context, companyID int64, uuid string, f pipeline.File) error
	DocumentMissing(ctx context.Context, companyID int64, uuid, note string) error
	FailDocument(
		ctx context.Context, companyID int64, uuid, token string, reason pipeline.FailureReason, note string,
	) (wake []int64, err error)
}

// Fetcher downloads a file and keeps it. Its errors have codes: CodeUnavailable where another
// try may bring it, others where not. Another try with the same id goes on where one was ended;
// Forget says that there will be none.
type Fetcher interface {
	Fetch(ctx context.Context, r pipeline.Remote, id, name string, progress func(bytes int64)) (pipeline.File, error)
	Forget(ctx context.Context, id string) error
}

// Documents are the activities that fetch signed documents.
type Documents struct {
	Store     DocumentStore
	Fetcher   Fetcher
	Commander Commander
	Starter   Starter
	Waker     Waker
}

// StartDocumentsResult counts the documents that are fetched now.
type StartDocumentsResult struct {
	Started int
}

// StartDocuments starts the fetching of what a contract.signed event names: the uploaded
// documents, which are at the provider, and what is at document_url. It waits for none of it.
func (d *Documents) StartDocuments(ctx context.Context, in SignCustomerInput) (StartDocumentsResult, error) {
	e, err := d.Store.Event(ctx, in.CompanyID, in.Cause.EventID)
	if err != nil {
		return StartDocumentsResult{}, Failure(err)
	}
	if e.Erased {
		return StartDocumentsResult{}, nil
	}
	var signed pipeline.ContractSigned
	if err := json.Unmarshal(e.Payload, &signed); err != nil {
		return StartDocumentsResult{}, Failure(pipeline.Errorf(pipeline.CodeInvalid, "payload of %s: %s", e.ID, err))
	}
	wanted, err := d.wanted(ctx, e, signed)
	if err != nil {
		return StartDocumentsResult{}, Failure(err)
	}
	for _, doc := range wanted {
		if err := d.Store.AddDocument(ctx, doc); err != nil {
			return StartDocumentsResult{}, Failure(err)
		}
		if err := d.Starter.KeepDocument(ctx, doc.CompanyID, doc.UUID); err != nil {
			return StartDocumentsResult{}, Failure(err)
		}
	}
	return StartDocumentsResult{Started: len(wanted)}, nil
}

func (d *Documents) wanted(ctx context.Context, e pipeline.Event, signed pipeline.ContractSigned) ([]pipeline.KeptDocument, error) {
	var out []pipeline.KeptDocument
	for _, doc := range pipeline.Uploaded(signed.Documents) {
		kept := pipeline.KeptDocument{
			CompanyID: e.CompanyID, UUID: strings.ToLower(doc.UUID), ProposalID: int64(e.ProposalID), File: pipeline.File{Name: doc.Name},
		}
		at, err := d.provider(ctx, kept)
		if err != nil {
			return nil, err
		}
		if kept.ConnectionID = at; at != 0 {
			out = append(out, kept)
		}
	}
	if signed.DocumentURL != "" {
		out = append(out, pipeline.KeptDocument{
			CompanyID: e.CompanyID, UUID: webhook.SignedDocument(e.ID), ProposalID: int64(e.ProposalID), URL: signed.DocumentURL, EventID: e.ID,
		})
	}
	return out, nil
}

// provider is the connection that a document is fetched with: that by which we heard of it.
// Where the sales app named it, the company's only one; 0 where that is not clear.
func (d *Documents) provider(ctx context.Context, doc pipeline.KeptDocument) (int64, error) {
	known, err := d.Store.Document(ctx, doc.CompanyID, 0, doc.UUID)
	if err == nil && known.ConnectionID != 0 {
		return known.ConnectionID, nil
	}
	if err != nil && pipeline.CodeOf(err) != pipeline.CodeNotFound {
		return 0, err
	}
	all, err := d.Store.Connections(ctx, doc.CompanyID, pipeline.Page{Limit: 2})
	if err != nil || len(all) != 1 {
		return 0, err
	}
	return all[0].ID, nil
}

// DocumentInput names a document.
type DocumentInput struct {
	CompanyID int64
	UUID      string
}

// FetchDocumentResult is what was fetched.
type FetchDocumentResult struct {
	Size   int64
	SHA256 string
}

// FetchDocument downloads a document into the bucket, once: one that is there is left as it is.
// It fails for good where the provider does not let us in.
func (d *Documents) FetchDocument(ctx context.Context, in DocumentInput) (FetchDocumentResult, error) {
	doc, err := d.Store.Document(ctx, in.CompanyID, 0, in.UUID)
	if err != nil {
		return FetchDocumentResult{}, Failure(err)
	}
	if doc.Status == pipeline.KeptStored {
		return FetchDocumentResult{Size: doc.File.Size, SHA256: doc.File.SHA256}, nil
	}
	file, err := d.fetch(ctx, doc)
	if err != nil {
		noting, cancel := settling(ctx)
		defer cancel()
		return FetchDocumentResult{}, Failure(errors.Join(err, d.Store.DocumentMissing(noting, in.CompanyID, in.UUID, sentence(err))))
	}
	if err := d.Store.DocumentStored(ctx, in.CompanyID, in.UUID, file); err != nil {
		return FetchDocumentResult{}, Failure(err)
	}
	return FetchDocumentResult{Size: file.Size, SHA256: file.SHA256}, nil
}

// sentence is the part of an error that is for others to read.
func sentence(err error) string {
	if coded, ok := errors.AsType[*pipeline.Error](err); ok {
		return coded.Error()
	}
	return "it could not be fetched"
}

func (d *Documents) fetch(ctx context.Context, doc pipeline.KeptDocument) (pipeline.File, error) {
	remote, err := d.remote(ctx, doc)
	if err != nil {
		return pipeline.File{}, err
	}
	var fetched atomic.Int64
	stop := beating(ctx, func() any { return FetchDocumentResult{Size: fetched.Load()} })
	defer stop()
	return d.Fetcher.Fetch(ctx, remote, fetchID(doc.CompanyID, doc.UUID), doc.File.Name, fetched.Store)
}

// fetchID names a document among all that are fetched.
func fetchID(companyID int64, uuid string) string {
	return strconv.FormatInt(companyID, 10) + "-" + uuid
}

// remote is where a document is (Sighten, "The Contract Webhook").
func (d *Documents) remote(ctx context.Context, doc pipeline.KeptDocument) (pipeline.Remote, error) {
	if doc.ConnectionID == 0 {
		return pipeline.Remote{URL: doc.URL}, nil
	}
	c, err := d.Store.Connection(ctx, doc.CompanyID, doc.ConnectionID)
	if pipeline.CodeOf(err) == pipeline.CodeNotFound {
		c, err = d.successor(ctx, doc.CompanyID)
	}
	return pipeline.Remote{URL: c.BaseURL + "/api/v1/document/" + doc.UUID + "/download/", Auth: c.Auth}, err
}

// successor of a connection that was deleted: somebody made a new one for other credentials.
func (d *Documents) successor(ctx context.Context, companyID int64) (pipeline.Connection, error) {
	all, err := d.Store.Connections(ctx, companyID, pipeline.Page{Limit: 2})
	if err != nil {
		return pipeline.Connection{}, err
	}
	if len(all) != 1 {
		return pipeline.Connection{}, pipeline.Errorf(pipeline.CodeNotFound, "its connection was deleted")
	}
	return all[0], nil
}

// RecordDocumentResult says whether the event was recorded, and why not where it was not.
type RecordDocumentResult struct {
	Recorded bool
	Note     string
}

// RecordDocument records contract.document_stored, once for each contract that has the document.
func (d *Documents) RecordDocument(ctx context.Context, in DocumentInput) (RecordDocumentResult, error) {
	doc, err := d.Store.Document(ctx, in.CompanyID, 0, in.UUID)
	if err != nil {
		return RecordDocumentResult{}, Failure(err)
	}
	p, err := d.Store.Proposal(ctx, in.CompanyID, doc.ProposalID)
	if err != nil {
		return RecordDocumentResult{}, Failure(err)
	}
	listed, ok := p.Listed(in.UUID)
	if ok && listed.Stored {
		return RecordDocumentResult{Note: "is recorded already"}, nil
	}
	stored := pipeline.ContractDocumentStored{
		UUID: in.UUID, Name: doc.File.Name, ContentType: doc.File.ContentType, Size: doc.File.Size, SHA256: doc.File.SHA256,
	}
	if ok {
		stored.UUID = listed.UUID // as the provider writes it
	}
	cmd, err := pipeline.NewCommand(pipeline.TypeContractDocumentStored, stored, pipeline.Actor{}, pipeline.Cause{})
	if err != nil {
		return RecordDocumentResult{}, Failure(err)
	}
	contract := strconv.FormatInt(time.Time(p.ContractRequestedAt).UnixNano(), 10) // tells the proposal's contracts apart
	return recorded(d.Commander.Command(ctx, p.Ref(), cmd, fmt.Sprintf("document %s of %s", in.UUID, contract)))
}

// recorded reads the outcome of the command: what the proposal's state forbids is no failure. A
// contract that was voided meanwhile needs no document.
func recorded(err error) (RecordDocumentResult, error) {
	switch {
	case err == nil:
		return RecordDocumentResult{Recorded: true}, nil
	case pipeline.CodeOf(err) == pipeline.CodeIllegalTransition:
		return RecordDocumentResult{Note: err.Error()}, nil
	default:
		return RecordDocumentResult{}, again(err)
	}
}

// GiveUpDocumentInput says which document cannot be had, and why: as a code, which is
// CodeInternal where the patience was used up, and in a sentence.
type GiveUpDocumentInput struct {
	CompanyID int64
	UUID      string
	Code      pipeline.Code
	Why       string
}

// GiveUpDocumentResult is empty.
type GiveUpDocumentResult struct{}

// GiveUpDocument says that a document is not fetched any more, to those who want to hear it too.
// What has come of it is of no use.
func (d *Documents) GiveUpDocument(ctx context.Context, in GiveUpDocumentInput) (GiveUpDocumentResult, error) {
	info := activity.GetInfo(ctx)
	token := info.WorkflowExecution.RunID + "/" + info.ActivityID // the same each time it is tried
	wake, err := d.Store.FailDocument(ctx, in.CompanyID, in.UUID, token, pipeline.FailureOf(in.Code), in.Why)
	if err != nil {
		return GiveUpDocumentResult{}, Failure(err)
	}
	var failed error // whom this does not wake, the sweep does
	for _, id := range wake {
		failed = errors.Join(failed, d.Waker.WakeWebhook(ctx, id))
	}
	if err := d.Fetcher.Forget(ctx, fetchID(in.CompanyID, in.UUID)); err != nil { // what this leaves, retention removes
		activity.GetLogger(ctx).Warn("what has come of a document could not be removed", "uuid", in.UUID, "error", err)
	}
	return GiveUpDocumentResult{}, Failure(failed)
}
