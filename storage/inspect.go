package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// ErrRecord: the blocks of a leaf all pass their checksums, but hash to something else than the digest that was stored
// for them: a page of an older state, say. The leaf is accused, not distrusted: compare it with other replicas.
var ErrRecord = errors.New("content is not what its stored digest says")

// BadLeaf is a leaf that an inspection found to be wrong.
type BadLeaf struct {
	Leaf   digest.Leaf
	Cause  error             // a *DamageError: unreadable, and distrusted by now. ErrRecord: readable
	Stored digest.LeafDigest // what its record says; zero: there is none that can be read
	Read   digest.LeafDigest // what its bytes hash to; zero: unreadable
}

// Inspection is what reading all of a shard's file has found.
type Inspection struct {
	Bytes     int64          // read from the disk
	Leaves    int            // read whole
	Bad       []BadLeaf      // in leaf order
	Entries   []digest.Entry // of the leaves that could be read, from their bytes, in leaf order: never from records
	Digests   []digest.Leaf  // records that cannot be read: they are removed, and computed again when they are needed
	Structure error          // a *DamageError that ended the inspection: the file as a whole is damaged. nil: it is sound
	FreePages int            // whose bytes mean nothing: no damage of them can be seen, and none does harm
	Harmless  []string       // damage where nobody reads: the older meta page, tails of pages. Empty for a healthy file
}

// Inspect reads everything that the view reaches from the disk, past the system's memory where it lets us: pages, keys,
// checksums and digests, and whether the file, and each page of keys, is still the one that was written last. It ends at damage of structure, which
// ends the shard too (Options.Damaged); leaves with blocks that fail are distrusted (Options.BadLeaf), and it goes on.
// pace is told after every piece read, and of no bytes between small pieces of work; it may wait, and its error ends the
// inspection. nil: none.
func (v *View) Inspect(ctx context.Context, pace func(bytes int) error) (r Inspection, err error) {
	err = v.read("inspect", func(*reader) error {
		alive := v.alive(ctx)
		p, err := v.shard.startPass(v.pin.file, v.pin.meta, pace, alive)
		if err != nil {
			return err
		}
		defer p.close()
		if pace != nil {
			p.goOn = func() error {
				if err := alive(); err != nil {
					return err
				}
				return pace(0)
			}
		}
		p.at, p.disk.ahead = &v.pin.pos, true
		r, err = p.finish(p.whole())
		return err
	})
	if err != nil {
		return r, fmt.Errorf("inspect: %w", err)
	}
	return r, nil
}

// pass is one inspection, or one step of a scrub, under a read transaction that somebody holds.
type pass struct {
	shard *Shard
	file  *file
	disk  *disk
	walk  *fileWalk
	meta  boltMeta
	goOn  func() error
	at    *Position // where the file has to stand; nil: anywhere

	records map[digest.Leaf]digest.LeafDigest // that can be read
	lost    map[digest.Leaf]bool              // records that cannot
	bad     map[digest.Leaf]*BadLeaf
	blocks  blockPass
	r       Inspection
}

// startPass begins to read what a transaction with that meta shows.
func (s *Shard) startPass(f *file, meta *boltMeta, pace func(int) error, goOn func() error) (*pass, error) {
	if meta == nil {
		return nil, fmt.Errorf("%w: the view was not begun by this version", ErrNotPinned)
	}
	p := &pass{shard: s, file: f, meta: *meta, goOn: goOn, records: make(map[digest.Leaf]digest.LeafDigest),
		lost: make(map[digest.Leaf]bool), bad: make(map[digest.Leaf]*BadLeaf)}
	p.disk = f.openDisk(meta.pageSize, true, func(n int) error {
		if err := goOn(); err != nil || pace == nil {
			return err
		}
		return pace(n)
	})
	return p, nil
}

func (p *pass) close() { p.disk.close() }

// whole reads everything.
func (p *pass) whole() error {
	if err := p.frame(); err != nil {
		return err
	}
	t, err := p.names()
	if err != nil {
		return err
	}
	if err := p.readRecords(nil); err != nil {
		return err
	}
	parts, err := p.readBlocks(nil, nil)
	if err != nil {
		return err
	}
	series, err := p.readSeries()
	if err != nil {
		return err
	}
	if parts != t.parts || series != t.series {
		return badPage(p.meta.root, "%d parts and %d series found, %d and %d expected", parts, series, t.parts, t.series)
	}
	p.gone(nil)
	return p.walk.account()
}

// frame checks what holds the file together: that it is the one that was written last, freelist and list of buckets.
func (p *pass) frame() (err error) {
	if err := errors.Join(p.file.fresh(), p.file.sameFile(int64(p.meta.pages)*int64(p.meta.pageSize))); err != nil {
		return err
	}
	if err := p.otherMeta(); err != nil {
		return err
	}
	p.walk, err = startWalk(p.disk, p.meta, p.file.sums.Load())
	if err != nil {
		return err
	}
	p.r.FreePages = p.walk.frees
	for name := range p.walk.buckets {
		if !slices.ContainsFunc([][]byte{bucketMeta, bucketBlocks, bucketDigests, bucketSeries}, func(b []byte) bool { return string(b) == name }) {
			return badPage(p.meta.root, "bucket %q is not ours", name)
		}
	}
	return nil
}

func (p *pass) harmless(s string, args ...any) {
	p.r.Harmless = append(p.r.Harmless, fmt.Sprintf(s, args...))
}

