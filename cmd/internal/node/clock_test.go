package node

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// clockAmong is the watch of a node whose peers' clocks are ahead of its own by
// these. It belongs in a bubble: its own clock stands, as that of the bubble does.
func clockAmong(out *strings.Builder, limit time.Duration, ahead map[string]time.Duration) *clockWatch {
	base := time.Unix(1_800_000_000, 0)
	return &clockWatch{
		comparing: make(chan struct{}, 1),
		limit:     limit, now: func() time.Time { return base }, log: slog.New(slog.NewTextHandler(out, nil)),
		peers: func() []membership.NodeID {
			var ids []membership.NodeID
			for name := range ahead {
				ids = append(ids, membership.NodeID{Name: name, Incarnation: "00000001"})
			}
			return ids
		},
		ask: func(_ context.Context, peer membership.NodeID) ([]byte, error) {
			switch peer.Name {
			case "dead":
				return nil, errors.New("unreachable")
			case "mute":
				return []byte("?"), nil
			}
			return binary.BigEndian.AppendUint64(nil, uint64(base.Add(ahead[peer.Name]).UnixNano())), nil
		},
	}
}

func TestNodeWithAClockThatIsOffStampsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 500 * time.Millisecond
		for _, c := range []struct {
			name  string
			peers map[string]time.Duration
			may   bool
		}{
			{"alone", nil, true},
			{"nobody answers", map[string]time.Duration{"dead": 0, "mute": 0}, true},
			{"in step", map[string]time.Duration{"a": 100 * time.Millisecond, "b": -400 * time.Millisecond}, true},
			{"one other is off", map[string]time.Duration{"a": 0, "b": time.Hour}, true},
			{"off against one of one", map[string]time.Duration{"a": time.Hour}, true},
			{"off against both", map[string]time.Duration{"a": time.Minute, "b": time.Minute}, false},
			{"off against those that answer", map[string]time.Duration{"a": -time.Minute, "b": -time.Minute, "dead": 0}, false},
		} {
			var log strings.Builder
			w := clockAmong(&log, limit, c.peers)
			w.compare(t.Context())
			if told := strings.Contains(log.String(), "clock is off"); told == c.may {
				t.Errorf("%s: log %q", c.name, log.String())
			}
			n := &Node{clock: w, id: membership.NodeID{Name: "n7"}}
			if _, err := n.stamp(); (err == nil) != c.may || err != nil && !strings.Contains(err.Error(), "node n7: its clock is 1m0") {
				offset, known := w.Offset()
				t.Errorf("%s: stamp: %v; offset %v, known %v", c.name, err, offset, known)
			}
		}
	})
}

func TestClockThatWasSetStampsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		ahead := map[string]time.Duration{"a": time.Minute, "b": time.Minute}
		w := clockAmong(&log, 500*time.Millisecond, ahead)
		w.compare(t.Context())
		ahead["a"], ahead["b"] = 0, 0
		w.compare(t.Context())
		w.compare(t.Context())
		if _, err := w.stamp(); err != nil || strings.Count(log.String(), "\n") != 2 {
			t.Fatalf("%v, log %q", err, log.String())
		}
	})
}

func TestOwnClockAnswersItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := clockAmong(&strings.Builder{}, time.Second, nil)
		w.ask = func(context.Context, membership.NodeID) ([]byte, error) { return w.answer(), nil }
		if d, err := w.against(t.Context(), membership.NodeID{}); err != nil || d != 0 {
			t.Fatalf("%v %v", d, err)
		}
	})
}

// No comparison has run yet: the first point without a time makes one, and so
// does a node that has joined since.
func TestPeersAreAskedBeforeTheFirstStamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		peers := map[string]time.Duration{"a": time.Minute, "b": time.Minute}
		if _, err := clockAmong(&log, 500*time.Millisecond, peers).stamp(); err == nil {
			t.Error("a node that has just started gave a time by a wrong clock")
		}
		delete(peers, "b")
		w := clockAmong(&log, 500*time.Millisecond, peers)
		if _, err := w.stamp(); err != nil {
			t.Errorf("one against one: %v", err)
		}
		peers["b"] = time.Minute
		if _, err := w.stamp(); err == nil {
			t.Error("a third node makes a majority: nobody asked it")
		}
	})
}

// An answer is exact to half its round trip: what may be the network's time is
// not held against a clock.
func TestSlowAnswersProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &clockWatch{
			comparing: make(chan struct{}, 1),
			limit:     100 * time.Millisecond, now: time.Now, log: slog.New(slog.DiscardHandler),
			peers: func() []membership.NodeID { return []membership.NodeID{{Name: "a"}, {Name: "b"}} },
			ask: func(context.Context, membership.NodeID) ([]byte, error) { // there at once, back late
				at := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
				time.Sleep(800 * time.Millisecond)
				return at, nil
			},
		}
		if _, err := w.stamp(); err != nil {
			t.Error(err)
		}
	})
}
