// Package cli has the commands that drive a running engine over its API: what the sales team, a
// partner or the operator would do, from a terminal.
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/dealwright/dealwright/client"
)

// settings are the flags that all commands have.
type settings struct {
	api  string
	key  string
	json bool
}

// Commands gives the commands. Each takes --api, --key and --json.
func Commands() []*cobra.Command {
	s := &settings{}
	all := []*cobra.Command{
		s.customers(), s.proposals(), s.events(), s.webhooks(), s.deliveries(), s.keys(), s.listen(),
	}
	for _, c := range all {
		flags := c.PersistentFlags()
		flags.StringVar(&s.api, "api", valueOr("DEALWRIGHT_API", "http://127.0.0.1:8080"), "where the API is (DEALWRIGHT_API)")
		flags.StringVar(&s.key, "key", "", "the API key (DEALWRIGHT_KEY; else that of the standalone server in DEALWRIGHT_DATA)")
		flags.BoolVar(&s.json, "json", false, "print JSON, a line for each thing")
	}
	return all
}

func valueOr(variable, otherwise string) string {
	if v := os.Getenv(variable); v != "" {
		return v
	}
	return otherwise
}

// client of the API that the flags name.
func (s *settings) client() (*client.ClientWithResponses, error) {
	key, err := s.secret()
	if err != nil {
		return nil, err
	}
	return client.New(s.api, key, nil)
}

// secret is the key that the flags, the environment or the standalone server's folder have.
func (s *settings) secret() (string, error) {
	if key := s.key; key != "" {
		return key, nil
	}
	if key := os.Getenv("DEALWRIGHT_KEY"); key != "" {
		return key, nil
	}
	path := filepath.Join(valueOr("DEALWRIGHT_DATA", ".dealwright"), "key")
	kept, err := os.ReadFile(path) //nolint:gosec // the caller says where its own key is
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("there is no API key: give --key, set DEALWRIGHT_KEY, or go to the folder in which make run was started")
	}
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	return strings.TrimSpace(string(kept)), nil
}

// call runs a command with a client.
func (s *settings) call(f func(*cobra.Command, *client.ClientWithResponses, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		return f(cmd, c, args)
	}
}

// show prints a thing as JSON, indented for people.
func (s *settings) show(cmd *cobra.Command, thing any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	if !s.json {
		encoder.SetIndent("", "  ")
	}
	return encoder.Encode(thing) //nolint:wrapcheck // it says what it could not write
}

// table prints things as lines of columns, or as a line of JSON each.
func table[T any](s *settings, cmd *cobra.Command, things []T, header string, row func(T) []any) error {
	if s.json {
		for _, thing := range things {
			if err := s.show(cmd, thing); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, header)
	for _, thing := range things {
		writeRow(w, row(thing))
	}
	return w.Flush() //nolint:wrapcheck // it says what it could not write
}

func writeRow(w io.Writer, cells []any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = text(cell)
	}
	fmt.Fprintln(w, strings.Join(texts, "\t"))
}

// text is a cell as people read it; what is null is a dash.
func text(cell any) string {
	switch cell := cell.(type) {
	case nil:
		return "-"
	case *string:
		if cell == nil || *cell == "" {
			return "-"
		}
		return *cell
	case *int64:
		if cell == nil {
			return "-"
		}
		return strconv.FormatInt(*cell, 10)
	case *time.Time:
		if cell == nil {
			return "-"
		}
		return text(*cell)
	case time.Time:
		return local(cell).Format(time.DateTime)
	case []string:
		return strings.Join(cell, ",")
	default:
		return fmt.Sprint(cell)
	}
}

// local is a time on the clock of whoever reads it.
func local(t time.Time) time.Time { return t.Local() } //nolint:gosmopolitan // it is shown to the person at this machine

// id reads an id that was given as an argument.
func id(argument string) (int64, error) {
	n, err := strconv.ParseInt(argument, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no id: a whole number from 1 on", argument)
	}
	return n, nil
}

// optional is nil where a flag was left empty.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// payload reads --data.
func payload(data string) (*map[string]any, error) { //nolint:gocritic // so the generated client wants it
	if data == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(data), &fields); err != nil {
		return nil, fmt.Errorf("--data has to be a JSON object: %w", err)
	}
	return &fields, nil
}

// gone reports an answer to a request that wants no body.
func gone(status int, problem *client.Problem) error {
	if status == http.StatusNoContent {
		return nil
	}
	return &client.RefusedError{Status: status, Problem: problem}
}
