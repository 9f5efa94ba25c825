package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/postgres"
)

// tenants makes companies, each of which sees its own events only, so that one measurement's webhooks do not hear of
// another's. It works on the standalone's own store.
type tenants struct {
	api   string
	store *postgres.Store
}

func openTenants(s *standalone) (*tenants, error) {
	url, err := s.databaseURL()
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(s.folder, "encryption-key"))
	if err != nil {
		return nil, fmt.Errorf("read the encryption key: %w", err)
	}
	sealer, err := keyring.New(strings.TrimSpace(string(key)))
	if err != nil {
		return nil, err
	}
	// What is put into the store directly, to have a past, need not survive a crash of this machine.
	store, err := postgres.Open(postgres.Config{URL: url + "&options=-c%20synchronous_commit%3Doff", Sealer: sealer})
	if err != nil {
		return nil, err
	}
	return &tenants{api: s.API, store: store}, nil
}

func (t *tenants) close() error { return t.store.Close() }

func (t *tenants) newCompany(ctx context.Context, name string) (*engine, error) {
	id, err := t.store.CreateCompany(ctx, name)
	if err != nil {
		return nil, err
	}
	key, _, err := t.store.CreateKey(ctx, pipeline.Key{CompanyID: id, Name: name, Role: pipeline.RoleAdmin}, pipeline.Idempotency{})
	if err != nil {
		return nil, err
	}
	return newEngine(t.api, key.Secret), nil
}
