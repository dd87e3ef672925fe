package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

var errSeen = errors.New("enough was seen")

// seen follows events behind an id until one has a text, and gives the texts and the last id.
func seen(t *testing.T, cl *client.Client, after uint64, last string) (texts []string, id uint64) {
	t.Helper()
	err := cl.Events(t.Context(), after, func(e api.Event) error {
		if e.ID <= id {
			t.Errorf("event %d follows %d", e.ID, id)
		}
		texts, id = append(texts, e.Text), e.ID
		if e.Text == last {
			return errSeen
		}
		return nil
	})
	if !errors.Is(err, errSeen) {
		t.Fatalf("the stream ended: %v, after %q", err, texts)
	}
	return texts, id
}

func TestEventsOverGRPC(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := dial(t, c, client.Options{RetryFor: 5 * time.Second})
	g := c.Nodes[0].Gateway
	note := func(text string) { g.Note(api.EventCheck, nil, "", "%s", text) }
	note("first")
	note("second")
	all, second := seen(t, cl, 0, "second")
	note("third")
	if texts, _ := seen(t, cl, second, "third"); len(texts) != 1 {
		t.Errorf("behind the second of %q: %q", all, texts)
	}

	// From now on: what another node's id means, and what comes while the stream is open.
	followed := make(chan []string, 1)
	opened := make(chan struct{})
	go func() {
		var texts []string
		err := cl.Events(t.Context(), 1<<62, func(e api.Event) error {
			if len(texts) == 0 {
				close(opened)
			}
			if texts = append(texts, e.Text); e.Text == "last" {
				return errSeen
			}
			return nil
		})
		if !errors.Is(err, errSeen) {
			t.Errorf("the stream ended: %v", err)
		}
		followed <- texts
	}()
	for n := 0; ; n++ { // until the stream has begun
		note(fmt.Sprint("tick ", n))
		select {
		case <-opened:
			note("last")
			if texts := <-followed; texts[0] == "first" || texts[0] == "third" || texts[len(texts)-1] != "last" {
				t.Errorf("from now on: %q", texts)
			}
		case <-time.After(time.Millisecond):
			continue
		}
		break
	}

	ctx, cancel := context.WithCancel(t.Context())
	err := cl.Events(ctx, 0, func(api.Event) error { cancel(); return nil })
	if code(t, err, api.Cancelled); ctx.Err() == nil {
		t.Error("no event was given")
	}
}

// A node that stops ends its streams of events, and says that it stops.
func TestEventsEndWithTheirNode(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := dial(t, c, client.Options{RetryFor: 5 * time.Second})
	c.Nodes[0].Gateway.Note(api.EventCheck, nil, "", "something")
	err := cl.Events(t.Context(), 0, func(api.Event) error { c.Nodes[0].Server.Shutdown(); return nil })
	code(t, err, api.NotReady)
}

func TestDrillOverGRPC(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := dial(t, c, client.Options{RetryFor: 5 * time.Second})
	_, err := cl.Drill(t.Context(), 5, "n2", "flood")
	code(t, err, api.InvalidArgument)
	_, err = cl.Drill(t.Context(), 5, "n9", "")
	code(t, err, api.NodeNotFound)
	_, err = cl.Drill(t.Context(), 9999, "n2", api.DrillMissing)
	code(t, err, api.GroupNotFound)
}
