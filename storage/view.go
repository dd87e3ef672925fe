package storage

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// View is a handle on the shard at exactly the index of a cut. The cut stays pinned until its ttl has passed, End was
// applied, or too much was written under it; then the methods answer ErrNotPinned.
type View struct {
	shard  *Shard
	pin    *pin
	own    bool // the pin ends with the View (Look)
	closed atomic.Bool

	mu  sync.Mutex           // guards bad
	bad map[digest.Leaf]bool // leaves whose stored digests are not to be trusted
}

// AwaitView waits until the cut has been applied and flushed here, and returns its view; ErrNotPinned when there is
// none and will be none. A cut that this shard has not heard of is waited for. The caller closes the View.
func (s *Shard) AwaitView(ctx context.Context, cutID string) (*View, error) {
	for {
		s.mu.Lock()
		p, err := s.pinned(cutID)
		changed := s.changed
		s.mu.Unlock()
		if p != nil {
			return &View{shard: s, pin: p}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("view of cut %s: %w", cutID, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("view of cut %s: %w", cutID, ctx.Err())
		}
	}
}

// pinned is the pin of a cut, or why there will be none; neither while it may still come. The caller holds the lock.
func (s *Shard) pinned(id string) (*pin, error) {
	if s.err != nil {
		return nil, s.err
	}
	s.expire(time.Now())
	if p := s.pins[id]; p != nil {
		return p, nil
	}
	for _, h := range s.frozen {
		if slices.Contains(h.cuts, id) {
			return nil, nil
		}
	}
	if slices.Contains(s.gone, id) {
		return nil, ErrNotPinned
	}
	if l := s.leases.byID[id]; l != nil && l.View && !slices.Contains(s.cuts, id) {
		return nil, ErrNotPinned // made before this process started
	}
	return nil, nil
}

// Index is where the cut lies in the log.
func (v *View) Index() Position { return v.pin.pos }

// Close gives the handle back. The cut stays pinned for others.
func (v *View) Close() error {
	if !v.closed.Swap(true) && v.own {
		v.shard.mu.Lock()
		defer v.shard.mu.Unlock()
		v.shard.endLook(v.pin)
	}
	return nil
}

// read runs fn on the view's transaction.
func (v *View) read(op string, fn func(*reader) error) error {
	if v.closed.Load() || !v.pin.enter() {
		return fmt.Errorf("%s at %d: %w", op, v.pin.pos.Index, ErrNotPinned)
	}
	defer v.pin.leave()
	return v.pin.file.guard(op, func() error { return fn(newReader(v.pin.file, v.pin.tx)) })
}

// Leaves lists the leaves that have points, in order.
func (v *View) Leaves() (leaves []digest.Leaf, err error) {
	err = v.read("list leaves", func(r *reader) error {
		return r.leaves(func(l digest.Leaf) error {
			leaves = append(leaves, l)
			return nil
		})
	})
	return leaves, err
}

// Root computes the digests that are absent, and the root over all leaves.
func (v *View) Root(ctx context.Context) (digest.ID, []digest.Entry, error) {
	return v.root(ctx, false)
}

// ReadRoot is Root with every digest computed from the blocks on disk, whatever the file says that it is.
func (v *View) ReadRoot(ctx context.Context) (digest.ID, []digest.Entry, error) {
	return v.root(ctx, true)
}

func (v *View) root(ctx context.Context, anew bool) (digest.ID, []digest.Entry, error) {
	leaves, err := v.Leaves()
	if err != nil {
		return digest.ID{}, nil, err
	}
	digests, found := make([]digest.LeafDigest, len(leaves)), make([]bool, len(leaves))
	if !anew {
		if digests, found, err = v.storedAll(ctx, leaves); err != nil {
			return digest.ID{}, nil, err
		}
	}
	entries := make([]digest.Entry, len(leaves))
	var computed []digest.Entry
	for i, leaf := range leaves {
		if !found[i] {
			if err := ctx.Err(); err != nil {
				return digest.ID{}, nil, err
			}
			if digests[i], err = v.Digest(ctx, leaf); err != nil {
				return digest.ID{}, nil, err
			}
			computed = append(computed, digest.Entry{Leaf: leaf, LeafDigest: digests[i]})
		}
		entries[i] = digest.Entry{Leaf: leaf, LeafDigest: digests[i]}
	}
	v.offer(computed)
	return digest.Root(entries), entries, nil
}

// stored is a digest that need not be computed.
func (v *View) stored(leaf digest.Leaf) (d digest.LeafDigest, ok bool, err error) {
	if v.shard.bad.has(leaf) {
		return d, false, nil
	}
	v.shard.mu.RLock()
	if v.current() {
		d, ok = v.shard.known.at(leaf, v.pin.pos.Index)
	}
	v.shard.mu.RUnlock()
	if ok {
		return d, true, nil
	}
	err = v.read("read digest", func(*reader) error {
		d, ok = storedDigest(v.pin.file, v.pin.tx, leaf)
		return nil
	})
	return d, ok, err
}

// offer hands computed digests to the shard, which knows whether they still hold.
func (v *View) offer(computed []digest.Entry) {
	v.shard.mu.Lock()
	defer v.shard.mu.Unlock()
	if len(computed) > 0 && v.current() && v.pin.live() && v.shard.err == nil {
		v.shard.known.offer(computed, v.pin.pos.Index)
	}
}

// current reports whether what the shard knows of leaves and what the view shows of them speak of the same: a view of a
// cut is pinned at the very moment of a flush; another one was begun at any time, so that only the last flush will do.
// The caller holds the shard's lock.
func (v *View) current() bool { return !v.own || v.shard.durable.applied == v.pin.pos }

// Digest computes the digest of one leaf from its blocks on disk.
func (v *View) Digest(ctx context.Context, leaf digest.Leaf) (digest.LeafDigest, error) {
	return v.hashLeaf(ctx, digest.NewLeafHasher(leaf, uint32(blocks.FormatVersion)), leaf, false)
}

// hash feeds a leaf to a hasher, for a sum that is compared with what the leaf should be: a neighbour that cannot be read
// is not this leaf's damage.
func (v *View) hash(ctx context.Context, h *digest.LeafHasher, leaf digest.Leaf) (digest.LeafDigest, error) {
	return v.hashLeaf(ctx, h, leaf, true)
}

func (v *View) hashLeaf(ctx context.Context, h *digest.LeafHasher, leaf digest.Leaf, lone bool) (d digest.LeafDigest, err error) {
	err = v.read("read leaf", func(r *reader) error {
		r.lone = lone
		step, end := v.shard.o.Turns.begin(ctx, v.alive(ctx))
		defer end()
		d, err = r.hash(step, h, leaf, v.shard.windowNs)
		return err
	})
	return d, err
}

// ReadLeaf yields the canonical blocks of a leaf in order of series key and time. Slices are valid during the call.
func (v *View) ReadLeaf(ctx context.Context, leaf digest.Leaf, yield func(seriesKey, block []byte) error) error {
	return v.read("read leaf", func(r *reader) error {
		return r.canonical(v.alive(ctx), leaf, v.shard.windowNs, func(series []byte, b canonicalBlock) error {
			return yield(series, b.bytes)
		})
	})
}

// alive is the check that a long read makes between series.
func (v *View) alive(ctx context.Context) func() error {
	return func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !v.pin.live() {
			return ErrNotPinned
		}
		return nil
	}
}
