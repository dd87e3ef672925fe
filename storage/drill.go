package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// Spoiling is a way in which a drill damages this replica, and no other.
type Spoiling string

const (
	SpoilBitflip   Spoiling = "bitflip"   // a bit of a stored block flips in the file
	SpoilTruncate  Spoiling = "truncate"  // the file loses its end, with stored blocks in it
	SpoilStale     Spoiling = "stale"     // the file is again what it was before its last commit
	SpoilDivergent Spoiling = "divergent" // a value of one point is another, and the digests fit it
	SpoilMissing   Spoiling = "missing"   // points of a series are gone, and the digests fit that
)

// Spoilings are all of them.
var Spoilings = []Spoiling{SpoilBitflip, SpoilTruncate, SpoilStale, SpoilDivergent, SpoilMissing}

// ErrNothingToSpoil: the shard stores no block that could be damaged. Write something first.
var ErrNothingToSpoil = errors.New("the replica stores no points")

// Spoiled says what a drill did.
type Spoiled struct {
	Text   string // one line
	Leaf   *digest.Leaf
	Series *Series
}

// Spoil damages this replica on purpose, while it runs: nothing in it is told, so that the damage has to be found. pick
// chooses among n things, 0 to n-1. It returns when the damage is in the file. Whoever calls it has made sure that the
// other replicas are well.
func (s *Shard) Spoil(ctx context.Context, how Spoiling, pick func(n int) int) (Spoiled, error) {
	v, err := s.Look(ctx)
	if err != nil {
		return Spoiled{}, fmt.Errorf("spoil: %w", err)
	}
	defer v.Close()
	switch how {
	case SpoilBitflip, SpoilTruncate, SpoilStale:
		return v.spoilFile(ctx, how, pick)
	case SpoilDivergent, SpoilMissing:
		b, err := v.pickBlock(ctx, pick)
		if err != nil {
			return Spoiled{}, err
		}
		return s.diverge(ctx, how, b, pick)
	}
	return Spoiled{}, fmt.Errorf("spoil: %q is not known", how)
}

// pickedBlock is a canonical block, decoded.
type pickedBlock struct {
	leaf   digest.Leaf
	series Series
	cols   blocks.Columns
}

// pickBlock picks a block of any leaf.
func (v *View) pickBlock(ctx context.Context, pick func(n int) int) (b pickedBlock, err error) {
	leaves, err := v.Leaves()
	if err != nil {
		return b, err
	}
	if len(leaves) == 0 {
		return b, ErrNothingToSpoil
	}
	b.leaf = leaves[pick(len(leaves))]
	type stored struct{ key, block []byte }
	var all []stored
	err = v.ReadLeaf(ctx, b.leaf, func(key, block []byte) error {
		all = append(all, stored{slices.Clone(key), slices.Clone(block)})
		return nil
	})
	if err != nil {
		return b, err
	}
	one := all[pick(len(all))]
	if b.series, err = ParseKey(one.key); err != nil {
		return b, err
	}
	return b, blocks.Decode(one.block, &b.cols)
}

// diverge applies a command to this replica alone, at the index that it stands at: no log has it. Then the command is
// flushed, so that file and digests agree with each other and with no other replica.
func (s *Shard) diverge(ctx context.Context, how Spoiling, b pickedBlock, pick func(n int) int) (Spoiled, error) {
	done := Spoiled{Leaf: &b.leaf, Series: &b.series}
	var frames []byte
	if how == SpoilMissing {
		from, to := b.cols.Times[0], b.cols.Times[b.cols.Len()-1]+1
		frames = AppendDelete(nil, Delete{Series: b.series, From: from, To: to})
		done.Text = fmt.Sprintf("%d points of %s in window %d were removed", b.cols.Len(), b.series, b.leaf.Window)
	} else {
		row := pick(b.cols.Len())
		fields := b.cols.AppendFields(nil, row)
		f := fields[pick(len(fields))]
		was := f.Value
		f.Value = another(was)
		frames = AppendPut(nil, []Point{{Series: b.series, Time: b.cols.Times[row], Fields: []Field{f}}})
		done.Text = fmt.Sprintf("field %q of one point of %s in window %d is %v and was %v", f.Name, b.series, b.leaf.Window, f.Value, was)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return Spoiled{}, s.err
	}
	at := s.state.applied
	if err := s.commands(&Entry{Index: at.Index, Term: at.Term, Data: frames}); err != nil {
		return Spoiled{}, fmt.Errorf("spoil: %w", err)
	}
	return done, s.flushActive(ctx)
}

// another is a value of the same kind that differs.
func another(v blocks.Value) blocks.Value {
	if v.Kind == blocks.String {
		v.Str += "?"
		return v
	}
	v.Num ^= 1
	if f := math.Float64frombits(v.Num); v.Kind == blocks.Float64 && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return blocks.Float(1)
	}
	return v
}

// flushActive waits until what the active head holds now is in the file. The caller holds the lock, and again after.
func (s *Shard) flushActive(ctx context.Context) error {
	h := s.active
	for s.active == h || slices.Contains(s.frozen, h) {
		if s.err != nil {
			return s.err
		}
		s.wanted = true
		changed := s.changed
		s.mu.Unlock()
		s.poke()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
