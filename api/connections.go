package api

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

const (
	connectionsPath = "/v1/connections/"
	inboundPath     = "/inbound/"
)

// contractRoutes are those of connections to providers of contracts, of what those tell us, and
// of the documents that we fetched there.
func (s *Server) contractRoutes() []Route {
	paged := []string{"limit", "cursor"}
	routes := []Route{ //nolint:prealloc // it is made once
		{http.MethodPost, "/v1/connections", admins, nil, s.createConnection},
		{http.MethodGet, "/v1/connections", admins, paged, s.listConnections},
		{http.MethodGet, "/v1/connections/:id", admins, nil, s.getConnection},
		{http.MethodDelete, "/v1/connections/:id", admins, nil, s.deleteConnection},

		{http.MethodGet, "/v1/inbound", drivers, append([]string{"status", "connection_id"}, paged...), s.listInbound},
		{http.MethodGet, "/v1/inbound/:id", drivers, nil, s.getInbound},
		{http.MethodPost, "/v1/inbound/:id/retry", drivers, nil, s.retryInbound},

		{http.MethodGet, "/v1/documents/:uuid/download", everyone, nil, s.downloadDocument},
		{http.MethodPost, "/v1/documents/:uuid/retry", drivers, nil, s.retryDocument},
	}
	// Providers let their customers choose the method.
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch} {
		routes = append(routes, Route{method, inboundPath + ":token", open, nil, s.receiveInbound})
	}
	for _, slash := range []string{"", "/"} { // as Sighten has them; see dialect
		routes = append(routes,
			Route{http.MethodGet, "/api/v1/document/:uuid/download" + slash, everyone, nil, s.downloadDocument},
			Route{http.MethodGet, "/api/v1/document/:uuid/preview" + slash, everyone, nil, s.previewDocument})
	}
	return routes
}

// newConnection is the body of POST /v1/connections.
type newConnection struct {
	Provider      string        `json:"provider"`
	BaseURL       string        `json:"base_url"`
	Auth          pipeline.Auth `json:"auth"`
	CreateMissing bool          `json:"create_missing"`
}

// shownConnection is a connection with the address that is to be given to the provider. An admin
// may see it at any time: it has to be entered there by hand.
type shownConnection struct {
	pipeline.Connection

	InboundURL string `json:"inbound_url"`
}

// createConnection answers POST /v1/connections.
func (s *Server) createConnection(c *gin.Context) error {
	var in newConnection
	idem, err := decodeKeyed(c, schemas.CreateConnection, &in)
	if err != nil {
		return err
	}
	if s.documents == nil {
		return pipeline.Errorf(pipeline.CodeConflict, "documents cannot be kept: the operator has to set DEALWRIGHT_DOCUMENTS")
	}
	ctx := c.Request.Context()
	connection, err := in.connection(caller(c).CompanyID)
	if err != nil {
		return err
	}
	if err := allInvalid(s.targets.VetAt(ctx, connection.BaseURL, "/base_url"), s.vetTokens(ctx, connection.Auth)); err != nil {
		return err
	}
	connection, replayed, err := s.store.CreateConnection(ctx, connection, idem)
	if err != nil {
		return err
	}
	if replayed {
		markReplayed(c)
	}
	return created(c, connectionsPath, connection.ID, shown(c, connection))
}

func (in newConnection) connection(companyID int64) (pipeline.Connection, error) {
	if in.Auth.Type == "" {
		in.Auth.Type = pipeline.AuthNone
	}
	base, err := baseURL(in.BaseURL)
	return pipeline.Connection{
		CompanyID: companyID, Provider: in.Provider, BaseURL: base, Auth: in.Auth, CreateMissing: in.CreateMissing, Token: newToken(),
	}, allInvalid(err, pipeline.CheckAuth(in.Auth, "/auth"))
}

// baseURL takes the slash off that paths begin with; a query would end up in front of them.
func baseURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(raw, "#") {
		return "", pipeline.Invalid(pipeline.FieldError{Pointer: "/base_url", Detail: "has to be a URL without a query or fragment"})
	}
	return strings.TrimRight(raw, "/"), nil
}

// newToken is 256 random bits: whoever knows the address gets in.
func newToken() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// shown is a connection as its admin sees it, at the address at which the admin sees us.
func shown(c *gin.Context, connection pipeline.Connection) shownConnection {
	u := url.URL{Scheme: "http", Host: c.Request.Host, Path: inboundPath + connection.Token}
	if c.Request.TLS != nil || strings.EqualFold(c.GetHeader("X-Forwarded-Proto"), "https") {
		u.Scheme = "https"
	}
	return shownConnection{Connection: connection, InboundURL: u.String()}
}

// listConnections answers GET /v1/connections, newest first.
func (s *Server) listConnections(c *gin.Context) error {
	query := newQuery(c)
	page := query.page()
	if err := query.err(); err != nil {
		return err
	}
	rows, err := s.store.Connections(c.Request.Context(), caller(c).CompanyID, page)
	if err != nil {
		return err
	}
	out := make([]shownConnection, len(rows))
	for i, row := range rows {
		out[i] = shown(c, row)
	}
	return answer(c, http.StatusOK, newList(out, page, func(row shownConnection) int64 { return row.ID }))
}

// getConnection answers GET /v1/connections/{id}.
func (s *Server) getConnection(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	connection, err := s.store.Connection(c.Request.Context(), caller(c).CompanyID, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, shown(c, connection))
}

// deleteConnection answers DELETE /v1/connections/{id}: its inbound_url leads nowhere any more.
func (s *Server) deleteConnection(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := s.store.DeleteConnection(c.Request.Context(), caller(c).CompanyID, id); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
