package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is one engine in one directory, which can be closed and opened again.
type harness struct {
	t       *testing.T
	dir     string
	engine  Engine
	open    func(dir string) (Engine, error)
	corrupt func(h *harness, group uint32, index uint64) // of the closed engine, on disk
}

func sharedAt(o SharedOptions) func(dir string) (Engine, error) {
	return func(dir string) (Engine, error) { return OpenShared(filepath.Join(dir, "log"), o) }
}

func boltAt(dir string) (Engine, error) {
	return OpenBolt(func(group uint32) string {
		return filepath.Join(dir, "groups", fmt.Sprint(group), "raft.db")
	}, BoltOptions{})
}

// onBoth runs a test on each engine.
func onBoth(t *testing.T, f func(t *testing.T, h *harness)) {
	t.Helper()
	engines := []struct {
		name    string
		open    func(dir string) (Engine, error)
		corrupt func(*harness, uint32, uint64)
	}{
		{"shared", sharedAt(SharedOptions{SegmentBytes: 1 << 20}), corruptShared},
		{"boltdb", boltAt, corruptBolt},
	}
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			h := &harness{t: t, dir: t.TempDir(), open: e.open, corrupt: e.corrupt}
			h.start()
			t.Cleanup(func() { h.engine.Close() })
			f(t, h)
		})
	}
}

func (h *harness) start() {
	h.t.Helper()
	var err error
	if h.engine, err = h.open(h.dir); err != nil {
		h.t.Fatalf("open engine: %v", err)
	}
}

func (h *harness) stop() {
	h.t.Helper()
	if err := h.engine.Close(); err != nil {
		h.t.Fatalf("close engine: %v", err)
	}
}

func (h *harness) log(group uint32) Log {
	h.t.Helper()
	l, err := h.engine.Open(group)
	if err != nil {
		h.t.Fatalf("open log: %v", err)
	}
	return l
}

// again closes everything and opens it anew.
func (h *harness) again(group uint32) Log {
	h.t.Helper()
	h.stop()
	h.start()
	return h.log(group)
}

// entry makes the entry that every test expects at (group, index, term).
func entry(group uint32, index, term uint64) *raft.Log {
	data := fmt.Appendf(nil, "group %d index %d term %d ", group, index, term)
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: append(data, make([]byte, index%50)...)}
}

func entries(group uint32, from, to, term uint64) []*raft.Log {
	var logs []*raft.Log
	for i := from; i <= to; i++ {
		logs = append(logs, entry(group, i, term))
	}
	return logs
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustBe(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

// holds fails unless the log is exactly from..to, with the terms that termOf says. 0, 0: empty.
func holds(t *testing.T, l Log, group uint32, from, to uint64, termOf func(i uint64) uint64) {
	t.Helper()
	first, err := l.FirstIndex()
	must(t, err)
	last, err := l.LastIndex()
	must(t, err)
	if first != from || last != to {
		t.Fatalf("log is %d..%d, want %d..%d", first, last, from, to)
	}
	for i := from; i != 0 && i <= to; i++ {
		var got raft.Log
		if err := l.GetLog(i, &got); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		want := entry(group, i, termOf(i))
		if got.Index != i || got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) {
			t.Fatalf("entry %d is %+v, want %+v", i, got, want)
		}
	}
	var none raft.Log
	for _, i := range []uint64{0, from - 1, to + 1} {
		if i+1 == 0 || from != 0 && i >= from && i <= to {
			continue
		}
		mustBe(t, l.GetLog(i, &none), raft.ErrLogNotFound)
	}
	must(t, l.Check())
	must(t, l.Check()) // the second one reads
}

func term(n uint64) func(uint64) uint64 { return func(uint64) uint64 { return n } }

func at(i uint64) func() uint64 { return func() uint64 { return i } }

func TestAppendKeepsEveryField(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		l := h.log(7)
		now := time.Unix(1_700_000_000, 123456789)
		logs := []*raft.Log{
			{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: []byte("conf"), Extensions: []byte("ext"), AppendedAt: now},
			{Index: 2, Term: 1 << 60, Type: raft.LogNoop},
			{Index: 3, Term: 1 << 60, Type: raft.LogCommand, Data: bytes.Repeat([]byte{0xff}, 300_000), AppendedAt: now},
			{Index: 4, Term: 1 << 60, Type: raft.LogBarrier, Extensions: []byte{0}},
		}
		must(t, l.StoreLogs(logs[:2]))
		must(t, l.StoreLog(logs[2]))
		must(t, l.StoreLogs(logs[3:]))
		must(t, l.StoreLogs(nil))
		for round := range 2 {
			for _, want := range logs {
				var got raft.Log
				must(t, l.GetLog(want.Index, &got))
				if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type ||
					!bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.Extensions, want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt) {
					t.Fatalf("round %d: entry %d came back different", round, want.Index)
				}
			}
			l = h.again(7)
		}
		if got := h.engine.Groups(); !slices.Equal(got, []uint32{7}) {
			t.Fatalf("groups are %v", got)
		}
	})
}

func TestAppendWithAHoleIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		l := h.log(1)
		mustBe(t, l.StoreLog(entry(1, 0, 1)), ErrGap)
		must(t, l.StoreLogs(entries(1, 100, 103, 2))) // an empty new log takes any index
		mustBe(t, l.StoreLog(entry(1, 105, 2)), ErrGap)
		mustBe(t, l.StoreLog(entry(1, 103, 2)), ErrGap)
		mustBe(t, l.StoreLogs([]*raft.Log{entry(1, 104, 2), entry(1, 106, 2)}), ErrGap)
		mustBe(t, l.StoreLogs([]*raft.Log{entry(1, 104, 2), entry(1, 104, 2)}), ErrGap)
		holds(t, l, 1, 100, 103, term(2))
		holds(t, h.again(1), 1, 100, 103, term(2))
	})
}

func TestConflictTruncationAtEveryBoundary(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		const n = 9
		for from := uint64(1); from <= n; from++ {
			group := uint32(from)
			l := h.log(group)
			must(t, l.StoreLogs(entries(group, 1, n, 1)))
			if from < n {
				mustBe(t, l.DeleteRange(from, n-1), ErrNotSuffix) // would leave a hole
			}
			must(t, l.DeleteRange(from, n))
			if from == 1 {
				holds(t, l, group, 0, 0, term(1))
			} else {
				holds(t, l, group, 1, from-1, term(1))
			}
			mustBe(t, l.StoreLog(entry(group, n+1, 2)), ErrGap)
			must(t, l.StoreLogs(entries(group, from, from+3, 2)))
		}
		for round := range 2 {
			for from := uint64(1); from <= n; from++ {
				if round == 1 {
					holds(t, h.log(uint32(from)), uint32(from), 1, from+3, func(i uint64) uint64 {
						if i < from {
							return 1
						}
						return 2
					})
				}
			}
			h.stop()
			h.start()
		}
	})
}

func TestTruncationBelowTheSnapshotIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		l := h.log(3)
		must(t, l.StoreLogs(entries(3, 1, 10, 1)))
		l.SetSnapshotIndex(at(5))
		mustBe(t, l.DeleteRange(5, 10), ErrBelowSnapshot)
		must(t, l.DeleteRange(6, 10))
		holds(t, l, 3, 1, 5, term(1))
	})
}

func TestCompactionEndsBelowTheFloor(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		l := h.log(3)
		must(t, l.StoreLogs(entries(3, 1, 20, 1)))
		l.SetSnapshotIndex(at(15))
		must(t, l.DeleteRange(1, 15)) // no floor is known yet: nothing may go
		holds(t, l, 3, 1, 20, term(1))
		l.SetFloor(at(8)) // a lease at 8 keeps entry 8
		before := l.Bytes()
		must(t, l.DeleteRange(1, 15))
		holds(t, l, 3, 8, 20, term(1))
		if after := l.Bytes(); after >= before || after <= 0 {
			t.Fatalf("bytes went from %d to %d", before, after)
		}
		l.SetFloor(at(12))
		must(t, l.Compact()) // what the floor kept, later
		holds(t, l, 3, 12, 20, term(1))
		l.SetFloor(at(1 << 40))
		must(t, l.Compact()) // never more than was asked
		holds(t, l, 3, 16, 20, term(1))
		mustBe(t, l.DeleteRange(17, 15), nil)
		holds(t, h.again(3), 3, 16, 20, term(1))
	})
}

func TestCompactionToNothingKeepsTheNextIndex(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		l := h.log(3)
		must(t, l.StoreLogs(entries(3, 1, 20, 1)))
		l.SetSnapshotIndex(at(20))
		l.SetFloor(at(21))
		must(t, l.DeleteRange(1, 20))
		holds(t, l, 3, 0, 0, term(1))
		l = h.again(3)
		holds(t, l, 3, 0, 0, term(1))
		if l.NextIndex() != 21 {
			t.Fatalf("next index is %d", l.NextIndex())
		}
		mustBe(t, l.StoreLog(entry(3, 22, 1)), ErrGap)
		must(t, l.StoreLog(entry(3, 21, 1)))
		holds(t, h.again(3), 3, 21, 21, term(1))
	})
}

func TestResetBeginsANewLife(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		l := h.log(3)
		must(t, l.StoreLogs(entries(3, 1, 20, 1)))
		must(t, l.Reset(50, 2))
		for range 2 {
			holds(t, l, 3, 0, 0, nil)
			if l.Generation() != 2 || l.NextIndex() != 50 {
				t.Fatalf("generation %d, next %d", l.Generation(), l.NextIndex())
			}
			mustBe(t, l.Reset(1, 1), ErrGeneration)
			mustBe(t, l.StoreLog(entry(3, 21, 1)), ErrGap)
			l = h.again(3)
		}
		must(t, l.StoreLogs(entries(3, 50, 55, 3)))
		must(t, l.Reset(10, 2)) // back, within the generation
		must(t, l.StoreLogs(entries(3, 10, 12, 4)))
		must(t, l.Reset(0, 3))
		must(t, l.StoreLogs(entries(3, 77, 78, 5)))
		l = h.again(3)
		holds(t, l, 3, 77, 78, term(5))
		if l.Generation() != 3 {
			t.Fatalf("generation %d", l.Generation())
		}
	})
}

