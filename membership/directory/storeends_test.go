package directory

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

var quiet = slog.New(slog.DiscardHandler)

// noFatal fails a test in which the process would have to end.
func noFatal(t *testing.T) func(error) { return func(err error) { t.Error(err) } }

// snapshotAt makes a snapshot of a table as raft makes it.
func snapshotAt(t *testing.T, s raft.SnapshotStore, index uint64, content []byte) error {
	t.Helper()
	_, trans := raft.NewInmemTransport("")
	sink, err := s.Create(1, index, 1, raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: "n1"}}}, 1, trans)
	must(t, err)
	_, err = sink.Write(content)
	must(t, err)
	return sink.Close()
}

func logEntries(from, through uint64) (all []*raft.Log) {
	for i := from; i <= through; i++ {
		all = append(all, &raft.Log{Index: i, Term: 1, Data: Encode(SetSetting{Key: "k", Value: "v"})})
	}
	return all
}

func mustReach(t *testing.T, s *store, first, last uint64) {
	t.Helper()
	from, err := s.logs.FirstIndex()
	must(t, err)
	if through, err := s.logs.LastIndex(); err != nil || from != first || through != last {
		t.Fatalf("the log is %d..%d (%v), want %d..%d", from, through, err, first, last)
	}
}

// A replica that was away installs a snapshot that begins beyond the end of its log, goes on behind it, and is the same after a
// restart.
func TestFollowerWhoseLogEndsBeforeTheSnapshotGoesOnBehindIt(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		awaitVoters(t, members, 3)
		leader := leaderOf(t, members...)
		at := slices.IndexFunc(members, func(m *member) bool { return m != leader })
		m := members[at]
		mustAgree(t, members...)
		n.cut(m)
		before := m.raft().LastIndex()
		for range 30 {
			must(t, leader.SetSetting(within(t, time.Minute), "k", "while it was away"))
		}
		rest := slices.DeleteFunc(slices.Clone(members), func(other *member) bool { return other == m })
		mustAgree(t, rest...)
		snapshot := uint64(0)
		for _, other := range rest {
			snapshot = max(snapshot, trimBehindSnapshot(t, other))
		}
		if snapshot <= before+1 {
			t.Fatalf("the snapshot ends at %d, the log that lags at %d", snapshot, before)
		}
		n.heal(m)
		mustAgree(t, members...)
		if list, err := m.store.snapshots.List(); err != nil || len(list) == 0 || list[0].Index <= before {
			t.Fatalf("no snapshot was installed: %v, %v", list, err)
		}
		for range 5 {
			must(t, leaderOf(t, members...).SetSetting(within(t, time.Minute), "k", "behind it"))
		}
		mustAgree(t, members...)
		mustHaveNoHole(t, m)
		_, last := promised(m)
		if last <= snapshot {
			t.Fatalf("the log ends at %d, the snapshot at %d", last, snapshot)
		}
		n.stop(m)
		must(t, Examine(m.cfg.Dir, true))
		m = n.start(m.id, func(c *Config) { c.ExpectState = true })
		members[at] = m
		if _, now := promised(m); now < last {
			t.Fatalf("the log ends at %d, before the restart at %d", now, last)
		}
		mustAgree(t, members...)
		if m.Table().Settings["k"] != "behind it" {
			t.Fatal(m.Table().Settings)
		}
	})
}

// What a quorum may count on stays when a snapshot is installed that ends before it: raft deletes the whole log of a
// raft.MonotonicLogStore then, and its tail, so the log must not be one.
func TestTailBehindAnInstalledSnapshotStays(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		awaitVoters(t, members, 3)
		m := leaderOf(t, members...)
		mustAgree(t, members...)
		n.cut(m)
		defer n.heal(m)
		appendAlone(t, m, 20)
		end := m.raft().LastIndex()
		var own raft.Log
		must(t, m.store.logs.GetLog(end-10, &own))
		if _, err := forge(t, m).install(entryID{own.Index, own.Term}, ahead(m, own.Index), 0); err != nil || m.Table().Index != own.Index {
			t.Fatalf("%v, table at %d", err, m.Table().Index)
		}
		if _, last := promised(m); last != end {
			t.Fatalf("the log ends at %d, it did at %d", last, end)
		}
		mustHaveNoHole(t, m)
	})
}

