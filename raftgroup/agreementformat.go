package raftgroup

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// The file `groups/<id>/agreed`. Integers are little-endian.
//
//	+------------------------------+-------------+-----------------------------+---------+------------+
//	| "flotilla agreed" version 1  | index 8     | lineage length 2, lineage   | root 32 | leaves 8   |
//	+------------------------------+-------------+-----------------------------+---------+------------+
//	| window 8 | slot 1 | content id 32 | points 8 | bytes 8 |      a leaf, in leaf order
//	+-------------------------------------------------------+
//	| CRC32C of all before it 4 |
//	+---------------------------+
//
// The root is digest.Root of the leaves.
const (
	agreementMagic = "flotilla agreed\x01"
	agreedLeaf     = 8 + 1 + 32 + 8 + 8
)

var (
	errAgreement = errors.New("not an agreement")
	agreementCRC = crc32.MakeTable(crc32.Castagnoli)
)

func (a *Agreement) encode() []byte {
	b := append(make([]byte, 0, 128+len(a.Entries)*agreedLeaf), agreementMagic...)
	b = binary.LittleEndian.AppendUint64(b, a.Index)
	b = append(binary.LittleEndian.AppendUint16(b, uint16(len(a.Lineage))), a.Lineage...)
	root := digest.Root(a.Entries)
	b = binary.LittleEndian.AppendUint64(append(b, root[:]...), uint64(len(a.Entries)))
	for _, e := range a.Entries {
		b = append(binary.LittleEndian.AppendUint64(b, uint64(e.Window)), e.Slot)
		b = append(b, e.ID[:]...)
		b = binary.LittleEndian.AppendUint64(b, e.Points)
		b = binary.LittleEndian.AppendUint64(b, e.Bytes)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, agreementCRC))
}

func decodeAgreement(b []byte) (a Agreement, err error) {
	n := len(b) - 4
	head := len(agreementMagic) + 8 + 2
	if n < head || string(b[:len(agreementMagic)]) != agreementMagic || crc32.Checksum(b[:n], agreementCRC) != binary.LittleEndian.Uint32(b[n:]) {
		return a, errAgreement
	}
	a.Index = binary.LittleEndian.Uint64(b[len(agreementMagic):])
	names := int(binary.LittleEndian.Uint16(b[head-2:]))
	b = b[head:n]
	if len(b) < names+32+8 {
		return a, errAgreement
	}
	a.Lineage, b = string(b[:names]), b[names:]
	root := digest.ID(b[:32])
	leaves := binary.LittleEndian.Uint64(b[32:])
	b = b[40:]
	if uint64(len(b)) != leaves*agreedLeaf || leaves > uint64(len(b)) {
		return a, errAgreement
	}
	a.Entries = make([]digest.Entry, leaves)
	for i := range a.Entries {
		e := &a.Entries[i]
		e.Window, e.Slot = int64(binary.LittleEndian.Uint64(b)), b[8]
		copy(e.ID[:], b[9:41])
		e.Points, e.Bytes = binary.LittleEndian.Uint64(b[41:]), binary.LittleEndian.Uint64(b[49:])
		b = b[agreedLeaf:]
	}
	if digest.Root(a.Entries) != root {
		return Agreement{}, errAgreement
	}
	return a, nil
}
