package storage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"sync/atomic"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// bbolt follows branch pages as they are mapped. One that leads back to itself sends a cursor round until memory has run out,
// which ends the process, and behind a wrong key or page number records are not found. So the file remembers the sums of its
// branch pages, and of the page that leads to the buckets, as its last commit has left them, and every transaction begins with
// a look at them. They are few: one in a hundred pages.

// branchPages are those of one commit.
type branchPages struct {
	txid  uint64
	pages []branchPage
	next  atomic.Uint32 // where the next look begins
}

type branchPage struct {
	id  uint64
	sum uint32 // see guideSum
}

const (
	maxBranchLooks = 64 // pages that one transaction looks at (256 KiB, some 20 us); those of a larger file are looked at in turns
	maxTreeDepth   = 32
)

var errBranch = errors.New("branch pages are not what was committed")

// guides makes sure that a transaction begins on the branch pages that were committed.
func (f *file) guides(tx *bolt.Tx) error {
	shown := uint64(tx.ID())
	if tx.Writable() {
		shown--
	}
	known := f.branches.Load()
	switch {
	case known == nil || known.txid < shown:
		return f.learn(tx, shown)
	case known.txid > shown: // a commit came between
		return nil
	}
	m := f.mapped(tx)
	first := int(known.next.Add(maxBranchLooks)) - maxBranchLooks
	for i := range min(len(known.pages), maxBranchLooks) {
		want := known.pages[(first+i)%len(known.pages)]
		page, err := m.page(want.id)
		if err == nil {
			if sum, ok := guideSum(page); !ok || sum != want.sum {
				err = badPage(want.id, "%w", errBranch)
			}
		}
		if err != nil {
			return f.damage(err)
		}
	}
	return nil
}

// learn remembers the branch pages that a transaction shows.
func (f *file) learn(tx *bolt.Tx, shown uint64) error {
	w := branchWalk{mapped: f.mapped(tx), seen: make(map[uint64]bool)}
	root := uint64(tx.Cursor().Bucket().Root())
	err := w.add(root)
	for _, name := range [][]byte{bucketMeta, bucketBlocks, bucketDigests, bucketSeries, bucketStage} {
		if b := tx.Bucket(name); err == nil && b != nil && b.Root() != 0 { // 0: it lies in the page that leads to it
			err = w.tree(uint64(b.Root()))
		}
	}
	if err != nil {
		return f.damage(err)
	}
	f.branches.Store(&branchPages{txid: shown, pages: w.pages})
	return nil
}

// relearn is learn after a commit.
func (f *file) relearn() error {
	tx, err := f.beginBolt(false)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return f.learn(tx, uint64(tx.ID()))
}

// branchWalk visits the branch pages of the trees of a file.
type branchWalk struct {
	mapped
	seen  map[uint64]bool
	pages []branchPage
}

// tree visits those of one tree, level after level: all its leaves lie on the same one.
func (w *branchWalk) tree(root uint64) error {
	level := []uint64{root}
	for range maxTreeDepth {
		top, err := w.page(level[0])
		if err != nil {
			return err
		}
		if binary.NativeEndian.Uint16(top[8:])&pageBranch == 0 {
			for _, id := range level {
				if w.seen[id] {
					return badPage(id, "%w: a branch is led to as a leaf", errBranch)
				}
			}
			return nil
		}
		var below []uint64
		for _, id := range level {
			if err := w.add(id); err != nil {
				return err
			}
			if below, err = w.children(below, id); err != nil {
				return err
			}
		}
		level = below
	}
	return badPage(root, "%w: a tree of more than %d levels", errBranch, maxTreeDepth)
}

func (w *branchWalk) add(id uint64) error {
	if w.seen[id] {
		return badPage(id, "%w: it is led to twice", errBranch)
	}
	page, err := w.page(id)
	if err != nil {
		return err
	}
	sum, ok := guideSum(page)
	if !ok {
		return badPage(id, "%w: its elements end behind it", errBranch)
	}
	w.seen[id] = true
	w.pages = append(w.pages, branchPage{id, sum})
	return nil
}

// guideSum is the CRC-32C of what leads on: of a branch page, or of the page of the buckets. Records of buckets that are so
// small that they lie in that page have sums of their own. It is false where elements end behind the page.
func guideSum(page []byte) (sum uint32, ok bool) {
	count := int(binary.NativeEndian.Uint16(page[10:]))
	heads := pageHeadBytes + count*pageElementBytes
	if heads > len(page) {
		return 0, false
	}
	sum = crc32.Checksum(page[:heads], castagnoli)
	for at := pageHeadBytes; at < heads; at += pageElementBytes {
		number := func(n int) int { return int(binary.NativeEndian.Uint32(page[at+4*n:])) }
		from := at + number(0)
		to := from + number(1)
		if binary.NativeEndian.Uint16(page[8:])&pageBranch == 0 {
			from = at + number(1)
			to = from + number(2) + min(number(3), bucketHeadBytes)
		}
		if from > to || to > len(page) {
			return 0, false
		}
		sum = crc32.Update(sum, castagnoli, page[from:to])
	}
	return sum, true
}

func (w *branchWalk) children(dst []uint64, id uint64) ([]uint64, error) {
	page, err := w.page(id)
	if err != nil {
		return nil, err
	}
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	if flags != pageBranch || count == 0 || pageHeadBytes+count*pageElementBytes > len(page) {
		return nil, badPage(id, "%w: flags %d, %d elements", errBranch, flags, count)
	}
	for i := range count {
		dst = append(dst, binary.NativeEndian.Uint64(page[pageHeadBytes+i*pageElementBytes+8:]))
	}
	return dst, nil
}

// mapped is what a transaction sees of the file. It ends with the transaction.
type mapped struct {
	bytes    []byte
	pageSize int
}

func (f *file) mapped(tx *bolt.Tx) mapped {
	info := f.db.Info()
	return mapped{unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&info.Data))), tx.Size()), info.PageSize}
}

// page is a page with what overflows it.
func (m mapped) page(id uint64) ([]byte, error) {
	all := uint64(len(m.bytes) / m.pageSize)
	if id < boltMetas || id >= all {
		return nil, badPage(id, "%w: the file has %d pages", errBranch, all)
	}
	head := m.bytes[int(id)*m.pageSize:]
	pages := 1 + uint64(binary.NativeEndian.Uint32(head[12:]))
	if got := binary.NativeEndian.Uint64(head); got != id || pages > all-id {
		return nil, badPage(id, "%w: it says that it is page %d, and %d long, of %d", errBranch, got, pages, all)
	}
	return head[:int(pages)*m.pageSize], nil
}
