package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// headWrite brings one frozen head into the file, within one transaction:
//
//  1. plan: the (series, window) pairs that the head has points for, and those on disk that its deletes match
//  2. in key order, rewrite each pair: remove what deletes match, merge, put parts
//  3. drop the digests of touched leaves, and the index entries of series that have no parts left
//
// The same merge order as a reader's (format.go), so that a flush never changes what is read.
type headWrite struct {
	file     *file
	window   int64 // length, ns
	maxParts int

	blocks, digests, series *bucket
	reader                  *reader

	totals    totals
	uncounted bool     // parts went whose rows are not known
	added     [][]byte // series that putLeaf brought
	touched   map[digest.Leaf]bool
	loose     map[digest.Leaf]bool // leaves that got parts which are not canonical
	emptied   map[string]bool      // series that lost the last part of some window
	scratch   blocks.Columns
	merged    blocks.Columns
	buffer    []byte
	bytesPut  int64
}

// pair is what a flush has to do for one series in one window.
type pair struct {
	key    string // leaf | series key
	window int64
	runs   []run  // ordered; may reach beyond the window
	spans  []span // deletes that match parts
}

func newHeadWrite(f *file, tx *bolt.Tx, t totals, windowNs int64, maxParts int) *headWrite {
	w := &headWrite{file: f, window: windowNs, maxParts: maxParts, totals: t,
		blocks: f.bucket(tx, bucketBlocks), digests: f.bucket(tx, bucketDigests), series: f.bucket(tx, bucketSeries),
		touched: make(map[digest.Leaf]bool), loose: make(map[digest.Leaf]bool), emptied: make(map[string]bool)}
	w.reader = w.blocks.reader(f)
	w.blocks.bolt.FillPercent = leafFill
	return w
}

// head writes the points and deletes of a head.
func (w *headWrite) head(h *head) error {
	pairs, err := w.plan(h)
	if err != nil {
		return err
	}
	for i := range pairs {
		if err := w.rewrite(&pairs[i]); err != nil {
			return err
		}
	}
	return w.tidyIndexes()
}

