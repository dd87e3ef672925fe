package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
)

// lastBatch returns the file of the highest segment and where its last batch begins and ends.
func lastBatch(t *testing.T, files *memFiles) (f *memFile, from, to int64) {
	t.Helper()
	batches := batchesOf(t, files)
	last := batches[len(batches)-1]
	return last.file, last.off, last.off + int64(last.header.length)
}

type foundBatch struct {
	file   *memFile
	off    int64
	header batchHeader
}

// batchesOf lists the intact batches of all segments in order.
func batchesOf(t *testing.T, files *memFiles) []foundBatch {
	t.Helper()
	names, _ := files.Names()
	slices.Sort(names)
	var found []foundBatch
	for _, name := range names {
		number, spare, ok := parseSegmentName(name)
		if !ok || spare {
			continue
		}
		f, size, err := files.Open(name, 0)
		must(t, err)
		s := &scanner{segment: &segment{number: number, file: f, size: size}}
		for off := int64(segmentHeaderSize); ; {
			_, h, ok, err := s.batch(off)
			must(t, err)
			if !ok {
				break
			}
			found = append(found, foundBatch{files.files[name], off, h})
			off += int64(h.length)
		}
	}
	return found
}

// threeGroups writes entries 1..5 of groups 1..3, and then, in one batch, entries 6..7 of group 1 alone.
// It returns the files as a kill would leave them: without the empty batch.
func threeGroups(t *testing.T) *memFiles {
	t.Helper()
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{})
	for group := uint32(1); group <= 3; group++ {
		l := openLog(t, s, group)
		must(t, l.StoreLogs(entries(group, 1, 5, 1)))
	}
	before := files.clone()
	l := s.group(1)
	must(t, s.appendEntries(l, false, entries(1, 6, 7, 1)))
	after := files.clone()
	if n := len(batchesOf(t, after)) - len(batchesOf(t, before)); n != 1 {
		t.Skipf("the machine was so slow that the log became idle: %d batches", n)
	}
	must(t, s.Close())
	return after
}

func TestTornTailAtEveryByte(t *testing.T) {
	whole := threeGroups(t)
	f, from, to := lastBatch(t, whole)
	garbage := []byte{0x00, 0xff, 0xa5}
	for cut := from; cut < to; cut++ {
		for _, g := range garbage[:1+cut%3] {
			files := whole.clone()
			name := nameOf(whole, f)
			b := files.files[name].now
			changed := false
			for i := cut; i < to; i++ {
				changed = changed || b[i] != g
				b[i] = g
			}
			s := openMem(t, files, SharedOptions{})
			last := uint64(5)
			if !changed || paddingOnly(f, from, cut) {
				last = 7
			}
			l := openLog(t, s, 1)
			holds(t, l, 1, 1, last, term(1))
			for group := uint32(2); group <= 3; group++ {
				holds(t, openLog(t, s, group), group, 1, 5, term(1))
			}
			must(t, l.StoreLogs(entries(1, last+1, last+2, 1))) // and it goes on
			must(t, s.Close())
			s = openMem(t, files, SharedOptions{})
			holds(t, openLog(t, s, 1), 1, 1, last+2, term(1))
			must(t, s.Close())
		}
	}
}

func nameOf(files *memFiles, f *memFile) string {
	for name, g := range files.files {
		if f == g {
			return name
		}
	}
	return ""
}

// paddingOnly says whether the batch at from ends, but for its padding, before cut.
func paddingOnly(f *memFile, from, cut int64) bool {
	h, _ := parseBatchHeader(f.now[from:], 1<<20)
	return cut >= from+int64(h.dirOffset+h.dirLength)
}

func TestFileCutShortAtEveryByte(t *testing.T) {
	whole := threeGroups(t)
	f, from, to := lastBatch(t, whole)
	name := nameOf(whole, f)
	for cut := from; cut < to; cut++ {
		files := whole.clone()
		g := files.files[name]
		g.now, g.durable = g.now[:cut], g.durable[:cut]
		s := openMem(t, files, SharedOptions{})
		l := openLog(t, s, 1)
		holds(t, l, 1, 1, 5, term(1))
		must(t, l.StoreLogs(entries(1, 6, 9, 1)))
		must(t, s.Close())
		s = openMem(t, files, SharedOptions{})
		holds(t, openLog(t, s, 1), 1, 1, 9, term(1))
		must(t, s.Close())
	}
}

