package directory

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// The key "Vote" in bucket "conf" of raft.db is written with each change of the
// file, in its transaction: so a file that has lost something says so.
//
//	version 2 (1) | term (8) | voted in term (8) | first entry (8) | last entry (8) | candidate | CRC32C (4)
//
// Numbers are big endian. Version 1 had the term apart, under "CurrentTerm", and
// said nothing of entries:
//
//	version 1 (1) | voted in term (8) | candidate | CRC32C (4)
const (
	voteVersion     byte = 2
	oldVoteVersion  byte = 1
	voteOverhead         = 1 + 4*8 + 4
	oldVoteOverhead      = 1 + 8 + 4
)

var keyVote = []byte("Vote")

func encodeVote(v vote, first, last uint64) []byte {
	b := []byte{voteVersion}
	for _, n := range []uint64{v.term, v.votedIn, first, last} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(b, v.candidate...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeVote(b []byte) (v vote, first, last uint64, err error) {
	if len(b) < voteOverhead || crc32.Checksum(b[:len(b)-4], castagnoli) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return v, 0, 0, fmt.Errorf("vote record (%d bytes): %w", len(b), raftlog.ErrDamaged)
	}
	if b[0] != voteVersion {
		return v, 0, 0, fmt.Errorf("vote record of version %d: %w: this binary reads %d", b[0], ErrInvalid, voteVersion)
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	return vote{n(0), n(1), b[voteOverhead-4 : len(b)-4]}, n(2), n(3), nil
}
