package storage

import (
	"errors"
	"hash/crc32"
)

// bbolt keeps the list of free pages in memory, and goes by its page in two places: a commit frees that page with as many
// behind it as its head says, and a transaction that is rolled back takes the list from it again. Where that is not what was
// committed, pages that are in use would be written over, or a commit would go round for minutes. So the file remembers a sum
// of the list, and looks at it before the one and after the other.

var errFreelist = errors.New("the list of free pages is not what was committed")

// listSum is the sum of the list that a commit has written.
type listSum struct {
	txid uint64 // of that commit; 0: unknown
	sum  uint32
}

// freelistSum sums the list of free pages of the commit that a transaction begins on.
func (f *file) freelistSum(m mapped, shown uint64) (listSum, error) {
	meta := f.metaOf(shown)
	if meta == nil {
		return listSum{}, nil // two commits came between
	}
	page, err := m.page(meta.freelist)
	if err != nil {
		return listSum{}, err
	}
	p, err := pageHead(meta.freelist, page)
	if err != nil {
		return listSum{}, err
	}
	_, used, err := p.freeIDs(meta.pages)
	if err != nil {
		return listSum{}, err
	}
	return listSum{shown, crc32.Checksum(page[:used], castagnoli)}, nil
}

// listed makes sure that the list of free pages is what was committed last. Only who writes calls it.
func (f *file) listed(m mapped, shown uint64) error {
	was := f.sums.Load().list.Load()
	if was == nil || was.txid != shown {
		return nil
	}
	now, err := f.freelistSum(m, shown)
	if err != nil || now.txid == shown && now.sum != was.sum {
		return f.damage(errors.Join(errFreelist, err))
	}
	return nil
}

// metaOf is the meta page of a commit; nil where it was written over.
func (f *file) metaOf(txid uint64) *boltMeta {
	if last := f.last.Load(); last != nil && last.txid == txid {
		return last
	}
	for page := range uint64(2) { // its own, unless the file is a copy that bbolt has made
		if m, err := f.readMeta(page, f.db.Info().PageSize); err == nil && m.txid == txid {
			return &m
		}
	}
	return nil
}

// relisted is listed after a transaction was rolled back.
func (f *file) relisted() error {
	tx, err := f.beginBolt(false)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return f.listed(f.mapped(tx), uint64(tx.ID()))
}
