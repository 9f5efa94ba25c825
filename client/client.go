package client //nolint:revive // what the package is for stands in api.gen.go

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// New makes a client of the API at an address such as http://127.0.0.1:8080, which shows a key with
// every request. A nil doer stands for http.DefaultClient.
//
// Its methods are the operations of the OpenAPI document: each has an answer with a field for what
// was asked (JSON200, JSON201, …) and one for what went wrong (ApplicationproblemJSONDefault), of
// which Check makes an error.
func New(address, key string, doer HttpRequestDoer) (*ClientWithResponses, error) {
	options := []ClientOption{WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	})}
	if doer != nil {
		options = append(options, WithHTTPClient(doer))
	}
	c, err := NewClientWithResponses(strings.TrimSuffix(address, "/"), options...)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", address, err)
	}
	return c, nil
}

// RefusedError is an answer that is not what was asked for.
type RefusedError struct {
	Status  int
	Problem *Problem // nil where somebody else answered, such as a proxy
}

// Error says what the API said, field by field.
func (r *RefusedError) Error() string {
	if r.Problem == nil {
		return fmt.Sprintf("the API answered with status %d", r.Status)
	}
	parts := []string{fmt.Sprintf("%s (%s)", r.Problem.Detail, r.Problem.Code)}
	if r.Problem.Errors != nil {
		for _, fault := range *r.Problem.Errors {
			parts = append(parts, fault.Pointer+" "+fault.Detail)
		}
	}
	return strings.Join(parts, "\n  ")
}

// answer is what every generated response can say.
type answer interface{ StatusCode() int }

// Check gives an error where the status is not one of success; problem is the answer's
// ApplicationproblemJSONDefault.
func Check(a answer, problem *Problem) error {
	if status := a.StatusCode(); status < http.StatusOK || status >= http.StatusMultipleChoices {
		return &RefusedError{Status: status, Problem: problem}
	}
	return nil
}
