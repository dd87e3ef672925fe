package raftlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// readable reads entries 1 to last; none is another than it was written. It says whether all are there.
func readable(t *testing.T, l Log, last uint64) bool {
	t.Helper()
	all := true
	for i := uint64(1); i <= last; i++ {
		var log raft.Log
		if err := l.GetLog(i, &log); err != nil {
			all = false
			continue
		}
		want := entry(1, i, 1)
		if log.Index != i || log.Term != 1 || !bytes.HasPrefix(log.Data, want.Data) {
			t.Errorf("entry %d is served, and is another: %+v", i, log)
		}
	}
	return all
}

// Whatever bit flips under an open log: no entry is served that is another, none is gone in silence, and what the next start
// would stumble over a scrub finds while the log is open. Where every entry can be read still, the file is whole again then.
func TestScrubFindsEveryFlipInABoltFile(t *testing.T) {
	dir, path, image, _ := damagedBolt(t)
	page := os.Getpagesize()
	random := rand.New(rand.NewPCG(5, 6))
	counts := map[string]int{}
	for n := range damageRounds() {
		at := n % (len(image) / page) * page
		if n%2 == 0 {
			at += random.IntN(200) // heads and elements
		} else {
			at += random.IntN(page)
		}
		what := fmt.Sprintf("byte %d of page %d", at%page, at/page)
		must(t, os.WriteFile(path, image, 0o600))
		e, l, check, _ := opened(t, dir)
		must(t, check)
		flipByte(t, path, int64(at), 1<<random.IntN(8))
		_, _, bad, err := e.Scrub(context.Background(), "", 1<<30)
		must(t, err)
		if all := readable(t, l, lostEntries); !all && len(bad) == 0 {
			t.Errorf("%s: an entry is gone, and a scrub has found nothing", what)
		}
		last := uint64(lostEntries)
		if n%4 < 2 { // bbolt goes on from what it finds
			switch err := l.StoreLogs(entries(1, lostEntries+1, lostEntries+5, 1)); {
			case err == nil:
				last += 5
			case !errors.Is(err, ErrDamaged) || len(bad) == 0:
				t.Errorf("%s: append: %v", what, err)
			}
		}
		must(t, e.Close())
		e, l, check, _ = opened(t, elsewhere(t, path))
		all := readable(t, l, last)
		mended := len(bad) == 1 && bad[0].Mended
		switch {
		case check != nil && len(bad) == 0:
			t.Errorf("%s: only the next start finds %v", what, check)
		case mended && (check != nil || !all):
			t.Errorf("%s: mended, and the next start finds %v; all entries: %v", what, check, all)
		case check == nil && !all:
			t.Errorf("%s: entries are gone, and nobody says so", what)
		case mended:
			counts["written anew"]++
		case check != nil:
			counts["found"]++
		default:
			counts["harmless"]++
		}
		must(t, e.Close())
	}
	t.Log(counts)
	if len(counts) < 3 {
		t.Errorf("not every kind of byte was met: %v", counts)
	}
}

// A file that is gone, cut short, or another one while its log is open is written anew.
func TestScrubWritesABoltFileAnew(t *testing.T) {
	dir, path, image, old := damagedBolt(t)
	for name, spoil := range map[string]func() error{
		"removed": func() error { return os.Remove(path) },
		"older": func() error {
			return errors.Join(os.WriteFile(path+"2", old[:len(old)/2], 0o600), os.Rename(path+"2", path))
		},
		"older meta":  func() error { flipByte(t, path, 20, 1); return nil },
		"newest meta": func() error { flipByte(t, path, int64(os.Getpagesize())+20, 1); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.WriteFile(path, image, 0o600))
			e, l, check, _ := opened(t, dir)
			must(t, check)
			must(t, spoil())
			if n, bad, err := scrubOnce(e); err != nil || len(bad) != 1 || !bad[0].Mended || bad[0].Group != 1 || bad[0].Index != 0 {
				t.Errorf("%d bytes, found %+v, %v", n, bad, err)
			}
			if _, bad, err := scrubOnce(e); err != nil || len(bad) > 0 {
				t.Errorf("again: %+v, %v", bad, err)
			}
			must(t, l.StoreLogs(entries(1, lostEntries+1, lostEntries+3, 1)))
			must(t, e.Close())
			e, l, check, _ = opened(t, elsewhere(t, path))
			if must(t, check); !readable(t, l, lostEntries+3) {
				t.Error("entries are gone")
			}
			must(t, e.Close())
		})
	}
}

func scrubOnce(e Engine) (bytes int64, bad []BadRecord, err error) {
	_, bytes, bad, err = e.Scrub(context.Background(), "", 1<<30)
	return bytes, bad, err
}

func flipByte(t *testing.T, path string, at int64, bits byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	must(t, err)
	_, err = f.WriteAt([]byte{b[0] ^ bits}, at)
	must(t, err)
}

// elsewhere is a directory with the log alone, as another process finds it: this one may keep bbolt's lock.
func elsewhere(t *testing.T, path string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "groups", "1"), 0o700))
	must(t, os.Rename(copyFile(t, path), filepath.Join(dir, "groups", "1", "raft.db")))
	must(t, os.Remove(path))
	return dir
}