func TestDropIgnoresFloorAndSnapshot(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		l := h.log(3)
		must(t, l.StoreLogs(entries(3, 5, 20, 1)))
		must(t, l.Drop(4))
		must(t, l.Drop(9))
		holds(t, l, 3, 10, 20, term(1))
		must(t, l.Drop(30))
		holds(t, l, 3, 0, 0, nil)
		l = h.again(3)
		if l.NextIndex() != 31 {
			t.Fatalf("next index is %d", l.NextIndex())
		}
	})
}

func TestCorruptEntryInTheMiddleIsToldAndDropped(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		for group := range uint32(4) {
			l := h.log(group)
			for i := uint64(1); i <= 10; i++ {
				must(t, l.StoreLog(entry(group, i, 1)))
			}
		}
		h.stop()
		h.corrupt(h, 2, 6)
		h.start()
		for range 2 { // what is found at open, and what is found again
			for group := range uint32(4) {
				l := h.log(group)
				if group != 2 {
					holds(t, l, group, 1, 10, term(1))
					continue
				}
				for range 2 {
					var bad *CorruptError
					if err := l.Check(); !errors.As(err, &bad) || bad.Group != 2 || bad.Index != 6 || bad.TailUnknown {
						t.Fatalf("check says %v", err)
					}
				}
				var log raft.Log
				var bad *CorruptError
				if err := l.GetLog(6, &log); !errors.As(err, &bad) || bad.Index != 6 {
					t.Fatalf("read says %v", err)
				}
				must(t, l.GetLog(5, &log))
				must(t, l.GetLog(7, &log))
			}
			h.stop()
			h.start()
		}
		l := h.log(2)
		must(t, l.Drop(6))
		holds(t, l, 2, 7, 10, term(1))
		l = h.again(2)
		holds(t, l, 2, 7, 10, term(1))
		must(t, l.StoreLog(entry(2, 11, 1)))
		holds(t, l, 2, 7, 11, term(1))
	})
}

func TestManyGroupsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		const groups, appends = 256, 12
		var wg sync.WaitGroup
		for group := range uint32(groups) {
			l := h.log(group)
			wg.Go(func() {
				for i := uint64(1); i <= appends; i += 2 {
					if err := l.StoreLogs(entries(group, i, i+1, 1)); err != nil {
						t.Errorf("group %d: %v", group, err)
						return
					}
					var log raft.Log
					if err := l.GetLog(i, &log); err != nil {
						t.Errorf("group %d: %v", group, err)
					}
				}
				if group%3 == 0 {
					if err := l.DeleteRange(7, appends); err != nil {
						t.Errorf("group %d: %v", group, err)
					}
				}
			})
		}
		wg.Wait()
		h.stop()
		h.start()
		if n := len(h.engine.Groups()); n != groups {
			t.Fatalf("%d groups are known", n)
		}
		for group := range uint32(groups) {
			last := uint64(appends)
			if group%3 == 0 {
				last = 6
			}
			holds(t, h.log(group), group, 1, last, term(1))
		}
	})
}

func TestLogIsOpenOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		l := h.log(3)
		must(t, l.StoreLogs(entries(3, 1, 3, 1)))
		_, err := h.engine.Open(3)
		mustBe(t, err, ErrOpen)
		must(t, l.Close())
		must(t, l.Close())
		mustBe(t, l.StoreLog(entry(3, 4, 1)), ErrClosed)
		mustBe(t, l.GetLog(1, new(raft.Log)), ErrClosed)
		holds(t, h.log(3), 3, 1, 3, term(1))
		h.stop()
		h.stop()
		_, err = h.engine.Open(4)
		mustBe(t, err, ErrClosed)
		h.start()
	})
}

// corruptBolt changes one byte of an entry as bbolt has it.
func corruptBolt(h *harness, group uint32, index uint64) {
	h.t.Helper()
	path := filepath.Join(h.dir, "groups", fmt.Sprint(group), "raft.db")
	db, err := bbolt.Open(path, 0o600, nil)
	must(h.t, err)
	must(h.t, db.Update(func(tx *bbolt.Tx) error {
		key := []byte{0, 0, 0, 0, 0, 0, 0, byte(index)}
		v := slices.Clone(tx.Bucket(bucketLogs).Get(key))
		k := bytes.Index(v, []byte("group "))
		if k < 0 {
			return errors.New("the entry is not there")
		}
		v[k] ^= 1
		return tx.Bucket(bucketLogs).Put(key, v)
	}))
	must(h.t, db.Close())
}
