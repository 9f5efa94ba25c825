// Package documents fetches signed documents from their providers and keeps them in a bucket: a
// folder, or S3, Google Cloud Storage or Azure Blob Storage by its URL.
//
// A document is kept under the SHA-256 of its bytes, and never held whole in memory.
package documents
