package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// deepShard has an index of series of three levels: few keys have room in a page.
func deepShard(t *testing.T) *Shard {
	t.Helper()
	s := mustOpen(t, testOptions(t))
	var points []Point
	for d := range 600 {
		p := point(fmt.Sprintf("%04d", d)+strings.Repeat("d", MaxDeviceName-4), int64(d), "v", d)
		p.Database, p.Collection = strings.Repeat("x", MaxDatabaseName), strings.Repeat("y", MaxCollectionName)
		points = append(points, p)
	}
	apply(t, s, AppendPut(nil, points))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	standStill(s)
	s.file.onDamaged = nil
	return s
}

// branch is a branch page as it lies in the file.
type branch struct {
	t        *testing.T
	s        *Shard
	at       int64
	children []uint64
}

func (s *Shard) branch(t *testing.T, id uint64) *branch {
	t.Helper()
	info := s.file.db.Info()
	b := &branch{t: t, s: s, at: int64(id) * int64(info.PageSize)}
	page := make([]byte, info.PageSize)
	if _, err := s.file.handle.ReadAt(page, b.at); err != nil {
		t.Fatal(err)
	}
	flags, count := headOf(page)
	for i := range count {
		if flags != pageBranch {
			return b // it has none
		}
		_, child := branchElement(page, i)
		b.children = append(b.children, child)
	}
	return b
}

// leads makes an element lead to a page while fn runs.
func (b *branch) leads(element int, to uint64, fn func()) {
	b.t.Helper()
	for _, id := range []uint64{to, b.children[element]} {
		writeOver(b.t, b.s.o.Path, b.at+pageHeadBytes+int64(element)*pageElementBytes+8, binary.NativeEndian.AppendUint64(nil, id))
		if id == to {
			fn()
		}
	}
}

// rootOfSeries is where the index of series begins, as bbolt has it.
func rootOfSeries(t *testing.T, s *Shard) (id uint64) {
	t.Helper()
	if err := s.file.db.View(func(tx *bolt.Tx) error { id = uint64(tx.Bucket(bucketSeries).Root()); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// TestFileWhoseBranchesLeadAstrayIsNotLearned: in a file that is not known, two keys lead to one page, or one past a level.
func TestFileWhoseBranchesLeadAstrayIsNotLearned(t *testing.T) {
	s := deepShard(t)
	root := s.branch(t, rootOfSeries(t, s))
	if len(root.children) < 3 {
		t.Fatalf("%d pages below the root", len(root.children))
	}
	second := s.branch(t, root.children[1])
	if len(second.children) < 3 {
		t.Fatal("the index has two levels")
	}
	learn := func() error {
		s.file.sums.Store(new(pageSums)) // as if it had been so when it was opened
		tx, err := s.file.begin()
		if err == nil {
			s.file.end(tx)
		}
		s.forgive()
		return err
	}
	for name, lead := range map[string]func(func()){
		"two keys of the root to one branch": func(fn func()) { root.leads(1, root.children[0], fn) },
		"two keys of a branch to one leaf":   func(fn func()) { second.leads(1, second.children[0], fn) },
		"two branches to one leaf":           func(fn func()) { second.leads(0, s.branch(t, root.children[2]).children[0], fn) },
		"a key of the root to a leaf":        func(fn func()) { root.leads(1, second.children[0], fn) },
	} {
		lead(func() {
			if err := learn(); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
		})
		if err := learn(); err != nil {
			t.Fatalf("%s, put right again: %v", name, err)
		}
	}
}

// TestCommitThatLeadsToAPageTwiceIsNotLearned: a page of a commit goes bad before it is looked at for the first time, so that
// two of its keys lead to one page.
func TestCommitThatLeadsToAPageTwiceIsNotLearned(t *testing.T) {
	s := deepShard(t)
	s.file.change(t, func(tx *bolt.Tx) error { // learns nothing
		key := Series{"a", "b", "c"}.Key() // the first of all
		return tx.Bucket(bucketSeries).Put(key, seal(key, nil))
	})
	root := s.branch(t, rootOfSeries(t, s))
	first := s.branch(t, root.children[0])
	for _, b := range []*branch{root, first} {
		for i := range b.children[1:] {
			b.leads(i+1, b.children[i], func() {
				if err := s.file.lookAtAll("look"); !errors.Is(err, ErrDamaged) {
					t.Errorf("page at %d, keys %d and %d: %v", b.at, i, i+1, err)
				}
				s.forgive()
			})
		}
	}
	if err := s.file.lookAtAll("look"); err != nil {
		t.Fatal(err)
	}
	s.file.knows(t)
}
