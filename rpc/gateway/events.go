package gateway

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
)

const (
	// keepEvents is how many events a node remembers.
	keepEvents = 4096
	// maxToldEvents bounds what waits to be told to the other nodes, and one
	// message of it; what does not fit is known to this node only.
	maxToldEvents = 512
	// tellPause gathers events into one message.
	tellPause = 100 * time.Millisecond
	// tellTimeout bounds one telling.
	tellTimeout = 2 * time.Second
	// maxEventText bounds the text of one event, in bytes.
	maxEventText = 512
)

// eventRing keeps the last events that this node saw or was told of. Ids rise
// strictly, over restarts too: the first of a process is its start in
// microseconds.
type eventRing struct {
	mu      sync.Mutex
	next    uint64        // guarded by mu
	ring    []api.Event   // guarded by mu: ascending ids, at most keepEvents
	untold  []api.Event   // guarded by mu: of this node, for the others
	changed chan struct{} // guarded by mu: closed with the next event
	wake    chan struct{} // something is untold
}

func newEventRing(now time.Time) *eventRing {
	return &eventRing{next: uint64(max(now.UnixMicro(), 1)), changed: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// add takes events under new ids; own ones are told to the others.
func (r *eventRing) add(own bool, events ...api.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		e.ID = r.next
		r.next++
		e.Text = e.Text[:min(len(e.Text), maxEventText)]
		if len(r.ring) >= keepEvents {
			r.ring = append(r.ring[:0], r.ring[len(r.ring)-keepEvents+1:]...)
		}
		r.ring = append(r.ring, e)
		if own && len(r.untold) < maxToldEvents {
			r.untold = append(r.untold, e)
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
	if own {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// since gives the events behind an id, and what is closed when there are more.
func (r *eventRing) since(id uint64) ([]api.Event, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, _ := slices.BinarySearchFunc(r.ring, id, func(e api.Event, id uint64) int {
		if e.ID <= id {
			return -1
		}
		return 1
	})
	return slices.Clone(r.ring[i:]), r.changed
}

func (r *eventRing) take() []api.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.untold
	r.untold = nil
	return out
}

// Note remembers an event, and tells the other nodes of it: node is what it is
// about ("": this one), group nil where it is not about one.
func (g *Gateway) Note(kind string, group *uint32, node, format string, args ...any) {
	if node == "" {
		node = g.cfg.Self.Name
	}
	g.events.add(true, api.Event{Time: api.At(time.Now()), Kind: kind, GroupID: group, Node: node, Text: fmt.Sprintf(format, args...)})
}

// NoteHere is Note for what the other nodes see by themselves.
func (g *Gateway) NoteHere(kind string, group *uint32, node, format string, args ...any) {
	g.events.add(false, api.Event{Time: api.At(time.Now()), Kind: kind, GroupID: group, Node: node, Text: fmt.Sprintf(format, args...)})
}

// noteJob is told of the end of each job of this node.
func (g *Gateway) noteJob(j api.Job) {
	why := ""
	if j.Error != nil {
		why = ": " + *j.Error
	}
	g.Note(api.EventJob, j.GroupID, "", "job %s is %s%s", j.ID, j.Status, why)
}

// Events gives the events behind an id that this node remembers (0: all), and a
// channel that is closed when there are more. Events that are forgotten, because
// too many came since, are a gap in the times, not an error.
func (g *Gateway) Events(after uint64) (events []api.Event, more <-chan struct{}) {
	return g.events.since(after)
}

// EventsFrom is where to begin behind an id that a client has seen. One that this
// node has not given yet, another node's as a rule, means from now on.
func (g *Gateway) EventsFrom(after uint64) uint64 {
	known, _ := g.events.since(0)
	if len(known) == 0 {
		return 0
	}
	return min(after, known[len(known)-1].ID)
}

// TellEvents tells the other nodes of this node's events until ctx ends: best
// effort, a node that is away misses them.
func (g *Gateway) TellEvents(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.events.wake:
		}
		if pause.For(ctx, tellPause) != nil {
			return
		}
		told := g.events.take()
		if len(told) == 0 {
			continue
		}
		var wg sync.WaitGroup // bounded by the number of nodes
		for _, n := range g.cfg.Directory.Table().Nodes {
			if n.NodeID == g.cfg.Self || !g.answers(n.NodeID) {
				continue
			}
			wg.Go(func() { g.tell(ctx, n.NodeID, told) })
		}
		wg.Wait()
	}
}

func (g *Gateway) tell(ctx context.Context, to membership.NodeID, events []api.Event) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	var reply struct{}
	if err := g.askJSON(ctx, to, MethodEvents, events, &reply); err != nil {
		g.logger.Debug("a node was not told of events", "peer", to.Name, "events", len(events), "error", err)
	}
}

func (g *Gateway) serveEvents(_ context.Context, events []api.Event) ([]byte, error) {
	if len(events) > maxToldEvents {
		return nil, fmt.Errorf("events: %w", errPayload)
	}
	g.events.add(false, events...)
	return []byte("{}"), nil
}