// TestTornBatchBeforeARollIsNoDamageLater: what is written after the crash does not fit behind the torn batch
// and goes to the next segment, so the torn one stays where it is, with a valid batch behind it.
func TestTornBatchBeforeARollIsNoDamageLater(t *testing.T) {
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{})
	big := func(i uint64) *raft.Log { return &raft.Log{Index: i, Term: 1, Data: make([]byte, 28_000)} }
	l := openLog(t, s, 3)
	must(t, l.StoreLog(big(1)))
	must(t, s.Close())
	s = openMem(t, files, SharedOptions{})
	must(t, openLog(t, s, 3).StoreLog(big(2)))
	must(t, openLog(t, s, 1).StoreLogs(entries(1, 1, 2, 1)))
	torn := files.clone()
	must(t, s.Close())
	b := torn.files[segmentName(1)].now
	b[bytes.Index(b, entry(1, 2, 1).Data)] ^= 1
	s = openMem(t, torn, SharedOptions{})
	holds(t, openLog(t, s, 1), 1, 0, 0, nil)
	must(t, openLog(t, s, 3).StoreLog(big(3)))
	must(t, s.Close())
	s = openMem(t, torn, SharedOptions{})
	must(t, openLog(t, s, 1).Check())
	l = openLog(t, s, 3)
	must(t, l.Check())
	if last, _ := l.LastIndex(); last != 3 {
		t.Fatalf("log ends at %d", last)
	}
}

// TestEveryFlippedByteIsToldApart changes each byte of a batch that is not the last: no entry may be lost in
// silence or come back changed, only the group that lost one may complain, and it names the entry.
func TestEveryFlippedByteIsToldApart(t *testing.T) {
	whole := threeGroups(t)
	s := openMem(t, whole, SharedOptions{}) // with an empty batch behind it
	must(t, s.Close())
	batches := batchesOf(t, whole)
	victim := batches[len(batches)-2]
	if victim.header.records != 2 {
		t.Fatalf("the batch before the last has %d records", victim.header.records)
	}
	lost := 0
	for off := victim.off; off < victim.off+int64(victim.header.dirOffset+victim.header.dirLength); off++ {
		files := whole.clone()
		files.files[nameOf(whole, victim.file)].now[off] ^= 0x40
		s := openMem(t, files, SharedOptions{})
		for group := uint32(2); group <= 3; group++ {
			holds(t, openLog(t, s, group), group, 1, 5, term(1))
		}
		l := openLog(t, s, 1)
		var bad *CorruptError
		switch err := l.Check(); {
		case err == nil:
			holds(t, l, 1, 1, 7, term(1))
		case !errors.As(err, &bad) || bad.TailUnknown || bad.Index < 6 || bad.Index > 7:
			t.Fatalf("byte %d of the batch: %v", off-victim.off, err)
		default:
			lost++
			must(t, l.Reset(8, 1)) // the owner acts: a new generation
			must(t, l.StoreLogs(entries(1, 8, 9, 2)))
		}
		must(t, s.Close())
		s = openMem(t, files, SharedOptions{})
		must(t, openLog(t, s, 1).Check())
		must(t, s.Close())
	}
	if lost == 0 {
		t.Fatal("no flip was found")
	}
}

func TestDamageOfUnknownExtentMarksEveryGroup(t *testing.T) {
	whole := threeGroups(t)
	s := openMem(t, whole, SharedOptions{})
	l := openLog(t, s, 9)
	must(t, l.StoreLogs(entries(9, 1, 3, 1))) // born behind the damage
	must(t, s.Close())
	var victim foundBatch
	for _, b := range batchesOf(t, whole) {
		if b.header.records == 2 {
			victim = b
		}
	}
	copy(whole.files[nameOf(whole, victim.file)].now[victim.off:], make([]byte, victim.header.length))
	for range 2 {
		s = openMem(t, whole, SharedOptions{})
		for group := uint32(1); group <= 3; group++ {
			var bad *CorruptError
			if err := openLog(t, s, group).Check(); !errors.As(err, &bad) || !bad.TailUnknown || bad.Index != 6 {
				t.Fatalf("group %d: %v", group, err)
			}
		}
		must(t, s.Close())
	}
	s = openMem(t, whole, SharedOptions{})
	holds(t, openLog(t, s, 9), 9, 1, 3, term(1))
	l = openLog(t, s, 2)
	must(t, l.Reset(6, 1))
	must(t, s.Close())
	s = openMem(t, whole, SharedOptions{})
	must(t, openLog(t, s, 2).Check())
}

func TestRecycledBytesNeverPass(t *testing.T) {
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{})
	l := openLog(t, s, 1)
	must(t, l.StoreLogs(entries(1, 1, 3, 1)))
	must(t, s.Close())
	old := files.files[segmentName(1)]
	fresh := newMemFiles() // the same bytes, as segment 2 and as a spare
	header := appendSegmentHeader(2)
	b := append(header, old.now[segmentHeaderSize:]...)
	fresh.files[segmentName(2)] = &memFile{d: fresh, now: b, durable: slices.Clone(b), dirty: map[int]bool{}}
	fresh.files[spareName(7)] = &memFile{d: fresh, now: slices.Clone(old.now), durable: slices.Clone(old.now), dirty: map[int]bool{}}
	s = openMem(t, fresh, SharedOptions{})
	if groups := s.Groups(); len(groups) != 0 {
		t.Fatalf("groups %v came back from recycled bytes", groups)
	}
	must(t, openLog(t, s, 2).StoreLogs(entries(2, 1, 3, 1)))
	must(t, s.Close())
}

