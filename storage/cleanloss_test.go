package storage

import (
	"encoding/binary"
	"testing"
)

// withoutLast is a leaf page without its last record, as bbolt would have written it.
func withoutLast(t *testing.T, id uint64, page []byte) []byte {
	t.Helper()
	p, err := pageHead(id, page)
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := p.elements(nil)
	if err != nil || len(list) < 2 {
		t.Fatal(len(list), err)
	}
	list = list[:len(list)-1]
	less := make([]byte, len(page))
	copy(less, page[:pageHeadBytes])
	binary.NativeEndian.PutUint16(less[10:], uint16(len(list)))
	used := pageHeadBytes + len(list)*pageElementBytes
	for i, e := range list {
		at := pageHeadBytes + i*pageElementBytes
		for j, n := range []int{int(e.flags), used - at, len(e.key), len(e.value)} {
			binary.NativeEndian.PutUint32(less[at+4*j:], uint32(n))
		}
		used += copy(less[used:], e.key)
		used += copy(less[used:], e.value)
	}
	return less
}

// TestRecordThatIsGoneWithoutATraceIsFound: a page of keys is one that parses, with records whose checksums hold, but not the
// one that was committed: the disk has kept what it was asked to write over, say. The next scrub finds it, and any inspection.
func TestRecordThatIsGoneWithoutATraceIsFound(t *testing.T) {
	p := newPristine(t)
	for name, look := range map[string]func(s *Shard) Inspection{
		"inspect": func(s *Shard) Inspection { return inspect(t, s) },
		"check": func(s *Shard) (r Inspection) {
			r.Structure = s.Check(t.Context())
			return r
		},
		"scrub": func(s *Shard) (r Inspection) {
			for cursor, begun := "", false; cursor != "" || !begun; begun = true {
				next, step, err := s.Scrub(t.Context(), cursor, 16<<10)
				if err != nil || step.Structure != nil {
					return Inspection{Structure: s.file.damaged.Load()}
				}
				cursor, r.Bad = next, append(r.Bad, step.Bad...)
			}
			return r
		},
	} {
		for _, in := range [][]byte{bucketBlocks, bucketDigests, bucketSeries} {
			s := p.openCopy(t)
			standStill(s)
			list := leavesOf(t, s, in)
			for i, l := range list {
				whole := append([]byte(nil), l.page...)
				at := int64(l.id) * int64(len(whole))
				writeOver(t, s.o.Path, at, withoutLast(t, l.id, whole))
				if r := look(s); r.Structure == nil {
					t.Errorf("%s, page %d of %d of %s: %d bad leaves", name, i, len(list), in, len(r.Bad))
				}
				writeOver(t, s.o.Path, at, whole)
				s.forgive()
			}
			if r := look(s); r.Structure != nil || len(r.Bad) > 0 {
				t.Errorf("%s, all right again: %v, %v", name, r.Structure, r.Bad)
			}
		}
	}
}
