package directory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/flotilla-db/flotilla/membership"
)

var stampOf = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// sampleCommands has one of each kind, in an order in which all succeed.
func sampleCommands() []Command {
	n1, n2 := nodeID(1), nodeID(2)
	full := membership.Node{
		NodeID: n1, Zone: "a", RPCAddr: "h:1", HTTPAddr: "h:2", GossipAddr: "h:3", Version: "v1",
		State: membership.NodeUp, Placeable: true, StartedAt: stampOf,
	}
	return []Command{
		InitCluster{testCluster, 256},
		RegisterNode{testCluster, full, stampOf},
		RegisterNode{testCluster, row(n2), stampOf},
		CreateDatabase{Name: "d", Retention: time.Hour, At: stampOf},
		CreateCollection{"d", "c"},
		CreateCollection{"d", "b"},
		SetRetention{"d", 2 * time.Hour},
		SetSetting{"replication.factor", "2"},
		Bear{Births: []membership.Birth{
			{Group: 7, Lineage: testCluster, Voters: []membership.ServerID{n1.Server(0), n2.Server(0)}, Epoch: 1},
			{Group: 255, Lineage: "00000000-0000-4000-8000-000000000001", Voters: []membership.ServerID{n2.Server(0)}, Epoch: 1},
		}, At: stampOf},
		Assign{Assignments: []membership.Assignment{
			{Group: 255, Primary: "n2", Replicas: []string{"n1"}, State: membership.GroupSyncing, Epoch: 1},
		}, At: stampOf},
		RegisterNode{testCluster, row(membership.NodeID{Name: "n2", Incarnation: "ffffffff"}), stampOf},
		DropCollection{"d", "b"},
		CreateDatabase{Name: "gone", At: stampOf},
		DropDatabase{"gone"},
		nudgeCommand{},
	}
}

func newTestFSM(t interface{ Errorf(string, ...any) }) *fsm {
	return newFSM(func(err error) { t.Errorf("fatal: %v", err) })
}

func entries(commands []Command) []*raft.Log {
	out := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration}}
	for i, c := range commands {
		out = append(out, &raft.Log{Index: uint64(i + 2), Term: 1, Type: raft.LogCommand, Data: Encode(c)})
	}
	return out
}

func TestEveryCommandTakesEffectAndSurvivesTheSnapshot(t *testing.T) {
	f := newTestFSM(t)
	for i, out := range f.ApplyBatch(entries(sampleCommands())) {
		if o, ok := out.(outcome); ok && o.err != nil {
			t.Errorf("entry %d: %v", i+1, o.err)
		}
	}
	table := f.table.Load()
	if got := table.Nodes["n2"]; got.Incarnation != "ffffffff" || got.Epoch != 2 || !table.Replaced(nodeID(2)) {
		t.Errorf("n2: %+v", got)
	}
	if got := table.Databases["d"]; got.Retention != 2*time.Hour || fmt.Sprint(got.Collections) != "[c]" || len(table.Databases) != 1 {
		t.Errorf("databases: %+v", table.Databases)
	}
	if got := table.Assignments[255]; got.Epoch != 2 || !got.Holds("n1") || !got.UpdatedAt.Equal(stampOf) {
		t.Errorf("assignment: %+v", got)
	}
	if table.configIndex != 1 || table.Index != 15 {
		t.Errorf("configuration at %d, table at %d", table.configIndex, table.Index)
	}
	back, err := decodeTable(encodeTable(table))
	must(t, err)
	if !bytes.Equal(encodeTable(back), encodeTable(table)) || fmt.Sprint(back.Nodes) != fmt.Sprint(table.Nodes) {
		t.Fatalf("the snapshot changed the table:\n%+v\n%+v", table, back)
	}
}

