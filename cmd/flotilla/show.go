package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// showList asks for the list at path and prints it: JSON as it came, tables by build.
func showList[L any](c *cli.Context, path string, query url.Values, build func(L) *table) error {
	s, err := open(c)
	if err != nil {
		return err
	}
	body, err := s.api.List(c.Context, path, query)
	if err != nil {
		return err
	}
	return s.print.print(body, func() (*table, error) { return decodeTable(body, build) })
}

// showObject asks for one answer that has no pages, and prints it in the same way.
func showObject[L any](c *cli.Context, path string, build func(L) *table) error {
	s, err := open(c)
	if err != nil {
		return err
	}
	body, err := s.api.Do(c.Context, apiclient.Request{Path: path})
	if err != nil {
		return err
	}
	return s.print.print(body, func() (*table, error) { return decodeTable(body, build) })
}

func decodeTable[L any](body []byte, build func(L) *table) (*table, error) {
	var l L
	if err := json.Unmarshal(body, &l); err != nil {
		return nil, fmt.Errorf("answer of the node: %w", err)
	}
	return build(l), nil
}

// The cells of tables: what is absent is a dash, never an empty cell.

const absent = "-"

func textCell(s string) string {
	if s == "" {
		return absent
	}
	return s
}

func pointerCell(s *string) string {
	if s == nil {
		return absent
	}
	return textCell(*s)
}

func timeCell(t api.Time) string {
	if t.IsZero() {
		return absent
	}
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}

func countCell[T int | int64 | uint64 | uint32](n T) string { return fmt.Sprint(n) }

// bytesCell is for eyes: three digits and a unit of 1024.
func bytesCell(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, u := float64(n)/1024, 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	return fmt.Sprintf("%.*f %ciB", max(0, 2-len(strconv.Itoa(int(f)))+1), f, units[u])
}

func ageCell(ms *int64) string {
	if ms == nil {
		return absent
	}
	d := time.Duration(*ms) * time.Millisecond
	if d >= time.Second {
		d = d.Truncate(time.Second)
	}
	return d.String()
}

// agoCell is how long ago a moment was, in its largest unit.
func agoCell(t api.Time, now time.Time) string {
	if t.IsZero() {
		return absent
	}
	switch d := max(now.Sub(t.Time), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
}

// segment escapes one part of a path. Dots too: `..` is a valid name, and on its way it would take the part before it
// along, so that a request about a collection became one about its database.
func segment(s string) string { return strings.ReplaceAll(url.PathEscape(s), ".", "%2E") }

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

// retentionCell prints the API's duration as people write it: 2160h0m0s is 90d.
func retentionCell(text string) string {
	d, err := config.ParseDuration(text)
	switch {
	case text == "" || err == nil && d == 0:
		return "for ever"
	case err != nil:
		return text
	}
	return config.FormatDuration(d)
}
