package storage

import (
	"slices"
	"sync"
	"sync/atomic"
)

// DefaultHeadMemory is a node's budget in bytes unless its settings say otherwise.
const DefaultHeadMemory = 256 << 20

// flushSlots is how many shards of a node write at once: a transaction's pages are on the heap until it commits.
const flushSlots = 4

// Budget is the memory that the heads of all shards of a node may take. Beyond it the largest heads are flushed; beyond
// twice it Apply waits. It belongs to the node; shards register with it.
type Budget struct {
	limit int64
	used  atomic.Int64
	slots chan struct{}

	mu     sync.Mutex // guards shards and freed
	shards map[*Shard]struct{}
	freed  chan struct{} // closed, and replaced, when memory was given back
}

// NewBudget makes a budget of so many bytes; DefaultHeadMemory if 0.
func NewBudget(bytes int64) *Budget {
	if bytes <= 0 {
		bytes = DefaultHeadMemory
	}
	return &Budget{limit: bytes, slots: make(chan struct{}, flushSlots), shards: make(map[*Shard]struct{}), freed: make(chan struct{})}
}

// Used is how many bytes the heads take now.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) register(s *Shard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shards[s] = struct{}{}
}

func (b *Budget) unregister(s *Shard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.shards, s)
}

// add accounts for memory taken (or, negative, given back).
func (b *Budget) add(n int64) {
	b.used.Add(n)
	if n < 0 {
		b.mu.Lock()
		close(b.freed)
		b.freed = make(chan struct{})
		b.mu.Unlock()
	}
}

// spent reports whether Apply has to wait, and the channel that is closed when it should look again.
func (b *Budget) spent() (<-chan struct{}, bool) {
	if b.used.Load() <= 2*b.limit {
		return nil, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.freed, b.used.Load() > 2*b.limit
}

// relieve asks the shards with the largest heads to flush, until what stays is three quarters of the budget.
func (b *Budget) relieve() {
	if b.used.Load() <= b.limit || !b.mu.TryLock() { // whoever holds the lock relieves, or has just given back
		return
	}
	defer b.mu.Unlock()
	type candidate struct {
		shard *Shard
		bytes int64
	}
	var list []candidate
	stays := b.used.Load()
	for s := range b.shards {
		bytes := s.memory.Load()
		if s.relieving.Load() {
			stays -= bytes
		} else if bytes > 0 {
			list = append(list, candidate{s, bytes})
		}
	}
	if stays <= b.limit {
		return
	}
	slices.SortFunc(list, func(x, y candidate) int { return int(min(1, max(-1, y.bytes-x.bytes))) })
	for _, c := range list {
		if stays <= b.limit/4*3 {
			return
		}
		stays -= c.bytes
		c.shard.relieving.Store(true)
		c.shard.poke()
	}
}
