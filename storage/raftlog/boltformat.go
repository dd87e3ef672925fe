package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// The boltdb engine's files are raft-boltdb's own, with two additions:
//
//	an entry's Extensions end in a CRC32C (4 bytes, little-endian) over index 8, term 8, type 1, extensions, data
//	bucket "conf" has the key "flotilla-log": version 1 | pending 1 | generation 4 | next 8 | crc 4
//
// pending: a Reset has not yet deleted what it empties.
const (
	boltStateVersion = 1
	boltStateSize    = 1 + 1 + 4 + 8 + 4
	boltCRCSize      = 4
)

var boltStateKey = []byte("flotilla-log")

type boltState struct {
	pending    bool
	generation uint32
	next       uint64 // while the log is empty: the only index that may be appended; 0: any
}

func (s boltState) encode() []byte {
	b := []byte{boltStateVersion, 0}
	if s.pending {
		b[1] = 1
	}
	b = binary.LittleEndian.AppendUint32(b, s.generation)
	b = binary.LittleEndian.AppendUint64(b, s.next)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeBoltState(b []byte) (boltState, error) {
	if len(b) != boltStateSize || b[0] != boltStateVersion ||
		crc32.Checksum(b[:boltStateSize-4], castagnoli) != binary.LittleEndian.Uint32(b[boltStateSize-4:]) {
		return boltState{}, fmt.Errorf("log state: %w", ErrDamaged)
	}
	return boltState{
		pending:    b[1] != 0,
		generation: binary.LittleEndian.Uint32(b[2:]),
		next:       binary.LittleEndian.Uint64(b[6:]),
	}, nil
}

func readBoltState(store *raftboltdb.BoltStore) (boltState, error) {
	b, err := store.Get(boltStateKey)
	if err != nil && err.Error() == raftboltdb.ErrKeyNotFound.Error() {
		return boltState{}, nil
	}
	if err != nil {
		return boltState{}, err
	}
	return decodeBoltState(b)
}

func boltCRC(log *raft.Log, ext []byte) uint32 {
	var head [17]byte
	binary.LittleEndian.PutUint64(head[:], log.Index)
	binary.LittleEndian.PutUint64(head[8:], log.Term)
	head[16] = byte(log.Type)
	crc := crc32.Update(0, castagnoli, head[:])
	crc = crc32.Update(crc, castagnoli, ext)
	return crc32.Update(crc, castagnoli, log.Data)
}

// sealBolt is the entry as it is stored.
func sealBolt(log *raft.Log) *raft.Log {
	sealed := *log
	sealed.Extensions = binary.LittleEndian.AppendUint32(slices.Clip(log.Extensions), boltCRC(log, log.Extensions))
	return &sealed
}

// unsealBolt makes the entry what it was; false: it is not entry i, or fails its CRC.
func unsealBolt(i uint64, log *raft.Log) bool {
	n := len(log.Extensions) - boltCRCSize
	if n < 0 || log.Index != i {
		return false
	}
	ext, crc := log.Extensions[:n:n], binary.LittleEndian.Uint32(log.Extensions[n:])
	if log.Extensions = ext; n == 0 {
		log.Extensions = nil
	}
	return boltCRC(log, ext) == crc
}
