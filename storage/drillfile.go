package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// A meta page of bbolt, as far as a drill needs it: bbolt v1.4, internal/common/meta.go.
//
//	page header (16) | magic (4) | version (4) | page size (4) | flags (4) | root (16) | freelist (8) | pages (8) |
//	transaction (8) | checksum (8)
const (
	metaAt     = 16 // of a page
	metaBytes  = 64
	metaTxidAt = 48 // of a meta
)

// spot is where the value of a part lies in the file: the block and the CRC behind it. A small bucket lies inside a page
// of its parent, and bbolt reads a copy of it: then all places with those bytes count, of which one is in use.
type spot struct {
	leaf   digest.Leaf
	series Series
	at     []int64 // ascending, at least one
	bytes  int
}

// spoilFile damages the file through the file system, as rot and lost writes do. The view keeps the page that is hit from
// being reused, and the file from being swapped, until the damage is done.
func (v *View) spoilFile(ctx context.Context, how Spoiling, pick func(n int) int) (done Spoiled, err error) {
	err = v.read("spoil", func(r *reader) error {
		f, err := os.OpenFile(r.file.name(), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		at, err := r.pickSpot(ctx, f, v.pin.file.db.Info(), pick)
		if err != nil {
			return err
		}
		if how == SpoilStale {
			done.Text, err = rollBack(f, v.pin.file.db.Info().PageSize)
			return errors.Join(err, f.Sync())
		}
		done.Leaf, done.Series = &at.leaf, &at.series
		if how == SpoilTruncate {
			page := int64(v.pin.file.db.Info().PageSize)
			keep := at.at[0] / page * page
			done.Text = fmt.Sprintf("shard.db was cut to %d of %d bytes, in front of a block of %s", keep, v.pin.tx.Size(), at.series)
			return errors.Join(f.Truncate(keep), f.Sync())
		}
		bit := pick(at.bytes * 8)
		done.Text = fmt.Sprintf("bit %d of byte %d of shard.db was flipped, in a block of %s", bit%8, at.at[0]+int64(bit/8), at.series)
		return errors.Join(at.flip(f, bit), f.Sync())
	})
	return done, err
}

// flip flips a bit wherever the spot lies.
func (s *spot) flip(f *os.File, bit int) error {
	for _, at := range s.at {
		var b [1]byte
		where := at + int64(bit/8)
		if _, err := f.ReadAt(b[:], where); err != nil {
			return err
		}
		b[0] ^= 1 << (bit % 8)
		if _, err := f.WriteAt(b[:], where); err != nil {
			return err
		}
	}
	return nil
}

// pickSpot picks a stored part and says where it lies: pages of a read transaction are the map, and the map is the file.
func (r *reader) pickSpot(ctx context.Context, f *os.File, info *bolt.Info, pick func(n int) int) (s spot, err error) {
	parts := 0
	for k, _ := r.cursor.First(); k != nil; k, _ = r.cursor.Next() {
		if parts++; parts%contextEvery == 0 && ctx.Err() != nil {
			return s, ctx.Err()
		}
	}
	if parts == 0 {
		return s, ErrNothingToSpoil
	}
	k, v := r.cursor.First()
	for range pick(parts) {
		k, v = r.cursor.Next()
	}
	leaf, key, _, err := splitPart(k)
	if err != nil {
		return s, err
	}
	s = spot{leaf: leaf, bytes: len(v)}
	if s.series, err = ParseKey(key); err != nil {
		return s, err
	}
	file, err := f.Stat()
	if err != nil {
		return s, err
	}
	if at := int64(uintptr(unsafe.Pointer(&v[0])) - info.Data); at >= 0 && at < file.Size() {
		s.at = []int64{at}
		return s, nil
	}
	s.at, err = places(f, append(bytes.Clone(k), v...), len(k))
	return s, err
}

// maxInlineFile bounds the file that is searched for a small bucket: one that holds more is no small one.
const maxInlineFile = 64 << 20

// places finds where a key and its value lie in the file, and gives the places of the value.
func places(f *os.File, record []byte, key int) (at []int64, err error) {
	all, err := io.ReadAll(io.NewSectionReader(f, 0, maxInlineFile))
	if err != nil {
		return nil, err
	}
	for from := 0; ; {
		i := bytes.Index(all[from:], record)
		if i < 0 {
			break
		}
		at = append(at, int64(from+i+key))
		from += i + 1
	}
	if len(at) == 0 {
		return nil, errors.New("the block that was picked is not in the file")
	}
	return at, nil
}

// rollBackTries is how often rollBack tries: a commit between its look and its write undoes it.
const rollBackTries = 5

// rollBack puts the older of the two meta pages in the place of the newer, so that the file is what it was before its last
// commit: the pages of that state are not reused before the next one.
func rollBack(f *os.File, pageSize int) (string, error) {
	for range rollBackTries {
		metas, txids, err := readMetas(f, pageSize)
		if err != nil {
			return "", err
		}
		newer := 0
		if txids[1] > txids[0] {
			newer = 1
		}
		if _, err := f.WriteAt(metas[1-newer], int64(newer*pageSize)+metaAt); err != nil {
			return "", err
		}
		if _, now, err := readMetas(f, pageSize); err != nil || now[0] == now[1] {
			return fmt.Sprintf("shard.db went back from transaction %d to %d", txids[newer], txids[1-newer]), err
		}
	}
	return "", errors.New("the file is written all the time: try again")
}

func readMetas(f *os.File, pageSize int) (metas [2][]byte, txids [2]uint64, err error) {
	for i := range metas {
		metas[i] = make([]byte, metaBytes)
		if _, err := f.ReadAt(metas[i], int64(i*pageSize)+metaAt); err != nil {
			return metas, txids, err
		}
		txids[i] = binary.LittleEndian.Uint64(metas[i][metaTxidAt:])
	}
	return metas, txids, nil
}
