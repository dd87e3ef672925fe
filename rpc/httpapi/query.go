package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/lineproto"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
)

var queryNames = []string{"start_time", "end_time", "ids", "fields", "limit", "order", "interval", "aggregation", "consistency", "max_staleness"}

// queryOf reads a query from the URL and, of a POST, from the body.
func queryOf(w http.ResponseWriter, r *http.Request) (gateway.Query, error) {
	q := gateway.Query{From: storage.MinTime, To: storage.NoEnd}
	var err error
	if q.Database, q.Collection, err = series(r); err != nil {
		return q, err
	}
	values, err := params(r, queryNames...)
	if err != nil {
		return q, err
	}
	if r.Method == http.MethodPost {
		if err := addBody(w, r, values); err != nil {
			return q, err
		}
	}
	return q, fill(&q, values)
}

// addBody adds the keys of a JSON body to the parameters.
func addBody(w http.ResponseWriter, r *http.Request, values url.Values) error {
	body, err := readBody(w, r, maxAdminBody)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	if err := lineproto.ExactJSON(body); err != nil {
		return api.E(api.InvalidArgument, "send UTF-8, and surrogates in pairs", "the body cannot be read: %v", err)
	}
	if err := checkKeys(body, queryNames); err != nil {
		return err
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil {
		hint := "an object with the keys " + strings.Join(queryNames, ", ")
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return api.E(api.InvalidArgument, hint, "the body is a JSON %s, no object", wrong.Value)
		}
		return api.E(api.InvalidArgument, hint, "the body cannot be read").Because(err)
	}
	for name, raw := range m {
		if _, twice := values[name]; twice {
			return api.E(api.InvalidArgument, "give it once", "%q is in the URL and in the body", name)
		}
		if string(raw) == "null" {
			continue
		}
		text, err := scalar(name, raw)
		if err != nil {
			return err
		}
		values[name] = text
	}
	return nil
}

// scalar gives a JSON value as the texts that the URL would hold.
func scalar(name string, raw json.RawMessage) ([]string, error) {
	if name == "ids" || name == "fields" {
		var list []string
		if json.Unmarshal(raw, &list) == nil {
			b, err := json.Marshal(list)
			return []string{string(b)}, err
		}
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []string{text}, nil
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil && number != "" {
		return []string{number.String()}, nil
	}
	if s := string(raw); s == "true" || s == "false" {
		return []string{s}, nil
	}
	return nil, api.E(api.InvalidArgument, "a string, a number, or a list for ids and fields", "key %q has a value that is none of these", name)
}

func fill(q *gateway.Query, values url.Values) (err error) {
	if q.From, err = timeOf(values, "start_time", storage.MinTime); err != nil {
		return err
	}
	if q.To, err = timeOf(values, "end_time", storage.NoEnd); err != nil {
		return err
	}
	if q.Devices, err = devices(values); err != nil {
		return err
	}
	if q.Fields, err = list(values, "fields"); err != nil {
		return err
	}
	if s := values.Get("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit <= 0 || q.Limit > math.MaxInt32 {
			return api.E(api.InvalidArgument, fmt.Sprintf("a number from 1 to %d; leave it out for no limit", math.MaxInt32), "limit %q is no number of points", s)
		}
	}
	switch s := values.Get("order"); s {
	case "", "asc":
	case "desc":
		q.Descending = true
	default:
		return api.E(api.InvalidArgument, "asc or desc", "order %q is not known", s)
	}
	if q.Every, err = duration(values, "interval"); err != nil {
		return err
	}
	if q.MaxStaleness, err = duration(values, "max_staleness"); err != nil {
		return err
	}
	if q.Aggregation, err = gateway.ParseAggregation(values.Get("aggregation")); err != nil {
		return err
	}
	if q.Every > 0 && q.Aggregation == pb.Aggregation_NONE {
		return api.E(api.InvalidArgument, "add aggregation=mean|min|max|sum|count|first|last", "interval needs an aggregation")
	}
	q.Consistency, err = gateway.ParseConsistency(values.Get("consistency"))
	return err
}

