package apiclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

// pageSize is what one page of a list asks for: the most that a node gives.
const pageSize = 10_000

// maxPages bounds how long a list is followed.
const maxPages = 1000

// List asks for a whole list, page after page, and returns one body: the only page as it came, or the pages' arrays
// joined, with an empty next_page_token. A limit in query is kept, and ends the list.
func (c *Client) List(ctx context.Context, path string, query url.Values) ([]byte, error) {
	return c.ListOf(ctx, Request{Path: path, Query: query})
}

// ListOf is List for a request that is more than a path and its parameters.
func (c *Client) ListOf(ctx context.Context, r Request) ([]byte, error) {
	path, q := r.Path, url.Values{}
	for k, v := range r.Query {
		q[k] = v
	}
	limited := q.Get("limit") != ""
	if !limited {
		q.Set("limit", strconv.Itoa(pageSize))
	}
	var joined []byte
	for range maxPages {
		r.Query = q
		body, err := c.Do(ctx, r)
		if err != nil {
			return nil, err
		}
		key, items, next, err := openPage(body)
		if err != nil {
			return nil, fmt.Errorf("answer to %s: %w", path, err)
		}
		if next == "" && joined == nil || limited {
			return body, nil
		}
		joined = joinItems(joined, items)
		if next == "" {
			return fmt.Appendf(nil, "{%q:[%s],\"next_page_token\":\"\"}\n", key, joined), nil
		}
		q.Set("page_token", next)
	}
	return nil, fmt.Errorf("list %s has more than %d pages", path, maxPages)
}

// openPage finds the one array of a list and the token of the next page.
func openPage(body []byte) (key string, items []byte, next string, err error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return "", nil, "", err
	}
	for k, v := range object {
		if v = bytes.TrimSpace(v); k != "next_page_token" && len(v) >= 2 && v[0] == '[' {
			key, items = k, bytes.TrimSpace(v[1:len(v)-1])
		}
	}
	if key == "" {
		return "", nil, "", fmt.Errorf("no list in %.60s", body)
	}
	if token, ok := object["next_page_token"]; ok {
		if err := json.Unmarshal(token, &next); err != nil {
			return "", nil, "", err
		}
	}
	return key, items, next, nil
}

func joinItems(joined, items []byte) []byte {
	if joined == nil {
		joined = []byte{}
	}
	if len(joined) > 0 && len(items) > 0 {
		joined = append(joined, ',')
	}
	return append(joined, items...)
}
