package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// ErrUntold: the log does not tell what a leaf holds. Nobody knows.
var ErrUntold = errors.New("the log does not tell")

// maxReplayBytes bounds the memory of what the log has written to the leaves in question.
const maxReplayBytes = 256 << 20

// Replay says what leaves hold by the log alone, whatever the replica's file says: a base, whose content id was agreed
// upon by all replicas, and the commands of all entries behind it, in the one merge order (format.go).
//
// The base itself is nowhere any more. It is made again of the leaf as the replica has it now, without every point that
// the log has written since; whether that is the base, its content id tells. So it is found where what was written since
// are new points, and where nothing was; not where an older point was written over or deleted, and not where the leaf
// itself has gone bad in what it had then: another replica's will do.
//
// It belongs to one goroutine.
type Replay struct {
	windowNs int64
	wanted   map[digest.Leaf]bool
	slots    [Slots]bool // of the wanted
	head     *head
	rows     putReader
	series   []*headSeries // of a put, by number; nil: in no wanted slot
	written  map[string][]int64
	times    int64 // in written
}

// Replay begins with no entry.
func (v *View) Replay(leaves []digest.Leaf) *Replay {
	r := &Replay{windowNs: v.shard.windowNs, wanted: make(map[digest.Leaf]bool), head: newHead(), written: make(map[string][]int64)}
	r.rows.schemas = &schemaTable{}
	for _, leaf := range leaves {
		r.wanted[leaf] = true
		r.slots[leaf.Slot%Slots] = true
	}
	return r
}

// Apply takes the next entry of the log, as Shard.Apply does: every command of every entry behind the base has to come.
func (r *Replay) Apply(e Entry) error {
	if e.Config {
		return nil
	}
	for data := e.Data; len(data) > 0; {
		c, rest, err := cutFrame(data)
		if err != nil {
			return nil // here every replica has stopped
		}
		data = rest
		stop, err := r.command(c)
		if err != nil {
			return fmt.Errorf("replay %d: %w", e.Index, err)
		}
		if stop {
			return nil
		}
	}
	if r.head.bytes+8*r.times > maxReplayBytes {
		return fmt.Errorf("replay %d: %w: it wrote more than %d MiB", e.Index, ErrUntold, maxReplayBytes>>20)
	}
	return nil
}

// command applies one. stop: it cannot be decoded, so the rest of its entry is not applied.
func (r *Replay) command(c Command) (stop bool, err error) {
	switch c.Kind {
	case KindPut:
		return r.put(c.Body) != nil, nil
	case KindDelete:
		d, err := c.Delete()
		if err != nil {
			return true, nil
		}
		r.head.delete(d.span())
	case KindRetain:
		t, err := c.Retain()
		if err != nil {
			return true, nil
		}
		r.head.delete(t.span(r.windowNs))
	case KindFormat:
		if v, err := c.FormatVersion(); err != nil || v != blocks.FormatVersion {
			return false, fmt.Errorf("%w: it sets another block format", ErrUntold)
		}
	case KindCut:
		_, err = c.Cut()
		return err != nil, nil
	case KindLease:
		_, err = c.Lease()
		return err != nil, nil
	case KindEnd:
		_, err = c.End()
		return err != nil, nil
	case KindNoop:
	default:
		return true, nil
	}
	return false, nil
}

// put takes the rows of the wanted leaves.
func (r *Replay) put(body []byte) error {
	rows := &r.rows
	rows.reset(body)
	r.series = r.series[:0]
	var keys []string
	for {
		ok, err := rows.next()
		if err != nil || !ok {
			return err
		}
		if rows.named {
			key := ""
			if r.slots[SlotOf(rows.key)] {
				key = string(rows.key)
			}
			keys = append(keys, key)
		}
		key := keys[rows.series]
		if key == "" || !r.wanted[digest.Leaf{Window: WindowOf(rows.time, r.windowNs), Slot: SlotOf([]byte(key))}] {
			continue
		}
		r.head.append(r.head.at([]byte(key)), rows.schema, rows.time, rows.numbers, rows.strings)
		r.written[key] = append(r.written[key], rows.time)
		r.times++
	}
}

