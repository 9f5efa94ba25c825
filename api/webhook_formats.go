package api

import "github.com/dealwright/dealwright/pipeline"

// formatSettings are the fields of a request that some formats leave to the webhook; which ones
// is pipeline.CheckFormat's to say. What is left out stays as it is, and null takes it away.
type formatSettings struct {
	ContentType pipeline.Given[string] `json:"content_type"`
	EventName   pipeline.Given[string] `json:"event_name"`
	Constraint  pipeline.Given[string] `json:"constraint"`
	Method      pipeline.Given[string] `json:"method"`
}

// apply gives the webhook with these settings, right or wrong.
func (in formatSettings) apply(w pipeline.Webhook) pipeline.Webhook {
	for _, setting := range []struct {
		given pipeline.Given[string]
		into  *string
	}{
		{in.ContentType, &w.ContentType},
		{in.EventName, &w.EventName},
		{in.Constraint, &w.Constraint},
		{in.Method, &w.Method},
	} {
		if setting.given.Set {
			*setting.into = setting.given.Value
		}
	}
	return w
}
