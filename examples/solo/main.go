// Receives triggers of the format solo and verifies the bearer token of their auth. Set
// WEBHOOK_TOKEN to the token and run it.
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

type trigger struct {
	Event    string `json:"event"`
	Customer struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	} `json:"customer"`
	Proposal *struct { // not there where the event is the customer's own
		ID     int64  `json:"id"`
		Status string `json:"status"`
	} `json:"proposal"`
	OccurredAt time.Time `json:"occurred_at"`
}

func main() {
	token := os.Getenv("WEBHOOK_TOKEN")
	if token == "" {
		fmt.Fprintln(os.Stderr, "set WEBHOOK_TOKEN")
		os.Exit(2)
	}
	receive := func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) != 1 {
			http.Error(w, "the token does not fit", http.StatusUnauthorized)
			return
		}
		var t trigger
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&t); err != nil {
			http.Error(w, "the body is no trigger", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(os.Stdout, "%q of customer %d at %s\n", t.Event, t.Customer.ID, t.OccurredAt)
		w.WriteHeader(http.StatusNoContent)
	}
	server := http.Server{
		Addr: cmp.Or(os.Getenv("ADDR"), "127.0.0.1:9011"), Handler: http.HandlerFunc(receive), ReadHeaderTimeout: 5 * time.Second,
	}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
