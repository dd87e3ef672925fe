package storage

import (
	"sync"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// isCanonical reports whether parts, by their headers alone, are surely what the canonical cut of their points gives: one
// part always is (its encoding is canonical), several when all but the last are full and none overlap.
func isCanonical(parts []part, version uint8) bool {
	for i, p := range parts {
		if p.header.Version != version {
			return false
		}
		if i > 0 && (parts[i-1].header.Rows != blocks.MaxRows || parts[i-1].header.Last >= p.header.First) {
			return false
		}
	}
	return true
}

// canonical yields the canonical blocks of the points of all layers of a series and window, with their headers. A block
// is valid during the call.
func canonical(layers []layer, lo, hi int64, yield func(block []byte, rows int) error) error {
	z := canonizers.Get().(*canonizer)
	defer z.release()
	z.sweep.start(layers, lo, hi, false, blocks.MaxRows)
	z.cutter.yield = yield
	for {
		c, err := z.sweep.next()
		if err != nil {
			return err
		}
		if c == nil {
			return z.cutter.flush()
		}
		if err := z.cutter.add(c); err != nil {
			return err
		}
	}
}

// canonizer is what canonical works with. Its memory is used again: a check of replicas with many unmerged parts made most of
// its garbage here.
type canonizer struct {
	sweep  sweep
	cutter cutter
}

var canonizers = sync.Pool{New: func() any { return new(canonizer) }}

func (z *canonizer) release() {
	z.sweep.release()
	z.cutter.held.Reset()
	z.cutter.yield = nil
	canonizers.Put(z)
}

// cutter makes canonical blocks of chunks that come in order of time. The canonical cut is greedy from the first row, so
// a block that ends before the gathered rows do is final, whatever follows.
type cutter struct {
	held, scratch, rest blocks.Columns // held: rows whose block may still grow
	buffer              []byte
	yield               func(block []byte, rows int) error
}

func (c *cutter) add(chunk *blocks.Columns) error {
	all := chunk
	if c.held.Len() > 0 {
		blocks.Merge(&c.scratch, &c.held, chunk)
		all = &c.scratch
	}
	done := 0
	for lo, hi := range all.Blocks() {
		if hi == all.Len() && hi-lo < blocks.MaxRows {
			break
		}
		if err := c.emit(all, lo, hi); err != nil {
			return err
		}
		done = hi
	}
	all.CopyRows(&c.rest, done, all.Len())
	c.held, c.rest = c.rest, c.held
	return nil
}

func (c *cutter) flush() error {
	for lo, hi := range c.held.Blocks() {
		if err := c.emit(&c.held, lo, hi); err != nil {
			return err
		}
	}
	return nil
}

func (c *cutter) emit(cols *blocks.Columns, lo, hi int) (err error) {
	if c.buffer, err = blocks.EncodeRows(c.buffer[:0], cols, lo, hi); err != nil {
		return err
	}
	return c.yield(c.buffer, hi-lo)
}

// partLayers makes layers of parts, in merge order from 0.
func partLayers(parts []part, spans []span) []layer {
	layers := make([]layer, len(parts), len(parts)+1)
	for i, p := range parts {
		layers[i] = layer{order: i, first: p.header.First, last: p.header.Last, block: p.block, spans: spans}
	}
	return layers
}
