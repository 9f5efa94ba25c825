package postgres

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dealwright/dealwright/keyring"
	"github.com/dealwright/dealwright/pipeline"
)

// What is personal of an event is sealed with the data key of its customer
// (docs/adr/0014-erasure.md). Whoever reads events reads eventColumns and opens them with
// Store.event; there is no other way to what is sealed.

// dataKeySize is that of AES-256.
const dataKeySize = 32

// dataKeysKept bounds the data keys that a process has at hand, so that an append need not ask for
// the key of a customer to whom something has happened lately.
const dataKeysKept = 4096

type customerRef struct {
	CompanyID  int64
	CustomerID int64
}

func customerOf(e pipeline.Event) customerRef {
	return customerRef{CompanyID: e.CompanyID, CustomerID: int64(e.CustomerID)}
}

// dataKey is the key of a customer, and how it is sealed in the table: by that, one tells whether
// it is still the key.
type dataKey struct {
	sealed []byte
	aead   cipher.AEAD
}

// makeDataKey makes a new one.
func (s *Store) makeDataKey() (dataKey, error) {
	raw := make([]byte, dataKeySize)
	rand.Read(raw) // never fails: it ends the process instead
	aead, err := keyring.NewAEAD(raw)
	return dataKey{sealed: s.sealer.Seal(string(raw)), aead: aead}, err
}

// openDataKey opens a key as it was read from the table. Those at hand are looked at first: of the
// events of a page, many are of one customer.
func (s *Store) openDataKey(of customerRef, sealed []byte) (dataKey, error) {
	if known, ok := s.dataKeys.Get(of); ok && bytes.Equal(known.sealed, sealed) {
		return known, nil
	}
	raw, err := s.sealer.Open(sealed)
	if err != nil {
		return dataKey{}, fmt.Errorf("data key of customer %d: %w", of.CustomerID, err)
	}
	aead, err := keyring.NewAEAD([]byte(raw))
	if err != nil {
		return dataKey{}, err
	}
	key := dataKey{sealed: sealed, aead: aead}
	s.dataKeys.Add(of, key)
	return key, nil
}

// dataKeyFor gives the key that an event is to be sealed with; fresh says that it is a new one,
// which the append brings to the table. A key that is at hand may have been destroyed meanwhile:
// that the append finds out by itself.
func (s *Store) dataKeyFor(ctx context.Context, e pipeline.Event) (key dataKey, fresh bool, err error) {
	if e.Version == 1 && e.Stream.Kind() == pipeline.KindCustomer {
		key, err = s.makeDataKey()
		return key, true, err
	}
	of := customerOf(e)
	if known, ok := s.dataKeys.Get(of); ok {
		return known, false, nil
	}
	sealed, found, err := s.readDataKey(ctx, of)
	if err != nil {
		return dataKey{}, false, err
	}
	if !found {
		return s.adoptCustomer(ctx, of)
	}
	if sealed == nil {
		return dataKey{}, false, pipeline.NotForErased()
	}
	key, err = s.openDataKey(of, sealed)
	return key, false, err
}

// readDataKey gives the sealed key of a customer, nil where it is destroyed.
func (s *Store) readDataKey(ctx context.Context, of customerRef) (sealed []byte, found bool, err error) {
	var rows [][]byte
	err = s.list(ctx, &rows, "data key", `SELECT sealed FROM data_keys WHERE company_id = $1 AND customer_id = $2`,
		of.CompanyID, of.CustomerID)
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	return rows[0], true, nil
}

// adoptCustomer gives a customer a key that is from before there were any. Where there is no such
// customer, it is a key for nothing: the append says what is wrong.
func (s *Store) adoptCustomer(ctx context.Context, of customerRef) (key dataKey, fresh bool, err error) {
	if key, err = s.makeDataKey(); err != nil {
		return dataKey{}, false, err
	}
	n, err := s.exec(ctx, "keep data key", `INSERT INTO data_keys (company_id, customer_id, sealed)
		SELECT company_id, id, $3::bytea FROM customers WHERE company_id = $1 AND id = $2
		ON CONFLICT DO NOTHING`, of.CompanyID, of.CustomerID, key.sealed)
	if err != nil {
		return dataKey{}, false, err
	}
	if n == 1 {
		return key, false, nil
	}
	sealed, found, err := s.readDataKey(ctx, of) // somebody else was faster, or there is no customer
	switch {
	case err != nil:
		return dataKey{}, false, err
	case !found:
		return key, false, nil
	case sealed == nil:
		return dataKey{}, false, pipeline.NotForErased()
	}
	key, err = s.openDataKey(of, sealed)
	return key, false, err
}

// personalPart is what is sealed: payload and state whole and to the byte, so that a replay sends
// what was sent before.
type personalPart struct {
	Payload json.RawMessage `json:"payload"`
	State   json.RawMessage `json:"state"`
}

// sealedForm is the first byte of what sealPersonal makes, so that a later form can be told apart.
const sealedForm = 1

// sealPersonal seals what an event says. The event's id is part of the seal: what is sealed of one
// event does not open as another's.
func (k dataKey) sealPersonal(e pipeline.Event) ([]byte, error) {
	plain, err := json.Marshal(personalPart{Payload: e.Payload, State: e.State})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.ID, err)
	}
	n := k.aead.NonceSize()
	out := make([]byte, 1+n, 1+n+len(plain)+k.aead.Overhead())
	out[0] = sealedForm
	rand.Read(out[1:])
	return k.aead.Seal(out, out[1:1+n], plain, []byte(e.ID)), nil //nolint:gosec // G407 takes that for a fixed nonce
}

var errNotPersonal = errors.New("what is personal of an event does not open")

func (k dataKey) openPersonal(eventID string, sealed []byte) (personalPart, error) {
	n := k.aead.NonceSize()
	if len(sealed) < 1+n || sealed[0] != sealedForm {
		return personalPart{}, fmt.Errorf("%w: %s", errNotPersonal, eventID)
	}
	plain, err := k.aead.Open(nil, sealed[1:1+n], sealed[1+n:], []byte(eventID))
	if err != nil {
		return personalPart{}, fmt.Errorf("%w: %s", errNotPersonal, eventID)
	}
	var p personalPart
	if err := json.Unmarshal(plain, &p); err != nil {
		return personalPart{}, fmt.Errorf("%w: %s: %w", errNotPersonal, eventID, err)
	}
	return p, nil
}

// unseal puts what was sealed back into an event, or says that it is gone.
func (s *Store) unseal(e *pipeline.Event, personal, sealedKey []byte) error {
	if personal == nil {
		return nil
	}
	if sealedKey == nil {
		e.Erased = true
		return nil
	}
	key, err := s.openDataKey(customerOf(*e), sealedKey)
	if err != nil {
		return err
	}
	p, err := key.openPersonal(e.ID, personal)
	e.Payload, e.State = p.Payload, p.State
	return err
}

// split takes an event apart into what is left of it once its customer is erased, and the whole of
// it, sealed.
func split(e pipeline.Event, key dataKey) (shown pipeline.Event, personal []byte, err error) {
	if e.Type == pipeline.TypeCustomerErased {
		return e, nil, nil // it comes when the key is gone
	}
	if shown, err = pipeline.EventWithoutPersonal(e); err != nil {
		return e, nil, fmt.Errorf("split: %w", err)
	}
	personal, err = key.sealPersonal(e)
	return shown, personal, err
}
