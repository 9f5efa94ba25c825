// Package codec encrypts what goes to Temporal and decrypts what comes back: inputs and results of
// workflows and activities, updates, signals, queries, markers, heartbeats, failures and the
// sentences that the Temporal UI shows.
//
// Temporal keeps workflow ids and types, activity types, search attributes, ids of updates and
// names of signals in clear, so these hold nobody's data.
package codec

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/dealwright/dealwright/keyring"
)

// What the metadata of an encrypted payload say, in the words of Temporal's own samples.
const (
	Encoding      = "binary/encrypted"   // under "encoding"
	MetadataKeyID = "encryption-key-id"  // the keyring's id, eight hexadecimal digits
	use           = "dealwright payload" // what the ring's keys are derived for
)

// Each payload is encrypted with a key of its own, which is derived from the ring's and from a
// salt in front of it. AES-GCM with random nonces is good for 2^32 messages per key (NIST SP
// 800-38D, 8.3), which a busy engine would reach within months.
const (
	saltSize = 16
	keySize  = 32
)

// Codec encrypts payloads with the first key of a ring and decrypts with all of them. It is safe
// for concurrent use.
type Codec struct {
	keys  map[string][]byte // by id
	first string
}

var _ converter.PayloadCodec = (*Codec)(nil)

// New makes a codec of a ring.
func New(ring *keyring.Ring) (*Codec, error) {
	derived, err := ring.Derive(use)
	if err != nil {
		return nil, err
	}
	c := &Codec{keys: map[string][]byte{}, first: derived[0].ID.String()}
	for _, d := range derived {
		c.keys[d.ID.String()] = d.Key
	}
	return c, nil
}

// Encode encrypts payloads, their metadata included. What is encrypted already stays as it is.
func (c *Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, func(p *commonpb.Payload) (*commonpb.Payload, error) {
		if isEncrypted(p) {
			return p, nil
		}
		return c.encrypt(p)
	})
}

// Decode decrypts payloads. What is not encrypted stays as it is: histories from before payloads
// were go on.
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, func(p *commonpb.Payload) (*commonpb.Payload, error) {
		if !isEncrypted(p) {
			return p, nil
		}
		return c.decrypt(p)
	})
}

func each(payloads []*commonpb.Payload, f func(*commonpb.Payload) (*commonpb.Payload, error)) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		var err error
		if out[i], err = f(p); err != nil {
			return payloads, err
		}
	}
	return out, nil
}

func isEncrypted(p *commonpb.Payload) bool {
	return string(p.GetMetadata()[converter.MetadataEncoding]) == Encoding
}

func (c *Codec) encrypt(p *commonpb.Payload) (*commonpb.Payload, error) {
	plain, err := proto.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	salt := make([]byte, saltSize, saltSize+nonceSize+len(plain)+tagSize)
	rand.Read(salt) // never fails: it ends the process instead
	aead, err := c.aead(c.first, salt)
	if err != nil {
		return nil, err
	}
	return &commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(Encoding), MetadataKeyID: []byte(c.first)},
		// Salt, nonce, ciphertext; the cipher makes the nonce itself.
		Data: aead.Seal(salt, nil, plain, []byte(c.first)), //nolint:gosec // G407 takes that for a fixed nonce
	}, nil
}

// The sizes that crypto/cipher's GCM has.
const (
	nonceSize = 12
	tagSize   = 16
)

var errChanged = errors.New("an encrypted payload was changed since")

func (c *Codec) decrypt(p *commonpb.Payload) (*commonpb.Payload, error) {
	id := string(p.GetMetadata()[MetadataKeyID])
	if _, ok := c.keys[id]; !ok {
		return nil, unknown(id)
	}
	if len(p.GetData()) < saltSize {
		return nil, errChanged
	}
	aead, err := c.aead(id, p.GetData()[:saltSize])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, p.GetData()[saltSize:], []byte(id))
	if err != nil {
		return nil, errChanged
	}
	out := &commonpb.Payload{}
	if err := proto.Unmarshal(plain, out); err != nil {
		return nil, fmt.Errorf("decode payload: %w", err)
	}
	return out, nil
}

// aead is the cipher of one payload.
func (c *Codec) aead(id string, salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, c.keys[id], string(salt), keySize)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return aead, nil
}

// unknown says which key is missing; what is no id of ours is not repeated.
func unknown(id string) error {
	var e keyring.UnknownKeyError
	if n, err := hex.Decode(e.ID[:], []byte(id)[:min(len(id), 2*len(e.ID))]); err != nil || n != len(e.ID) || len(id) != 2*n {
		return errors.New("an encrypted payload does not say with which key")
	}
	return e
}
