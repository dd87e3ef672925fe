package apiclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func newClient(t *testing.T, timeout time.Duration, addresses ...string) *Client {
	t.Helper()
	c, err := New(addresses, timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// refusing is an address where nobody listens.
func refusing(t *testing.T) string {
	s := httptest.NewServer(nil)
	s.Close()
	return s.URL
}

func TestNextAddressIsAskedWhenTheFirstIsDown(t *testing.T) {
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"x":1}`) })
	c := newClient(t, time.Minute, refusing(t), up)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if body, err := c.Do(t.Context(), Request{Method: method, Path: "/"}); err != nil || string(body) != `{"x":1}` {
			t.Errorf("%s: %q, %v", method, body, err)
		}
	}
}

func TestChangeThatMayHaveArrivedIsNotRepeated(t *testing.T) {
	var asked atomic.Int32
	breaks := serve(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); panic(http.ErrAbortHandler) })
	second := serve(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(100) })
	c := newClient(t, time.Minute, breaks, second)
	_, err := c.Do(t.Context(), Request{Method: http.MethodPost, Path: "/"})
	if e, ok := errors.AsType[*UnreachableError](err); !ok || asked.Load() != 1 || !e.Sent || !strings.Contains(e.Error(), ErrSent.Error()) {
		t.Errorf("asked %d, %v", asked.Load(), err)
	}
}

// Of a change that got no answer it is said whether it may be carried out.
func TestChangeThatMayBeCarriedOutIsSaidToBe(t *testing.T) {
	took, release := make(chan struct{}), make(chan struct{})
	silent := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	taking := serve(t, func(http.ResponseWriter, *http.Request) { close(took); <-release })
	defer close(release)
	plan := url.Values{"dry_run": {"true"}}
	for name, test := range map[string]struct {
		address string
		request Request
		sent    bool
	}{
		"SentAndSilent": {silent, Request{Method: http.MethodDelete, Path: "/"}, true},
		"NeverSent":     {refusing(t), Request{Method: http.MethodDelete, Path: "/"}, false},
		"Plan":          {silent, Request{Method: http.MethodPost, Path: "/", Query: plan}, false},
		"Read":          {silent, Request{Path: "/"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, 50*time.Millisecond, test.address).Do(t.Context(), test.request)
			if e, ok := errors.AsType[*UnreachableError](err); !ok || e.Sent != test.sent {
				t.Errorf("got %v", err)
			}
		})
	}
	ctx, interrupt := context.WithCancel(t.Context())
	go func() { <-took; interrupt() }() // ends with the request
	if _, err := newClient(t, time.Minute, taking).Do(ctx, Request{Method: http.MethodPost, Path: "/"}); !errors.Is(err, ErrSent) || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestProblemDocumentsKeepTheirCode(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		want api.Code
	}{
		"Problem":      {`{"status":503,"detail":"no leader","code":"no_leader","hint":"retry"}`, api.NoLeader},
		"NotOurServer": {`<html>404</html>`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, time.Minute, serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(503)
				fmt.Fprint(w, test.body)
			}))
			_, err := c.Get(t.Context(), "/", nil, nil)
			e, ok := errors.AsType[*api.Error](err)
			if ok != (test.want != "") || ok && e.Code != test.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSilentNodeIsUnreachableAfterTheTimeout(t *testing.T) {
	release := make(chan struct{})
	silent := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	_, err := newClient(t, 50*time.Millisecond, silent).Do(t.Context(), Request{Path: "/"})
	if _, ok := errors.AsType[*UnreachableError](err); !ok {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient(t, time.Minute, silent).Do(ctx, Request{Path: "/"}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestListJoinsPagesAndLeavesASinglePageAsItCame(t *testing.T) {
	pages := map[string]string{
		"":  `{"next_page_token":"b","nodes":[{"name":"n1"},{"name":"n2"}]}`,
		"b": `{"nodes":[],"next_page_token":"c"}`,
		"c": `{"nodes":[{"name":"n3"}],"next_page_token":""}`,
	}
	c := newClient(t, time.Minute, serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, pages[r.URL.Query().Get("page_token")])
	}))
	body, err := c.List(t.Context(), "/", nil)
	var l api.NodeList
	if err != nil || json.Unmarshal(body, &l) != nil || len(l.Nodes) != 3 || l.Nodes[2].Name != "n3" || l.NextPageToken != "" {
		t.Errorf("got %s, %v", body, err)
	}
	pages[""] = `{ "nodes" : [] , "next_page_token":"" }`
	if body, err = c.List(t.Context(), "/", nil); string(body) != pages[""] || err != nil {
		t.Errorf("a single page became %s, %v", body, err)
	}
}

func TestAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:7601": true, "db1:7601": true, ":7601": true, "[::1]:7601": true, "http://h:1": true, "https://h": true, "https://h/proxy/": true,
		"": false, "http://": false, "ftp://h:1": false, "db1": false, "127.0.0.1": false, "::1:7601": false, "h:http": false,
		"127.0.0.1:99999": false, "127.0.0.1:0": false, "127.0.0.1:": false, "127.0.0.1:-1": false, "http://h:99999": false, "http://h:": false,
		"h:1/?x=1": false, "http://h:1/#x": false, "a b:1": false, "h:1:2": false,
	} {
		if _, err := New([]string{"h:1", address}, time.Second); (err == nil) != ok || !ok && !strings.Contains(err.Error(), strconv.Quote(address)) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// memory serves HTTP in a bubble of virtual time, over pipes.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { close(m.closed); return nil }
func (m *memory) Addr() net.Addr { return &net.IPAddr{} }

// serveInMemory starts servers by their host names and gives what dials them and what ends them.
func serveInMemory(handlers map[string]http.HandlerFunc) (dial func(context.Context, string, string) (net.Conn, error), stop func()) {
	listeners := map[string]*memory{}
	var serving sync.WaitGroup
	var servers []*http.Server
	for host, handler := range handlers {
		l, s := &memory{make(chan net.Conn), make(chan struct{})}, &http.Server{Handler: handler}
		listeners[host+":1"], servers = l, append(servers, s)
		serving.Go(func() { _ = s.Serve(l) }) // ends with Close
	}
	dial = func(ctx context.Context, _, address string) (net.Conn, error) {
		here, there := net.Pipe()
		select {
		case listeners[address].conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return dial, func() {
		for _, s := range servers {
			_ = s.Close()
		}
		serving.Wait()
	}
}

// A process that is stopped (SIGSTOP) takes connections and requests, and says nothing.
func TestNodeThatHangsIsPassedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		dial, stop := serveInMemory(map[string]http.HandlerFunc{
			"hangs": func(http.ResponseWriter, *http.Request) { <-over },
			"up": func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"x":`)
				w.(http.Flusher).Flush()
				time.Sleep(1200 * time.Millisecond) // virtual: a body may take longer than its share of the timeout
				fmt.Fprint(w, `1}`)
			},
		})
		defer stop()
		defer close(over)
		c, err := New([]string{"hangs:1", "up:1", "up:1"}, 3*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.http.Transport.(*http.Transport).DialContext = dial
		if body, err := c.Do(t.Context(), Request{Path: "/"}); err != nil || string(body) != `{"x":1}` {
			t.Errorf("read: %q, %v", body, err)
		}
		if _, err := c.Do(t.Context(), Request{Method: http.MethodPost, Path: "/"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a change went to a second node, or ended with %v", err)
		}
	})
}