// A crash after a snapshot was installed and before the old entries went: the log ends before it, and that is no loss; the
// next entries come behind the snapshot.
func TestCrashBetweenInstallAndRemovalOfOldEntries(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir, quiet, noFatal(t))
	must(t, err)
	must(t, s.logs.StoreLogs(logEntries(1, 5)))
	must(t, s.votes.SetUint64([]byte(keyCurrentTerm), 1))
	must(t, snapshotAt(t, s.snapshots, 20, encodeTable(newTable())))
	must(t, s.Close())

	must(t, Examine(dir, true))
	s, err = openStore(dir, quiet, noFatal(t))
	must(t, err)
	mustReach(t, s, 1, 5)
	must(t, s.logs.StoreLogs(logEntries(21, 23)))
	mustReach(t, s, 21, 23)
	must(t, s.Close())
	must(t, Examine(dir, true))

	must(t, os.RemoveAll(filepath.Join(dir, snapshotsDir)))
	if err := Examine(dir, true); !errors.Is(err, ErrStateLost) {
		t.Fatalf("without the snapshot: %v", err)
	}
}

// Older versions left a hole where a snapshot was installed: the snapshot has what is missing. Without it, it is lost.
func TestHoleOfAnOlderVersionIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	old, err := raftboltdb.NewBoltStore(filepath.Join(dir, logName))
	must(t, err)
	must(t, old.StoreLogs(append(logEntries(1, 5), logEntries(21, 30)...)))
	must(t, old.SetUint64([]byte(keyCurrentTerm), 7))
	must(t, old.Close())
	if err := Examine(dir, true); !errors.Is(err, ErrStateLost) {
		t.Fatalf("without a snapshot: %v", err)
	}
	snapshots, err := raft.NewFileSnapshotStore(dir, retainedSnapshot, io.Discard)
	must(t, err)
	must(t, snapshotAt(t, snapshots, 20, encodeTable(newTable())))

	must(t, Examine(dir, true))
	for range 2 {
		s, err := openStore(dir, quiet, noFatal(t))
		must(t, err)
		mustReach(t, s, 21, 30)
		if v := s.bolt.lastVote(); v.term != 7 {
			t.Fatalf("%+v", v)
		}
		must(t, s.Close())
	}
}

// The key of the vote is bad in a log that has no entry which would say that there must be one.
func TestVoteWhoseKeyIsBadIsMissed(t *testing.T) {
	path := filepath.Join(t.TempDir(), logName)
	f, err := openLogFile(path, quiet)
	must(t, err)
	must(t, f.setVote(func(v *vote) { *v = vote{term: 4, votedIn: 4, candidate: []byte("n2")} }))
	must(t, f.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, bytes.ReplaceAll(b, keyVote, []byte("Wote")), 0o600))
	if err := Examine(filepath.Dir(path), true); !errors.Is(err, ErrStateLost) {
		t.Fatal(err)
	}
}

// blockRenewal stands for a full disk: no file can be made anew.
func blockRenewal(t *testing.T, path string) (end func()) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(path+newSuffix, "x"), 0o700))
	return func() { must(t, os.RemoveAll(path+newSuffix)) }
}

// spoil makes garbage of a file.
func spoil(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = file.WriteAt(bytes.Repeat([]byte{0xff}, int(info.Size())), 0)
	must(t, errors.Join(err, file.Close()))
}

func threeEntries(t *testing.T) *logFile {
	t.Helper()
	f, err := openLogFile(filepath.Join(t.TempDir(), logName), quiet)
	must(t, err)
	must(t, f.StoreLogs(logEntries(1, 3)))
	return f
}

