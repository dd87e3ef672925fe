package storage

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
)

// TestDamageOfBranchPagesIsMetBeforeTheyAreFollowed: the next transaction finds any bit that changes in what leads to records.
func TestDamageOfBranchPagesIsMetBeforeTheyAreFollowed(t *testing.T) {
	p := newPristine(t)
	random := rand.New(rand.NewPCG(31, 32))
	for i := range rounds(120) {
		class := []string{"branch head", "branch element", "branch key", "bucket root"}[i%4]
		s, what := p.openFlipped(t, class, random, 1<<random.IntN(8))
		if err := s.file.lookAtAll("look"); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		abandon(t, s)
	}
}

// TestBranchThatLeadsBackIsNotFollowed: a cursor of bbolt's would go round until the process has no memory left.
func TestBranchThatLeadsBackIsNotFollowed(t *testing.T) {
	p := newPristine(t)
	pageSize := int(binary.NativeEndian.Uint32(p.bytes[metaAt+8:]))
	branches := 0
	for at := boltMetas * pageSize; at < len(p.bytes); at += pageSize {
		if binary.NativeEndian.Uint16(p.bytes[at+8:]) != pageBranch || binary.NativeEndian.Uint64(p.bytes[at:]) != uint64(at/pageSize) {
			continue
		}
		branches++
		count := int(binary.NativeEndian.Uint16(p.bytes[at+10:]))
		for _, element := range []int{0, count / 2, count - 1} {
			s := p.openCopy(t)
			s.file.sums.Store(new(pageSums)) // as if it had been so when it was opened
			writeOver(t, s.o.Path, int64(at+pageHeadBytes+element*pageElementBytes+8), p.bytes[at:at+8])
			tx, err := s.file.begin()
			if err == nil { // a page that is free
				s.file.end(tx)
				t.Logf("page %d is in no tree", at/pageSize)
			} else if !errors.Is(err, ErrDamaged) {
				t.Errorf("page %d: %v", at/pageSize, err)
			}
			abandon(t, s)
		}
	}
	if branches == 0 {
		t.Error("the file has no branch page")
	}
}
