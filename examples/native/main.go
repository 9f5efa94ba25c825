// Receives webhooks in the native format and verifies their signature. Set WEBHOOK_SECRET to the
// webhook's secret and run it.
package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func verify(key []byte, h http.Header, body []byte) error {
	sent, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		return errors.New("the timestamp is missing, too old or in the future")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", h.Get("Webhook-Id"), sent, body)
	want := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for given := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		if hmac.Equal([]byte(given), want) {
			return nil
		}
	}
	return errors.New("no signature fits")
}

func main() {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("WEBHOOK_SECRET"), "whsec_"))
	if err != nil || len(key) == 0 {
		fmt.Fprintln(os.Stderr, "set WEBHOOK_SECRET")
		os.Exit(2)
	}
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err == nil {
			err = verify(key, r.Header, body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(os.Stdout, "%q %q\n", r.Header.Get("Webhook-Id"), body)
		w.WriteHeader(http.StatusNoContent)
	}
	server := http.Server{
		Addr: cmp.Or(os.Getenv("ADDR"), "127.0.0.1:9001"), Handler: http.HandlerFunc(receive), ReadHeaderTimeout: 5 * time.Second,
	}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
