package raftlog

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// What the state machine has not applied outlives whatever becomes of the file under an open log: Raft panics over an entry
// that it cannot read. The owner is told all the same, and what was truncated, or is applied, is not served from memory.
func TestUnappliedEntriesOutliveDamageOfABoltFile(t *testing.T) {
	for name, spoil := range map[string]func(b []byte){
		"entries": func(b []byte) {
			for i := uint64(1); i <= 9; i++ {
				for from := 0; ; {
					k := bytes.Index(b[from:], entry(2, i, 1).Data)
					if k < 0 {
						break
					}
					b[from+k+3] ^= 1
					from += k + 4
				}
			}
		},
		"all keys": func(b []byte) {
			for from := 0; ; {
				k := bytes.Index(b[from:], []byte{0, 0, 0, 0, 0, 0, 0, 4})
				if k < 0 {
					break
				}
				b[from+k] = 0xff
				from += k + 8
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, told := filepath.Join(t.TempDir(), "raft.db"), 0
			engine, err := OpenBolt(func(uint32) string { return path }, BoltOptions{OnCorrupt: func(*CorruptError) { told++ }})
			must(t, err)
			l := openLog(t, engine, 1)
			must(t, l.StoreLogs(entries(2, 1, 3, 1)))
			applied := uint64(1)
			l.SetApplied(func() uint64 { return applied }) // 2 and 3 were found
			must(t, l.StoreLogs(entries(9, 4, 9, 1)))
			must(t, l.DeleteRange(4, 9))
			must(t, l.StoreLogs(entries(2, 4, 7, 1))) // of another leader
			applied = 2
			must(t, l.StoreLogs(entries(2, 8, 8, 1)))
			applied = 3 // and not told of
			b, err := os.ReadFile(path)
			must(t, err)
			spoil(b)
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteAt(b, 0)
			must(t, err)
			must(t, f.Close())
			gone := 0
			for i := uint64(1); i <= 9; i++ {
				var log raft.Log
				err := l.GetLog(i, &log)
				var bad *CorruptError
				switch {
				case i == 9 && !errors.Is(err, raft.ErrLogNotFound), i > 2 && i < 9 && err != nil:
					t.Errorf("entry %d: %v", i, err)
				case errors.As(err, &bad):
					gone++
				case err == nil && (log.Index != i || !bytes.Equal(log.Data, entry(2, i, 1).Data)):
					t.Errorf("entry %d is another: %+v", i, log)
				}
			}
			if told == 0 || name == "entries" && gone != 2 {
				t.Errorf("%d are gone, and the owner was told %d times", gone, told)
			}
			if _, _, bad, err := engine.Scrub(context.Background(), "", 1<<30); err != nil || len(bad) == 0 {
				t.Errorf("a scrub finds %v, %v", bad, err)
			}
			must(t, l.Close())
			if held := engine.unapplied.Load(); held != 0 {
				t.Errorf("%d bytes are held by nobody", held)
			}
			must(t, engine.Close())
		})
	}
}

// What one group does not apply takes a bounded part of memory, and applying gives it back.
func TestUnappliedEntriesAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	engine, err := OpenBolt(func(uint32) string { return path }, BoltOptions{})
	must(t, err)
	defer engine.Close()
	l := openLog(t, engine, 1)
	applied := uint64(0)
	l.SetApplied(func() uint64 { return applied })
	for i := uint64(1); i <= 6; i++ {
		must(t, l.StoreLog(&raft.Log{Index: i, Term: 1, Data: make([]byte, 15<<20)}))
	}
	if held := engine.unapplied.Load(); held > maxUnapplied || held < maxUnapplied/2 {
		t.Errorf("%d bytes are held", held)
	}
	must(t, l.DeleteRange(2, 6))
	for range 3 {
		if held := engine.unapplied.Load(); held < 15<<20 || held > 16<<20 {
			t.Errorf("%d bytes are held of the one entry that is left", held)
		}
		l.SetApplied(func() uint64 { return applied }) // finds it, and it is there already
	}
	for i := uint64(2); i <= 6; i++ {
		must(t, l.StoreLog(&raft.Log{Index: i, Term: 2, Data: make([]byte, 15<<20)}))
	}
	applied = 6
	must(t, l.StoreLog(&raft.Log{Index: 7, Term: 1, Data: make([]byte, 1000)}))
	if held := engine.unapplied.Load(); held < 1000 || held > 2000 {
		t.Errorf("%d bytes are held of one entry", held)
	}
	must(t, l.Reset(0, 1))
	if held := engine.unapplied.Load(); held != 0 {
		t.Errorf("%d bytes are held of none", held)
	}
}

// A log that was lost keeps what it gets in place of that.
func TestSuccessorOfALostLogKeepsWhatIsNotApplied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	must(t, os.WriteFile(path, bytes.Repeat([]byte{7}, 1<<16), 0o600))
	engine, err := OpenBolt(func(uint32) string { return path }, BoltOptions{})
	must(t, err)
	defer engine.Close()
	l := openLog(t, engine, 1)
	if l.Check() == nil {
		t.Fatal("it is not lost")
	}
	must(t, l.Reset(5, 1))
	l.SetApplied(at(4))
	must(t, l.StoreLogs(entries(1, 5, 6, 1)))
	if engine.unapplied.Load() == 0 {
		t.Error("nothing is held")
	}
}