func TestChangeIsNeverCarriedOutOnAnotherPath(t *testing.T) {
	var elsewhere atomic.Int32
	moved := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/new" {
			elsewhere.Add(1)
			fmt.Fprint(w, `{"x":1}`)
			return
		}
		http.Redirect(w, r, "/new", http.StatusTemporaryRedirect)
	})
	c := newClient(t, time.Minute, moved)
	for _, method := range []string{http.MethodDelete, http.MethodPost, http.MethodPut, http.MethodPatch} {
		if body, err := c.Do(t.Context(), Request{Method: method, Path: "/old"}); err == nil || elsewhere.Load() != 0 {
			t.Errorf("%s: %q, %v", method, body, err)
		}
	}
	if body, err := c.Do(t.Context(), Request{Path: "/old"}); err != nil || string(body) != `{"x":1}` {
		t.Errorf("a read: %q, %v", body, err)
	}
}

// The other ports of a node answer too, and not in HTTP.
func TestPortThatIsNoHTTPIsToldApart(t *testing.T) {
	for answer, want := range map[string]string{"\x00\x00\x0c\x04 SETTINGS\r\n\r\n": "--rpc-addr", "": "closed without an answer"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 1024))
				_, _ = conn.Write([]byte(answer))
				conn.Close()
			}
		}()
		_, err = newClient(t, time.Minute, l.Addr().String()).Do(t.Context(), Request{Path: "/"})
		if _, ok := errors.AsType[*UnreachableError](err); !ok || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "is one running") {
			t.Errorf("%q: %v", answer, err)
		}
	}
}
