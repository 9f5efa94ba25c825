package app

import (
	"context"
	"time"

	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://

	"github.com/dealwright/dealwright/activities"
	"github.com/dealwright/dealwright/documents"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/webhook"
)

// openDocuments gives nil where there is no bucket to keep documents in.
func openDocuments(cfg Config, targets *webhook.Targets) (*documents.Keeper, error) {
	if cfg.Documents == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	return documents.Open(context.Background(), documents.Config{
		Bucket: cfg.Documents, Getter: webhook.NewGetter(targets, cfg.Version), MaxSize: cfg.MaxDocument,
	})
}

// keeper of documents, for those who fetch them and those who clear up behind them.
type keeper interface {
	activities.Fetcher
	activities.IncomingStore
	activities.Contents
}

// keeper keeps documents; without a bucket they wait until there is one.
func (p *Process) keeper() keeper {
	if p.documents != nil {
		return p.documents
	}
	p.log.Warn("DEALWRIGHT_DOCUMENTS is not set: signed documents are not fetched")
	return nowhere{}
}

type nowhere struct{}

// Forget has nothing to remove.
func (nowhere) Forget(context.Context, string) error { return nil }

// PruneIncoming has nothing to remove.
func (nowhere) PruneIncoming(context.Context, time.Time, int) (int64, error) { return 0, nil }

// Delete fails until the operator has set where documents were kept.
func (nowhere) Delete(context.Context, string) error { return errNowhere() }

// Fetch fails until the operator has set where to.
func (nowhere) Fetch(context.Context, pipeline.Remote, string, string, func(int64)) (pipeline.File, error) {
	return pipeline.File{}, errNowhere()
}

func errNowhere() error {
	return pipeline.Errorf(pipeline.CodeUnavailable, "DEALWRIGHT_DOCUMENTS is not set: there is no bucket for documents")
}
