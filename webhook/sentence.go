package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// plain says in a sentence, for the partner to read, why no success came. What the network
// package says beyond that stays out: the URL may hold a partner's token, and our own
// addresses and name servers are nobody's business.
func plain(err error, timeout time.Duration) string {
	var (
		target      targetError
		network     net.Error
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
		operation   *net.OpError
		wrapped     *url.Error
	)
	if failure, ok := errors.AsType[tokenError](err); ok {
		return failure.sentence(timeout)
	}
	switch {
	case errors.As(err, &target):
		return "the URL " + target.Error()
	case errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &network) && network.Timeout()):
		return "no answer within " + timeout.String()
	case errors.As(err, &name):
		return "the host name could not be resolved"
	case errors.As(err, &certificate):
		return "the TLS certificate was not accepted: " + certificate.Err.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before an answer came"
	case errors.As(err, &operation):
		return operation.Err.Error()
	case errors.As(err, &wrapped):
		return "the URL cannot be used: " + wrapped.Err.Error()
	default:
		return err.Error()
	}
}

// unreached reports that no answer came, as against one that is of no use.
func unreached(err error) bool {
	_, wrapped := errors.AsType[*url.Error](err)
	return wrapped || errors.Is(err, context.DeadlineExceeded)
}

// storable makes a partner's text fit for a text column: valid UTF-8, no NUL, at most so many
// bytes.
func storable(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= limit {
		return s
	}
	end := limit
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
