// Package apiclient asks the HTTP API of any node: the admin tables, jobs, databases, queries.
//
// Nouns: a Client holds the addresses that it was given, in order; a request goes to the first that can be reached
// and, unless the request may change something and may have arrived, to the next when one fails. Errors are
// *UnreachableError (nobody answered) or the *api.Error that a node answered with. Bodies are handed on as they came:
// what a command prints with -o json is what the node wrote.
//
// It keeps no connection state of its own beyond net/http's, retries nothing after an answer, and knows no command.
package apiclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

const (
	// MaxBodyBytes bounds a body that is read whole. Larger answers are streamed.
	MaxBodyBytes = 256 << 20
	// dialTimeout bounds the attempt to connect to one address, so that a dead first address does not use up the
	// time that the second would have needed.
	dialTimeout = 2 * time.Second
)

// Client asks nodes over HTTP. It is safe for concurrent use.
type Client struct {
	bases   []string
	timeout time.Duration
	http    *http.Client
}

// New returns a client of the nodes at addresses (host:port or a URL), tried in order. Each request that is read
// whole ends after timeout.
func New(addresses []string, timeout time.Duration) (*Client, error) {
	c := &Client{timeout: timeout}
	for _, a := range addresses {
		base, err := baseOf(a)
		if err != nil {
			return nil, err
		}
		c.bases = append(c.bases, base)
	}
	if len(c.bases) == 0 {
		return nil, errors.New("no address of a node")
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment,
	}, CheckRedirect: followReads}
	return c, nil
}

// maxRedirects bounds how far a read follows redirects.
const maxRedirects = 5

// followReads follows the redirects of reads only: a change means what its own path says, and is never carried out on
// another one.
func followReads(_ *http.Request, via []*http.Request) error {
	if method := via[0].Method; method != http.MethodGet && method != http.MethodHead {
		return http.ErrUseLastResponse
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// UnreachableError says that no address answered.
type UnreachableError struct {
	Addresses []string
	Err       error // of the last address
	Sent      bool  // a change was sent: it may be carried out all the same
}

func (e *UnreachableError) Error() string {
	text := fmt.Sprintf("no node answers at %s: %v", strings.Join(e.Addresses, ", "), e.Err)
	switch {
	case e.Sent:
		return text + "; " + ErrSent.Error()
	case errors.Is(e.Err, errNoHTTP), errors.Is(e.Err, errHangsUp):
		return text
	}
	return text + " (is one running? give --addr or FLOTILLA_ADDR)"
}

// ErrSent is wrapped where the caller ended a change that a node may have: look whether it was carried out.
var ErrSent = errors.New("the request was sent: it may be carried out, look before it is repeated")

func (e *UnreachableError) Unwrap() error { return e.Err }

// Request is one call. Body is marshalled as JSON unless it is nil.
type Request struct {
	Method string // default GET
	Path   string
	Query  url.Values
	Body   any
	Accept string
	// Headers, unless nil, is shown the headers of a 2xx answer.
	Headers func(http.Header)
}

// Do sends a request and returns the body of a 2xx answer.
func (c *Client) Do(ctx context.Context, r Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answer, err := c.Stream(ctx, r)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	body, err := io.ReadAll(io.LimitReader(answer, MaxBodyBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read answer to %s: %w", r.Path, err)
	}
	if len(body) > MaxBodyBytes {
		return nil, fmt.Errorf("answer to %s is over %d MiB: narrow the request", r.Path, MaxBodyBytes>>20)
	}
	return body, nil
}

// Get asks for one object and decodes it into out; it returns the body as it came.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) ([]byte, error) {
	return c.decode(ctx, Request{Path: path, Query: query}, out)
}

// Post sends body and decodes the answer into out, unless out is nil.
func (c *Client) Post(ctx context.Context, path string, query url.Values, body, out any) ([]byte, error) {
	return c.decode(ctx, Request{Method: http.MethodPost, Path: path, Query: query, Body: body}, out)
}

func (c *Client) decode(ctx context.Context, r Request, out any) ([]byte, error) {
	body, err := c.Do(ctx, r)
	if err != nil || out == nil {
		return body, err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return body, fmt.Errorf("answer to %s: %w", r.Path, err)
	}
	return body, nil
}

// Stream sends a request and returns the body of a 2xx answer unread; the caller closes it. ctx bounds it whole.
func (c *Client) Stream(ctx context.Context, r Request) (io.ReadCloser, error) {
	var payload []byte
	if r.Body != nil {
		var err error
		if payload, err = json.Marshal(r.Body); err != nil {
			return nil, fmt.Errorf("encode request to %s: %w", r.Path, err)
		}
	}
	var last error
	var sent atomic.Bool
	if changes(r) {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	}
	for i, base := range c.bases {
		answer, err := c.patiently(ctx, c.patience(r, i), func(ctx context.Context) (*http.Response, error) {
			return c.send(ctx, base, r, payload)
		})
		if err == nil {
			return accept(answer, r.Headers)
		}
		last = err
		if ctx.Err() != nil || !mayAskNext(r, err) {
			break
		}
	}
	why := reason(last)
	maybe := sent.Load() && !errors.Is(why, errNoHTTP)
	if errors.Is(ctx.Err(), context.Canceled) {
		if maybe {
			return nil, fmt.Errorf("%w: %w", ErrSent, ctx.Err())
		}
		return nil, ctx.Err()
	}
	return nil, &UnreachableError{Addresses: c.bases, Err: why, Sent: maybe}
}

// changes reports whether a request may change anything: a plan does not.
func changes(r Request) bool {
	return r.Method != "" && r.Method != http.MethodGet && r.Query.Get("dry_run") != "true"
}

func (c *Client) send(ctx context.Context, base string, r Request, payload []byte) (*http.Response, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	target := base + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	if payload != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if r.Accept != "" {
		request.Header.Set("Accept", r.Accept)
	}
	return c.http.Do(request)
}

// mayAskNext: a read may be asked of the next node whatever happened; a change only when this one never got it.
func mayAskNext(r Request, err error) bool {
	if r.Method == "" || r.Method == http.MethodGet {
		return true
	}
	operation, ok := errors.AsType[*net.OpError](err)
	return ok && operation.Op == "dial"
}

// reason drops what url.Error adds: method and URL, which the message names already.
func reason(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	switch {
	case err != nil && strings.Contains(err.Error(), "malformed HTTP"):
		return errNoHTTP
	case errors.Is(err, io.EOF):
		return errHangsUp
	}
	return err
}

// What ports say that are no HTTP port of a node.
var (
	errNoHTTP  = errors.New("what answers there is not HTTP: that may be the --rpc-addr of a node, clients ask its --http-addr")
	errHangsUp = errors.New("the connection was closed without an answer: the node may have ended, or that is not its --http-addr")
)

// maxProblemBytes bounds the body of an error.
const maxProblemBytes = 1 << 20

// accept returns the body of a 2xx answer, and any other as an *api.Error.
func accept(answer *http.Response, headers func(http.Header)) (io.ReadCloser, error) {
	if answer.StatusCode/100 == 2 {
		if headers != nil {
			headers(answer.Header)
		}
		return answer.Body, nil
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxProblemBytes))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	failure := &api.Error{}
	if err := json.Unmarshal(body, &failure.Problem); err != nil || failure.Code == "" {
		return nil, fmt.Errorf("answer %s from %s: no problem document of Flotilla (is that the --http-addr of a node?)",
			answer.Status, answer.Request.URL.Host)
	}
	return nil, failure
}

// Addresses returns the URLs that are tried, in order.
func (c *Client) Addresses() []string { return append([]string(nil), c.bases...) }