// A write that finds the file damaged, and cannot make it anew, has failed: nobody reads what it would have written,
// and nobody waits for the file.
func TestWriteThatCannotBeMadeDurableIsNotSeen(t *testing.T) {
	f := threeEntries(t)
	spoil(t, f.path)
	blockRenewal(t, f.path)
	if err := f.StoreLogs(logEntries(4, 4)); err == nil {
		t.Fatal("written, where nothing can be")
	}
	if err := f.setVote(func(v *vote) { v.term = 9 }); err == nil {
		t.Fatal("voted, where nothing can be written")
	}
	last, err := f.LastIndex()
	must(t, err)
	if v := f.lastVote(); last != 3 || v.term != 0 {
		t.Fatalf("it shows entries to %d and %+v", last, v)
	}
	must(t, f.scrub())
	must(t, f.Close())
}

// A scrub on a disk that is full leaves the file as it is, and memory too; a later one mends it.
func TestScrubThatCannotWriteAnewTriesAgain(t *testing.T) {
	f := threeEntries(t)
	b, err := os.ReadFile(f.path)
	must(t, err)
	at := bytes.Index(b, keyVote)
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	must(t, err)
	for next := at; next >= at; at, next = next+1, next+1+bytes.Index(b[next+1:], keyVote) {
		_, err = file.WriteAt([]byte{b[next+10] ^ 1}, int64(next+10))
		must(t, err)
	}
	must(t, file.Close())
	end := blockRenewal(t, f.path)
	must(t, f.scrub())
	if last, err := f.LastIndex(); err != nil || last != 3 {
		t.Fatal(last, err)
	}
	end()
	must(t, f.scrub())
	h, err := readLogFile(f.path)
	must(t, err)
	must(t, h.differs(f.held))
	must(t, f.StoreLogs(logEntries(4, 4)))
	must(t, f.Close())
}

// A write after the end neither makes the file anew nor keeps it open.
func TestClosedLogFileTakesNothing(t *testing.T) {
	f := threeEntries(t)
	must(t, f.Close())
	if err := f.StoreLogs(logEntries(4, 4)); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	must(t, f.scrub())
	again, err := openLogFile(f.path, quiet)
	must(t, err)
	if again.held.last != 3 {
		t.Fatal(again.held.last)
	}
	must(t, again.Close())
}

// A snapshot that came damaged gets no place: the next start would say that the state is lost.
func TestDamagedSnapshotThatCameGetsNoPlace(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir, quiet, noFatal(t))
	must(t, err)
	must(t, s.logs.StoreLogs(logEntries(1, 5)))
	must(t, s.votes.SetUint64([]byte(keyCurrentTerm), 1))
	b := encodeTable(newTable())
	b[len(b)/2] ^= 4
	if err := snapshotAt(t, s.snapshots, 20, b); !errors.Is(err, errSnapshot) {
		t.Fatal(err)
	}
	must(t, s.Close())
	must(t, Examine(dir, true))
}

// The only snapshot has rotted while the replica runs, and raft is started again: it is made anew first.
func TestInstanceIsReplacedThoughTheSnapshotHasRotted(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		awaitVoters(t, members, 3)
		m := leaderOf(t, members...)
		must(t, m.SetSetting(within(t, time.Minute), "k", "v"))
		mustAgree(t, members...)
		trimBehindSnapshot(t, m)
		n.cut(m)
		defer n.heal(m)
		appendAlone(t, m, 20)
		all, err := filepath.Glob(filepath.Join(m.cfg.Dir, snapshotsDir, "*", "state.bin"))
		must(t, err)
		for _, path := range all {
			spoil(t, path)
		}
		time.Sleep(time.Second) // names of snapshots have milliseconds, and the bubble's time stands
		f := forge(t, m)
		at := entryID{index: m.raft().LastIndex() - 10, term: f.term}
		if _, err := f.install(at, ahead(m, at.index), 0); err != nil || m.Table().Index != at.index {
			t.Fatalf("%v, table at %d, want %d", err, m.Table().Index, at.index)
		}
		must(t, Examine(m.cfg.Dir, true))
	})
}
