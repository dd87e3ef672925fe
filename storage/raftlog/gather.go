package raftlog

import (
	"math"
	"sync"

	"github.com/hashicorp/raft"
)

const (
	maxBatchBytes = 4 << 20   // a batch is closed when it holds this much
	slabBytes     = 256 << 10 // of one slab: small, since idle nodes keep one
)

// batch is what one write and one fdatasync bring to disk. The gatherer fills it, the committer writes
// it; seg, off and err are valid once done is closed.
type batch struct {
	slab     *slab
	at       int // its place in the slab
	header   batchHeader
	requests int
	done     chan struct{}

	seg *segment
	off int64
	err error
}

func (b *batch) bytes() []byte { return b.slab.mem[b.at : b.at+b.header.length : b.at+b.header.length] }

// part says where a request's records lie: n of them, back to back, from `at` in the batch.
type part struct {
	batch *batch
	at, n int
}

// gatherer collects what concurrent callers append until the committer takes it.
type gatherer struct {
	maxBatch int
	slabSize int
	kick     chan struct{} // cap 1: the committer has what it waits for

	// mu guards what follows. It is held for memory copies only, never across anything that waits.
	mu     sync.Mutex
	open   *batch
	size   int // bytes of the open batch so far: header and records
	dir    []byte
	full   []*batch // closed, oldest first; callers wait for theirs, so at most one request a group
	slab   *slab
	target int // kick when the open batch has so many requests
	err    error
}

func newGatherer(segmentBytes, memoryBytes int64) *gatherer {
	return &gatherer{
		maxBatch: int(min(maxBatchBytes, (segmentBytes-segmentHeaderSize)/4)),
		slabSize: int(min(slabBytes, max(memoryBytes/16, 4<<10))),
		kick:     make(chan struct{}, 1),
		target:   math.MaxInt,
	}
}

// room makes sure that the open batch can take one more record of at most n bytes.
func (g *gatherer) room(n int) {
	if g.open != nil && g.open.header.records > 0 && g.size+len(g.dir)+n > g.maxBatch {
		g.closeOpen()
	}
	if g.open == nil {
		g.begin(n)
		return
	}
	need := g.size + len(g.dir) + n + batchAlign
	if g.open.at+need <= len(g.slab.mem) {
		return
	}
	next := &slab{mem: make([]byte, max(g.slabSize, min(2*need, g.maxBatch), need))}
	copy(next.mem, g.slab.mem[g.open.at:g.open.at+g.size])
	g.slab = next
	g.open.slab, g.open.at = next, 0
}

// begin opens a batch, in what is left of the slab if a record of n bytes fits there.
func (g *gatherer) begin(n int) {
	need := batchHeaderSize + n + batchAlign
	if g.slab == nil || g.slab.used+need > len(g.slab.mem) {
		g.slab = &slab{mem: make([]byte, max(g.slabSize, need))}
	}
	g.open = &batch{slab: g.slab, at: g.slab.used, done: make(chan struct{})}
	g.size = batchHeaderSize
	g.dir = g.dir[:0]
}

// closeOpen completes the open batch and queues it.
func (g *gatherer) closeOpen() {
	b := g.open
	mem := b.slab.mem[b.at:]
	h := &b.header
	h.dirOffset, h.dirLength = g.size, len(g.dir)
	n := g.size + copy(mem[g.size:], g.dir)
	h.length = padded(n)
	clear(mem[n:h.length])
	b.slab.used = b.at + h.length
	g.full = append(g.full, b)
	g.open = nil
}

// next is where the next record goes: an empty slice with the room that room() has made.
func (g *gatherer) next() []byte {
	from := g.open.at + g.size
	return g.slab.mem[from:from:len(g.slab.mem)]
}

// added counts a record that was appended at next().
func (g *gatherer) added(parts []part, e dirEntry) []part {
	g.dir = appendDirEntry(g.dir, e)
	g.open.header.records++
	if n := len(parts); n > 0 && parts[n-1].batch == g.open {
		parts[n-1].n++
	} else {
		g.open.requests++
		parts = append(parts, part{batch: g.open, at: g.size, n: 1})
	}
	g.size += e.size
	return parts
}

// submitEntries adds log entries as one request. The parts are appended to parts.
func (g *gatherer) submitEntries(parts []part, group, life uint32, moved bool, logs []*raft.Log) ([]part, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return nil, g.err
	}
	for _, l := range logs {
		g.room(maxRecordOverhead + len(l.Data) + len(l.Extensions))
		rec := appendEntry(g.next(), group, life, moved, l)
		e := dirEntry{size: len(rec), kind: kindAppend, moved: moved, group: group, life: life, a: l.Index}
		parts = g.added(parts, e)
	}
	g.wake()
	return parts, nil
}

// submitState adds a truncate or reset record as one request.
func (g *gatherer) submitState(parts []part, e dirEntry) ([]part, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return nil, g.err
	}
	g.room(maxRecordOverhead)
	e.size = len(appendState(g.next(), e.kind, e.moved, e.group, e.life, e.a, e.b))
	parts = g.added(parts, e)
	g.wake()
	return parts, nil
}

func (g *gatherer) wake() {
	if len(g.full) == 0 && g.open.requests < g.target {
		return
	}
	if g.target == math.MaxInt {
		return // the committer is busy, and will look
	}
	g.target = math.MaxInt
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// stop makes later requests fail with err and returns the batches that nobody will write.
func (g *gatherer) stop(err error) []*batch {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	return g.unqueue()
}

// unqueue takes all batches off that the committer has not taken. The caller holds mu.
func (g *gatherer) unqueue() []*batch {
	left := g.full
	if g.open != nil {
		left = append(left, g.open)
	}
	g.full, g.open = nil, nil
	return left
}

// wait blocks until the outcome of every part is known, even after one has failed: the caller then lets the
// next request of its log begin. The error is that of the first part that is not on disk.
func wait(parts []part) error {
	var first error
	for i := range parts {
		b := parts[i].batch
		<-b.done
		if first == nil {
			first = b.err
		}
	}
	return first
}
