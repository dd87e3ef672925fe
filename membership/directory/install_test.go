package directory

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// forger sends what a leader could send.
type forger struct {
	t         *testing.T
	transport *raft.InmemTransport
	to        *member
	term      uint64
}

func forge(t *testing.T, to *member) *forger {
	_, transport := raft.NewInmemTransportWithTimeout("n9.00000009.0", 500*time.Millisecond)
	transport.Connect(to.transport.LocalAddr(), to.transport)
	return &forger{t: t, transport: transport, to: to, term: to.raft().CurrentTerm() + 1}
}

func (f *forger) header() raft.RPCHeader {
	addr := []byte(f.transport.LocalAddr())
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: addr, Addr: addr}
}

// install sends a snapshot that ends with the given entry; lost bytes are
// missing at its end.
func (f *forger) install(last entryID, table *Table, lost int) (raft.InstallSnapshotResponse, error) {
	b := encodeTable(table)
	configuration := f.to.raft().GetConfiguration().Configuration()
	req := &raft.InstallSnapshotRequest{
		RPCHeader: f.header(), SnapshotVersion: raft.SnapshotVersionMax, Term: f.term,
		LastLogIndex: last.index, LastLogTerm: last.term, Size: int64(len(b)),
		Configuration: raft.EncodeConfiguration(configuration), ConfigurationIndex: table.configIndex,
	}
	var resp raft.InstallSnapshotResponse
	err := f.transport.InstallSnapshot("", f.to.transport.LocalAddr(), req, &resp, bytes.NewReader(b[:len(b)-lost]))
	return resp, err
}

// probe asks for an entry that the replica does not have.
func (f *forger) probe() {
	f.t.Helper()
	req := &raft.AppendEntriesRequest{RPCHeader: f.header(), Term: f.term, PrevLogEntry: 1 << 30, PrevLogTerm: f.term}
	if err := f.transport.AppendEntries("", f.to.transport.LocalAddr(), req, new(raft.AppendEntriesResponse)); err != nil {
		f.t.Fatal(err)
	}
}

// ahead is a table that lies beyond all others.
func ahead(m *member, index uint64) *Table {
	d := newDraft(m.Table())
	d.table.Index = index
	return d.finish()
}

func TestEntriesBeforeAContradictionStay(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		awaitVoters(t, members, 3)
		m := leaderOf(t, members...)
		mustAgree(t, members...)
		n.cut(m)
		defer n.heal(m)
		applied := m.raft().AppliedIndex()
		appendAlone(t, m, 20)
		before, term, table := m.raft().LastIndex(), m.raft().CurrentTerm(), encodeTable(m.Table())
		f := forge(t, m)
		at := entryID{index: before - 10, term: f.term}
		if _, err := f.install(at, ahead(m, at.index), 3); err == nil {
			t.Fatal("half a snapshot was taken")
		}
		last, err := m.store.bolt.LastIndex()
		must(t, err)
		if last != at.index-1 {
			t.Fatalf("the log ends at %d, want %d", last, at.index-1)
		}
		mustHaveNoHole(t, m)
		if m.raft().CurrentTerm() < term || !bytes.Equal(encodeTable(m.Table()), table) {
			t.Fatalf("term %d after %d, table at %d", m.raft().CurrentTerm(), term, m.Table().Index)
		}
		if _, err := f.install(at, ahead(m, at.index), 0); err != nil || m.Table().Index != at.index {
			t.Fatalf("the whole snapshot: %v, table at %d (applied %d)", err, m.Table().Index, applied)
		}
	})
}

func TestSnapshotThatComesLateDoesNotBringTheTableBack(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		m := n.cluster(1, 8)[0]
		old := m.Table()
		var own raft.Log
		must(t, m.store.logs.GetLog(old.Index, &own))
		must(t, m.SetSetting(within(t, time.Minute), "k", "v"))
		f := forge(t, m)
		resp, err := f.install(entryID{own.Index, own.Term}, old, 0)
		if err != nil || !resp.Success {
			t.Fatalf("%+v, %v", resp, err)
		}
		if m.Table().Settings["k"] != "v" {
			t.Fatalf("back at index %d", m.Table().Index)
		}
	})
}

func TestReplicaThatSnapshotsDoNotBringFurtherStopsWithAnAlarm(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		awaitVoters(t, members, 3)
		leader := leaderOf(t, members...)
		m := members[slices.IndexFunc(members, func(m *member) bool { return m != leader })]
		mustAgree(t, members...)
		n.cut(m)
		f := forge(t, m)
		at := entryID{index: m.raft().LastIndex() + 100, term: f.term}
		table := ahead(m, at.index)
		for i := range maxFruitless + 1 {
			if _, err := f.install(at, table, 0); err != nil || m.Halted() != nil {
				t.Fatalf("install %d: %v, %v", i, err, m.Halted())
			}
			f.probe()
		}
		_, _ = f.install(at, table, 0)
		eventually(t, "an alarm", func() bool { return m.Halted() != nil })
		if _, err := f.install(at, table, 0); err == nil {
			t.Fatal("a stopped replica takes a snapshot")
		}
		if m.Table().Index != at.index {
			t.Fatalf("the table went to %d", m.Table().Index)
		}
		n.heal(m)
	})
}

func TestSnapshotOfAnotherHistoryStopsTheReplica(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		m := n.cluster(1, 8)[0]
		must(t, m.SetSetting(within(t, time.Minute), "k", "v"))
		f := forge(t, m)
		table := m.Table()
		if _, err := f.install(entryID{table.Index, f.term}, table, 0); err == nil || m.Halted() == nil {
			t.Fatalf("%v, %v", err, m.Halted())
		}
		if m.Table().Settings["k"] != "v" {
			t.Fatal("the table was touched")
		}
	})
}

func TestTailBehindASnapshotThatIsNotTheLeadersIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		awaitVoters(t, members, 3)
		old := leaderOf(t, members...)
		mustAgree(t, members...)
		n.cut(old)
		appendAlone(t, old, 4)
		must(t, old.raft().Snapshot().Error())
		list, err := old.store.snapshots.List()
		must(t, err)
		first, err := old.store.bolt.FirstIndex()
		must(t, err)
		must(t, old.store.logs.DeleteRange(first, list[0].Index)) // as raft does behind a long tail
		rest := slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m == old })
		must(t, leaderOf(t, rest...).SetSetting(within(t, time.Minute), "k", "v"))
		n.heal(old)
		mustAgree(t, members...)
		if old.Halted() != nil {
			t.Fatal(old.Halted())
		}
	})
}
