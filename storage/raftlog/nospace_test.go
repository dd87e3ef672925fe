package raftlog

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
)

// fillDisk makes files refuse whatever needs a new segment.
func fillDisk(files *memFiles) {
	files.mu.Lock()
	defer files.mu.Unlock()
	files.onOpen = func(_ string, size int64) error {
		if size > 0 {
			return &os.PathError{Op: "open", Err: syscall.ENOSPC}
		}
		return nil
	}
}

func emptyDisk(files *memFiles) {
	files.mu.Lock()
	defer files.mu.Unlock()
	files.onOpen = nil
}

func filled(index uint64, n int) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Data: bytes.Repeat([]byte{byte(index)}, n)}
}

// appendKiB appends entries 1..n, which take about a KiB each of the 64 of the first segment.
func appendKiB(t *testing.T, l Log, n uint64) (next uint64) {
	t.Helper()
	for i := range n {
		must(t, l.StoreLog(filled(i+1, 940)))
	}
	return n + 1
}

// wholeUpTo fails unless the log can be read from its first entry to last without a hole.
func wholeUpTo(t *testing.T, l Log, last uint64) {
	t.Helper()
	must(t, l.Check())
	if got, err := l.LastIndex(); err != nil || got != last {
		t.Fatalf("log ends at %d (%v), want %d", got, err, last)
	}
	var log raft.Log
	for i := uint64(1); i <= last; i++ {
		must(t, l.GetLog(i, &log))
	}
}

// A request of two batches, the first too large for what is left of the segment, the second not.
func TestFullDiskWritesNoEndOfARequestWithoutItsBeginning(t *testing.T) {
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
	l := openLog(t, s, 1)
	fillDisk(files)
	next := appendKiB(t, l, 52)
	logs := []*raft.Log{filled(next, 4900), filled(next+1, 4900), filled(next+2, 4900), filled(next+3, 4900)}
	mustBe(t, l.StoreLogs(logs), ErrNoSpace)
	wholeUpTo(t, l, next-1)
	must(t, s.Close())
	emptyDisk(files)
	s = openMem(t, files, SharedOptions{})
	l = openLog(t, s, 1)
	wholeUpTo(t, l, next-1)
	must(t, l.StoreLogs(logs))
	wholeUpTo(t, l, next+3)
}

// Here the first batch still fits and the second does not: a restart finds the beginning, and what was written
// in its place meanwhile wins.
func TestFullDiskMayLeaveTheBeginningOfARequest(t *testing.T) {
	for name, again := range map[string]bool{"RestartAtOnce": false, "OtherEntriesFirst": true} {
		t.Run(name, func(t *testing.T) {
			files := newMemFiles()
			s := openMem(t, files, SharedOptions{Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
			l := openLog(t, s, 1)
			fillDisk(files)
			next := appendKiB(t, l, 46)
			var logs []*raft.Log
			for k := range uint64(6) {
				logs = append(logs, filled(next+k, 4900))
			}
			mustBe(t, l.StoreLogs(logs), ErrNoSpace)
			wholeUpTo(t, l, next-1)
			if again {
				must(t, l.StoreLog(&raft.Log{Index: next, Term: 2, Data: []byte("other")}))
			}
			must(t, s.Close())
			emptyDisk(files)
			s = openMem(t, files, SharedOptions{})
			l = openLog(t, s, 1)
			last, err := l.LastIndex()
			must(t, err)
			if again && last != next || !again && (last < next || last >= next+5) {
				t.Fatalf("log ends at %d, next was %d", last, next)
			}
			wholeUpTo(t, l, last)
		})
	}
}

// Groups that append at the same time find out together; each goes on where it was.
func TestFullDiskRefusesAllThatIsQueued(t *testing.T) {
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
	const groups = 8
	var logs [groups]Log
	for g := range logs {
		logs[g] = openLog(t, s, uint32(g+1))
	}
	fillDisk(files)
	var last [groups]uint64
	var wg sync.WaitGroup
	for g, l := range logs {
		wg.Go(func() {
			for next := uint64(1); ; {
				n := uint64(1 + g%4)
				var request []*raft.Log
				for k := range n {
					request = append(request, filled(next+k, 1000*(1+(g+int(k))%5)))
				}
				if err := l.StoreLogs(request); err != nil {
					if !errors.Is(err, ErrNoSpace) {
						t.Error(err)
					}
					return
				}
				next += n
				last[g] = next - 1
			}
		})
	}
	wg.Wait()
	for g, l := range logs {
		wholeUpTo(t, l, last[g])
	}
	must(t, s.Close())
	emptyDisk(files)
	s = openMem(t, files, SharedOptions{})
	for g := range logs {
		l := openLog(t, s, uint32(g+1))
		must(t, l.Check())
		if found, err := l.LastIndex(); err != nil || found < last[g] {
			t.Fatalf("group %d: log ends at %d (%v), acked were %d", g+1, found, err, last[g])
		}
	}
}

func TestFullDiskDoesNotKeepTheEngineFromClosing(t *testing.T) {
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{GatherWindow: -1})
	l := openLog(t, s, 1)
	fillDisk(files)
	next := appendKiB(t, l, 60)
	for n := 4000; ; n-- { // the largest entry that fits leaves no room for an empty batch
		err := l.StoreLog(filled(next, n))
		if err == nil {
			break
		}
		mustBe(t, err, ErrNoSpace)
	}
	must(t, s.Close())
	emptyDisk(files)
	wholeUpTo(t, openLog(t, openMem(t, files, SharedOptions{}), 1), next)
}
