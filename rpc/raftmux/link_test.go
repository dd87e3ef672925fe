package raftmux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/membership"
)

// eventLog collects peer events.
type eventLog struct {
	mu   sync.Mutex
	seen []string
}

func (l *eventLog) watch(nd *node) *eventLog {
	nd.OnPeer(func(id membership.NodeID, e PeerEvent) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.seen = append(l.seen, id.Name+" "+e.String())
	})
	return l
}

func (l *eventLog) has(want ...string) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return fmt.Sprint(l.seen) == fmt.Sprint(want)
	}
}

func TestKilledPeerIsDownAtOnceAndBackSoonAfterItsRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, nodes := cluster(t, 2)
		defer func() { closeAll(nodes) }()
		wait(t, "streams", time.Second, connected(nodes...))
		events := (&eventLog{}).watch(nodes[0])
		nodes[1].kill()
		took := wait(t, "down", time.Second, events.has("n2 down"))
		if took > 20*time.Millisecond {
			t.Errorf("down after %v", took)
		}
		if s := nodes[0].Peer(nodes[1].id); s.Connected || !s.Refused {
			t.Errorf("state %+v", s)
		}
		_, err := nodes[0].Call(t.Context(), nodes[1].id, echo, nil)
		if !errors.Is(err, ErrUnreachable) {
			t.Errorf("call: %v", err)
		}
		<-time.After(10 * time.Second)
		if !events.has("n2 down")() {
			t.Errorf("events: %v", events.seen)
		}
		n.mu.Lock()
		dials := n.dials["n1 n2"]
		n.mu.Unlock()
		if dials < 15 || dials > 60 {
			t.Errorf("%d dials in 10 s", dials)
		}
		nodes[1] = n.start(t, "n2")
		took = wait(t, "back", time.Second, events.has("n2 down", "n2 back"))
		if took > DefaultTimings().RedialMax+10*time.Millisecond {
			t.Errorf("back after %v", took)
		}
	})
}

// The first redials come 50 ms apart, not gRPC's second; and a peer that dials
// us ends the pause.
func TestRedialIsFast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, nodes := cluster(t, 2)
		defer func() { closeAll(nodes) }()
		wait(t, "streams", time.Second, connected(nodes...))
		nodes[1].kill()
		<-time.After(10 * time.Millisecond)
		nodes[1] = n.start(t, "n2")
		took := wait(t, "stream", time.Second, func() bool { return nodes[0].Peer(nodes[1].id).Connected })
		if took > 2*DefaultTimings().Redial+10*time.Millisecond { // a try may fall into the kill itself
			t.Errorf("redialled after %v", took)
		}
		nodes[1].kill()
		<-time.After(10 * time.Second) // the pause has grown
		nodes[1] = n.start(t, "n2")
		nodes[1].Connect(nodes[0].id)
		took = wait(t, "stream", time.Second, func() bool { return nodes[0].Peer(nodes[1].id).Connected })
		if took > 20*time.Millisecond {
			t.Errorf("the peer's own stream did not end the pause: %v", took)
		}
	})
}

func TestSilentPeerIsReportedAfterTwoSecondsAndHeals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, nodes := cluster(t, 2)
		defer closeAll(nodes)
		wait(t, "streams", time.Second, connected(nodes...))
		<-time.After(3 * time.Second) // idle is not silent
		events := (&eventLog{}).watch(nodes[0])
		nodes[1].Handle(echo, echoHandler)
		n.cut("n1", "n2")
		underWay := make(chan error, 1)
		go func() {
			_, err := nodes[0].Call(t.Context(), nodes[1].id, echo, nil)
			underWay <- err
		}()
		took := wait(t, "silent", 5*time.Second, events.has("n2 silent"))
		if took < 1500*time.Millisecond || took > 2300*time.Millisecond {
			t.Errorf("silent after %v", took)
		}
		if err := <-underWay; !errors.Is(err, ErrBroken) || !errors.Is(err, errSilent) {
			t.Errorf("call that waited for a silent peer: %v", err)
		}
		begin := time.Now()
		_, err := nodes[0].Call(t.Context(), nodes[1].id, echo, nil)
		if d := time.Since(begin); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrBroken) || d > 10*time.Millisecond {
			t.Errorf("call to a silent peer, after %v: %v", d, err)
		}
		if s := nodes[0].Peer(nodes[1].id); s.Refused || s.Silent < 2*time.Second {
			t.Errorf("state %+v", s)
		}
		n.heal("n1", "n2")
		wait(t, "back", time.Second, events.has("n2 silent", "n2 back"))

		// So long that the streams are torn down.
		n.cut("n1", "n2")
		<-time.After(30 * time.Second)
		if nodes[0].Peer(nodes[1].id).Connected {
			t.Error("still connected after 30 s of silence")
		}
		n.heal("n1", "n2")
		took = wait(t, "streams", 5*time.Second, connected(nodes...))
		t.Logf("streams again after %v", took)
		if _, err := nodes[0].Call(t.Context(), nodes[1].id, echo, nil); err != nil {
			t.Errorf("call after healing: %v", err)
		}
	})
}

