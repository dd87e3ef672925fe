package storage

import (
	"bytes"
)

// treeWalk is the walk through one bucket: the pages below a branch are read a group at a time, and where the disk reads
// ahead, the next group of a level while this one is walked through. So there are at most two groups of each level in
// memory, and the levels above the lowest are small.
type treeWalk struct {
	*fileWalk
	flags uint32 // of each record
	from  []byte
	each  func(k, v []byte) error
	last  []byte // key
	begun bool

	levels [maxDepth + 2]treeLevel
}

// treeLevel is what the groups of one level have shown.
type treeLevel struct {
	known    bool // of overflow
	overflow int  // pages that overflow one, at most, in the last group
	group    int  // pages of the last group; 0: there was none
}

const (
	walkGroup  = 128     // pages below a branch that are read together, at most
	firstGroup = 4       // of a level, while nobody knows how large they are
	fewPages   = 2       // of the first group where few may be wanted
	groupBytes = 2 << 20 // of a group, once that is known
)

// groupSize is how many pages of a level are read together.
func (t *treeWalk) groupSize(depth int) int {
	l, n := &t.levels[depth], firstGroup
	if l.known {
		n = min(max(groupBytes/((l.overflow+1)*t.disk.pageSize), 1), walkGroup)
	}
	if t.from != nil { // a leaf or two may be all
		n = min(n, max(4*l.group, fewPages))
	}
	l.group = n
	return n
}

// treePage is a page that was looked at: a leaf, or a branch and what is below it.
type treePage struct {
	*boltPage
	list  []element
	depth int
	below pagesBelow
	err   error
}

// pagesBelow are the pages below a branch: a group that is on its way, and what comes behind it.
type pagesBelow struct {
	rest  []element
	group []element
	read  func() pagesRead // waits for the group; nil: none is on its way
}

// advance gives the next group. Where the disk reads ahead, the one behind it begins to be read; else that one waits until
// this one has shown how large pages are.
func (t *treeWalk) advance(b *pagesBelow, depth int) (group []element, read func() pagesRead) {
	if b.read == nil {
		t.prepare(b, depth)
	}
	group, read = b.group, b.read
	b.group, b.read = nil, nil
	if t.disk.ahead {
		t.prepare(b, depth)
	}
	return group, read
}

// prepare picks the next group, and begins to read it where the disk reads ahead.
func (t *treeWalk) prepare(b *pagesBelow, depth int) {
	if len(b.rest) == 0 {
		return
	}
	n := min(t.groupSize(depth), len(b.rest))
	b.group, b.rest = b.rest[:n], b.rest[n:]
	ids := make([]uint64, n)
	for i, e := range b.group {
		ids[i] = e.child
	}
	slack := t.levels[depth].overflow
	b.read = func() pagesRead { return t.disk.pages(ids, t.meta.pages, slack) }
	if t.disk.ahead {
		b.read = t.disk.begin(b.read)
	}
}

// begin begins to read, beside; what it gives waits for the end.
func (d *disk) begin(read func() pagesRead) func() pagesRead {
	done := make(chan pagesRead, 1)
	d.reads.Go(func() { done <- read() })
	return func() pagesRead { return <-done }
}

// open looks at a page that a key leads to (nil: the root), and begins to read what is below it.
func (t *treeWalk) open(p *boltPage, key []byte, depth int) (o treePage) {
	o = treePage{boltPage: p, depth: depth}
	if o.err = t.parse(&o, key); o.err != nil || p.flags == pageLeaf {
		return o
	}
	for i := 1; i < len(o.list); i++ {
		if bytes.Compare(o.list[i-1].key, o.list[i].key) >= 0 {
			o.err = badPage(p.id, "key %x leads on behind %x", o.list[i].key, o.list[i-1].key)
			return o
		}
	}
	for len(o.list) > 1 && t.from != nil && bytes.Compare(o.list[1].key, t.from) <= 0 {
		o.list = o.list[1:]
	}
	o.below.rest = o.list
	if t.disk.ahead {
		t.prepare(&o.below, depth+1)
	}
	return o
}

func (t *treeWalk) parse(o *treePage, key []byte) error {
	p := o.boltPage
	if o.depth > maxDepth {
		return badPage(p.id, "%d levels deep", o.depth)
	}
	if p.flags == pageFreelist {
		return badPage(p.id, "a freelist")
	}
	list, used, err := p.elements(make([]element, 0, p.count))
	if err != nil {
		return err
	}
	if want := (used + t.disk.pageSize - 1) / t.disk.pageSize; want != len(p.bytes)/t.disk.pageSize {
		return badPage(p.id, "%d bytes in use, on %d pages", used, len(p.bytes)/t.disk.pageSize)
	}
	t.tail(p, used)
	if len(list) == 0 && (o.depth > 0 || p.flags == pageBranch) {
		return badPage(p.id, "empty")
	}
	if key != nil && !bytes.Equal(list[0].key, key) {
		return badPage(p.id, "begins with %x, the key that leads to it is %x", list[0].key, key)
	}
	o.list = list
	return nil
}

// walk walks through a page, and all that is below it.
func (t *treeWalk) walk(o treePage) error {
	if o.err != nil {
		return o.err
	}
	if o.flags == pageLeaf {
		return t.leaf(o.boltPage, o.list)
	}
	for {
		group, read := t.advance(&o.below, o.depth+1)
		if read == nil {
			return nil
		}
		r := read()
		if err := t.take(&r); err != nil {
			return err
		}
		t.levels[o.depth+1].known, t.levels[o.depth+1].overflow = true, r.overflows
		if err := t.group(group, r.list, o.depth+1); err != nil {
			return err
		}
		t.disk.release(r)
	}
}

// group walks through pages beside each other. Of two branches the second begins to be read before the first is walked
// through.
func (t *treeWalk) group(keys []element, pages []boltPage, depth int) error {
	next := t.open(&pages[0], keys[0].key, depth)
	for i := range pages {
		now := next
		if i+1 < len(pages) {
			next = t.open(&pages[i+1], keys[i+1].key, depth)
		}
		if err := t.walk(now); err != nil {
			return err
		}
	}
	return nil
}

func (t *treeWalk) leaf(p *boltPage, list []element) error {
	for _, e := range list {
		if e.flags != t.flags {
			return badPage(p.id, "key %x has flags %#x", e.key, e.flags)
		}
		if t.begun && bytes.Compare(t.last, e.key) >= 0 {
			return badPage(p.id, "key %x lies behind %x", e.key, t.last)
		}
		t.begun, t.last = true, append(t.last[:0], e.key...)
		if err := t.each(e.key, e.value); err != nil {
			return err
		}
	}
	return nil
}
