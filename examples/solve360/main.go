// Receives notifications of the format solve360, in XML, JSON or a form, and verifies their
// signature. Set WEBHOOK_SECRET to the hook's secret and run it.
package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

func verify(secret, signature string, body []byte) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	given, err := hex.DecodeString(signature)
	return err == nil && hmac.Equal(given, mac.Sum(nil))
}

type notification struct {
	Type     string `json:"type"     xml:"type"`
	ObjectID int64  `json:"objectid" xml:"objectid"`
	// And content, the whole record.
}

func parse(contentType string, body []byte) (n notification, err error) {
	switch contentType {
	case "application/json":
		err = json.Unmarshal(body, &n)
	case "application/x-www-form-urlencoded":
		var form url.Values
		if form, err = url.ParseQuery(string(body)); err == nil {
			n.Type = form.Get("type")
			n.ObjectID, err = strconv.ParseInt(form.Get("objectid"), 10, 64)
		}
	default:
		err = xml.Unmarshal(body, &n)
	}
	if err != nil {
		return n, fmt.Errorf("read notification: %w", err)
	}
	return n, nil
}

func main() {
	secret := os.Getenv("WEBHOOK_SECRET")
	if secret == "" {
		fmt.Fprintln(os.Stderr, "set WEBHOOK_SECRET")
		os.Exit(2)
	}
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil || !verify(secret, r.Header.Get("X-Solve360-Hmac-Sha256"), body) {
			http.Error(w, "the signature does not fit", http.StatusUnauthorized)
			return
		}
		n, err := parse(r.Header.Get("Content-Type"), body)
		if err != nil {
			http.Error(w, "the body is no notification", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(os.Stdout, "%q of %d\n", n.Type, n.ObjectID)
		w.WriteHeader(http.StatusNoContent)
	}
	server := http.Server{
		Addr: cmp.Or(os.Getenv("ADDR"), "127.0.0.1:9031"), Handler: http.HandlerFunc(receive), ReadHeaderTimeout: 5 * time.Second,
	}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