// However the log is cut into batches, and wherever a snapshot is restored in
// between, the table is the same.
func TestTablesDependOnTheLogAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := entries(randomCommands(t))
		whole := newTestFSM(t)
		for _, l := range logs {
			whole.Apply(l)
		}
		parts := newTestFSM(t)
		for rest := logs; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			parts.ApplyBatch(rest[:n])
			rest = rest[n:]
			if rapid.Bool().Draw(t, "snapshot") {
				next := newTestFSM(t)
				table, err := decodeTable(encodeTable(parts.table.Load()))
				if err != nil {
					t.Fatal(err)
				}
				next.publish(table)
				parts = next
			}
		}
		if !bytes.Equal(encodeTable(whole.table.Load()), encodeTable(parts.table.Load())) {
			t.Fatal("two ways to apply one log gave two tables")
		}
	})
}

func randomCommands(t *rapid.T) []Command {
	commands := sampleCommands()
	for range rapid.IntRange(0, 40).Draw(t, "more") {
		name := rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "name")
		group := uint32(rapid.IntRange(0, 9).Draw(t, "group"))
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			id := membership.NodeID{Name: name, Incarnation: rapid.StringMatching("[0-9a-f]{8}").Draw(t, "incarnation")}
			commands = append(commands, RegisterNode{testCluster, row(id), stampOf})
		case 1:
			commands = append(commands, Bear{Births: []membership.Birth{{Group: group, Lineage: testCluster, Voters: []membership.ServerID{nodeID(1).Server(0)}, Epoch: 1}}, At: stampOf})
		case 2:
			commands = append(commands, Assign{Assignments: []membership.Assignment{{Group: group, Primary: name, State: membership.GroupActive, Epoch: rapid.Uint64Range(1, 3).Draw(t, "epoch")}}, At: stampOf})
		case 3:
			commands = append(commands, SetSetting{name, rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "value")})
		case 4:
			commands = append(commands, CreateCollection{"d", name})
		}
	}
	return commands
}

func TestOldTablesNeverChange(t *testing.T) {
	f := newTestFSM(t)
	var tables []*Table
	var bytesOf [][]byte
	for _, l := range entries(sampleCommands()) {
		f.Apply(l)
		tables = append(tables, f.table.Load())
		bytesOf = append(bytesOf, encodeTable(f.table.Load()))
	}
	for i, table := range tables {
		if !bytes.Equal(encodeTable(table), bytesOf[i]) {
			t.Fatalf("the table after entry %d changed later", i+1)
		}
	}
}

func TestRefusals(t *testing.T) {
	f := newTestFSM(t)
	f.ApplyBatch(entries(sampleCommands()))
	before := encodeTable(f.table.Load())
	one := []membership.ServerID{nodeID(1).Server(0)}
	for i, c := range []struct {
		command Command
		want    error
	}{
		{InitCluster{"00000000-0000-4000-8000-000000000001", 256}, ErrForeign},
		{InitCluster{testCluster, 128}, ErrForeign},
		{RegisterNode{"00000000-0000-4000-8000-000000000001", row(nodeID(1)), stampOf}, ErrForeign},
		{RegisterNode{testCluster, row(nodeID(2)), stampOf}, ErrReplaced},
		{CreateDatabase{Name: "d"}, ErrExists},
		{CreateCollection{"nope", "c"}, ErrNotFound},
		{DropDatabase{"nope"}, ErrNotFound},
		{DropCollection{"d", "nope"}, ErrNotFound},
		{SetRetention{"nope", 0}, ErrNotFound},
		{Bear{Births: []membership.Birth{{Group: 256, Lineage: testCluster, Voters: one}}}, ErrInvalid},
		{Bear{Births: []membership.Birth{{Group: 9, Lineage: testCluster, Voters: []membership.ServerID{nodeID(2).Server(0)}}}}, ErrStale},
		{Assign{Assignments: []membership.Assignment{{Group: 9, Primary: "n1", State: membership.GroupActive, Epoch: 1}}}, ErrNotFound},
		{Assign{Assignments: []membership.Assignment{{Group: 255, Primary: "n1", State: membership.GroupActive, Epoch: 1}}}, ErrStale},
		{Assign{Assignments: []membership.Assignment{{Group: 255, Primary: "n9", State: membership.GroupActive, Epoch: 2}}}, ErrNotFound},
	} {
		o := f.Apply(&raft.Log{Index: uint64(100 + i), Type: raft.LogCommand, Data: Encode(c.command)}).(outcome)
		if !errors.Is(o.err, c.want) || o.changed {
			t.Errorf("%+v: %v, want %v", c.command, o.err, c.want)
		}
	}
	after, err := decodeTable(encodeTable(f.table.Load()))
	must(t, err)
	after.Index = 15
	if !bytes.Equal(before, encodeTable(after)) {
		t.Error("a refused command changed the table")
	}
}

