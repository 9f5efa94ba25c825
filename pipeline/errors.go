package pipeline

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the stable name of an error. It is the "code" of a problem document and the type
// of a Temporal ApplicationError, so that one word follows a refusal through every layer.
type Code string

// Every error a caller can meet. The API maps each to one HTTP status.
const (
	CodeIllegalTransition    Code = "illegal_transition"     // the event may not happen in this state
	CodeInvalid              Code = "invalid"                // the input is wrong; Fields say where
	CodeNotFound             Code = "not_found"              // there is no such thing, or it is somebody else's
	CodeConflict             Code = "conflict"               // somebody else was faster; read again and decide again
	CodeIdempotencyKeyReused Code = "idempotency_key_reused" // the key was used for another request
	CodeUnavailable          Code = "unavailable"            // the store or Temporal cannot be reached, or has too much to do; try again
	CodeUnauthenticated      Code = "unauthenticated"        // no key, or not one of ours
	CodeForbidden            Code = "forbidden"              // the key's role does not reach that far
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeRequestTimeout       Code = "request_timeout" // the request took too long to come
	CodeTooLarge             Code = "too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeRateLimited          Code = "rate_limited"
	CodeInternal             Code = "internal"
)

// FieldError points at what is wrong in the input: an RFC 6901 pointer and a sentence.
type FieldError struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// Error is an error that a caller can act on.
type Error struct {
	Code    Code
	Message string
	Fields  []FieldError // for CodeInvalid
	Allowed []EventType  // for CodeIllegalTransition: what is legal now
}

func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return e.Message
	}
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Pointer + " " + f.Detail
	}
	return e.Message + ": " + strings.Join(parts, "; ")
}

// Errorf makes an error with a code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid makes a CodeInvalid error out of what is wrong, or nil where nothing is.
func Invalid(fields ...FieldError) error {
	if len(fields) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Message: "the input is not valid", Fields: fields}
}

// CodeOf gives the code of an error, CodeInternal for one that has none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
