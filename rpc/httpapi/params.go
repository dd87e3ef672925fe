package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// params reads the URL's parameters; a name that is not listed is an error,
// and so is one that is given twice (but for those that may be, which the
// caller reads from the values).
func params(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, api.E(api.InvalidArgument, "escape it as a URL", "the query string cannot be read").Because(err)
	}
	for name, list := range values {
		if !slices.Contains(known, name) {
			return nil, unknownName("parameter", name, known)
		}
		if len(list) > 1 && name != "ids" && name != "fields" {
			return nil, api.E(api.InvalidArgument, "give it once", "parameter %q is given %d times", name, len(list))
		}
	}
	return values, nil
}

func unknownName(what, name string, known []string) *api.Error {
	hint := "there are none here"
	if len(known) > 0 {
		hint = "known: " + strings.Join(known, ", ")
	}
	if near := nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return api.E(api.InvalidArgument, hint, "%s %q is not known", what, name)
}

// nearest gives the known name that a wrong one probably stands for.
func nearest(name string, known []string) string {
	best, at := "", 3 // at most two letters away
	for _, k := range known {
		if d := distance(strings.ToLower(name), k); d < at && d < len(k) {
			best, at = k, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// groupID reads the id in the path.
func groupID(r *http.Request) (uint32, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 32)
	if err != nil {
		return 0, api.E(api.InvalidArgument, "a number such as 42", "group %q is no group id", r.PathValue("id"))
	}
	return uint32(id), nil
}

// page reads limit and page_token.
func page(values url.Values) (limit int, token string, err error) {
	if s := values.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit <= 0 {
			return 0, "", api.E(api.InvalidArgument, "a number from 1", "limit %q is no page size", s)
		}
	}
	return limit, values.Get("page_token"), nil
}

// checkKeys refuses a key of a body's object that is not known as it is written,
// or that is there twice: encoding/json takes any case, and the last of two. A
// body that cannot be read is left to who reads it.
func checkKeys(body []byte, known []string) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil
		}
		switch {
		case seen[key]:
			return api.E(api.InvalidArgument, "give it once", "key %q is given twice", key)
		case !slices.Contains(known, key):
			return unknownName("key", key, known)
		}
		seen[key] = true
	}
	return nil
}

// maxAdminBody bounds the body of a request that carries no points.
const maxAdminBody = 1 << 20

// object reads a small JSON body into v, strictly; an empty body leaves v as
// it is. known names the keys for the hint.
func object(w http.ResponseWriter, r *http.Request, v any, known ...string) error {
	b, err := readBody(w, r, maxAdminBody)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	if err := checkKeys(b, known); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		hint := "send an object with the keys " + strings.Join(known, ", ")
		if len(known) == 0 {
			hint = "send no body, or {}"
		}
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
			return api.E(api.InvalidArgument, hint, "key %q cannot be a JSON %s", wrong.Field, wrong.Value)
		} else if ok {
			return api.E(api.InvalidArgument, hint, "the body is a JSON %s, no object", wrong.Value)
		}
		return api.E(api.InvalidArgument, hint, "the body cannot be read").Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return api.E(api.InvalidArgument, "send one object", "text behind the body's object")
	}
	return nil
}