func TestForeignVersionIsRefused(t *testing.T) {
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{})
	must(t, s.Close())
	b := files.files[segmentName(1)].now
	binary.LittleEndian.PutUint32(b[8:], segmentVersion+1)
	binary.LittleEndian.PutUint32(b[24:], checksum(b[:24]))
	_, err := OpenShared("mem", SharedOptions{Files: files, SegmentBytes: minSegmentBytes})
	mustBe(t, err, ErrFormat)
}

func TestIdleGroupDoesNotPinSpace(t *testing.T) {
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{})
	idle, empty, reset, busy := openLog(t, s, 1), openLog(t, s, 2), openLog(t, s, 3), openLog(t, s, 4)
	must(t, idle.StoreLogs(entries(1, 1, 30, 1))) // more than a tenth of what a segment holds
	must(t, empty.StoreLogs(entries(2, 1, 5, 1)))
	empty.SetSnapshotIndex(at(5))
	empty.SetFloor(at(6))
	must(t, empty.DeleteRange(1, 5))
	must(t, reset.StoreLogs(entries(3, 1, 5, 1)))
	must(t, reset.Reset(40, 4))
	var applied uint64
	busy.SetSnapshotIndex(func() uint64 { return applied })
	busy.SetFloor(func() uint64 { return applied + 1 })
	for i := range uint64(1500) {
		must(t, busy.StoreLog(&raft.Log{Index: i + 1, Term: 1, Data: make([]byte, 1000)}))
		if i%20 == 19 {
			applied = i - 5
			first, _ := busy.FirstIndex()
			must(t, busy.DeleteRange(first, applied))
		}
	}
	must(t, s.Close()) // the reclaimer ends what it does
	for range 2 {
		names, _ := files.Names()
		if len(names) > 12 { // 1.5 MB went through segments of 64 KiB
			t.Fatalf("%d files: %v", len(names), names)
		}
		s = openMem(t, files, SharedOptions{})
		if got := s.Groups(); !slices.Equal(got, []uint32{1, 2, 3, 4}) {
			t.Fatalf("groups are %v", got)
		}
		holds(t, openLog(t, s, 1), 1, 1, 30, term(1))
		e, r := openLog(t, s, 2), openLog(t, s, 3)
		if e.NextIndex() != 6 || r.NextIndex() != 40 || r.Generation() != 4 {
			t.Fatalf("next %d and %d, generation %d", e.NextIndex(), r.NextIndex(), r.Generation())
		}
		must(t, s.Close())
	}
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func TestDumpSegmentTellsEveryRecord(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenShared(dir, SharedOptions{SegmentBytes: minSegmentBytes})
	must(t, err)
	l := openLog(t, s, 5)
	must(t, l.StoreLogs(entries(5, 1, 4, 1)))
	must(t, l.DeleteRange(3, 4))
	must(t, l.Reset(10, 2))
	must(t, s.Close())
	path := filepath.Join(dir, segmentName(1))
	before, err := os.ReadFile(path)
	must(t, err)
	var got []string
	dump := func() {
		got = nil
		must(t, DumpSegment(path, func(d DumpedRecord) error {
			got = append(got, fmt.Sprintf("%s %d %d %s %v", d.Kind, d.Group, d.Index, d.Detail, d.Err))
			return nil
		}))
	}
	dump()
	want := []string{
		"append 5 1  <nil>", "append 5 2  <nil>", "append 5 3  <nil>", "append 5 4  <nil>",
		"truncate 5 0 keeps from 0 to before 3 <nil>", "reset 5 0 generation 2, next 10 <nil>", "batch 0 0  <nil>",
	}
	got = slices.DeleteFunc(got, func(s string) bool { return s == "batch 0 0  <nil>" })
	if !slices.Equal(got, want[:6]) {
		t.Fatalf("dump says\n%q", got)
	}
	after, err := os.ReadFile(path)
	must(t, err)
	if !slices.Equal(before, after) {
		t.Fatal("the dump changed the file")
	}
	after[segmentHeaderSize+batchHeaderSize+30] ^= 1
	must(t, os.WriteFile(path, after, 0o644))
	dump()
	if got[0] != "append 5 1  record failed its checksum" {
		t.Fatalf("dump of a bad record says %q", got[0])
	}
}