// Leaf is what a wanted leaf holds after the entries, where it held base before them (zero: no points). The view is any
// replica's of a state behind both; a leaf without points has the zero digest. ErrUntold: its leaf does not give the base.
func (r *Replay) Leaf(ctx context.Context, v *View, leaf digest.Leaf, base digest.LeafDigest) (digest.LeafDigest, error) {
	older := make(map[string][]layer)
	if base.Points > 0 {
		var err error
		if older, err = r.base(ctx, v, leaf, base); err != nil {
			return digest.LeafDigest{}, err
		}
	}
	lo, hi := WindowStart(leaf.Window, r.windowNs), windowEnd(leaf.Window, r.windowNs)
	keys := slices.Collect(maps.Keys(older))
	for key := range r.head.series {
		if _, has := older[key]; !has && SlotOf([]byte(key)) == leaf.Slot {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	h := digest.NewLeafHasher(leaf, uint32(blocks.FormatVersion))
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return digest.LeafDigest{}, err
		}
		layers := older[key]
		spans := r.head.spans(nil, []byte(key))
		for i := range layers {
			layers[i].spans = spans
		}
		runs := r.head.snapshot([]byte(key))
		for i := range runs {
			runs[i] = runs[i].ordered()
		}
		if over, has := headLayer(runs, len(layers), nil, lo, hi); has {
			layers = append(layers, over)
		}
		if err := h.Series([]byte(key)); err != nil {
			return digest.LeafDigest{}, err
		}
		if err := canonical(layers, lo, hi, func(block []byte, _ int) error { return h.Block(block) }); err != nil {
			return digest.LeafDigest{}, fmt.Errorf("replay leaf %s: %w", leaf, err)
		}
	}
	d, err := h.Sum()
	if err == nil && d.Points == 0 {
		d = digest.LeafDigest{}
	}
	return d, err
}

// base makes the base again of a leaf as it is now, as layers by series.
func (r *Replay) base(ctx context.Context, v *View, leaf digest.Leaf, want digest.LeafDigest) (map[string][]layer, error) {
	layers := make(map[string][]layer)
	h := digest.NewLeafHasher(leaf, uint32(blocks.FormatVersion))
	key := ""
	keep := func(block []byte, _ int) error {
		head, err := blocks.Peek(block)
		if err != nil {
			return err
		}
		layers[key] = append(layers[key], layer{order: len(layers[key]), first: head.First, last: head.Last, block: slices.Clone(block)})
		return h.Block(block)
	}
	cut := cutter{yield: keep}
	var written []int64
	err := v.ReadLeaf(ctx, leaf, func(series, block []byte) error {
		if string(series) != key {
			if err := cut.flush(); err != nil {
				return err
			}
			key, cut = string(series), cutter{yield: keep}
			written = slices.Sorted(slices.Values(r.written[key]))
			if err := h.Series(series); err != nil {
				return err
			}
		}
		var cols blocks.Columns
		if err := blocks.Decode(block, &cols); err != nil {
			return err
		}
		if without(&cols, written); cols.Len() == 0 {
			return nil
		}
		return cut.add(&cols)
	})
	if err == nil {
		err = cut.flush()
	}
	if err != nil {
		return nil, fmt.Errorf("replay leaf %s: %w", leaf, err)
	}
	if d, err := h.Sum(); err != nil || d != want {
		return nil, fmt.Errorf("leaf %s: %w: what this replica had at the last proof, it has no more", leaf, errors.Join(ErrUntold, err))
	}
	return layers, nil
}

// without removes the rows of some times, which are in order.
func without(c *blocks.Columns, times []int64) {
	has := func(row int) bool {
		_, found := slices.BinarySearch(times, c.Times[row])
		return found
	}
	for i := 0; i < c.Len(); i++ {
		j := i
		for j < c.Len() && has(j) {
			j++
		}
		if j > i {
			c.DeleteRange(c.Times[i], c.Times[j-1]+1)
		}
	}
}