// otherMeta lists what is odd about the meta page that nobody reads, and about the parts of both that nobody reads.
func (p *pass) otherMeta() error {
	last := p.file.last.Load()
	page := p.disk.buffer(p.meta.pageSize)
	defer giveBack(page)
	for i := uint64(0); i < 2; i++ {
		if _, err := p.file.handle.ReadAt(page, int64(i)*int64(p.meta.pageSize)); err != nil {
			return badPage(i, "%w", err)
		}
		if last != p.file.last.Load() {
			return nil // a commit has just come between
		}
		m, err := parseMeta(page[metaAt:])
		newest := last != nil && last.txid%2 == i
		if newest && (err != nil || m.raw != last.raw) {
			return badPage(i, "%w", errWentBack)
		}
		beside := last != nil && err == nil && m.txid == last.txid+1 // a commit is writing it just now
		if !newest && !beside && (err != nil || last != nil && m.txid+1 != last.txid && m.txid+2 != last.txid) {
			p.harmless("meta page %d, the older one, is damaged: %v", i, err)
		}
		if !isZero(page[metaAt+metaBytes:]) {
			p.harmless("meta page %d: something behind its last byte in use", i)
		}
		if h, err := metaHead(i, page); !h {
			p.harmless("meta page %d: its head, which nobody reads: %v", i, err)
		}
	}
	return nil
}

// names reads the bucket meta: everything in it has to be readable, and of this shard.
func (p *pass) names() (t totals, err error) {
	all := make(recordMap)
	if err := p.walk.bucket(bucketMeta, nil, func(k, v []byte) error {
		if _, err := unseal(k, v); err != nil {
			return badPage(p.meta.root, "meta %q: %w", k, err)
		}
		return all.Put(k, v)
	}); err != nil {
		return t, err
	}
	id, window, err := getIdentity(all)
	if err != nil {
		return t, badPage(p.meta.root, "%w", err)
	}
	if wrong := id.differs(p.shard.o.Identity); wrong != "" || window != p.shard.o.Window {
		return t, badPage(p.meta.root, "%w: %s, windows of %v", ErrIdentity, wrong, window)
	}
	st, t, err := getState(all)
	if err != nil {
		return t, badPage(p.meta.root, "%w", err)
	}
	if p.at != nil && st.applied != *p.at {
		return t, badPage(p.meta.root, "applied %v instead of %v", st.applied, *p.at)
	}
	return t, nil
}

func (p *pass) readSeries() (series uint64, err error) {
	err = p.walk.bucket(bucketSeries, nil, func(k, v []byte) error {
		series++
		if _, err := unseal(k, v); err != nil {
			return badPage(p.walk.buckets[string(bucketSeries)].root, "series index, %x: %w", k, err)
		}
		return nil
	})
	return series, err
}

// readRecords reads the digests of the leaves from a key on; nil: of all.
func (p *pass) readRecords(from []byte) error {
	root := p.walk.buckets[string(bucketDigests)].root
	return p.walk.bucket(bucketDigests, from, func(k, v []byte) error {
		if from != nil && bytes.Compare(k, from) < 0 {
			return nil
		}
		leaf, err := leafOf(k)
		if err != nil || len(k) != leafKeyBytes {
			return badPage(root, "digest, %x: %w", k, errKey)
		}
		if d, _, err := parseDigest(k, v); err == nil {
			p.records[leaf] = d
		} else {
			p.lost[leaf] = true
		}
		return nil
	})
}

var errEnough = errors.New("enough was read")

// gone finds records of leaves that have no block: a digest goes with the last of its blocks, so that something has taken
// those alone. Leaves from a key on were not read; nil: all were.
func (p *pass) gone(to []byte) {
	for leaf, d := range p.records {
		if to != nil && bytes.Compare(appendLeaf(nil, leaf), to) >= 0 || p.bad[leaf] != nil || p.blocks.seen[leaf] {
			continue
		}
		p.accuse(leaf, &DamageError{Path: p.file.path, Leaf: leaf, Err: errors.New("its blocks are gone, its digest is there")})
		p.bad[leaf].Stored = d
	}
}

// accuse lists a leaf as bad, and distrusts it unless its blocks are readable.
func (p *pass) accuse(leaf digest.Leaf, cause error) {
	if p.bad[leaf] == nil {
		p.bad[leaf] = &BadLeaf{Leaf: leaf, Cause: cause, Stored: p.records[leaf]}
	}
	if errors.Is(cause, ErrDamaged) {
		p.shard.badLeaf(leaf, cause)
	}
}

// finish sorts what was found, and acts on it.
func (p *pass) finish(err error) (Inspection, error) {
	var page *pageError
	if errors.As(err, &page) {
		err = p.file.damage(err)
	}
	var d *DamageError
	if errors.As(err, &d) && d.Structure {
		p.r.Structure, err = d, nil
	}
	if p.walk != nil {
		p.r.Harmless = append(p.r.Harmless, p.walk.odd...)
	}
	p.r.Bytes = p.disk.bytes.Load()
	for _, b := range p.bad {
		p.r.Bad = append(p.r.Bad, *b)
	}
	slices.SortFunc(p.r.Bad, func(a, b BadLeaf) int { return a.Leaf.Compare(b.Leaf) })
	for leaf := range p.lost {
		p.r.Digests = append(p.r.Digests, leaf)
	}
	slices.SortFunc(p.r.Digests, digest.Leaf.Compare)
	p.r.Leaves = len(p.r.Entries)
	p.r.Entries = slices.DeleteFunc(p.r.Entries, func(e digest.Entry) bool {
		b := p.bad[e.Leaf]
		return b != nil && errors.Is(b.Cause, ErrDamaged) // blamed after it was read: a neighbour's key is bad
	})
	if err == nil && p.r.Structure == nil && len(p.lost) > 0 {
		p.shard.renewDigests(p.r.Digests)
	}
	return p.r, err
}
