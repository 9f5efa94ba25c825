package postgres

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
)

// Sealer encrypts secrets before they reach a table: AES-256-GCM, a fresh nonce in front of
// each ciphertext. A first byte names the form, so that a later one can be told apart.
type Sealer struct {
	aead   cipher.AEAD
	digest []byte // the key of Digest
}

const sealedV1 = 1

// NewSealer takes DEALWRIGHT_ENCRYPTION_KEY: 32 bytes in base64.
func NewSealer(key string) (*Sealer, error) {
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(raw) != 32 {
		return nil, errors.New("DEALWRIGHT_ENCRYPTION_KEY has to be 32 bytes in base64; make one with: openssl rand -base64 32")
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	digest, err := hkdf.Key(sha256.New, raw, nil, "dealwright digest", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return &Sealer{aead: aead, digest: digest}, nil
}

// Digest of a text, to compare it by. Without the encryption key nobody can find out by trying
// what the text was.
func (s *Sealer) Digest(text string) string {
	mac := hmac.New(sha256.New, s.digest)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// Seal encrypts a text.
func (s *Sealer) Seal(plain string) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	rand.Read(nonce) // never fails: it ends the process instead
	out := append([]byte{sealedV1}, nonce...)
	return s.aead.Seal(out, nonce, []byte(plain), nil)
}

// Open decrypts what Seal made. It fails where the key is another or a byte was changed.
func (s *Sealer) Open(sealed []byte) (string, error) {
	n := s.aead.NonceSize()
	if len(sealed) < 1+n || sealed[0] != sealedV1 {
		return "", errors.New("not a sealed value")
	}
	plain, err := s.aead.Open(nil, sealed[1:1+n], sealed[1+n:], nil)
	if err != nil {
		return "", errors.New("a sealed value does not open: is DEALWRIGHT_ENCRYPTION_KEY the one it was sealed with?")
	}
	return string(plain), nil
}
