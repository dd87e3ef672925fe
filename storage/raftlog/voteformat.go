package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A vote file has the layout of raft-boltdb: buckets "logs" (empty) and "conf". In "conf" each group has one
// key, so that term, vote and identity change together or not at all.
//
//	key   = "vote" | group 4, big-endian
//	value = version 1 | group 4 | generation 4 | current term 8 | last vote term 8
//	      | length uv, lineage | length uv, last vote candidate | crc 4
//
// Integers little-endian; crc is CRC32C over all before it.
const (
	voteVersion     = 1
	voteFixedSize   = 1 + 4 + 4 + 8 + 8
	maxVoteString   = 1 << 10 // of lineage and candidate
	voteKeyPrefix   = "vote"
	voteKeySize     = len(voteKeyPrefix) + 4
	voteCRCSize     = 4
	voteRecordAlloc = voteFixedSize + 128
)

func voteKey(group uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte(voteKeyPrefix), group)
}

// parseVoteKey returns the group of a key, false for a key that is none of ours.
func parseVoteKey(k []byte) (uint32, bool) {
	if len(k) != voteKeySize || string(k[:len(voteKeyPrefix)]) != voteKeyPrefix {
		return 0, false
	}
	return binary.BigEndian.Uint32(k[len(voteKeyPrefix):]), true
}

func encodeVote(v *VoteRecord) []byte {
	b := make([]byte, 0, voteRecordAlloc)
	b = append(b, voteVersion)
	b = binary.LittleEndian.AppendUint32(b, v.Group)
	b = binary.LittleEndian.AppendUint32(b, v.Generation)
	b = binary.LittleEndian.AppendUint64(b, v.CurrentTerm)
	b = binary.LittleEndian.AppendUint64(b, v.LastVoteTerm)
	b = binary.AppendUvarint(b, uint64(len(v.Lineage)))
	b = append(b, v.Lineage...)
	b = binary.AppendUvarint(b, uint64(len(v.LastVoteCand)))
	b = append(b, v.LastVoteCand...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeVote checks and decodes the record of a group.
func decodeVote(group uint32, b []byte) (VoteRecord, error) {
	bad := func(why string) (VoteRecord, error) {
		return VoteRecord{}, fmt.Errorf("vote record of group %d: %w: %s", group, ErrVoteUnreadable, why)
	}
	if len(b) < voteFixedSize+voteCRCSize {
		return bad("too short")
	}
	body, crc := b[:len(b)-voteCRCSize], binary.LittleEndian.Uint32(b[len(b)-voteCRCSize:])
	if crc32.Checksum(body, castagnoli) != crc {
		return bad("checksum")
	}
	if body[0] != voteVersion {
		return bad(fmt.Sprintf("version %d", body[0]))
	}
	v := VoteRecord{
		Group:        binary.LittleEndian.Uint32(body[1:]),
		Generation:   binary.LittleEndian.Uint32(body[5:]),
		CurrentTerm:  binary.LittleEndian.Uint64(body[9:]),
		LastVoteTerm: binary.LittleEndian.Uint64(body[17:]),
	}
	r := reader{b: body[voteFixedSize:]}
	v.Lineage = string(r.take(r.uvarint()))
	if cand := r.take(r.uvarint()); len(cand) > 0 {
		v.LastVoteCand = append([]byte(nil), cand...)
	}
	switch {
	case r.bad || len(r.b) > 0:
		return bad("length")
	case v.Group != group:
		return bad(fmt.Sprintf("it is that of group %d", v.Group))
	}
	return v, nil
}
