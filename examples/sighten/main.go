// Receives the contract webhook of the format sighten, verifies the bearer token of its auth, and
// says where the signed document is. Set WEBHOOK_TOKEN to the token and run it.
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

type contract struct {
	Site     string    `json:"site"`
	Quote    string    `json:"quote"`
	SubTasks []subTask `json:"sub_tasks"`
}

type subTask struct {
	Category       string `json:"category"`
	DocumentStatus string `json:"document_status"` // GEN, SENT, SIGN or VOID
	Data           struct {
		Documents []struct {
			UUID         string `json:"uuid"`
			CreationType string `json:"creation_type"`
		} `json:"documents"`
		Envelopes []struct {
			DateSigned time.Time `json:"date_signed"`
		} `json:"envelopes"`
	} `json:"data"`
}

// documents finds the one sub-task that is about the contract's documents.
func (c contract) documents() (subTask, bool) {
	for _, t := range c.SubTasks {
		if t.Category == "DOCUMENT" {
			return t, true
		}
	}
	return subTask{}, false
}

// signed is the path of the signed document, empty where there is none (yet).
func (t subTask) signed() string {
	for _, d := range t.Data.Documents {
		if t.DocumentStatus == "SIGN" && d.CreationType == "UPLOADED" {
			return "/api/v1/document/" + d.UUID + "/download/"
		}
	}
	return ""
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
		var c contract
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&c)
		task, ok := c.documents()
		if err != nil || !ok {
			http.Error(w, "the body is no contract", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(os.Stdout, "%q %q %q\n", c.Quote, task.DocumentStatus, task.signed())
		w.WriteHeader(http.StatusNoContent)
	}
	server := http.Server{
		Addr: cmp.Or(os.Getenv("ADDR"), "127.0.0.1:9041"), Handler: http.HandlerFunc(receive), ReadHeaderTimeout: 5 * time.Second,
	}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
