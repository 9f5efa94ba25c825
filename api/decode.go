package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

const (
	// maxBody is how large a body may be, in bytes.
	maxBody = 1 << 20
	// smallBody is how large one may be without counting as large; see maxLargeBodies. Nearly all
	// are smaller by far.
	smallBody = 64 << 10
	// maxExcess is how much of a body that is too large we read all the same. Many clients
	// send all of a body before they look at the answer, and would see a broken connection.
	maxExcess = 8 << 20
	// maxID is the largest integer that every JSON reader takes for what it is: 2^53-1.
	maxID = 1<<53 - 1
)

// decode reads the body, holds it against its schema and decodes it. The body comes back too,
// for its fingerprint.
func decode(c *gin.Context, schema string, into any) ([]byte, error) {
	body, err := readBody(c.Request)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, invalid("the body is missing: send a JSON object")
	}
	return body, decodeBody(body, schema, into)
}

// decodeOptional is decode for a request that may have nothing to say: no body is the same as {}.
func decodeOptional(c *gin.Context, schema string, into any) ([]byte, error) {
	body, err := readBody(c.Request)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	return body, decodeBody(body, schema, into)
}

// decodeNothing is decodeOptional for a request that has nothing to say at all.
func decodeNothing(c *gin.Context) error {
	var nothing struct{}
	_, err := decodeOptional(c, schemas.Nothing, &nothing)
	return err
}

// decodeKeyed is decode for a request that changes something, with the caller's idempotency key.
func decodeKeyed(c *gin.Context, schema string, into any) (pipeline.Idempotency, error) {
	body, err := decode(c, schema, into)
	if err != nil {
		return pipeline.Idempotency{}, err
	}
	return idempotency(c, body)
}

// decodeOptionalKeyed is decodeOptional with the caller's idempotency key.
func decodeOptionalKeyed(c *gin.Context, schema string, into any) (pipeline.Idempotency, error) {
	body, err := decodeOptional(c, schema, into)
	if err != nil {
		return pipeline.Idempotency{}, err
	}
	return idempotency(c, body)
}

func decodeBody(body []byte, schema string, into any) error {
	if err := schemas.Validate(schema, body); err != nil {
		return err
	}
	return unmarshal(body, into)
}

// unmarshal decodes what a schema has passed. Should the schema have been too kind, that is
// still the caller's input being wrong.
func unmarshal(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && mismatch.Field != "" {
		pointer := "/" + strings.ReplaceAll(mismatch.Field, ".", "/")
		return pipeline.Invalid(pipeline.FieldError{Pointer: pointer, Detail: "does not fit: it is a " + mismatch.Value})
	}
	if err != nil {
		return invalid("the body cannot be read: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// readBody gives nothing where there is no body.
func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if err := checkContentType(r.Header); err != nil {
		return nil, err
	}
	return readAtMost(r, maxBody)
}

// readAtMost reads a body. The request holds no place while its caller sends.
func readAtMost(r *http.Request, most int) ([]byte, error) {
	mine := claimOf(r.Context())
	mine.rest()
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(min(most, smallBody)+1)))
	if err == nil && len(body) > smallBody {
		if err := mine.holdLarge(r.Context()); err != nil {
			return nil, err
		}
		var rest []byte
		rest, err = io.ReadAll(io.LimitReader(r.Body, int64(most+1-len(body))))
		body = append(body, rest...)
	}
	if err != nil {
		return nil, cutShort(err)
	}
	if len(body) > most {
		return nil, tooLarge(r, most)
	}
	return body, mine.goOn(r.Context())
}

// cutShort: the caller took too long, hung up, or sent less than announced.
func cutShort(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return pipeline.Errorf(pipeline.CodeRequestTimeout, "the body took too long to come")
	}
	return invalid("the body ends too early")
}

func tooLarge(r *http.Request, most int) error {
	refusal := pipeline.Errorf(pipeline.CodeTooLarge, "a body may have up to %d bytes", most)
	// What cannot be read is of no interest: the answer is the same.
	if _, err := io.CopyN(io.Discard, r.Body, maxExcess); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w (and reading on failed: %w)", refusal, err)
	}
	return refusal
}

func checkContentType(h http.Header) error {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, given := params["charset"]
	if err != nil || kind != "application/json" || (given && !strings.EqualFold(charset, "utf-8")) {
		return pipeline.Errorf(pipeline.CodeUnsupportedMediaType, "send JSON in UTF-8: Content-Type: application/json")
	}
	return checkEncoding(h)
}

func checkEncoding(h http.Header) error {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return pipeline.Errorf(pipeline.CodeUnsupportedMediaType, "send the body as it is, without a Content-Encoding")
	}
	return nil
}

// pathID reads the id in the path. What cannot be an id is the id of nothing.
func pathID(c *gin.Context) (int64, error) { return pathPart(c, "id") }

// pathPart reads an id that the path has under a name.
func pathPart(c *gin.Context, name string) (int64, error) {
	id, ok := parseID(c.Param(name))
	if !ok {
		return 0, pipeline.Errorf(pipeline.CodeNotFound, "an id is a whole number from 1 on")
	}
	return id, nil
}

// parseID reads an id in the one way in which we write it.
func parseID(text string) (int64, bool) {
	id, err := strconv.ParseInt(text, 10, 64)
	return id, err == nil && id > 0 && id <= maxID && strconv.FormatInt(id, 10) == text
}

// answer sends a value as JSON.
func answer(c *gin.Context, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	c.Data(status, "application/json", b)
	return nil
}

// created answers a creation: 201 and where the new thing is to be found.
func created(c *gin.Context, location string, id int64, v any) error {
	c.Header("Location", location+strconv.FormatInt(id, 10))
	return answer(c, http.StatusCreated, v)
}

// accepted answers a request for something that goes on by itself: 202 and where to follow it.
func accepted(c *gin.Context, location string, v any) error {
	c.Header("Location", location)
	return answer(c, http.StatusAccepted, v)
}