// plan lists the pairs in key order.
func (w *headWrite) plan(h *head) ([]pair, error) {
	pairs := make(map[string]*pair, len(h.series))
	for key, hs := range h.series {
		w.planSeries(pairs, key, hs)
	}
	for i := range h.deletes {
		if err := w.planDelete(pairs, &h.deletes[i]); err != nil {
			return nil, err
		}
	}
	list := make([]pair, 0, len(pairs))
	for _, p := range pairs {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	return list, nil
}

func (w *headWrite) planSeries(pairs map[string]*pair, key string, hs *headSeries) {
	var runs []run
	for _, r := range hs.runs {
		if len(r.times) > 0 {
			runs = append(runs, r.ordered())
		}
	}
	slot := SlotOf([]byte(key))
	for at, ok := firstFrom(runs, MinTime); ok; {
		window := WindowOf(at, w.window)
		k := string(appendLeaf(nil, digest.Leaf{Window: window, Slot: slot})) + key
		pairs[k] = &pair{key: k, window: window, runs: runs}
		at, ok = firstFrom(runs, windowEnd(window, w.window))
	}
}

// firstFrom is the lowest time at or after `from` in ordered runs.
func firstFrom(runs []run, from int64) (at int64, ok bool) {
	at = NoEnd
	for i := range runs {
		if n, _ := slices.BinarySearch(runs[i].times, from); n < len(runs[i].times) {
			at = min(at, runs[i].times[n])
		}
	}
	return at, at != NoEnd
}

// planDelete adds the pairs on disk that a delete matches.
func (w *headWrite) planDelete(pairs map[string]*pair, d *rangeDelete) error {
	first, last := WindowOf(d.from, w.window), WindowOf(d.to-1, w.window)
	return w.reader.leaves(func(leaf digest.Leaf) error {
		if leaf.Window < first || leaf.Window > last {
			return nil
		}
		// The reader of leaves seeks anew for each leaf, so a second cursor walks inside it.
		inner := w.blocks.reader(w.file)
		return inner.seriesKeys(leaf, []byte(d.prefix), func(series []byte) {
			k := string(appendLeaf(nil, leaf)) + string(series)
			p := pairs[k]
			if p == nil {
				p = &pair{key: k, window: leaf.Window}
				pairs[k] = p
			}
			p.spans = append(p.spans, span{d.from, d.to})
		})
	})
}

// rewrite brings one pair up to date. Where parts of it, or records beside them, cannot be read, the leaf is reported as bad
// and gets only the head's points: it is wrong until it is repaired, and the log goes on.
func (w *headWrite) rewrite(p *pair) error {
	err := w.rewriteRight(p)
	var d *DamageError
	if !errors.As(err, &d) || d.Structure {
		return err
	}
	leaf, keyErr := leafOf([]byte(p.key))
	if keyErr != nil {
		return keyErr
	}
	if w.file.onBadLeaf != nil {
		w.file.onBadLeaf(leaf, &DamageError{Path: w.file.path, Leaf: leaf, Err: fmt.Errorf("it could not be written: %w", err)})
	}
	return w.blind(p, WindowStart(p.window, w.window), windowEnd(p.window, w.window))
}

func (w *headWrite) rewriteRight(p *pair) error {
	lo, hi := WindowStart(p.window, w.window), windowEnd(p.window, w.window)
	leaf, err := leafOf([]byte(p.key))
	if err != nil {
		return err
	}
	series := []byte(p.key[leafKeyBytes:])
	if slices.ContainsFunc(p.spans, func(s span) bool { return s.from <= lo && s.to >= hi }) {
		// All of it goes: no block needs to be readable.
		if err := w.drop(p.key); err != nil {
			return err
		}
		p.spans = nil
	}
	w.touched[leaf] = true
	parts, err := w.reader.parts(p.window, leaf.Slot, series)
	if err != nil {
		return err
	}
	over, has := headLayer(p.runs, len(parts), nil, lo, hi)
	if len(p.spans) > 0 {
		layers := partLayers(parts, p.spans)
		if has {
			layers = append(layers, over)
		}
		return w.replace(p.key, parts, layers, lo, hi)
	}
	if !has {
		return nil
	}
	return w.add(p.key, leaf, parts, over, lo, hi)
}

// add puts a head's points over parts. Parts at the end that are not much larger than what comes are merged with it, so
// that their number grows with the logarithm of the points; when many are left that are not full, all are merged.
func (w *headWrite) add(key string, leaf digest.Leaf, parts []part, over layer, lo, hi int64) error {
	small := 0
	for _, p := range parts {
		if p.header.Rows < blocks.MaxRows {
			small++
		}
	}
	if small >= w.maxParts {
		return w.replace(key, parts, append(partLayers(parts, nil), over), lo, hi)
	}
	cols := over.columns(&w.scratch, lo, hi)
	keep, rows := len(parts), cols.Len()
	for keep > 0 && parts[keep-1].header.Rows < blocks.MaxRows && parts[keep-1].header.Rows <= 2*rows {
		keep--
		rows += parts[keep].header.Rows
	}
	if keep < len(parts) {
		under := make([]*blocks.Columns, 0, len(parts)-keep+1)
		for _, p := range parts[keep:] {
			c := new(blocks.Columns)
			if err := blocks.Decode(p.block, c); err != nil {
				return w.reader.blame(partKey(key, p.number), err)
			}
			under = append(under, c)
		}
		blocks.Merge(&w.merged, append(under, cols)...)
		cols = &w.merged
	}
	number := uint32(0)
	if keep > 0 {
		number = parts[keep-1].number + 1
	}
	if err := w.removeParts(key, parts[keep:]); err != nil {
		return err
	}
	if err := w.putColumns(key, number, cols); err != nil {
		return err
	}
	if len(parts) == 0 {
		return w.addSeries(key)
	}
	if keep > 0 {
		w.loose[leaf] = true
	}
	return nil
}

// putColumns puts columns as parts from a number on.
func (w *headWrite) putColumns(key string, number uint32, cols *blocks.Columns) error {
	for from, to := range cols.Blocks() {
		var err error
		if w.buffer, err = blocks.EncodeRows(w.buffer[:0], cols, from, to); err != nil {
			return fmt.Errorf("encode part of %x: %w", key, err)
		}
		if err := w.put(key, number, w.buffer, to-from); err != nil {
			return err
		}
		number++
	}
	return nil
}

// blind puts a head's points behind parts that cannot be read: the damage stays what it is, found by readers and
// repaired leaf by leaf, and the log goes on.
func (w *headWrite) blind(p *pair, lo, hi int64) error {
	over, has := headLayer(p.runs, 0, nil, lo, hi)
	if !has {
		return nil
	}
	number := uint32(0)
	if k, _ := w.reader.below(successor([]byte(p.key))); k != nil && strings.HasPrefix(string(k), p.key) {
		number = binary.BigEndian.Uint32(k[len(k)-partBytes:]) + 1
	}
	if err := w.putColumns(p.key, number, over.columns(&w.scratch, lo, hi)); err != nil {
		return err
	}
	return w.addSeries(p.key)
}

// replace puts the canonical blocks of the layers in place of the parts, streaming. New parts get higher numbers, since
// the old ones are read until the end.
func (w *headWrite) replace(key string, parts []part, layers []layer, lo, hi int64) error {
	number := uint32(0)
	if n := len(parts); n > 0 {
		number = parts[n-1].number + 1
	}
	put := 0
	err := canonical(layers, lo, hi, func(block []byte, rows int) error {
		put++
		return w.put(key, number+uint32(put-1), block, rows)
	})
	if err != nil {
		return w.reader.blame(partKey(key, number), err)
	}
	if err := w.removeParts(key, parts); err != nil {
		return err
	}
	switch {
	case put == 0 && len(parts) > 0:
		w.emptied[key[leafKeyBytes:]] = true
	case put > 0 && len(parts) == 0:
		return w.addSeries(key)
	}
	return nil
}

func partKey(prefix string, number uint32) []byte {
	k := make([]byte, 0, len(prefix)+partBytes)
	return binary.BigEndian.AppendUint32(append(k, prefix...), number)
}

func (w *headWrite) put(prefix string, number uint32, block []byte, rows int) error {
	k := partKey(prefix, number)
	v := seal(k, append(make([]byte, 0, len(block)+crcBytes), block...))
	w.totals.rows += uint64(rows)
	w.totals.blockBytes += uint64(len(block))
	w.totals.parts++
	w.bytesPut += int64(len(k) + len(v))
	return w.blocks.Put(k, v)
}

func (w *headWrite) removeParts(prefix string, parts []part) error {
	for _, p := range parts {
		w.totals.rows -= uint64(p.header.Rows)
		w.totals.blockBytes -= uint64(len(p.block))
		w.totals.parts--
		if err := w.blocks.Delete(partKey(prefix, p.number)); err != nil {
			return err
		}
	}
	return nil
}

// drop removes all parts of a pair, unreadable ones too (whose rows then stay in the totals).
func (w *headWrite) drop(prefix string) error {
	var keys [][]byte
	c := w.reader.cursor
	for k, v := c.Seek([]byte(prefix)); k != nil && strings.HasPrefix(string(k), prefix); k, v = c.Next() {
		keys = append(keys, slices.Clone(k))
		w.totals.parts--
		if p, err := w.reader.part(k, v); err == nil {
			w.totals.rows -= uint64(p.header.Rows)
			w.totals.blockBytes -= uint64(len(p.block))
		}
	}
	for _, k := range keys {
		if err := w.blocks.Delete(k); err != nil {
			return err
		}
	}
	if len(keys) > 0 {
		w.emptied[prefix[leafKeyBytes:]] = true
	}
	return nil
}

// addSeries enters a series into the index.
func (w *headWrite) addSeries(key string) error {
	series := []byte(key[leafKeyBytes:])
	delete(w.emptied, string(series))
	if w.series.Get(series) != nil {
		return nil
	}
	w.totals.series++
	return w.series.Put(series, seal(series, nil))
}

// tidyIndexes removes what the rewritten pairs made wrong.
func (w *headWrite) tidyIndexes() error {
	if err := w.addAdded(); err != nil {
		return err
	}
	for leaf := range w.touched {
		if err := w.digests.Delete(appendLeaf(nil, leaf)); err != nil {
			return err
		}
	}
	for key := range w.emptied {
		series := []byte(key)
		_, left, err := w.reader.seekUp(WindowOf(MinTime, w.window), SlotOf(series), series)
		var d *DamageError
		if errors.As(err, &d) && !d.Structure {
			continue // nobody knows: it stays in the index until that leaf is trusted again (settle.go)
		}
		if err != nil {
			return err
		}
		if left || w.series.Get(series) == nil {
			continue
		}
		w.totals.series--
		if err := w.series.Delete(series); err != nil {
			return err
		}
	}
	return nil
}

// tidy merges the parts of every series of a leaf into canonical ones.
func (w *headWrite) tidy(leaf digest.Leaf) error {
	lo, hi := WindowStart(leaf.Window, w.window), windowEnd(leaf.Window, w.window)
	var keys []string
	if err := w.reader.seriesKeys(leaf, nil, func(series []byte) {
		keys = append(keys, string(appendLeaf(nil, leaf))+string(series))
	}); err != nil {
		return err
	}
	for _, key := range keys {
		parts, err := w.reader.parts(leaf.Window, leaf.Slot, []byte(key[leafKeyBytes:]))
		if err != nil {
			return err
		}
		if isCanonical(parts, blocks.FormatVersion) {
			continue
		}
		if err := w.replace(key, parts, partLayers(parts, nil), lo, hi); err != nil {
			return err
		}
	}
	return nil
}
