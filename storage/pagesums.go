package storage

import (
	"hash/crc32"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
)

// pageSums remembers a sum of every page of keys of a file: of what leads on and of what says where records lie, see pageSum.
// Values have sums of their own. A page's number is used again only when nobody reads what it held, so one table holds for
// the newest commit and for all that are still read. 4 bytes for each page in use of the file, and a bit: 1 MiB for 1 GiB.
//
// learnPages keeps it: it alone writes all but the sums of pages that were unknown.
type pageSums struct {
	txid   atomic.Uint64 // of the commit that it was learned from; 0: none
	root   uint64        // the page of the buckets in that commit
	live   bitmap        // pages of keys in that commit
	chunks atomic.Pointer[[]*sumChunk]
	list   atomic.Pointer[listSum]
}

// sumChunk has the sums of neighbouring pages; 0: unknown.
type sumChunk [256]atomic.Uint32

// grow makes room for a file of so many pages.
func (s *pageSums) grow(pages uint64) {
	const bits = 64
	for uint64(len(s.live)*bits) < pages {
		s.live = append(s.live, 0)
	}
	var list []*sumChunk
	if old := s.chunks.Load(); old != nil {
		list = *old
	}
	had := len(list)
	for uint64(len(list)*len(sumChunk{})) < pages {
		list = append(list, new(sumChunk))
	}
	if len(list) > had {
		s.chunks.Store(&list)
	}
}

// at is where the sum of a page lies.
func (s *pageSums) at(id uint64) *atomic.Uint32 {
	size := uint64(len(sumChunk{}))
	return &(*s.chunks.Load())[id/size][id%size]
}

// pageSum is the CRC-32C of a page but for its values: head, elements and keys. Of a bucket that lies in the page that leads to
// it, those of its own page. It is never 0, and false where elements end behind the page.
func pageSum(page []byte) (sum uint32, ok bool) {
	sum, ok = sumPage(0, page)
	return max(sum, 1), ok
}

func sumPage(sum uint32, page []byte) (uint32, bool) {
	if len(page) < pageHeadBytes {
		return 0, false
	}
	flags, count := headOf(page)
	heads := pageHeadBytes + count*pageElementBytes
	if heads > len(page) {
		return 0, false
	}
	if flags&pageBranch != 0 { // its keys lie one behind the other, up to the end of the last
		end := uint64(heads)
		if count > 0 {
			at := heads - pageElementBytes
			end = uint64(at) + uint64(number32(page[at:])) + uint64(number32(page[at+4:]))
		}
		if end < uint64(heads) || end > uint64(len(page)) {
			return 0, false
		}
		return crc32.Update(sum, castagnoli, page[:end]), true
	}
	sum = crc32.Update(sum, castagnoli, page[:heads])
	for at := pageHeadBytes; at < heads; at += pageElementBytes {
		e := page[at : at+pageElementBytes]
		from := uint64(at) + uint64(number32(e[4:]))
		to := from + uint64(number32(e[8:]))
		end := to + uint64(number32(e[12:]))
		if end > uint64(len(page)) {
			return 0, false
		}
		if number32(e)&elementBucket == 0 {
			sum = crc32.Update(sum, castagnoli, page[from:to])
			continue
		}
		inline := min(to+bucketHeadBytes, end)
		sum = crc32.Update(sum, castagnoli, page[from:inline])
		if inline < end {
			var ok bool
			if sum, ok = sumPage(sum, page[inline:end]); !ok {
				return 0, false
			}
		}
	}
	return sum, true
}

// learnPages makes the sums those of a commit that a transaction shows. Whoever comes first after a commit does it.
func (f *file) learnPages(tx *bolt.Tx, shown uint64) error {
	f.learning.Lock()
	defer f.learning.Unlock()
	sums := f.sums.Load()
	known := sums.txid.Load()
	if known >= shown {
		return nil
	}
	m := f.mapped(tx)
	root := uint64(tx.Cursor().Bucket().Root())
	list, err := f.freelistSum(m, shown)
	if err != nil {
		return f.damage(err)
	}
	if known != 0 { // it is of the commit before: each begins by learning that one
		err = (&pageChange{mapped: m, sums: sums}).learn(root)
	} else {
		sums = new(pageSums) // whoever reads an older commit learns its pages anew, as they come
		err = (&branchWalk{mapped: m, sums: sums}).learn(root)
	}
	if err != nil {
		return f.damage(err)
	}
	sums.root = root
	sums.list.Store(&list)
	sums.txid.Store(shown)
	f.sums.Store(sums)
	return nil
}

// relearn is learnPages after a commit.
func (f *file) relearn() error {
	tx, err := f.beginBolt(false)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return f.learnPages(tx, uint64(tx.ID()))
}

// pageChange learns what one commit has changed. bbolt never writes over a page that the commit before has: pages that both
// have are the same, with all that is below them, and what is not the same has other numbers.
type pageChange struct {
	mapped
	sums  *pageSums
	kept  map[uint64]bool // pages of the commit before that new ones lead to
	fresh []uint64
	isNew map[uint64]bool
}

func (c *pageChange) learn(root uint64) error {
	c.kept, c.isNew = make(map[uint64]bool), make(map[uint64]bool)
	c.sums.grow(c.pages())
	if err := c.come(root, 0); err != nil {
		return err
	}
	if err := c.leave(c.sums.root, 0); err != nil {
		return err
	}
	for _, id := range c.fresh {
		c.sums.live.set(id)
	}
	return nil
}

// come learns a page of the commit, with all below it.
func (c *pageChange) come(id uint64, depth int) error {
	page, err := c.page(id)
	if err != nil {
		return err
	}
	if c.kept[id] || c.isNew[id] || depth > maxTreeDepth {
		return badPage(id, "%w: it is led to twice", errPage)
	}
	if c.sums.live.has(id) {
		c.kept[id] = true
		return nil
	}
	c.isNew[id] = true
	c.fresh = append(c.fresh, id)
	c.sums.at(id).Store(0) // it may have been another's
	if err := c.sums.check(id, page, depth == 0); err != nil {
		return err
	}
	return below(page, func(id uint64) error { return c.come(id, depth+1) })
}

// leave forgets that a page of the commit before is live, with all below it that the new one does not have. It lies there as
// the commit has found it, until the next one: if it is not what it was, neither is what was made of it.
func (c *pageChange) leave(id uint64, depth int) error {
	if c.kept[id] {
		return nil
	}
	page, err := c.page(id)
	if err != nil {
		return err
	}
	if err := c.sums.check(id, page, depth == 0); err != nil {
		return err
	}
	c.sums.live.clear(id)
	return below(page, func(id uint64) error { return c.leave(id, depth+1) })
}
