package directory

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// installLimit is more InstallSnapshots than any of these stories needs: from
// there on they fail, which lets the time of a bubble go on in a livelock.
const installLimit = 20

// countingTransport counts the snapshots that a leader sends.
type countingTransport struct {
	*raft.InmemTransport
	installs *atomic.Int64
}

var errTooMany = errors.New("too many snapshots")

func (c countingTransport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if c.installs.Add(1) > installLimit {
		return errTooMany
	}
	return c.InmemTransport.InstallSnapshot(id, target, args, resp, data)
}

func counted(installs *atomic.Int64) func(*Config) {
	return func(c *Config) { c.Transport = countingTransport{c.Transport.(*raft.InmemTransport), installs} }
}

// cut takes a running member off the network; heal puts it back.
func (n *network) cut(m *member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.up, m.id)
	m.transport.DisconnectAll()
	for _, other := range n.up {
		other.transport.Disconnect(m.transport.LocalAddr())
	}
}

func (n *network) heal(m *member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, other := range n.up {
		other.transport.Connect(m.transport.LocalAddr(), m.transport)
		m.transport.Connect(other.transport.LocalAddr(), other.transport)
	}
	n.up[m.id] = m
}

// append proposes commands that cannot commit, on a leader that is cut off.
func appendAlone(t *testing.T, m *member, count int) {
	t.Helper()
	want := m.raft().LastIndex() + uint64(count)
	for i := range count {
		m.raft().Apply(Encode(SetSetting{Key: "lost", Value: fmt.Sprint(i)}), 0)
	}
	eventually(t, "the entries in its own log", func() bool { return m.raft().LastIndex() >= want })
}

// trimBehindSnapshot leaves a member's log as one that runs for long has it:
// nothing below the snapshot's index.
func trimBehindSnapshot(t *testing.T, m *member) uint64 {
	t.Helper()
	must(t, m.raft().Snapshot().Error())
	list, err := m.store.snapshots.List()
	must(t, err)
	first, err := m.store.bolt.FirstIndex()
	must(t, err)
	must(t, m.store.bolt.DeleteRange(first, list[0].Index-1))
	return list[0].Index
}

// mustHaveNoHole checks that all entries between the log's ends are there.
func mustHaveNoHole(t *testing.T, m *member) {
	t.Helper()
	first, err := m.store.bolt.FirstIndex()
	must(t, err)
	last, err := m.store.bolt.LastIndex()
	must(t, err)
	for i := first; i <= last && first > 0; i++ {
		if err := m.store.bolt.GetLog(i, new(raft.Log)); err != nil {
			t.Fatalf("%s: entry %d of [%d, %d]: %v", m.id, i, first, last, err)
		}
	}
}

// diverge gives an old leader entries that nobody else has, at indices that the
// others' snapshot covers with entries of a later term.
func diverge(t *testing.T, n *network, members []*member, alone, together int) (old *member, snapshot uint64) {
	t.Helper()
	awaitVoters(t, members, 3)
	old = leaderOf(t, members...)
	mustAgree(t, members...)
	n.cut(old)
	appendAlone(t, old, alone)
	rest := slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m == old })
	leader := leaderOf(t, rest...)
	for i := range together {
		must(t, leader.SetSetting(within(t, time.Minute), "kept", fmt.Sprint(i)))
	}
	mustAgree(t, rest...)
	for _, m := range rest {
		snapshot = max(snapshot, trimBehindSnapshot(t, m))
	}
	return old, snapshot
}

func TestSnapshotThatContradictsTheLogIsAccepted(t *testing.T) {
	for _, story := range []struct {
		name            string
		alone, together int
	}{
		{"TheLogGoesBeyondIt", 60, 10},
		{"TheLogEndsBeforeIt", 3, 30},
	} {
		t.Run(story.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				var installs atomic.Int64
				members := []*member{n.start(nodeID(1), counted(&installs))}
				n.bootstrap(members[0], 8)
				for i := 2; i <= 3; i++ {
					m := n.start(nodeID(i), counted(&installs))
					n.join(m)
					members = append(members, m)
				}
				old, snapshot := diverge(t, n, members, story.alone, story.together)
				term := old.raft().CurrentTerm()
				n.heal(old)
				mustAgree(t, members...)
				if got := old.Table().Settings; got["lost"] != "" || got["kept"] != fmt.Sprint(story.together-1) {
					t.Fatalf("the old leader's settings: %v", got)
				}
				eventually(t, "the snapshot taken over", func() bool { return old.raft().AppliedIndex() >= snapshot })
				if now := old.raft().CurrentTerm(); now <= term {
					t.Fatalf("in term %d after the install, %d before", now, term)
				}
				must(t, old.SetSetting(within(t, time.Minute), "after", "all"))
				mustAgree(t, members...)
				if got := installs.Load(); got > 2 {
					t.Fatalf("%d snapshots were sent", got)
				}
				for _, m := range members {
					mustHaveNoHole(t, m)
				}
			})
		})
	}
}
