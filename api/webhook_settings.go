package api

import (
	"context"
	"fmt"
	"time"

	"github.com/dealwright/dealwright/pipeline"
)

// webhookSettings are the fields of a request that say how a webhook is sent to. What is left
// out stays as it is, and null takes a setting away.
type webhookSettings struct {
	Auth              pipeline.Given[pipeline.Auth]       `json:"auth"`
	Headers           pipeline.Given[pipeline.Headers]    `json:"headers"`
	ClientCertificate pipeline.Given[clientCertificate]   `json:"client_certificate"`
	Filter            pipeline.Given[pipeline.Object]     `json:"filter"`
	Ordered           *bool                               `json:"ordered"`
	LatestOnly        *bool                               `json:"latest_only"`
	RetrySchedule     pipeline.Given[[]pipeline.Duration] `json:"retry_schedule"`
	Timeout           pipeline.Given[pipeline.Duration]   `json:"timeout"`
	RateLimit         pipeline.Given[pipeline.Rate]       `json:"rate_limit"`
	MaxConcurrency    pipeline.Given[int]                 `json:"max_concurrency"`
}

// clientCertificate is a certificate as it is given; pipeline.ClientCertificate shows less.
type clientCertificate struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// emptyFilter lets everything pass, as no filter does.
const emptyFilter = pipeline.Object("{}")

// apply gives the webhook with these settings, or CodeInvalid with all that is wrong with them.
func (in webhookSettings) apply(w pipeline.Webhook, now time.Time) (pipeline.Webhook, error) {
	if in.Ordered != nil {
		w.Ordered = *in.Ordered
	}
	if in.LatestOnly != nil {
		w.LatestOnly = *in.LatestOnly
	}
	if in.RateLimit.Set {
		w.RateLimit = in.RateLimit.Value
	}
	if in.MaxConcurrency.Set {
		w.MaxConcurrency = orDefault(in.MaxConcurrency.Value, pipeline.DefaultMaxConcurrency)
	}
	err := allInvalid(in.applyFilter(&w), in.applyTimes(&w), in.applyCredentials(&w, now))
	return w, err
}

func (in webhookSettings) applyFilter(w *pipeline.Webhook) error {
	if !in.Filter.Set {
		return nil
	}
	w.Filter = in.Filter.Value
	if w.Filter == emptyFilter {
		w.Filter = ""
	}
	return pipeline.CheckFilter(w.Filter, "/filter")
}

func (in webhookSettings) applyTimes(w *pipeline.Webhook) error {
	var errs []error
	if in.Timeout.Set {
		w.Timeout = orDefault(in.Timeout.Value, pipeline.DefaultTimeout)
		errs = append(errs, within(w.Timeout, pipeline.MinTimeout, pipeline.MaxTimeout, "/timeout"))
	}
	if in.RetrySchedule.Set {
		w.RetrySchedule = in.RetrySchedule.Value
		for i, wait := range w.RetrySchedule {
			errs = append(errs, within(wait, 0, pipeline.MaxRetryDelay, fmt.Sprintf("/retry_schedule/%d", i)))
		}
	}
	return allInvalid(errs...)
}

// within refuses a time that is out of bounds. The schemas can do that for numbers, and not for
// texts such as "5m".
func within(d, lowest, highest pipeline.Duration, pointer string) error {
	if d >= lowest && d <= highest {
		return nil
	}
	return pipeline.Invalid(pipeline.FieldError{Pointer: pointer, Detail: fmt.Sprintf("has to be from %s to %s", lowest, highest)})
}

func (in webhookSettings) applyCredentials(w *pipeline.Webhook, now time.Time) error {
	var errs []error
	if in.Auth.Set {
		w.Auth = in.Auth.Value
		errs = append(errs, pipeline.CheckAuth(w.Auth, "/auth"))
	}
	if in.Headers.Set {
		w.Headers = in.Headers.Value
		errs = append(errs, pipeline.CheckHeaders(w.Headers, "/headers"))
	}
	if in.Auth.Set || in.Headers.Set {
		errs = append(errs, pipeline.CheckAuthorization(w.Headers, w.Auth, "/headers"))
	}
	if in.ClientCertificate.Set {
		var err error
		w.ClientCertificate, err = in.ClientCertificate.Value.check(now)
		errs = append(errs, err)
	}
	return allInvalid(errs...)
}

func (c clientCertificate) check(now time.Time) (pipeline.ClientCertificate, error) {
	if c == (clientCertificate{}) { // null: none from now on
		return pipeline.ClientCertificate{}, nil
	}
	return pipeline.CheckClientCertificate(c.Certificate, c.Key, "/client_certificate", now)
}

// vetTokens refuses an address for tokens where nothing may be sent to.
func (s *Server) vetTokens(ctx context.Context, a pipeline.Auth) error {
	if a.Type != pipeline.AuthOAuth2 {
		return nil
	}
	return s.targets.VetAt(ctx, a.TokenURL, "/auth/token_url")
}

// orDefault gives the default where null was given.
func orDefault[T comparable](given, otherwise T) T {
	var null T
	if given == null {
		return otherwise
	}
	return given
}
