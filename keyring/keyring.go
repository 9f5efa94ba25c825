// Package keyring holds the encryption keys: the first of them seals, all of them open. So a key
// can be replaced by another while the engine runs.
//
// It imports none of ours.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Variable names the environment variable that a ring is read from, for errors.
const Variable = "DEALWRIGHT_ENCRYPTION_KEY"

// keySize is that of an AES-256 key.
const keySize = 32

// ID names a key without saying anything about it: the first bytes of its SHA-256.
type ID [4]byte

// String is the id as it is shown: eight hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Ring is one key or several. It is safe for concurrent use.
type Ring struct {
	keys []key
}

type key struct {
	id     ID
	raw    []byte
	sealer cipher.AEAD // of the present form
	first  cipher.AEAD // of the form before key ids
	digest []byte      // the key of Digest
}

// New reads a ring: keys of 32 bytes in base64, separated by commas.
func New(keys string) (*Ring, error) {
	texts := strings.Split(keys, ",")
	r := &Ring{}
	for i, text := range texts {
		k, err := newKey(strings.TrimSpace(text))
		if err != nil {
			return nil, malformed(i, len(texts), err)
		}
		if r.find(k.id) != nil {
			return nil, fmt.Errorf("%s has the key %s twice", Variable, k.id)
		}
		r.keys = append(r.keys, k)
	}
	return r, nil
}

var errNotAKey = errors.New("has to be 32 bytes in base64; make one with: openssl rand -base64 32")

// malformed says which key is meant, and never what it is.
func malformed(i, of int, err error) error {
	if of == 1 {
		return fmt.Errorf("%s %w", Variable, err)
	}
	return fmt.Errorf("key %d of %s %w", i+1, Variable, err)
}

func newKey(text string) (key, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != keySize {
		return key{}, errNotAKey
	}
	k := key{raw: raw}
	sum := sha256.Sum256(raw)
	copy(k.id[:], sum[:])
	if k.first, err = NewAEAD(raw); err != nil {
		return key{}, err
	}
	sealing, err := derive(raw, "dealwright sealed values")
	if err != nil {
		return key{}, err
	}
	if k.sealer, err = NewAEAD(sealing); err != nil {
		return key{}, err
	}
	k.digest, err = derive(raw, "dealwright digest")
	return k, err
}

// NewAEAD is AES-GCM with a key of 16, 24 or 32 bytes; what it seals needs a nonce that is never used again.
func NewAEAD(raw []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return aead, nil
}

// derive gives each use a key of its own, so that what one use shows says nothing about another.
func derive(raw []byte, use string) ([]byte, error) {
	derived, err := hkdf.Key(sha256.New, raw, nil, use, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return derived, nil
}

func (r *Ring) find(id ID) *key {
	for i := range r.keys {
		if r.keys[i].id == id {
			return &r.keys[i]
		}
	}
	return nil
}

// IDs of the keys, that of the one that seals first.
func (r *Ring) IDs() []ID {
	ids := make([]ID, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.id
	}
	return ids
}

// Derived is a key for one use, made from a key of the ring and named as that one.
type Derived struct {
	ID  ID
	Key []byte // 32 bytes
}

// Derive makes a key for one use from each key of the ring, in their order.
func (r *Ring) Derive(use string) ([]Derived, error) {
	all := make([]Derived, len(r.keys))
	for i, k := range r.keys {
		derived, err := derive(k.raw, use)
		if err != nil {
			return nil, err
		}
		all[i] = Derived{ID: k.id, Key: derived}
	}
	return all, nil
}

// Digest of a text, to compare it by. Without the key nobody can find out by trying what the
// text was.
func (r *Ring) Digest(text string) string { return r.keys[0].digestOf(text) }

// IsDigest tells whether a digest was made of this text with any key of the ring.
func (r *Ring) IsDigest(digest, text string) bool {
	return slices.ContainsFunc(r.keys, func(k key) bool { return hmac.Equal([]byte(digest), []byte(k.digestOf(text))) })
}

func (k key) digestOf(text string) string {
	mac := hmac.New(sha256.New, k.digest)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// The forms of a sealed value. Its first byte names the form.
const (
	formFirst = 1 // nonce, ciphertext
	formKeyID = 2 // key id, nonce, ciphertext; form and id are authenticated
)

// headerSize is that of form and key id.
const headerSize = 1 + len(ID{})

// Header is how every value begins that the first key has sealed.
func (r *Ring) Header() []byte { return append([]byte{formKeyID}, r.keys[0].id[:]...) }

// Seal encrypts a text with the first key: AES-256-GCM with a fresh nonce.
func (r *Ring) Seal(plain string) []byte {
	aead := r.keys[0].sealer
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce) // never fails: it ends the process instead
	header := r.Header()
	return aead.Seal(slices.Concat(header, nonce), nonce, []byte(plain), header)
}

// Open decrypts what Seal has made with any key of the ring. It fails where the key is not in
// the ring or a byte was changed.
func (r *Ring) Open(sealed []byte) (string, error) {
	switch {
	case len(sealed) > 0 && sealed[0] == formFirst:
		return r.openFirst(sealed[1:])
	case len(sealed) > headerSize && sealed[0] == formKeyID:
		return r.openKeyID(sealed)
	default:
		return "", errNotSealed
	}
}

var errNotSealed = errors.New("not a sealed value")

func (r *Ring) openKeyID(sealed []byte) (string, error) {
	id := ID(sealed[1:headerSize])
	k := r.find(id)
	if k == nil {
		return "", UnknownKeyError{ID: id}
	}
	n := headerSize + k.sealer.NonceSize()
	if len(sealed) < n {
		return "", errNotSealed
	}
	plain, err := k.sealer.Open(nil, sealed[headerSize:n], sealed[n:], sealed[:headerSize])
	if err != nil {
		return "", fmt.Errorf("a value that key %s has sealed was changed since", id)
	}
	return string(plain), nil
}

// openFirst: this form does not say which key it was, so all of them are tried.
func (r *Ring) openFirst(sealed []byte) (string, error) {
	for _, k := range r.keys {
		n := k.first.NonceSize()
		if len(sealed) < n {
			return "", errNotSealed
		}
		if plain, err := k.first.Open(nil, sealed[:n], sealed[n:], nil); err == nil {
			return string(plain), nil
		}
	}
	return "", errors.New("a sealed value does not open: is the key that it was sealed with in " + Variable + "?")
}

// UnknownKeyError says that something was sealed with a key that is not in the ring.
type UnknownKeyError struct {
	ID ID
}

// Error names the key.
func (e UnknownKeyError) Error() string {
	return "sealed with a key that is not in " + Variable + " (id " + e.ID.String() + ")"
}
