package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// blockPass reads the blocks bucket in key order. The parts of a series in a window are gathered, copied, and hashed as what
// they canonically are when the next series begins.
type blockPass struct {
	*pass
	seen  map[digest.Leaf]bool // leaves with records
	parts uint64

	leaf   digest.Leaf
	begun  bool // leaf is set
	hasher *digest.LeafHasher
	series []byte
	held   []part
	arena  []byte // what held blocks are copied to

	last  []byte // the key before, if its record is right
	doubt bool   // the record before may have come here from another leaf, or left it: the next key's leaf is in doubt
	stop  func(next []byte) bool
}

var errBelongs = errors.New("block that does not belong to its key")

// readBlocks reads the leaves from a key on. stop, asked at the first key of each leaf, ends it before that leaf. nil: never.
func (p *pass) readBlocks(from []byte, stop func(next []byte) bool) (parts uint64, err error) {
	b := &p.blocks
	*b = blockPass{pass: p, seen: make(map[digest.Leaf]bool), stop: stop}
	err = p.walk.bucket(bucketBlocks, from, func(k, v []byte) error {
		if from != nil && bytes.Compare(k, from) < 0 {
			return nil
		}
		return b.record(k, v)
	})
	if err == nil {
		err = b.endLeaf()
	}
	return b.parts, err
}

// record takes one part.
func (b *blockPass) record(k, v []byte) error {
	b.parts++
	leaf, series, number, err := splitPart(k)
	if err != nil {
		return badPage(b.walk.buckets[string(bucketBlocks)].root, "key %x: %w", k, err)
	}
	if !b.begun || leaf != b.leaf {
		if err := b.endLeaf(); err != nil {
			return err
		}
		if b.stop != nil && b.stop(k) {
			b.parts--
			return errEnough
		}
		b.begun, b.leaf, b.seen[leaf] = true, leaf, true
		b.hasher, b.series = digest.NewLeafHasher(leaf, uint32(blocks.FormatVersion)), b.series[:0]
	}
	if !bytes.Equal(series, b.series) {
		if err := b.endSeries(); err != nil {
			return err
		}
		b.series = append(b.series[:0], series...)
	}
	block, err := unseal(k, v)
	var header blocks.Header
	if err == nil {
		header, err = blocks.Peek(block)
		if lo, hi := WindowStart(leaf.Window, b.shard.windowNs), windowEnd(leaf.Window, b.shard.windowNs); err == nil &&
			(SlotOf(series) != leaf.Slot || !validKey(series) || header.Rows == 0 || header.First < lo || header.Last >= hi) {
			err = errBelongs
		}
		if err != nil {
			b.blame(k, err)
		}
	} else {
		b.blameRecord(k, v, err)
		return nil
	}
	if b.doubt {
		b.doubt = false
		b.accuse(leaf, b.damageOf(k, errNeighbour))
	}
	b.last = append(b.last[:0], k...)
	if b.bad[leaf] != nil {
		return nil
	}
	at := len(b.arena)
	b.arena = append(b.arena, block...)
	b.held = append(b.held, part{number, header, b.arena[at:len(b.arena):len(b.arena)]})
	return nil
}

// endSeries hashes the series whose parts were gathered.
func (b *blockPass) endSeries() error {
	defer func() { b.held, b.arena = b.held[:0], b.arena[:0] }()
	if len(b.held) == 0 || b.bad[b.leaf] != nil {
		return nil
	}
	if err := b.goOn(); err != nil {
		return err
	}
	err := b.hasher.Series(b.series)
	switch {
	case err != nil:
	case isCanonical(b.held, blocks.FormatVersion):
		for i := range b.held {
			if err = b.hasher.Checked(b.held[i].block, b.held[i].header); err != nil {
				break
			}
		}
	default:
		lo, hi := WindowStart(b.leaf.Window, b.shard.windowNs), windowEnd(b.leaf.Window, b.shard.windowNs)
		err = canonical(partLayers(b.held, nil), lo, hi, func(block []byte, _ int) error { return b.hasher.Block(block) })
	}
	if err != nil {
		b.blame(partKey(string(appendLeaf(nil, b.leaf))+string(b.series), 0), err)
	}
	return nil
}

// endLeaf compares a leaf with its record.
func (b *blockPass) endLeaf() error {
	if !b.begun {
		return nil
	}
	if err := b.endSeries(); err != nil {
		return err
	}
	b.begun = false
	if b.bad[b.leaf] != nil {
		return nil
	}
	d, err := b.hasher.Sum()
	if err != nil {
		b.blame(appendLeaf(nil, b.leaf), err)
		return nil
	}
	b.r.Entries = append(b.r.Entries, digest.Entry{Leaf: b.leaf, LeafDigest: d})
	if has, ok := b.records[b.leaf]; ok && has != d {
		b.bad[b.leaf] = &BadLeaf{Leaf: b.leaf, Cause: fmt.Errorf("%w: window %d slot %d", ErrRecord, b.leaf.Window, b.leaf.Slot), Stored: has, Read: d}
	}
	return nil
}

var errNeighbour = errors.New("the key beside it is damaged, and may have been in this leaf")

func (b *blockPass) damageOf(k []byte, err error) *DamageError {
	d := &DamageError{Path: b.file.path, Err: err}
	if len(k) >= leafKeyBytes {
		d.Leaf, _ = leafOf(k)
	}
	if _, series, _, err := splitPart(k); err == nil {
		d.Series, _ = ParseKey(series)
	}
	return d
}

func (b *blockPass) blame(k []byte, err error) { b.accuse(b.damageOf(k, err).Leaf, b.damageOf(k, err)) }

// blameRecord blames the leaves that a record which fails its checksum can belong to. Its key is where it should be in the
// order of keys. If the block fails its own checksum, it is the block that is damaged. Otherwise it is key or checksum, and
// the key may have been another: one that a single flipped bit makes it, or any between its neighbours.
func (b *blockPass) blameRecord(k, v []byte, err error) {
	b.blame(k, err)
	if len(v) < crcBytes {
		return
	}
	if _, blockErr := blocks.Peek(v[:len(v)-crcBytes]); blockErr != nil {
		return
	}
	if was := unflip(k, v); was != nil {
		b.blame(was, err)
		return
	}
	if b.last != nil {
		b.blame(b.last, errNeighbour)
	}
	b.doubt = true
}

// unflip is the key that differs in one bit from k and fits the checksum; nil: there is none.
func unflip(k, v []byte) []byte {
	key := bytes.Clone(k)
	n := len(v) - crcBytes
	want := binary.LittleEndian.Uint32(v[n:])
	for bit := range len(key) * 8 {
		key[bit/8] ^= 1 << (bit % 8)
		if crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, v[:n]) == want {
			if _, _, _, err := splitPart(key); err == nil {
				return key
			}
		}
		key[bit/8] ^= 1 << (bit % 8)
	}
	return nil
}
