package resync

import "github.com/flotilla-db/flotilla/storage/digest"

// Comparison is what separates a base from a manifest, leaf by leaf.
type Comparison struct {
	Equal     []digest.Entry // of the manifest
	Missing   []digest.Entry // of the manifest: the base has no such leaf
	Differing []digest.Entry // of the manifest: the base has the leaf with other content
	Orphans   []digest.Entry // of the base: the manifest has no such leaf

	// MovedBytes is the estimate of what it costs to bring them together: the larger side of each differing leaf, and
	// each missing one.
	MovedBytes  int64
	WantBytes   int64 // of the missing and differing leaves, as the manifest has them
	EqualBytes  int64
	OrphanBytes int64
}

// Compare compares a base with a manifest, both in leaf order. Leaves in suspect do not count as equal, whatever the
// base says of them.
func Compare(manifest, base []digest.Entry, suspect map[digest.Leaf]bool) (c Comparison) {
	for len(manifest) > 0 || len(base) > 0 {
		order := 0
		switch {
		case len(base) == 0:
			order = -1
		case len(manifest) == 0:
			order = 1
		default:
			order = manifest[0].Leaf.Compare(base[0].Leaf)
		}
		switch {
		case order < 0:
			c.Missing = append(c.Missing, manifest[0])
			c.want(manifest[0].Bytes, 0)
		case order > 0:
			c.Orphans = append(c.Orphans, base[0])
			c.OrphanBytes += int64(base[0].Bytes)
		case manifest[0].LeafDigest == base[0].LeafDigest && !suspect[manifest[0].Leaf]:
			c.Equal = append(c.Equal, manifest[0])
			c.EqualBytes += int64(manifest[0].Bytes)
		default:
			c.Differing = append(c.Differing, manifest[0])
			c.want(manifest[0].Bytes, base[0].Bytes)
		}
		if order <= 0 {
			manifest = manifest[1:]
		}
		if order >= 0 {
			base = base[1:]
		}
	}
	return c
}

func (c *Comparison) want(is, was uint64) {
	c.WantBytes += int64(is)
	c.MovedBytes += int64(max(is, was))
}

// without are the entries of a list that another does not have with the same content, both in leaf order.
func without(list, have []digest.Entry) (rest []digest.Entry) {
	for _, e := range list {
		for len(have) > 0 && have[0].Leaf.Compare(e.Leaf) < 0 {
			have = have[1:]
		}
		if len(have) == 0 || have[0] != e {
			rest = append(rest, e)
		}
	}
	return rest
}

// bytesOf is the sum of the leaf bytes.
func bytesOf(list []digest.Entry) (n int64) {
	for _, e := range list {
		n += int64(e.Bytes)
	}
	return n
}

// inPlace decides how a copy is built. Only a delta of a few bytes on a base that nobody suspects goes into the
// replica's own file; the transaction's pages, of leaves in and out, are on the heap.
func inPlace(full bool, c Comparison, suspects int) bool {
	return !full && suspects == 0 && len(c.Equal) > 0 && c.MovedBytes+c.OrphanBytes <= InPlaceBytes
}

// roomFor is what building takes on the disk, the room for one commit's garbage included.
func roomFor(place bool, c Comparison, staged int64) int64 {
	const garbage = 32 << 20 // bytes that bbolt may write beside the leaves before it reuses pages
	need := c.WantBytes + c.EqualBytes - staged
	if place {
		need = 2*c.WantBytes - staged // the stage file, and the pages of the replica's own
	}
	return max(need, 0) + garbage
}