func timeOf(values url.Values, name string, none int64) (int64, error) {
	s := values.Get(name)
	if s == "" {
		return none, nil
	}
	ns, err := api.ParseTime(s)
	if err != nil {
		hint := "RFC 3339 such as 2026-01-31T12:00:00Z, or integer nanoseconds"
		if strings.Contains(s, " ") {
			hint += "; a + in a URL is written %2B"
		}
		return 0, api.E(api.InvalidArgument, hint, "%s %q is no time", name, s)
	}
	return ns, nil
}

// duration reads 1h30m, 7d, or 0 where there is none.
func duration(values url.Values, name string) (time.Duration, error) {
	s := values.Get(name)
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok && err != nil {
		var n int
		if n, err = strconv.Atoi(days); n > 100_000 {
			err = strconv.ErrRange
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 {
		return 0, api.E(api.InvalidArgument, "a duration such as 10s, 1h or 7d", "%s %q is no duration above 0", name, s)
	}
	return d, nil
}

// list reads names: separated by commas (\, inside a name), repeated, or as a
// JSON array.
func list(values url.Values, name string) ([]string, error) {
	var out []string
	for _, s := range values[name] {
		if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
			var array []string
			if err := lineproto.ExactJSON([]byte(s)); err != nil {
				return nil, api.E(api.InvalidArgument, "send UTF-8, and surrogates in pairs", "%s cannot be read: %v", name, err)
			}
			if err := json.Unmarshal([]byte(s), &array); err == nil {
				out = append(out, array...)
				continue
			}
		}
		out = append(out, splitList(s)...)
	}
	if len(out) == 0 && len(values[name]) > 0 {
		return nil, nil // [] or nothing: all
	}
	for i, v := range out {
		if v == "" {
			return nil, api.E(api.InvalidArgument, `separate names by one comma; \, is a comma inside a name`, "%s", fmt.Sprintf("entry %d of %s is empty", i+1, name))
		}
	}
	return out, nil
}

// devices reads ids. A list that is there and empty is the empty variable of a
// script: it does not mean all devices.
func devices(values url.Values) ([]string, error) {
	out, err := list(values, "ids")
	if err == nil && values.Has("ids") && (len(out) == 0 || slices.Contains(values["ids"], "")) {
		err = api.E(api.InvalidArgument, "name the devices, or leave ids out to mean all of them", "the list of ids is empty")
	}
	return out, err
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	var out []string
	var cur strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ',':
			cur.WriteByte(',')
			i++
		case s[i] == ',':
			out = append(out, cur.String())
			cur.Reset()
		default:
			cur.WriteByte(s[i])
		}
	}
	return append(out, cur.String())
}

// query answers rows in the format that the client accepts.
func (h *Handler) query(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(w, r)
	if err != nil {
		return err
	}
	format, err := accepted(r.Header.Get("Accept"))
	if err != nil {
		return err
	}
	out := &output{w: w}
	switch format {
	case mediaNDJSON:
		err = h.queryNDJSON(r, q, out)
	case mediaCSV:
		err = h.queryCSV(r, q, out)
	default:
		err = h.queryJSON(r, q, out)
	}
	if err == nil {
		err = out.flush()
	}
	if err != nil && out.begun {
		// Bytes are out: the one way left to say that the answer is not whole
		// is to break the connection.
		h.logger.Warn("a query broke off", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

const (
	mediaJSON   = "application/json"
	mediaNDJSON = "application/x-ndjson"
	mediaCSV    = "text/csv"
)

// accepted picks the format: the first of the header that is known.
func accepted(header string) (string, error) {
	if strings.TrimSpace(header) == "" {
		return mediaJSON, nil
	}
	for _, part := range strings.Split(header, ",") {
		media, _, _ := strings.Cut(part, ";")
		switch media = strings.ToLower(strings.TrimSpace(media)); media {
		case mediaNDJSON, "application/ndjson", "application/jsonl":
			return mediaNDJSON, nil
		case mediaCSV:
			return mediaCSV, nil
		case mediaJSON, "*/*", "application/*":
			return mediaJSON, nil
		}
	}
	return "", api.E(api.NotAcceptable, mediaJSON+", "+mediaNDJSON+" or "+mediaCSV, "no answer format for Accept %q", header)
}
