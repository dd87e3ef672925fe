package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	bolt "go.etcd.io/bbolt"
)

// bbolt takes the newer of two meta pages that passes its checksum, whatever it committed last: a damaged one, or an older
// copy of the file under the open handle, takes it back in time without a word, onto pages that may have been used again.
// So the file remembers what its last commit has written, and every transaction begins with a look at it.

// errWentBack: the file on disk is not what was committed to it last.
var errWentBack = errors.New("the newest meta page is not the one that was written last: it is damaged, or the file was exchanged")

// readMeta reads the meta of a transaction where it lies until the next but one is committed.
func (f *file) readMeta(txid uint64, pageSize int) (boltMeta, error) {
	var b [metaBytes]byte
	if _, err := f.handle.ReadAt(b[:], int64(txid%2)*int64(pageSize)+metaAt); err != nil {
		return boltMeta{}, err
	}
	return parseMeta(b[:])
}

// fresh makes sure that the newest meta page is the one of the last commit. It may be called by anyone, beside a commit:
// that writes the other page, and this one again only after it was remembered.
func (f *file) fresh() error {
	for {
		last := f.last.Load()
		if last == nil {
			return nil
		}
		m, err := f.readMeta(last.txid, last.pageSize)
		if err == nil && m.raw == last.raw {
			return nil
		}
		if f.last.Load() == last {
			return f.damage(fmt.Errorf("%w (transaction %d)", errWentBack, last.txid))
		}
	}
}

// begun makes sure that a transaction that was begun after last was loaded shows that commit or a later one, and that the
// file is still there.
func (f *file) begun(tx *bolt.Tx, last *boltMeta) error {
	if last == nil {
		return nil
	}
	txid := uint64(tx.ID())
	if tx.Writable() {
		txid-- // it has the id that its commit will have
	}
	if txid < last.txid {
		return f.damage(fmt.Errorf("%w (transaction %d, not %d)", errWentBack, txid, last.txid))
	}
	return f.fresh()
}

// beginKnown is begin, with what the meta page says that the transaction shows.
func (f *file) beginKnown() (*bolt.Tx, *boltMeta, error) {
	for {
		tx, err := f.begin()
		if err != nil {
			return nil, nil, err
		}
		if m := f.metaOf(uint64(tx.ID())); m != nil {
			return tx, m, nil
		}
		if f.last.Load() == nil {
			f.end(tx)
			return nil, nil, f.damage(errWentBack)
		}
		f.end(tx) // two commits came between
	}
}

// committed remembers a commit.
func (f *file) committed(txid uint64) error {
	m, err := f.readMeta(txid, f.db.Info().PageSize)
	if err != nil || m.txid != txid {
		return f.damage(fmt.Errorf("%w (transaction %d, just committed): %w", errWentBack, txid, errors.Join(err)))
	}
	f.last.Store(&m)
	return nil
}

// remember learns what an opened file says, and whether that can be its last commit. bbolt has found at least one meta page
// that passes its checksum.
func (f *file) remember(pageSize int) error {
	var metas [2]boltMeta
	var bad [2]error
	for i := range metas {
		metas[i], bad[i] = f.readMeta(uint64(i), pageSize)
	}
	newer := 0
	if bad[0] != nil || bad[1] == nil && metas[1].txid > metas[0].txid {
		newer = 1
	}
	m, older := &metas[newer], &metas[1-newer]
	f.last.Store(nil)
	switch {
	case bad[newer] != nil:
		return f.damage(errors.Join(bad[0], bad[1]))
	case bad[1-newer] != nil:
		if lost, err := f.lostNewer(*m); err != nil || lost {
			return f.damage(fmt.Errorf("meta page %d is damaged, and it is the newest: %w", 1-newer, errors.Join(bad[1-newer], err)))
		}
	case newer == 0 && m.txid%2 == 1 && older.txid == m.txid-1 && older.root == m.root && older.pages == m.pages:
		return nil // a copy that bbolt has made (Tx.WriteTo): from the first commit on it is like others
	case older.txid != m.txid-1 && !(older.txid == m.txid-2 && newer == 0):
		return f.damage(fmt.Errorf("meta pages of transactions %d and %d, which do not follow each other", older.txid, m.txid))
	}
	if m.txid%2 != uint64(newer) {
		return f.damage(fmt.Errorf("meta page %d is of transaction %d", newer, m.txid))
	}
	f.last.Store(m)
	return nil
}

// lostNewer reports whether the meta page that cannot be read was newer than the one that can. One flipped bit says so by
// itself. Otherwise what it led to lies in pages that are free for the older: the state of a later index.
func (f *file) lostNewer(older boltMeta) (bool, error) {
	page := make([]byte, older.pageSize)
	if _, err := f.handle.ReadAt(page, int64(1-older.txid%2)*int64(older.pageSize)); err != nil {
		return false, err
	}
	raw := page[metaAt : metaAt+metaBytes]
	for bit := range metaBytes * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		m, err := parseMeta(raw)
		raw[bit/8] ^= 1 << (bit % 8)
		if err == nil {
			return m.txid > older.txid, nil
		}
	}
	d := f.openDisk(older.pageSize, false, nil)
	w, err := startWalk(d, older, nil)
	if err != nil {
		return false, err
	}
	applied := uint64(0)
	meta := make(recordMap)
	if err := w.bucket(bucketMeta, nil, meta.Put); err != nil {
		return false, nil // a stage: what it lost is fetched again
	}
	if v, err := fixedMeta(meta, metaApplied, 16); err == nil {
		applied = binary.LittleEndian.Uint64(v)
	}
	info, err := f.handle.Stat()
	if err != nil {
		return false, err
	}
	for id := uint64(2); int64(id)*int64(older.pageSize) < info.Size(); id++ {
		if id < older.pages && !w.free.has(id) {
			continue
		}
		if _, err := f.handle.ReadAt(page, int64(id)*int64(older.pageSize)); err != nil {
			return false, err
		}
		if laterState(page, applied) {
			return true, nil
		}
	}
	return false, nil
}

// laterState looks for the record of an index above the given one. bbolt writes a value behind its key.
func laterState(page []byte, index uint64) bool {
	name := []byte(metaApplied)
	for at := bytes.Index(page, name); at >= 0; {
		value := page[at+len(name):]
		if len(value) >= 16+crcBytes {
			sum := crc32.Update(crc32.Checksum(name, castagnoli), castagnoli, value[:16])
			if binary.LittleEndian.Uint32(value[16:]) == sum && binary.LittleEndian.Uint64(value) > index {
				return true
			}
		}
		next := bytes.Index(value, name)
		if next < 0 {
			return false
		}
		at += len(name) + next
	}
	return false
}

// sameFile makes sure that the file that is open still has its name, and its length.
func (f *file) sameFile(bytes int64) error {
	open, err := f.handle.Stat()
	if err != nil {
		return f.damage(err)
	}
	named, err := os.Stat(f.path)
	for _, name := range []string{f.path + unbornSuffix, f.path} { // it may be born just now
		if errors.Is(err, os.ErrNotExist) {
			named, err = os.Stat(name)
		}
	}
	switch {
	case err != nil:
		return f.damage(fmt.Errorf("the file has lost its name: %w", err))
	case !os.SameFile(open, named):
		return f.damage(errors.New("another file has been put in the place of the one that is open"))
	case open.Size() < bytes:
		return f.damage(fmt.Errorf("file has %d bytes, %d are in use", open.Size(), bytes))
	}
	return nil
}
