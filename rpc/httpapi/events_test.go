package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/httpapi"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

// watcher reads a stream of events.
type watcher struct {
	t     *testing.T
	lines *bufio.Scanner
	close func()
}

func (r *rig) watch(lastID string) *watcher {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", r.urls[0]+"/v1/admin/events", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		r.t.Fatalf("%s %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	w := &watcher{t: r.t, lines: bufio.NewScanner(resp.Body), close: func() { cancel(); resp.Body.Close() }}
	r.t.Cleanup(w.close)
	return w
}

// next is the next event, with the comments before it; ok is false at the end of the stream.
func (w *watcher) next() (e api.Event, id string, comments []string, ok bool) {
	w.t.Helper()
	kind := ""
	for w.lines.Scan() {
		field, value, _ := strings.Cut(w.lines.Text(), ": ")
		switch field {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e); err != nil || e.Kind != kind || fmt.Sprint(e.ID) != id {
				w.t.Fatalf("%q: %v, kind %q id %q", value, err, kind, id)
			}
		case "":
			if id != "" {
				return e, id, comments, true
			}
			if value != "" {
				comments = append(comments, value)
			}
		}
	}
	return e, id, comments, false
}

func TestEventsAreResumedWhereTheyBrokeOff(t *testing.T) {
	r := start(t, fakecluster.Options{})
	g := r.Nodes[0].Gateway
	group := uint32(7)
	g.Note(api.EventReplica, &group, "n2", "ready -> suspect: a block\nof two lines")
	g.Note(api.EventJob, nil, "", "second")
	w := r.watch("")
	first, id, _, _ := w.next()
	if first.Text != "ready -> suspect: a block\nof two lines" || first.Node != "n2" || *first.GroupID != 7 || first.Kind != "replica" || first.Time.IsZero() {
		t.Errorf("%+v", first)
	}
	w.close()
	g.Note(api.EventNode, nil, "n3", "third")
	w = r.watch(id)
	for _, want := range []string{"second", "third", "fourth"} {
		e, _, comments, _ := w.next()
		if e.Text != want || len(comments) > 1 {
			t.Errorf("%+v %q, want %q", e, comments, want)
		}
		if want == "third" {
			g.Note(api.EventNode, nil, "n3", "fourth")
		}
	}
}

// An id that this node never gave means from now on: another node's may lie hours ahead.
func TestEventsBehindAnIDOfAnotherNodeBeginNow(t *testing.T) {
	r := start(t, fakecluster.Options{})
	g := r.Nodes[0].Gateway
	g.Note(api.EventNode, nil, "n3", "old")
	w := r.watch("18000000000000000000")
	g.Note(api.EventNode, nil, "n3", "new")
	if e, _, _, _ := w.next(); e.Text != "new" {
		t.Errorf("%+v", e)
	}
	r.problem("GET", "/v1/admin/events", "", api.InvalidArgument, "Last-Event-ID", "x")
	r.problem("GET", "/v1/admin/events?kind=node", "", api.InvalidArgument)
	if resp, body := r.do(0, "HEAD", "/admin/events", ""); resp.StatusCode != 200 || body != "" {
		t.Errorf("HEAD: %s %q", resp.Status, body)
	}
}

func TestForgottenEventsAreAGapThatIsTold(t *testing.T) {
	r := start(t, fakecluster.Options{})
	g := r.Nodes[0].Gateway
	g.NoteHere(api.EventNode, nil, "n3", "event 0")
	w := r.watch("")
	_, id, _, _ := w.next()
	w.close()
	for i := range 5000 {
		g.NoteHere(api.EventNode, nil, "n3", "event %d", i+1)
	}
	e, _, comments, _ := r.watch(id).next()
	if e.Text == "event 1" || !strings.Contains(strings.Join(comments, "\n"), "forgotten") {
		t.Errorf("%+v %q", e, comments)
	}
}

func TestStreamsOfEventsAreBoundedAndEndWithTheServer(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	h := httpapi.New(httpapi.Config{Gateway: c.Nodes[0].Gateway, Node: &fakeNode{}})
	s := httptest.NewUnstartedServer(h)
	s.Config.RegisterOnShutdown(h.EndStreams)
	s.Start()
	defer s.Close()
	r := &rig{Cluster: c, t: t, urls: []string{s.URL}, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	var open []*watcher
	for range 64 {
		open = append(open, r.watch(""))
	}
	r.problem("GET", "/v1/admin/events", "", api.Busy)
	open[0].close()
	for { // its place is free soon
		resp, _ := r.do(0, "HEAD", "/v1/admin/events", "")
		if resp.StatusCode == 200 {
			break
		}
	}
	if err := s.Config.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, w := range open[1:] {
		if _, _, _, ok := w.next(); ok {
			t.Fatal("an event after the end")
		}
	}
}
