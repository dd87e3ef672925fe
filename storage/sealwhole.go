package storage

import (
	"bytes"
	"slices"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// wholeCopy is a shard file that is written at once, from leaves that lie in memory: what a copy becomes that was gathered
// before any of it had to be committed.
type wholeCopy struct {
	identity Identity
	takeover takeover
	manifest []digest.Entry // in leaf order
	leaves   []*stagedLeaf  // of the manifest, in the same order
	totals   totals         // counted by write
}

// whole is that of a stage of which nothing lies on disk; nil for any other. The caller holds the lock.
func (s *Stage) whole(identity Identity, t takeover, manifest []digest.Entry) *wholeCopy {
	if !s.file.unborn || len(s.waiting) < len(s.leaves) {
		return nil
	}
	c := &wholeCopy{identity: identity, takeover: t, manifest: manifest, leaves: make([]*stagedLeaf, len(manifest))}
	for i, e := range manifest {
		if c.leaves[i] = s.waiting[e.Leaf]; c.leaves[i] == nil {
			return nil
		}
	}
	return c
}

// write writes the buckets in the order of their names.
func (c *wholeCopy) write(w *boltWriter) error {
	for _, b := range []struct {
		name    []byte
		records func(put func(key, value []byte) error) error
	}{
		{bucketBlocks, c.blocks},
		{bucketDigests, c.digests},
		{bucketMeta, c.meta},
		{bucketSeries, c.series},
	} {
		if err := w.bucket(b.name, b.records); err != nil {
			return err
		}
	}
	return nil
}

func (c *wholeCopy) blocks(put func(key, value []byte) error) error {
	for _, l := range c.leaves {
		for i := range l.parts {
			p := &l.parts[i]
			if err := put(p.key, p.value); err != nil {
				return err
			}
			c.totals.count(p)
		}
	}
	return nil
}

// count takes a part that was put into the totals.
func (t *totals) count(p *stagedPart) {
	t.rows += uint64(p.rows)
	t.blockBytes += uint64(len(p.value) - crcBytes)
	t.parts++
}

func (c *wholeCopy) digests(put func(key, value []byte) error) error {
	for _, e := range c.manifest {
		if err := put(digestRecord(e.Leaf, e.LeafDigest, c.takeover.applied.Index)); err != nil {
			return err
		}
	}
	return nil
}

func (c *wholeCopy) series(put func(key, value []byte) error) error {
	for _, series := range c.seriesKeys() {
		if err := put(series, seal(series, nil)); err != nil {
			return err
		}
	}
	return nil
}

// seriesKeys lists the series of all leaves, each once, in order.
func (c *wholeCopy) seriesKeys() (keys [][]byte) {
	for _, l := range c.leaves {
		for i := range l.parts {
			if series := l.parts[i].series(); len(keys) == 0 || !bytes.Equal(series, keys[len(keys)-1]) {
				keys = append(keys, series)
			}
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

func (c *wholeCopy) meta(put func(key, value []byte) error) error {
	c.totals.series = uint64(len(c.seriesKeys()))
	records := make(recordMap)
	if err := putIdentity(records, c.identity, c.takeover.window); err != nil {
		return err
	}
	if err := putState(records, &c.takeover.state, c.totals); err != nil {
		return err
	}
	return records.each(put)
}
