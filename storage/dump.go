package storage

import (
	"context"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// Dump is a shard file opened for reading only, by a tool, while no node has it open.
type Dump struct{ file *file }

// DumpMeta is one record of the meta bucket, decoded to text.
type DumpMeta struct{ Name, Value string }

// DumpPart is one part of the blocks bucket.
type DumpPart struct {
	Leaf   digest.Leaf
	Series Series
	Number uint32
	Header blocks.Header
	Bytes  int
	Err    error // damage, if any; members that could not be read are zero
}

// DumpDigest is one record of the digests bucket.
type DumpDigest struct {
	digest.Entry
	Index uint64
	Err   error
}

// OpenReadOnly opens a shard file without changing it.
func OpenReadOnly(path string) (*Dump, error) {
	f, err := openFile(path, 0, true, nil)
	if err != nil {
		return nil, err
	}
	d := &Dump{file: f}
	err = f.view("open", func(tx *bolt.Tx) error {
		if tx.Bucket(bucketStage) != nil {
			return fmt.Errorf("open %s: a stage that was not sealed: a copy under way, no shard yet", path)
		}
		for _, name := range [][]byte{bucketMeta, bucketBlocks, bucketDigests, bucketSeries} {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("open %s: not a shard file: no bucket %s", path, name)
			}
		}
		return nil
	})
	if err != nil {
		_ = f.close()
		return nil, err
	}
	return d, nil
}

// Meta lists the meta bucket. A record that fails its CRC is listed as such.
func (d *Dump) Meta() (list []DumpMeta, err error) {
	err = d.file.view("dump meta", func(tx *bolt.Tx) error {
		b := d.file.bucket(tx, bucketMeta)
		return b.each(func(k, v []byte) error {
			list = append(list, DumpMeta{string(k), metaText(b, string(k))})
			return nil
		})
	})
	return list, err
}

// metaText shows one record of the meta bucket.
func metaText(b *bucket, name string) string {
	value, err := getMeta(b, name)
	if err != nil {
		return err.Error()
	}
	switch name {
	case metaCluster, metaLineage:
		return string(value)
	case metaFormat, metaGroup, metaWindow:
		v, err := numberMeta(b, name)
		switch {
		case err != nil:
			return err.Error()
		case name == metaWindow:
			return time.Duration(v).String()
		}
		return fmt.Sprint(v)
	}
	s, t, err := getState(b)
	if err != nil {
		return fmt.Sprintf("%x (%v)", value, err)
	}
	switch name {
	case metaApplied:
		return fmt.Sprintf("index %d, term %d", s.applied.Index, s.applied.Term)
	case metaConfiguration:
		return fmt.Sprintf("index %d, %d bytes", s.configurationIndex, len(s.configuration))
	case metaLeases:
		return fmt.Sprintf("%+v", s.leases)
	case metaBlockFormat:
		return fmt.Sprint(s.blockFormat)
	case metaTotals:
		return fmt.Sprintf("%d rows, %d block bytes, %d parts, %d series", t.rows, t.blockBytes, t.parts, t.series)
	}
	return fmt.Sprintf("%x", value)
}

// Configuration is the applied configuration as the log carried it, for who can decode it.
func (d *Dump) Configuration() (c []byte, index uint64, err error) {
	err = d.file.view("dump configuration", func(tx *bolt.Tx) error {
		s, _, err := getState(d.file.bucket(tx, bucketMeta))
		c, index = s.configuration, s.configurationIndex
		return err
	})
	return c, index, err
}

// Parts yields the blocks bucket in key order, damaged parts included.
func (d *Dump) Parts(yield func(DumpPart) error) error {
	return d.file.view("dump blocks", func(tx *bolt.Tx) error {
		r := newReader(d.file, tx)
		return d.file.bucket(tx, bucketBlocks).each(func(k, v []byte) error {
			p := DumpPart{Bytes: len(v) - crcBytes}
			leaf, series, number, err := splitPart(k)
			if err == nil {
				p.Leaf, p.Number = leaf, number
				p.Series, err = ParseKey(series)
			}
			if err != nil {
				p.Err = err
				return yield(p)
			}
			read, err := r.part(k, v)
			p.Header, p.Err = read.header, err
			return yield(p)
		})
	})
}

// Points yields the merged points of one series in one window of the file.
func (d *Dump) Points(leaf digest.Leaf, series Series, yield func(*blocks.Columns) error) error {
	return d.file.view("dump points", func(tx *bolt.Tx) error {
		parts, err := newReader(d.file, tx).parts(leaf.Window, leaf.Slot, series.Key())
		if err != nil {
			return err
		}
		w := newSweep(partLayers(parts, nil), MinTime, NoEnd, false, blocks.MaxRows)
		defer w.release()
		for {
			c, err := w.next()
			if err != nil || c == nil {
				return err
			}
			if err := yield(c); err != nil {
				return err
			}
		}
	})
}

// Digests yields the digests bucket in key order.
func (d *Dump) Digests(yield func(DumpDigest) error) error {
	return d.file.view("dump digests", func(tx *bolt.Tx) error {
		return d.file.bucket(tx, bucketDigests).each(func(k, v []byte) error {
			var e DumpDigest
			if e.Leaf, e.Err = leafOf(k); e.Err == nil {
				e.LeafDigest, e.Index, e.Err = parseDigest(k, v)
			}
			return yield(e)
		})
	})
}

// Check walks the whole file; see Shard.Check.
func (d *Dump) Check() error {
	return d.file.check(context.Background(), true)
}

// Close closes the file.
func (d *Dump) Close() error { return d.file.close() }
