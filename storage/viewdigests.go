package storage

import (
	"bytes"
	"context"
	"errors"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// contextEvery is after how many records a pass over many looks at its context.
const contextEvery = 1 << 10

// storedAll is stored for many leaves, in one pass over the file where they are in leaf order: what is compared most is
// equal, and a look-up each costs ten times as much. found[i] is false where the digest of leaves[i] has to be computed.
func (v *View) storedAll(ctx context.Context, leaves []digest.Leaf) (digests []digest.LeafDigest, found []bool, err error) {
	digests, found = make([]digest.LeafDigest, len(leaves)), make([]bool, len(leaves))
	v.shard.mu.RLock()
	if v.current() && len(v.shard.known.pending) > 0 {
		for i, leaf := range leaves {
			digests[i], found[i] = v.shard.known.at(leaf, v.pin.pos.Index)
		}
	}
	v.shard.mu.RUnlock()
	err = v.read("read digests", func(*reader) error {
		at := digestCursor{cursor: v.pin.file.bucket(v.pin.tx, bucketDigests).Cursor()}
		for i, leaf := range leaves {
			if i%contextEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if v.shard.bad.has(leaf) {
				digests[i], found[i] = digest.LeafDigest{}, false // by its bytes alone
			} else if !found[i] {
				digests[i], found[i] = at.get(leaf)
			}
		}
		return nil
	})
	return digests, found, err
}

// digestCursor walks over the digests of a transaction, for leaves that mostly follow each other.
type digestCursor struct {
	cursor     cursor
	key, value []byte // where the cursor stands; nil key: behind the last, or nowhere yet
	want       []byte // the key that was asked for last
	begun      bool
}

// get is storedDigest.
func (c *digestCursor) get(leaf digest.Leaf) (digest.LeafDigest, bool) {
	key := appendLeaf(make([]byte, 0, leafKeyBytes), leaf) // on the stack
	before := bytes.Compare(key, c.want) < 0
	c.want = append(c.want[:0], key...)
	if c.begun && !before && c.key != nil && bytes.Compare(c.key, c.want) < 0 {
		c.key, c.value = c.cursor.Next()
	}
	if !c.begun || before || c.key != nil && bytes.Compare(c.key, c.want) < 0 {
		c.key, c.value = c.cursor.Seek(c.want)
	}
	c.begun = true
	if !bytes.Equal(c.key, c.want) {
		return digest.LeafDigest{}, false
	}
	d, _, err := parseDigest(c.key, c.value)
	return d, err == nil
}

// hasAll is has for many leaves. Those whose digest is not stored are read, on all cores.
func (v *View) hasAll(ctx context.Context, want []digest.Entry) ([]bool, error) {
	leaves := make([]digest.Leaf, len(want))
	for i, e := range want {
		leaves[i] = e.Leaf
	}
	digests, found, err := v.storedAll(ctx, leaves)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	has := make([]bool, len(want))
	var rest []int
	for i, e := range want {
		if err != nil || !found[i] { // one by one: damage is told leaf by leaf
			rest = append(rest, i)
			continue
		}
		has[i] = digests[i] == e.LeafDigest && !v.distrusts(e.Leaf)
	}
	err = parallel(ctx, len(rest), func(ctx context.Context, n int) (err error) {
		has[rest[n]], err = v.has(ctx, want[rest[n]])
		return err
	})
	return has, err
}
