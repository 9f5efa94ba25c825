package api

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

// What Solar Proof answers, to the letter ("Subscribe to Webhooks", "Unsubscribe from
// Webhooks"). Every refusal of a request is a 400, that of a key too.
const (
	solarProofSubscribed   = "Webhook subscribed successfully"
	solarProofUnsubscribed = "Webhook unsubscribed successfully"
	solarProofEmpty        = "Empty request body"
	solarProofNoJSON       = "Invalid JSON"
	solarProofNoURL        = "hookUrl parameter is required"
	solarProofBadURL       = "Invalid webhook URL format"
	solarProofBadType      = "Invalid webhook type"
	solarProofBadKey       = "Invalid API key"
	solarProofNoMatch      = "No matching webhook found for this user"
	// solarProofBadAction is ours: what it says to an action that it does not have is not known.
	solarProofBadAction = "Invalid action"
)

// The actions of /apidata.php that are about webhooks.
const (
	solarProofSubscribe   = "subscribe_customer"
	solarProofUnsubscribe = "unsubscribe_customer"
)

// solarProofRequest is the body of both actions; an unsubscription has no type.
type solarProofRequest struct {
	hookURL, event string
}

type solarProofAnswer struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}

// solarProof answers POST and DELETE /apidata.php. Things are looked at in the order in which
// Solar Proof lists its messages, so the key comes after the body; but no name is looked up for
// somebody without a key.
func (s *Server) solarProof(c *gin.Context) error {
	switch action := c.Query("action"); {
	case action == solarProofSubscribe && c.Request.Method == http.MethodPost:
		return s.solarProofSubscribe(c)
	case action == solarProofUnsubscribe:
		return s.solarProofUnsubscribe(c)
	default:
		return refuse(solarProofBadAction)
	}
}

func refuse(message string) error { return pipeline.Errorf(pipeline.CodeInvalid, "%s", message) }

func (s *Server) solarProofSubscribe(c *gin.Context) error {
	in, err := readSolarProof(c.Request)
	if err != nil {
		return err
	}
	w := pipeline.Webhook{Format: pipeline.FormatSolarProof, EventName: in.event}
	if in.event == "" || pipeline.CheckFormat(w) != nil {
		return refuse(solarProofBadType)
	}
	if err := s.admitSolarProof(c); err != nil {
		return err
	}
	w = webhookOf(caller(c), pipeline.FormatSolarProof, in.hookURL)
	w.EventName = in.event
	w.Events = typesOf(w)
	if _, err := s.subscribe(c.Request.Context(), w); err != nil {
		if isInvalid(err) {
			return refuse(solarProofBadURL)
		}
		return err
	}
	return answer(c, http.StatusOK, solarProofAnswer{Success: true, Message: solarProofSubscribed})
}

// solarProofUnsubscribe ends all subscriptions of the key, and of no other, for the exact URL.
func (s *Server) solarProofUnsubscribe(c *gin.Context) error {
	in, err := readSolarProof(c.Request)
	if err != nil {
		return err
	}
	if err := s.admitSolarProof(c); err != nil {
		return err
	}
	key := caller(c).ID
	found, err := s.webhooksWhere(c, func(w pipeline.Webhook) bool {
		return w.Format == pipeline.FormatSolarProof && w.KeyID == key && w.URL == in.hookURL
	})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return refuse(solarProofNoMatch)
	}
	for _, w := range found {
		if err := s.unsubscribe(c.Request.Context(), w); err != nil {
			return err
		}
	}
	return answer(c, http.StatusOK, solarProofAnswer{Success: true, Message: solarProofUnsubscribed})
}

// admitSolarProof lets in whose key may have webhooks, and tells others nothing more.
func (s *Server) admitSolarProof(c *gin.Context) error {
	err := s.authenticate(c)
	if err == nil {
		err = checkRole(c, subscribers)
	}
	if code := pipeline.CodeOf(err); code == pipeline.CodeUnauthenticated || code == pipeline.CodeForbidden {
		return refuse(solarProofBadKey)
	}
	return err
}

func solarProofSecret(r *http.Request) (string, error) {
	return checkSecret(r.URL.Query().Get("api_key"))
}

// readSolarProof reads a body of whatever type it says that it is: Solar Proof does not look at
// that. Fields that it does not know it passes over.
func readSolarProof(r *http.Request) (solarProofRequest, error) {
	body, err := readCompat(r)
	if err != nil {
		return solarProofRequest{}, err
	}
	return parseSolarProof(body)
}

func parseSolarProof(body []byte) (in solarProofRequest, err error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return in, refuse(solarProofEmpty)
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return in, refuse(solarProofNoJSON)
	}
	if given := fields["hookUrl"]; given == nil || given == "" {
		return in, refuse(solarProofNoURL)
	}
	in.hookURL, _ = fields["hookUrl"].(string) // what is no text is no URL either
	in.event, _ = fields["type_request"].(string)
	if !wholeURL(in.hookURL) {
		return in, refuse(solarProofBadURL)
	}
	return in, nil
}

func failAsSolarProof(c *gin.Context, p problem) {
	if p.Status == http.StatusUnprocessableEntity {
		p.Status = http.StatusBadRequest
	}
	writeJSON(c, p.Status, solarProofAnswer{Message: inWords(p, nil)[0]})
}
