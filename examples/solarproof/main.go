// Receives webhooks of the format solarproof. Nothing in them can be verified, so the hookUrl has
// a token in it: set WEBHOOK_TOKEN to a long random text, subscribe …/hook?token=<that>, and run it.
package main

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

// event has the fields that tell the payloads apart.
type event struct {
	Activity  string `json:"activity_type"`         // email_sent, sms_sent or published_proposal_link
	NewStatus *int   `json:"new_status"`            // of customer_status_change alone
	Customer  int64  `json:"pkcustomerid"`          // of a customer's events
	Quotation int64  `json:"pkcustomerquotationid"` // of recent_draft_project alone
}

func (e event) name() string {
	switch {
	case e.Activity != "":
		return e.Activity
	case e.Quotation != 0:
		return "recent_draft_project"
	case e.NewStatus != nil:
		return "customer_status_change"
	default:
		return "customer_created"
	}
}

func main() {
	token := os.Getenv("WEBHOOK_TOKEN")
	if token == "" {
		fmt.Fprintln(os.Stderr, "set WEBHOOK_TOKEN")
		os.Exit(2)
	}
	receive := func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.URL.Query().Get("token")), []byte(token)) != 1 {
			http.Error(w, "the token does not fit", http.StatusUnauthorized)
			return
		}
		var e event
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&e); err != nil {
			http.Error(w, "the body is no event", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(os.Stdout, "%q %s\n", r.Header.Get("Webhook-Id"), e.name())
		w.WriteHeader(http.StatusOK) // 200 alone is success, within 5 seconds
	}
	server := http.Server{
		Addr: cmp.Or(os.Getenv("ADDR"), "127.0.0.1:9021"), Handler: http.HandlerFunc(receive), ReadHeaderTimeout: 5 * time.Second,
	}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
