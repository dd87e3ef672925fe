package digest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
)

// Root is the SHA-256 over the manifest in leaf order; entries may come in any order and are not changed. Leaves
// without points must be left out.
func Root(entries []Entry) ID {
	return sumEntries(sha256.New(), rootMagic, entries)
}

// Proof combines the keyed digests of leaves (NewKeyedLeafHasher), in any order, under the same key.
func Proof(key []byte, keyed []Entry) ID {
	return sumEntries(hmac.New(sha256.New, key), proofMagic, keyed)
}

func sumEntries(h hash.Hash, magic string, entries []Entry) ID {
	inOrder := func(a, b Entry) int { return a.Compare(b.Leaf) }
	if !slices.IsSortedFunc(entries, inOrder) {
		entries = slices.Clone(entries)
		slices.SortFunc(entries, inOrder)
	}
	buf := append([]byte(magic), layout)
	h.Write(binary.BigEndian.AppendUint64(buf, uint64(len(entries))))
	for _, e := range entries {
		buf = appendEntry(buf[:0], e)
		h.Write(buf)
	}
	var id ID
	h.Sum(id[:0])
	return id
}