func TestStreamsOfStrangersAreRefused(t *testing.T) {
	key := []byte("the key of this cluster")
	for _, c := range []struct {
		name    string
		ours    func(*Config)
		theirs  func(*Config)
		reason  string
		refused bool // PeerState.Refused: that process is not our peer
	}{
		{"another cluster", nil, func(c *Config) { c.ClusterID = func() string { return "another" } }, "cluster another here, " + testCluster + " there", false},
		{"no cluster yet", nil, func(c *Config) { c.ClusterID = func() string { return "" } }, "belongs to no cluster yet", false},
		{"another key", func(c *Config) { c.Key = key }, func(c *Config) { c.Key = []byte("other") }, "cluster keys differ", false},
		{"only they have a key", nil, func(c *Config) { c.Key = key }, "the peer has a cluster key", false},
		{"only we have a key", func(c *Config) { c.Key = key }, nil, "this node has a cluster key", false},
		{"another incarnation", nil, func(c *Config) { c.Local.Incarnation = "ffffffff" }, "this is node n2.ffffffff", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := newNetwork()
				none := func(*Config) {}
				if c.ours == nil {
					c.ours = none
				}
				if c.theirs == nil {
					c.theirs = none
				}
				a, b := n.start(t, "n1", c.ours), n.start(t, "n2", c.theirs)
				defer closeAll([]*node{a, b})
				b.Handle(echo, echoHandler)
				_, err := a.Call(t.Context(), nodeID("n2"), echo, nil)
				if !errors.Is(err, ErrUnreachable) || !errors.Is(err, ErrHandshake) || !strings.Contains(fmt.Sprint(err), c.reason) {
					t.Errorf("call: %v", err)
				}
				if s := a.Peer(nodeID("n2")); s.Connected || s.Refused != c.refused {
					t.Errorf("state %+v", s)
				}
			})
		})
	}
}

func TestEqualKeysAreAccepted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2, func(c *Config) { c.Key = []byte("k") })
		defer closeAll(nodes)
		wait(t, "streams", time.Second, connected(nodes...))
	})
}

// A proof cannot be sent back to who made it.
func TestProofsOfTheTwoRolesDiffer(t *testing.T) {
	x := exchange{cluster: testCluster, opener: nodeID("n1"), acceptor: nodeID("n2")}
	proof := x.proof([]byte("k"), roleAcceptor)
	if err := x.check([]byte("k"), roleOpener, proof); err == nil {
		t.Error("the acceptor's proof passes as the opener's")
	}
	y := x
	y.openerNonce[0] = 1
	if err := y.check([]byte("k"), roleAcceptor, proof); err == nil {
		t.Error("the proof of another exchange passes")
	}
}

func TestFramesForAnotherLineageServerOrGroupAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		there := nodes[1].Transport(7, testLineage, nodes[1].id.Server(4))
		defer there.Close()
		ask := func(group uint32, lineage string, generation uint32) error {
			here := nodes[0].Transport(group, lineage, nodes[0].id.Server(0))
			defer here.Close()
			target := raft.ServerAddress(nodes[1].id.Server(generation).String())
			var resp raft.AppendEntriesResponse
			return here.AppendEntries("", target, &raft.AppendEntriesRequest{Term: 1, PrevLogEntry: 1}, &resp)
		}
		for _, c := range []struct {
			err  error
			code Code
		}{
			{ask(8, testLineage, 4), CodeNotOpen},
			{ask(7, "another", 4), CodeWrongLineage},
			{ask(7, testLineage, 3), CodeWrongServer},
		} {
			var remote *RemoteError
			if !errors.As(c.err, &remote) || remote.Code != c.code {
				t.Errorf("got %v, want code %d", c.err, c.code)
			}
		}
		select {
		case rpc := <-there.Consumer():
			t.Errorf("delivered %+v", rpc.Command)
		default:
		}
	})
}

func TestForgottenPeerIsDialledNoMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, nodes := cluster(t, 2)
		wait(t, "streams", time.Second, connected(nodes...))
		nodes[1].kill()
		defer nodes[0].kill()
		nodes[0].Forget(nodes[1].id)
		<-time.After(time.Second)
		n.mu.Lock()
		before := n.dials["n1 n2"]
		n.mu.Unlock()
		<-time.After(10 * time.Second)
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.dials["n1 n2"] != before {
			t.Errorf("%d dials", n.dials["n1 n2"]-before)
		}
	})
}

func TestChangedAddressIsFollowed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		var mu sync.Mutex
		addr := "n2"
		a := n.start(t, "n1", func(c *Config) {
			c.Resolve = func(membership.NodeID) (string, bool) { mu.Lock(); defer mu.Unlock(); return addr, true }
			c.Dial = func(ctx context.Context, to string) (net.Conn, error) { return n.dial(ctx, "n1", to) }
		})
		b := n.start(t, "n2")
		defer closeAll([]*node{a, b})
		a.Connect(b.id)
		wait(t, "stream", time.Second, func() bool { return a.Peer(b.id).Connected })
		n.shut("n2")
		b.server.Stop()
		b.served.Wait()
		mu.Lock()
		addr = "elsewhere"
		mu.Unlock()
		b.serve("elsewhere")
		wait(t, "stream", time.Second, func() bool { return a.Peer(b.id).Connected })
		n.shut("elsewhere")
	})
}
