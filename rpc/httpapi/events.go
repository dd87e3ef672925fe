package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

const (
	// maxEventStreams bounds the streams of events that a node serves at once.
	maxEventStreams = 64
	// eventHeartbeat is how long a stream is silent at most: proxies and clients
	// take a longer silence for a dead connection.
	eventHeartbeat = 10 * time.Second
	// eventWriteTimeout bounds one write: a client that does not read loses its
	// stream, and takes it up again where it was.
	eventWriteTimeout = 10 * time.Second
	// eventRetry is after how long a client should connect again.
	eventRetry = 2 * time.Second
)

const mediaEvents = "text/event-stream"

// EndStreams ends the streams of events, which have no end of their own: the
// owner of the server calls it when that shuts down. Idempotent.
func (h *Handler) EndStreams() { h.endOnce.Do(func() { close(h.ending) }) }

// events streams what happens, as server-sent events: first what the node
// remembers behind Last-Event-ID (all without it), then what comes. An id that
// this node has not given yet, another node's as a rule, means from now on.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	after, err := h.lastEventID(r)
	if err != nil {
		return err
	}
	select {
	case h.streams <- struct{}{}:
		defer func() { <-h.streams }()
	default:
		return api.E(api.Busy, "use another node, or end a stream", "%d streams of events are open", maxEventStreams)
	}
	w.Header().Set("Content-Type", mediaEvents)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would gather events
	w.WriteHeader(http.StatusOK)
	s := eventStream{w: w, control: http.NewResponseController(w)}
	fmt.Fprintf(&s.b, "retry: %d\n: events of node %s\n\n", eventRetry.Milliseconds(), h.g.Self())
	if !s.flush() || r.Method == http.MethodHead {
		return nil
	}
	h.follow(r, &s, after)
	return nil
}

// lastEventID is where a stream begins.
func (h *Handler) lastEventID(r *http.Request) (after uint64, err error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		return 0, nil
	}
	if after, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, api.E(api.InvalidArgument, "the id of an event, a number", "Last-Event-ID %q is no id", text)
	}
	return h.g.EventsFrom(after), nil
}

// follow sends events until the client or the node goes.
func (h *Handler) follow(r *http.Request, s *eventStream, after uint64) {
	heart := time.NewTicker(eventHeartbeat)
	defer heart.Stop()
	for {
		events, more := h.g.Events(after)
		if len(events) > 0 {
			if missed := events[0].ID - after - 1; after > 0 && missed > 0 {
				fmt.Fprintf(&s.b, ": events between %d and %d are forgotten\n\n", after, events[0].ID)
			}
			for i := range events {
				s.event(&events[i])
			}
			after = events[len(events)-1].ID
			if !s.flush() {
				return
			}
			continue
		}
		select {
		case <-more:
		case <-heart.C:
			s.b.WriteString(":\n\n")
			if !s.flush() {
				return
			}
		case <-h.ending:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// eventStream writes one client's events.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	b       bytes.Buffer
}

// event appends one: its JSON is one line.
func (s *eventStream) event(e *api.Event) {
	body, err := encode(e)
	if err != nil {
		return
	}
	fmt.Fprintf(&s.b, "id: %d\nevent: %s\ndata: %s\n", e.ID, e.Kind, body)
}

// flush sends what was appended; false when the client is gone.
func (s *eventStream) flush() bool {
	_ = s.control.SetWriteDeadline(time.Now().Add(eventWriteTimeout)) // not every writer can
	_, err := s.w.Write(s.b.Bytes())
	s.b.Reset()
	return err == nil && s.control.Flush() == nil
}
