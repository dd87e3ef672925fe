package raftgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// The intent of an install, the file groups/<id>/install. It is there from before
// the shard is switched until log and vote record fit the new shard; a start that
// finds it finishes the install. Numbers are unsigned varints, unless said
// otherwise; texts have their length before them.
//
//	magic "flotinst" 8 | version 1 | fate of the log 1 | flags 1 | cut index | cut term |
//	lineage | state | number of leaves | leaves | crc 4, little-endian CRC32C of all before it
//
//	leaf:  window (zigzag) | slot 1 | content id 32 | points | bytes
//	flags: 1 in place, 2 joiner
//
// State and leaves are there for an install in place only: otherwise the staged
// file has all of it.
const (
	intentMagic   = "flotinst"
	intentVersion = 1

	intentInPlace = 1 << 0
	intentJoiner  = 1 << 1

	// maxIntentBytes bounds what is read of the file: 40 bytes a leaf, and a state.
	maxIntentBytes = 64 << 20
)

var (
	errIntent  = errors.New("record of an install cannot be read")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// intent is an install that was decided.
type intent struct {
	Lineage string
	Cut     storage.Position
	Log     logFate
	Joiner  bool // gets a vote record with the cut's term
	InPlace bool

	State    []byte // InPlace only
	Manifest []digest.Entry
}

func (n *intent) append(dst []byte) []byte {
	flags := byte(0)
	if n.InPlace {
		flags |= intentInPlace
	}
	if n.Joiner {
		flags |= intentJoiner
	}
	start := len(dst)
	dst = append(dst, intentMagic...)
	dst = append(dst, intentVersion, byte(n.Log), flags)
	dst = binary.AppendUvarint(dst, n.Cut.Index)
	dst = binary.AppendUvarint(dst, n.Cut.Term)
	dst = append(binary.AppendUvarint(dst, uint64(len(n.Lineage))), n.Lineage...)
	dst = append(binary.AppendUvarint(dst, uint64(len(n.State))), n.State...)
	dst = binary.AppendUvarint(dst, uint64(len(n.Manifest)))
	for _, e := range n.Manifest {
		dst = append(binary.AppendVarint(dst, e.Window), e.Slot)
		dst = append(dst, e.ID[:]...)
		dst = binary.AppendUvarint(dst, e.Points)
		dst = binary.AppendUvarint(dst, e.Bytes)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func parseIntent(b []byte) (intent, error) {
	const head = len(intentMagic) + 3
	n := len(b) - 4
	if n < head || string(b[:len(intentMagic)]) != intentMagic {
		return intent{}, fmt.Errorf("%w: %d bytes that do not begin as one", errIntent, len(b))
	}
	if crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return intent{}, fmt.Errorf("%w: checksum differs", errIntent)
	}
	if v := b[head-3]; v != intentVersion {
		return intent{}, fmt.Errorf("%w: version %d, this binary reads %d", errIntent, v, intentVersion)
	}
	i := intent{Log: logFate(b[head-2]), InPlace: b[head-1]&intentInPlace != 0, Joiner: b[head-1]&intentJoiner != 0}
	r := frameReader{rest: b[head:n]}
	i.Cut = storage.Position{Index: r.uvarint(), Term: r.uvarint()}
	i.Lineage = r.text(maxLineageBytes)
	i.State = []byte(r.text(maxIntentBytes))
	count := r.uvarint()
	for ; count > 0 && !r.failed; count-- {
		e := digest.Entry{Leaf: digest.Leaf{Window: r.varint(), Slot: r.byte()}}
		copy(e.ID[:], r.take(len(e.ID)))
		e.Points, e.Bytes = r.uvarint(), r.uvarint()
		i.Manifest = append(i.Manifest, e)
	}
	if r.failed || len(r.rest) > 0 || i.Log == logKnowsMore || i.Log > logLeft || i.Cut.Index == 0 {
		return intent{}, fmt.Errorf("%w: its parts do not fit", errIntent)
	}
	return i, nil
}
