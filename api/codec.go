package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/dealwright/dealwright/pipeline"
)

// The codec endpoint speaks the protocol of Temporal's remote codecs: payloads as protojson, one
// for one (https://docs.temporal.io/production-deployment/data-encryption). The Temporal UI and
// CLI ask it for what they show.
const codecRoot = "/v1/codec/"

// maxPayloads is how large the body of a request to the codec may be, in bytes: Temporal takes
// 2 MiB for one payload, which base64 makes a third longer.
const maxPayloads = 4 << 20

// operator is the company whose admins run the engine. Payloads do not say whose they are, and the
// Temporal UI shows workflows of all companies.
const operator = 1

func (s *Server) codecRoutes() []Route {
	// What the UI asks with each request, and what is nothing to us.
	known := []string{"preserveStorageRefs"}
	return []Route{
		{http.MethodPost, codecRoot + "decode", admins, known, s.recode(converter.PayloadCodec.Decode)},
		{http.MethodPost, codecRoot + "encode", admins, known, s.recode(converter.PayloadCodec.Encode)},
		{http.MethodGet, codecRoot + "login", admins, nil, s.codecLogin},
	}
}

func (s *Server) recode(f func(converter.PayloadCodec, []*commonpb.Payload) ([]*commonpb.Payload, error)) handler {
	return func(c *gin.Context) error {
		if err := s.checkOperator(c); err != nil {
			return err
		}
		if err := checkContentType(c.Request.Header); err != nil {
			return err
		}
		body, err := readAtMost(c.Request, maxPayloads)
		if err != nil {
			return err
		}
		var payloads commonpb.Payloads
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, &payloads); err != nil {
			return invalid("the body has to be the JSON of temporal.api.common.v1.Payloads")
		}
		out, err := f(s.payloads, payloads.GetPayloads())
		if err != nil { // it says which key is missing, and nothing of what is in them
			return invalid("%s", err.Error())
		}
		b, err := protojson.Marshal(&commonpb.Payloads{Payloads: out})
		if err != nil {
			return invalid("the payloads cannot be written as JSON")
		}
		c.Data(http.StatusOK, "application/json", b)
		return nil
	}
}

func (s *Server) checkOperator(c *gin.Context) error {
	if s.payloads == nil {
		return pipeline.Errorf(pipeline.CodeNotFound, "there is no codec here")
	}
	if caller(c).CompanyID != operator {
		return pipeline.Errorf(pipeline.CodeForbidden, "payloads are of all companies: this takes an admin key of company %d", operator)
	}
	return nil
}

// codecLogin is for an admin's browser, which asks for the key here and from then on sends it to
// the codec by itself, and nowhere else: HTTP Basic is for paths beside this one (RFC 7617, 2.2).
func (s *Server) codecLogin(c *gin.Context) error {
	if err := s.checkOperator(c); err != nil {
		return err
	}
	c.String(http.StatusOK, "The Temporal UI can read payloads in this browser now, until it is closed.\n")
	return nil
}

const basicChallenge = `Basic realm="dealwright codec", charset="UTF-8"`

// codecSecret reads the key from a Bearer header or, for browsers, from the password of HTTP Basic.
func codecSecret(r *http.Request) (string, error) {
	if _, _, ok := r.BasicAuth(); ok {
		return basicSecret(r)
	}
	return bearer(r)
}

func isCodec(c *gin.Context) bool { return strings.HasPrefix(c.Request.URL.Path, codecRoot) }

// isUI tells requests of the Temporal UI's pages to the codec.
func (s *Server) isUI(c *gin.Context) bool {
	return isCodec(c) && slices.Contains(s.uiOrigins, c.GetHeader("Origin"))
}

// admitUI lets the Temporal UI's pages, and those of no other site, read the codec's answers (CORS).
func (s *Server) admitUI(c *gin.Context) {
	if !isCodec(c) {
		return
	}
	c.Header("Vary", "Origin")
	if !s.isUI(c) {
		return
	}
	c.Header("Access-Control-Allow-Origin", c.GetHeader("Origin"))
	c.Header("Access-Control-Allow-Credentials", "true")
	if c.Request.Method != http.MethodOptions {
		return
	}
	c.Header("Access-Control-Allow-Methods", http.MethodPost)
	c.Header("Access-Control-Allow-Headers", "Authorization, Authorization-Extras, Content-Type, X-Namespace")
	c.Header("Access-Control-Max-Age", "600")
	c.AbortWithStatus(http.StatusNoContent)
}
