package storage

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// stageTxBytes is how many leaf bytes wait before Put commits them: they lie in memory, twice while they are written, and
// a node fills several stages at once. Tried: 16 MiB take 4% less CPU.
const stageTxBytes = 8 << 20

// stageTxAge is how long a leaf waits for a commit while others come: what a slow link has brought in minutes is not
// fetched again because a process died.
const stageTxAge = time.Second

// stagedLeaf is a verified leaf that waits for a commit.
type stagedLeaf struct {
	digest.Entry
	parts []stagedPart
	buf   *[]byte // what keys and values alias
}

// recordBuffers lends the memory of staged leaves: making it anew costs as much as filling it.
var recordBuffers = sync.Pool{New: func() any { return new([]byte) }}

// release gives the memory back; keys and values are invalid afterwards.
func (l *stagedLeaf) release() {
	recordBuffers.Put(l.buf)
	l.parts, l.buf = nil, nil
}

// stagedPart is a record of the blocks bucket. Its value aliases a buffer of the leaf's own.
type stagedPart struct {
	key, value []byte
	rows       int
}

// series is the key of the part's series.
func (p *stagedPart) series() []byte { return p.key[leafKeyBytes : len(p.key)-partBytes] }

// Put checks leaf bytes whole and keeps them: ErrWrongContent when they are not what is wanted. leafBytes is not kept.
// It commits by itself when stageTxBytes wait, or one has waited for stageTxAge.
func (s *Stage) Put(leafBytes []byte, want digest.Entry) error {
	if s.has(want) {
		return s.usable()
	}
	_, end := s.o.Turns.begin(context.Background(), nil)
	defer end()
	l, err := s.verify(leafBytes, want) // without the lock: several cores may do it
	if err != nil {
		return fmt.Errorf("stage leaf %v: %w", want.Leaf, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if old := s.waiting[l.Leaf]; old != nil {
		s.pending -= int64(old.Bytes)
	}
	s.forget(l.Leaf)
	if len(s.waiting) == 0 {
		s.waitsSince = time.Now()
	}
	s.waiting[l.Leaf], s.leaves[l.Leaf] = l, l.LeafDigest
	s.pending += int64(l.Bytes)
	s.bytes += int64(l.Bytes)
	if s.pending < stageTxBytes && time.Since(s.waitsSince) < stageTxAge {
		return nil
	}
	return s.commit()
}

// forget takes a leaf off the list. The caller holds the lock.
func (s *Stage) forget(leaf digest.Leaf) {
	s.bytes -= int64(s.leaves[leaf].Bytes)
	delete(s.leaves, leaf)
}

// usable is why the stage is not; nil while it is.
func (s *Stage) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// rawPart is a part in leaf bytes.
type rawPart struct {
	part
	series []byte
}

// verify makes records of leaf bytes that are what is wanted, and what a shard may hold.
func (s *Stage) verify(leafBytes []byte, want digest.Entry) (*stagedLeaf, error) {
	lo, hi := WindowStart(want.Window, s.windowNs), windowEnd(want.Window, s.windowNs)
	var raw []rawPart
	var series []byte
	var number uint32
	size := 0
	p, err := digest.Parse(leafBytes, digest.Visitor{
		Series: func(key []byte) error {
			series, number = key, 0
			if !validKey(key) || SlotOf(key) != want.Slot {
				return fmt.Errorf("series %x does not belong here", key)
			}
			return nil
		},
		Block: func(b []byte, h blocks.Header) error {
			if h.First < lo || h.Last >= hi {
				return fmt.Errorf("block of %d..%d lies outside of its window", h.First, h.Last)
			}
			raw = append(raw, rawPart{part{number, h, b}, series})
			size += leafKeyBytes + len(series) + partBytes + len(b) + crcBytes
			number++
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrongContent, err)
	}
	if p.Leaf != want.Leaf || p.LeafDigest != want.LeafDigest || p.Points == 0 {
		return nil, fmt.Errorf("%w: %v %v of %d points, %d bytes", ErrWrongContent, p.Leaf, p.ID, p.Points, p.Bytes)
	}
	if p.FormatVersion != blocks.FormatVersion {
		return nil, fmt.Errorf("%w: block format %d, this binary reads %d", ErrWrongContent, p.FormatVersion, blocks.FormatVersion)
	}
	if err := checkCut(raw, lo, hi); err != nil {
		return nil, err
	}
	return newStagedLeaf(want, raw, size), nil
}

// checkCut makes sure that the blocks of each series are those of the canonical cut: others would come out of the shard
// with another content id. Only where their headers leave a doubt, they are made anew.
func checkCut(raw []rawPart, lo, hi int64) error {
	for len(raw) > 0 {
		n := 1
		for n < len(raw) && raw[n].number > 0 {
			n++
		}
		parts := make([]part, n)
		for i := range parts {
			parts[i] = raw[i].part
		}
		raw = raw[n:]
		if isCanonical(parts, blocks.FormatVersion) {
			continue
		}
		same := 0
		err := canonical(partLayers(parts, nil), lo, hi, func(block []byte, _ int) error {
			if same < n && string(block) == string(parts[same].block) {
				same++
			}
			return nil
		})
		if err != nil || same != n {
			return fmt.Errorf("%w: %d blocks that are not the canonical ones, %v", ErrWrongContent, n, err)
		}
	}
	return nil
}

// newStagedLeaf copies the parts into one buffer, as records.
func newStagedLeaf(e digest.Entry, raw []rawPart, size int) *stagedLeaf {
	l := &stagedLeaf{Entry: e, parts: make([]stagedPart, len(raw)), buf: recordBuffers.Get().(*[]byte)}
	if cap(*l.buf) < size {
		*l.buf = make([]byte, 0, size)
	}
	buf := (*l.buf)[:0]
	for i, r := range raw {
		start := len(buf)
		buf = append(appendLeaf(buf, e.Leaf), r.series...)
		buf = binary.BigEndian.AppendUint32(buf, r.number)
		key := buf[start:len(buf):len(buf)]
		start = len(buf)
		buf = appendSum(append(buf, r.block...), key, r.block)
		l.parts[i] = stagedPart{key: key, value: buf[start:len(buf):len(buf)], rows: r.header.Rows}
	}
	return l
}

// validKey reports whether a series key is one as AppendKey makes it, of names that a point may have.
func validKey(key []byte) bool {
	for _, limit := range [...]int{MaxDatabaseName, MaxCollectionName, MaxDeviceName} {
		name, rest, err := cutString(key)
		if err != nil || len(name) == 0 || len(name) > limit {
			return false
		}
		key = rest
	}
	return len(key) == 0
}