func TestACommandOfALaterBinaryEndsTheProcess(t *testing.T) {
	var got error
	f := newFSM(func(err error) { got = err })
	f.Apply(&raft.Log{Index: 1, Type: raft.LogCommand, Data: []byte{formatVersion, 250}})
	if !errors.Is(got, ErrInvalid) {
		t.Fatalf("fatal = %v", got)
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, c := range sampleCommands() {
		f.Add(Encode(c))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			return
		}
		again := Encode(c)
		back, err := Decode(again)
		if err != nil || !bytes.Equal(Encode(back), again) {
			t.Fatalf("%+v became %+v, %v", c, back, err)
		}
		if c.check() == nil { // what is proposed never breaks the state machine
			g := newTestFSM(t)
			g.ApplyBatch(entries(append(sampleCommands(), c)))
			if _, err := decodeTable(encodeTable(g.table.Load())); err != nil {
				t.Fatalf("after %+v: %v", c, err)
			}
		}
	})
}

func FuzzDecodeTable(f *testing.F) {
	g := newTestFSM(f)
	g.ApplyBatch(entries(sampleCommands()))
	f.Add(encodeTable(g.table.Load()))
	f.Add(encodeTable(newTable()))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := decodeTable(b)
		if err != nil {
			return
		}
		if _, err := decodeTable(encodeTable(table)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeWire(f *testing.F) {
	f.Add(request{op: opRound, body: encodeGroups([]uint32{1, 2})}.encode())
	f.Add(request{op: opJoin, body: joinBody{testCluster, nodeID(1).Server(0)}.encode()}.encode())
	f.Add(reply{code: codeStale, index: 7, text: "x", leader: "n1.00000001.0"}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := decodeReply(b); err == nil {
			_, _ = decodeStanding(p.body)
			_ = p.err()
		}
		if q, err := decodeRequest(b); err == nil {
			_, _ = decodeGroups(q.body)
			_, _ = decodeJoin(q.body)
		}
	})
}

// A new instance of raft restores its snapshot and replays the log behind it
// into a state machine that has both.
func TestWhatIsReplayedDoesNotChangeTheTable(t *testing.T) {
	f := newFSM(func(err error) { t.Fatal(err) })
	log := func(index uint64, value string) *raft.Log {
		return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: Encode(SetSetting{Key: "k", Value: value})}
	}
	f.Apply(log(1, "a"))
	old := encodeTable(f.table.Load())
	f.Apply(log(2, "b"))
	now := f.table.Load()
	if err := f.Restore(io.NopCloser(bytes.NewReader(old))); err != nil {
		t.Fatal(err)
	}
	f.Apply(log(1, "a"))
	if got := f.table.Load(); got.Index != now.Index || got.Settings["k"] != "b" {
		t.Fatalf("back at %d: %v", got.Index, got.Settings)
	}
	f.Apply(log(3, "c"))
	if got := f.table.Load(); got.Index != 3 || got.Settings["k"] != "c" {
		t.Fatalf("at %d: %v", got.Index, got.Settings)
	}
}

func TestEveryCommandIsNamedInWords(t *testing.T) {
	for kind := KindNudge; kind <= KindSetSetting; kind++ {
		if name := kind.String(); name == "" || strings.Contains(name, "kind") {
			t.Errorf("command %d is called %q", byte(kind), name)
		}
	}
	if name := (KindSetSetting + 1).String(); name != "command of kind 11" {
		t.Errorf("an unknown command is called %q", name)
	}
}
