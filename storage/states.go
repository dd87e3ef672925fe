package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// LeafState is what one leaf of a view hashes to, or why it cannot be read (ErrDamaged).
type LeafState struct {
	digest.Entry
	Err error
}

// States lists leaves with their digests: all that have points, or those named (a leaf without points has zero Points).
// reread: from blocks that are read from the disk anew, past the system's memory where it lets us; otherwise from stored
// digests where there are any and the leaf is not distrusted. A leaf that cannot be read is listed with its error, and does
// not end the list; damage of structure does.
func (v *View) States(ctx context.Context, reread bool, only []digest.Leaf) (list []LeafState, err error) {
	only = slices.SortedFunc(slices.Values(only), digest.Leaf.Compare)
	if reread {
		return v.rereadStates(ctx, only)
	}
	if len(only) == 0 {
		if only, err = v.Leaves(); err != nil {
			return nil, err
		}
	}
	digests, found, err := v.storedAll(ctx, only)
	if err != nil {
		return nil, err
	}
	var computed []digest.Entry
	for i, leaf := range only {
		st := LeafState{Entry: digest.Entry{Leaf: leaf, LeafDigest: digests[i]}}
		if !found[i] {
			st.LeafDigest, st.Err = v.Digest(ctx, leaf)
			var d *DamageError
			if st.Err != nil && (!errors.As(st.Err, &d) || d.Structure) {
				return nil, st.Err
			}
			if st.Err == nil && st.Points > 0 {
				computed = append(computed, st.Entry)
			}
		}
		if st.Err == nil && st.Points == 0 {
			st.LeafDigest = digest.LeafDigest{}
		}
		list = append(list, st)
	}
	v.offer(computed)
	return list, nil
}

func (v *View) rereadStates(ctx context.Context, only []digest.Leaf) (list []LeafState, err error) {
	err = v.read("reread leaves", func(*reader) error {
		p, err := v.shard.startPass(v.pin.file, v.pin.meta, nil, v.alive(ctx))
		if err != nil {
			return err
		}
		defer p.close()
		r, err := p.finish(p.leaves(only))
		if err == nil && r.Structure != nil {
			err = r.Structure
		}
		if err != nil {
			return err
		}
		list = statesOf(r, only)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reread leaves: %w", err)
	}
	return list, nil
}

// leaves reads single leaves, or all.
func (p *pass) leaves(only []digest.Leaf) error {
	if err := p.frame(); err != nil {
		return err
	}
	if len(only) == 0 {
		_, err := p.readBlocks(nil, nil)
		return err
	}
	var entries []digest.Entry
	for _, leaf := range only {
		p.walk.forget()
		from := appendLeaf(nil, leaf)
		_, err := p.readBlocks(from, func(key []byte) bool { return !bytes.HasPrefix(key, from) })
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		entries = append(entries, p.r.Entries...)
		p.r.Entries = nil
	}
	p.r.Entries = entries
	return nil
}

// statesOf makes a list of what was found, of all leaves or of some.
func statesOf(r Inspection, only []digest.Leaf) (list []LeafState) {
	has := make(map[digest.Leaf]LeafState)
	for _, e := range r.Entries {
		has[e.Leaf] = LeafState{Entry: e}
	}
	for _, b := range r.Bad {
		if errors.Is(b.Cause, ErrDamaged) {
			has[b.Leaf] = LeafState{Entry: digest.Entry{Leaf: b.Leaf}, Err: b.Cause}
		}
	}
	if len(only) == 0 {
		for leaf := range has {
			only = append(only, leaf)
		}
		slices.SortFunc(only, digest.Leaf.Compare)
	}
	for _, leaf := range only {
		st := has[leaf]
		st.Leaf = leaf
		list = append(list, st)
	}
	return list
}
