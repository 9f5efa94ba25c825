package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
	"github.com/dealwright/dealwright/schemas"
)

const soloPath = "/api_trigger_events/"

// soloTrigger is one of Solo's "API Trigger Events": one event, one URL, one auth.
type soloTrigger struct {
	ID        int64  `json:"id"`
	CompanyID int64  `json:"company_id"`
	Event     string `json:"event"`
	URL       string `json:"url"`
	// Auth has the fields of its type, credentials as placeholders.
	Auth pipeline.KeptAuth `json:"auth"`
}

func newSoloTrigger(w pipeline.Webhook) soloTrigger {
	return soloTrigger{ID: w.ID, CompanyID: w.CompanyID, Event: w.EventName, URL: w.URL, Auth: masked(w.Auth)}
}

// credentialsIn are the fields of an auth that answers do not show.
func credentialsIn(a *pipeline.Auth) []*string {
	return []*string{&a.Password, &a.Token, &a.Value, &a.ClientSecret}
}

func masked(a pipeline.Auth) pipeline.KeptAuth {
	if a.Type == "" {
		a.Type = pipeline.AuthNone
	}
	for _, credential := range credentialsIn(&a) {
		if *credential != "" {
			*credential = placeholder
		}
	}
	return pipeline.KeptAuth(a)
}

// unmasked puts the credentials from before where placeholders stand.
func unmasked(given, before pipeline.Auth) pipeline.Auth {
	old := credentialsIn(&before)
	for i, credential := range credentialsIn(&given) {
		if *credential == placeholder {
			*credential = *old[i]
		}
	}
	return given
}

// soloRequest is the body of a creation or a change.
type soloRequest struct {
	ID        int64                         `json:"id"`
	CompanyID int64                         `json:"company_id"`
	Event     string                        `json:"event"`
	URL       string                        `json:"url"`
	Auth      pipeline.Given[pipeline.Auth] `json:"auth"`
}

// createTrigger answers POST /api_trigger_events.
func (s *Server) createTrigger(c *gin.Context) error {
	var in soloRequest
	if _, err := decode(c, schemas.SoloTrigger, &in); err != nil {
		return err
	}
	w, err := in.apply(webhookOf(caller(c), pipeline.FormatSolo, ""))
	if err != nil {
		return err
	}
	if w, err = s.subscribe(c.Request.Context(), w); err != nil {
		return err
	}
	return created(c, soloPath, w.ID, newSoloTrigger(w))
}

// apply gives the webhook with what the request says; what it leaves out stays.
func (in soloRequest) apply(w pipeline.Webhook) (pipeline.Webhook, error) {
	var errs [5]error
	if in.ID != 0 && in.ID != w.ID {
		errs[0] = wrong("id", "is not for you to choose")
	}
	if in.CompanyID != 0 && in.CompanyID != w.CompanyID {
		errs[1] = wrong("company_id", "is not the company of this key")
	}
	if in.Event != "" {
		w.EventName, errs[2] = soloEvent(in.Event)
		w.Events = typesOf(w)
	} else if w.EventName == "" {
		errs[2] = wrong("event", "is missing")
	}
	if in.URL != "" {
		w.URL = in.URL
	} else if w.URL == "" {
		errs[3] = wrong("url", "is missing")
	}
	if in.Auth.Set {
		w.Auth = unmasked(in.Auth.Value, w.Auth)
		errs[4] = allInvalid(pipeline.CheckAuth(w.Auth, "/auth"), pipeline.CheckAuthorization(w.Headers, w.Auth, "/headers"))
	}
	return w, allInvalid(errs[:]...)
}

// soloEvent finds Solo's name in what stands for it: "Customer Status Changed",
// "customer_status_changed" or "customer.status_changed".
func soloEvent(given string) (string, error) {
	words := strings.NewReplacer("_", " ", ".", " ").Replace(given)
	var names []string
	for _, entry := range pipeline.Catalogue() {
		for _, name := range entry.Names.Solo {
			if strings.EqualFold(name.Event, words) {
				return name.Event, nil
			}
			names = append(names, name.Event)
		}
	}
	return "", wrong("event", "has to be one of %s", strings.Join(names, ", "))
}

// listTriggers answers GET /api_trigger_events with all of them.
func (s *Server) listTriggers(c *gin.Context) error {
	found, err := s.webhooksWhere(c, func(w pipeline.Webhook) bool { return isOf(w, pipeline.FormatSolo) })
	if err != nil {
		return err
	}
	triggers := make([]soloTrigger, len(found))
	for i, w := range found {
		triggers[i] = newSoloTrigger(w)
	}
	return answer(c, http.StatusOK, triggers)
}

// getTrigger answers GET /api_trigger_events/{id}.
func (s *Server) getTrigger(c *gin.Context) error {
	w, err := s.compatWebhook(c, pipeline.FormatSolo)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, newSoloTrigger(w))
}

// changeTrigger answers PUT /api_trigger_events/{id}.
func (s *Server) changeTrigger(c *gin.Context) error {
	w, err := s.compatWebhook(c, pipeline.FormatSolo)
	if err != nil {
		return err
	}
	var in soloRequest
	if _, err := decode(c, schemas.SoloTrigger, &in); err != nil {
		return err
	}
	changed, err := s.changeWebhook(c.Request.Context(), w, in.apply)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, newSoloTrigger(changed))
}

// deleteTrigger answers DELETE /api_trigger_events/{id}.
func (s *Server) deleteTrigger(c *gin.Context) error {
	w, err := s.compatWebhook(c, pipeline.FormatSolo)
	if err != nil {
		return err
	}
	if err := s.unsubscribe(c.Request.Context(), w); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// failAsSolo says what is wrong in one sentence: Solo's page shows no error.
func failAsSolo(c *gin.Context, p problem) {
	writeJSON(c, p.Status, struct {
		Error string `json:"error"`
	}{strings.Join(inWords(p, nil), "; ")})
}
