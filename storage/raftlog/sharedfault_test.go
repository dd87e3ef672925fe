package raftlog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// corruptShared changes one byte of an entry in its segment.
func corruptShared(h *harness, group uint32, index uint64) {
	h.t.Helper()
	names, err := filepath.Glob(filepath.Join(h.dir, "log", "*"+segmentSuffix))
	must(h.t, err)
	want := entry(group, index, 1).Data
	for _, name := range names {
		b, err := os.ReadFile(name)
		must(h.t, err)
		if k := bytes.Index(b, want); k >= 0 {
			b[k] ^= 1
			must(h.t, os.WriteFile(name, b, 0o644))
			return
		}
	}
	h.t.Fatal("the entry is not there")
}

// openMem opens the shared engine on files in memory, with small segments.
func openMem(t *testing.T, files *memFiles, o SharedOptions) *Shared {
	t.Helper()
	o.Files = files
	if o.SegmentBytes == 0 {
		o.SegmentBytes = minSegmentBytes
	}
	s, err := OpenShared("mem", o)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func openLog(t *testing.T, e Engine, group uint32) Log {
	t.Helper()
	l, err := e.Open(group)
	must(t, err)
	return l
}

func TestFailedSyncStopsTheEngineOnce(t *testing.T) {
	eio := errors.New("input/output error")
	faults := map[string]func(*memFiles){
		"sync fails":  func(d *memFiles) { d.onSync = func() error { return eio } },
		"write fails": func(d *memFiles) { d.onWrite = func([]byte) (int, error) { return 0, eio } },
		"short write": func(d *memFiles) { d.onWrite = func(b []byte) (int, error) { return len(b) / 2, nil } },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			files := newMemFiles()
			var fatal atomic.Int32
			s := openMem(t, files, SharedOptions{Fatal: func(err error) {
				if !errors.Is(err, ErrFailed) {
					t.Errorf("fatal with %v", err)
				}
				fatal.Add(1)
			}})
			l, other := openLog(t, s, 1), openLog(t, s, 2)
			must(t, l.StoreLogs(entries(1, 1, 3, 1)))
			files.mu.Lock()
			fault(files)
			files.mu.Unlock()
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := other.StoreLog(entry(2, 1, 1)); !errors.Is(err, ErrFailed) {
					t.Errorf("append in the same batch: %v", err)
				}
			})
			mustBe(t, l.StoreLog(entry(1, 4, 1)), ErrFailed)
			wg.Wait()
			mustBe(t, l.StoreLog(entry(1, 4, 1)), ErrFailed)
			mustBe(t, l.DeleteRange(1, 3), ErrFailed)
			mustBe(t, l.Reset(9, 9), ErrFailed)
			holds(t, l, 1, 1, 3, term(1)) // what was acked can be read on
			mustBe(t, s.Close(), ErrFailed)
			if n := fatal.Load(); n != 1 {
				t.Fatalf("fatal was called %d times", n)
			}
		})
	}
}

func TestHangingDiskMissesTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		fatal := make(chan error, 1)
		s := openMem(t, files, SharedOptions{Fatal: func(err error) { fatal <- err }})
		l := openLog(t, s, 1)
		must(t, l.StoreLog(entry(1, 1, 1)))
		release := make(chan struct{})
		files.mu.Lock()
		files.onSync = func() error { <-release; return nil }
		files.mu.Unlock()
		start := time.Now()
		mustBe(t, l.StoreLog(entry(1, 2, 1)), errDeadline)
		if d := time.Since(start); d != AppendDeadline {
			t.Fatalf("append ended after %v", d)
		}
		mustBe(t, <-fatal, ErrFailed)
		mustBe(t, l.StoreLog(entry(1, 2, 1)), ErrFailed)
		close(release)
		synctest.Wait()
		mustBe(t, l.StoreLog(entry(1, 2, 1)), ErrFailed) // even when the disk comes back
	})
}

func TestFullDiskRefusesAndRecovers(t *testing.T) {
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
	l := openLog(t, s, 1)
	files.mu.Lock()
	files.onOpen = func(_ string, size int64) error {
		if size > 0 {
			return &os.PathError{Op: "open", Err: syscall.ENOSPC}
		}
		return nil
	}
	files.mu.Unlock()
	i := uint64(1)
	for ; ; i++ {
		err := l.StoreLog(&raft.Log{Index: i, Term: 1, Data: make([]byte, 4000)})
		if errors.Is(err, ErrNoSpace) {
			break
		}
		must(t, err)
		if i > 100 {
			t.Fatal("the segment never filled")
		}
	}
	mustBe(t, l.StoreLog(&raft.Log{Index: i, Term: 1, Data: make([]byte, 4000)}), ErrNoSpace)
	files.mu.Lock()
	files.onOpen = nil
	files.mu.Unlock()
	must(t, l.StoreLog(&raft.Log{Index: i, Term: 1, Data: make([]byte, 4000)}))
	must(t, l.Check())
}

func TestOneCallerNeverWaitsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openMem(t, newMemFiles(), SharedOptions{GatherWindow: time.Second})
		l := openLog(t, s, 1)
		start := time.Now()
		for i := range uint64(100) {
			must(t, l.StoreLog(entry(1, i+1, 1)))
		}
		if d := time.Since(start); d != 0 {
			t.Fatalf("100 appends of one caller took %v of waiting", d)
		}
		must(t, s.Close())
	})
}

func TestCallersShareASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, appends = 64, 50
		files := newMemFiles()
		files.onSync = func() error { time.Sleep(5 * time.Millisecond); return nil } // virtual
		s := openMem(t, files, SharedOptions{SegmentBytes: 8 << 20})
		var wg sync.WaitGroup
		start := time.Now()
		for group := range uint32(callers) {
			l := openLog(t, s, group)
			wg.Go(func() {
				for i := range uint64(appends) {
					if err := l.StoreLog(entry(group, i+1, 1)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		// About one sync a round. (Two halves that take turns, as without gathering, need twice as many.)
		if d := time.Since(start); d > appends*8*time.Millisecond {
			t.Errorf("%d callers with %d appends each took %v", callers, appends, d)
		}
		if files.syncCount() > appends*8/5 {
			t.Errorf("%d syncs for %d rounds", files.syncCount(), appends)
		}
		// The others stop: the one that goes on waits for them once, not for ever.
		l := openLog(t, s, callers)
		start = time.Now()
		for i := range uint64(20) {
			must(t, l.StoreLog(entry(callers, i+1, 1)))
		}
		if d := time.Since(start); d > 20*5*time.Millisecond+defaultGatherWindow+5*time.Millisecond {
			t.Errorf("20 appends of the one that is left took %v", d)
		}
		must(t, s.Close())
	})
}

func TestIdleLogWritesOneEmptyBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		s := openMem(t, files, SharedOptions{})
		l := openLog(t, s, 1)
		must(t, l.StoreLog(entry(1, 1, 1)))
		before := files.syncCount()
		time.Sleep(idleConfirm)
		synctest.Wait()
		if files.syncCount() != before+1 {
			t.Fatalf("%d syncs after an idle time", files.syncCount()-before)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if files.syncCount() != before+1 {
			t.Fatalf("%d syncs in an idle hour", files.syncCount()-before)
		}
		must(t, s.Close())
		if files.syncCount() != before+1 {
			t.Fatal("a confirmed log was confirmed again at shutdown")
		}
	})
}

func TestUnappliedEntriesOutliveRotOnDisk(t *testing.T) {
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{MemoryBytes: 64 << 10})
	l, other := openLog(t, s, 1), openLog(t, s, 2)
	l.SetApplied(at(3))
	must(t, l.StoreLogs(entries(1, 1, 6, 1)))
	for i := range uint64(200) { // the window moves on
		must(t, other.StoreLog(&raft.Log{Index: i + 1, Term: 1, Data: make([]byte, 1000)}))
	}
	files.mu.Lock()
	for _, f := range files.files {
		for i := uint64(1); i <= 6; i++ {
			if k := bytes.Index(f.now, entry(1, i, 1).Data); k >= 0 {
				f.now[k+3] ^= 1
			}
		}
	}
	files.mu.Unlock()
	var log raft.Log
	for i := uint64(1); i <= 6; i++ {
		err := l.GetLog(i, &log)
		var bad *CorruptError
		if i <= 3 && !errors.As(err, &bad) || i > 3 && (err != nil || !bytes.Equal(log.Data, entry(1, i, 1).Data)) {
			t.Errorf("entry %d, applied 3: %v", i, err)
		}
	}
	must(t, l.Drop(3))
	must(t, l.Check()) // writes 4..6 anew
	must(t, s.Close())
	s = openMem(t, files, SharedOptions{})
	holds(t, openLog(t, s, 1), 1, 4, 6, term(1))
}

func TestEntryTooLargeIsRefused(t *testing.T) {
	s := openMem(t, newMemFiles(), SharedOptions{})
	l := openLog(t, s, 1)
	mustBe(t, l.StoreLog(&raft.Log{Index: 1, Data: make([]byte, minSegmentBytes)}), ErrTooLarge)
	var logs []*raft.Log // a request larger than a segment is fine
	for i := range uint64(40) {
		logs = append(logs, &raft.Log{Index: i + 1, Term: 1, Data: bytes.Repeat([]byte{byte(i)}, 9000)})
	}
	must(t, l.StoreLogs(logs))
	must(t, l.Check())
	must(t, l.Check())
	var log raft.Log
	must(t, l.GetLog(33, &log))
	if !bytes.Equal(log.Data, logs[32].Data) {
		t.Fatalf("entry 33 differs: %d bytes", len(log.Data))
	}
}
