package raftlog

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// lostEntries is enough for a tree of several pages with a branch above them.
const lostEntries = 60

// damagedBolt is a directory with the log of group 1, of lostEntries entries, and one of group 2 that is left alone; image
// is the file of group 1, and old is what it was some commits before.
func damagedBolt(t *testing.T) (dir, path string, image, old []byte) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "groups", "1", "raft.db")
	e, err := boltAt(dir)
	must(t, err)
	l := openLog(t, e, 1)
	must(t, openLog(t, e, 2).StoreLogs(entries(2, 1, 5, 1)))
	for i := uint64(1); i <= lostEntries; i += 6 {
		list := entries(1, i, i+5, 1)
		for _, log := range list {
			log.Data = append(log.Data, make([]byte, 300)...)
		}
		must(t, l.StoreLogs(list))
		if i == 31 {
			old, err = os.ReadFile(path)
			must(t, err)
		}
	}
	must(t, e.Close())
	image, err = os.ReadFile(path)
	must(t, err)
	return dir, path, image, old
}

// opened opens the log of group 1, and gives its Check and whether it holds all entries.
func opened(t *testing.T, dir string) (e *Bolt, l Log, check error, all bool) {
	t.Helper()
	engine, err := boltAt(dir)
	must(t, err)
	e = engine.(*Bolt)
	if l, err = e.Open(1); err != nil {
		t.Fatalf("a damaged log does not open: %v", err)
	}
	last, err := l.LastIndex()
	must(t, err)
	all = last == lostEntries
	for i := uint64(1); i <= lostEntries && all; i++ {
		var log raft.Log
		all = l.GetLog(i, &log) == nil && log.Index == i && log.Term == 1
	}
	return e, l, l.Check(), all
}

// A file that is damaged as a whole is a lost log: it says so at every open, takes nothing, and begins anew when it is
// reset. The damaged file is kept, and the other groups do not notice.
func TestDamagedBoltFileIsALostLog(t *testing.T) {
	dir, path, image, old := damagedBolt(t)
	page := os.Getpagesize()
	var branches []int // some of earlier commits
	for at := 2 * page; at < len(image); at += page {
		if binary.NativeEndian.Uint16(image[at+8:]) == pageIsBranch {
			branches = append(branches, at)
		}
	}
	if len(branches) == 0 {
		t.Fatal("the tree has no branch page")
	}
	inBranches := func(at int, bit byte) func(b []byte) []byte {
		return func(b []byte) []byte {
			for _, page := range branches {
				b[page+at] ^= bit
			}
			return b
		}
	}
	with := func(change func(b []byte) []byte) []byte { return change(append([]byte(nil), image...)) }
	for name, b := range map[string][]byte{
		"first meta":  with(func(b []byte) []byte { b[20] ^= 1; return b }),
		"second meta": with(func(b []byte) []byte { b[page+60] ^= 1; return b }),
		"both metas":  with(func(b []byte) []byte { b[20] ^= 1; b[page+20] ^= 1; return b }),
		"stale meta":  with(func(b []byte) []byte { copy(b[page:2*page], old[page:2*page]); return b }),
		"branch page": with(inBranches(9, 1)),
		"branch keys": with(inBranches(votePageHead+voteElement, 0x40)), // where the second key lies
		"cut in half": with(func(b []byte) []byte { return b[:len(b)/2] }),
		"three pages": with(func(b []byte) []byte { return b[:3*page] }),
		"no bytes":    {},
		"zeroes":      make([]byte, len(image)),
		"text":        []byte("this is no log"),
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.WriteFile(path, b, 0o600))
			for range 2 { // a start that does not come as far as the reset changes nothing
				e, l, check, _ := opened(t, dir)
				var corrupt *CorruptError
				if !errors.As(check, &corrupt) || !corrupt.TailUnknown || corrupt.Group != 1 {
					t.Fatalf("check: %v", check)
				}
				if err := l.StoreLogs(entries(1, 1, 1, 1)); !errors.Is(err, ErrDamaged) {
					t.Errorf("append: %v", err)
				}
				if err := l.Drop(3); !errors.Is(err, ErrDamaged) {
					t.Errorf("drop: %v", err)
				}
				holds(t, openLog(t, e, 2), 2, 1, 5, term(1))
				must(t, e.Close())
			}
			e, l, _, _ := opened(t, dir)
			must(t, l.Reset(101, 3))
			must(t, l.Check())
			must(t, l.StoreLogs(entries(1, 101, 104, 7)))
			must(t, e.Close())
			e, l, check, _ := opened(t, dir)
			must(t, check)
			holds(t, l, 1, 101, 104, term(7))
			if l.Generation() != 3 {
				t.Errorf("generation %d", l.Generation())
			}
			must(t, e.Close())
			if kept, err := os.ReadFile(path + damagedSuffix); err != nil || len(kept) != len(b) {
				t.Errorf("the damaged file: %d bytes instead of %d, %v", len(kept), len(b), err)
			}
		})
	}
}

// Whatever byte of a file is another: every entry can be read, or Check says that not all is well. A log never gets
// shorter without a word.
func TestNoByteOfABoltFileIsLostInSilence(t *testing.T) {
	dir, path, image, _ := damagedBolt(t)
	page := os.Getpagesize()
	random := rand.New(rand.NewPCG(1, 2))
	lost, single, harmless := 0, 0, 0
	for n := range 2 * damageRounds() {
		at := n % (len(image) / page) * page
		if n%2 == 0 {
			at += random.IntN(200) // heads and elements
		} else {
			at += random.IntN(page)
		}
		b := append([]byte(nil), image...)
		b[at] ^= 1 << random.IntN(8)
		must(t, os.WriteFile(path, b, 0o600))
		e, _, check, all := opened(t, dir)
		var corrupt *CorruptError
		switch {
		case check == nil && all:
			harmless++
		case check == nil:
			t.Errorf("byte %d of page %d changed: entries are gone, and nobody says so", at%page, at/page)
		case errors.As(check, &corrupt) && corrupt.TailUnknown:
			lost++
		case errors.As(check, &corrupt):
			single++
		default:
			t.Errorf("check: %v", check)
		}
		must(t, e.Close())
	}
	t.Logf("of the bytes: %d took the log, %d one entry, %d nothing", lost, single, harmless)
	if lost == 0 || single == 0 || harmless == 0 {
		t.Error("not every kind of byte was met")
	}
}

// A file that bbolt has panicked over in a running group is not opened again by this process: it is a lost log.
func TestBoltFileThatBrokeWhileItRanIsALostLog(t *testing.T) {
	dir, path, image, _ := damagedBolt(t)
	must(t, os.WriteFile(path, image, 0o600))
	e, l, check, _ := opened(t, dir)
	must(t, check)
	l.(*boltLog).broken.Store(true)
	must(t, l.Close())
	l, err := e.Open(1)
	must(t, err)
	var corrupt *CorruptError
	if err := l.Check(); !errors.As(err, &corrupt) || !corrupt.TailUnknown {
		t.Fatalf("check: %v", err)
	}
	must(t, l.Reset(7, 1))
	must(t, l.StoreLogs(entries(1, 7, 9, 2)))
	must(t, l.Close())
	holds(t, openLog(t, e, 1), 1, 7, 9, term(2))
	must(t, e.Close())
}
