package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Root is the SHA-256 over the manifest in leaf order; entries may come in any order and are not changed. Leaves
// without points must be left out.
func Root(entries []Entry) ID {
	inOrder := func(a, b Entry) int { return a.Compare(b.Leaf) }
	if !slices.IsSortedFunc(entries, inOrder) {
		entries = slices.Clone(entries)
		slices.SortFunc(entries, inOrder)
	}
	h := sha256.New()
	buf := append([]byte(rootMagic), layout)
	h.Write(binary.BigEndian.AppendUint64(buf, uint64(len(entries))))
	for _, e := range entries {
		buf = appendEntry(buf[:0], e)
		h.Write(buf)
	}
	var id ID
	h.Sum(id[:0])
	return id
}
