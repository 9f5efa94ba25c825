package pipeline

import (
	"crypto/ed25519"
	"encoding/base64"
)

// publicKeyPrefix is how Standard Webhooks marks an ed25519 public key.
const publicKeyPrefix = "whpk_"

// PublicKey is what a partner checks v1a signatures with: the public half of the key of a
// Signing's Seed, in the form of Standard Webhooks (whpk_ and base64). It is empty where the
// seed is not one.
func PublicKey(seed []byte) string {
	if len(seed) != ed25519.SeedSize {
		return ""
	}
	private := ed25519.NewKeyFromSeed(seed)
	return publicKeyPrefix + base64.StdEncoding.EncodeToString(private[ed25519.SeedSize:])
}
