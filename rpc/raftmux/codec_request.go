package raftmux

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// errMalformed: a frame does not have the layout of format.go.
var errMalformed = errors.New("malformed frame")

// raftHeader begins every Raft request.
type raftHeader struct {
	id       uint64
	group    uint32
	lineage  uint64
	to, from uint32 // generations of the two server ids; the stream knows the nodes
	protocol uint8
}

func appendRaftHeader(dst []byte, kind byte, h raftHeader) []byte {
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, h.id)
	dst = binary.AppendUvarint(dst, uint64(h.group))
	dst = binary.BigEndian.AppendUint64(dst, h.lineage)
	dst = binary.AppendUvarint(dst, uint64(h.to))
	dst = binary.AppendUvarint(dst, uint64(h.from))
	return append(dst, h.protocol)
}

func readRaftHeader(f *fields) raftHeader {
	return raftHeader{
		id: f.uvarint(), group: f.uint32(), lineage: f.fixed64(),
		to: f.uint32(), from: f.uint32(), protocol: f.byte(),
	}
}

// isHeartbeat is hashicorp/raft's own rule.
func isHeartbeat(r *raft.AppendEntriesRequest) bool {
	return r.Term != 0 && r.PrevLogEntry == 0 && r.PrevLogTerm == 0 &&
		len(r.Entries) == 0 && r.LeaderCommitIndex == 0
}

// appendAppend encodes an AppendEntries, a heartbeat in its short form (which
// has no echo: it carries no commit index whose age would matter).
func appendAppend(dst []byte, h raftHeader, clock reading, r *raft.AppendEntriesRequest) []byte {
	if isHeartbeat(r) {
		return binary.AppendUvarint(appendRaftHeader(dst, kindHeartbeat, h), r.Term)
	}
	dst = slices.Grow(dst, 64+appendSize(r))
	dst = appendRaftHeader(dst, kindAppend, h)
	for _, v := range [...]uint64{uint64(clock), r.Term, r.PrevLogEntry, r.PrevLogTerm, r.LeaderCommitIndex, uint64(len(r.Entries))} {
		dst = binary.AppendUvarint(dst, v)
	}
	prev := entryContext{index: r.PrevLogEntry, term: r.PrevLogTerm}
	for _, e := range r.Entries {
		dst = appendEntry(dst, &prev, e)
	}
	return dst
}

// appendSize is an upper bound of the bytes of the entries.
func appendSize(r *raft.AppendEntriesRequest) int {
	const perEntry = 1 + 5*binary.MaxVarintLen64
	n := 0
	for _, e := range r.Entries {
		n += perEntry + len(e.Data) + len(e.Extensions)
	}
	return n
}

// entryContext is what the next entry is coded against.
type entryContext struct {
	index, term uint64
	nanos       int64
}

func appendEntry(dst []byte, prev *entryContext, e *raft.Log) []byte {
	flags := byte(e.Type) & entryTypeMask
	nanos, timed := unixNanos(e.AppendedAt)
	if e.Index == prev.index+1 {
		flags |= entryNextIndex
	}
	if e.Term == prev.term {
		flags |= entrySameTerm
	}
	if len(e.Extensions) > 0 {
		flags |= entryExtensions
	}
	if timed {
		flags |= entryTime
	}
	dst = append(dst, flags)
	if flags&entryNextIndex == 0 {
		dst = binary.AppendUvarint(dst, e.Index)
	}
	if flags&entrySameTerm == 0 {
		dst = binary.AppendUvarint(dst, e.Term)
	}
	if timed {
		dst = binary.AppendVarint(dst, nanos-prev.nanos) // wraps, and wraps back
		prev.nanos = nanos
	}
	if len(e.Extensions) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(e.Extensions)))
		dst = append(dst, e.Extensions...)
	}
	prev.index, prev.term = e.Index, e.Term
	dst = binary.AppendUvarint(dst, uint64(len(e.Data)))
	return append(dst, e.Data...)
}

// maxUnixSeconds: times beyond it (years 1678 to 2262) have no nanoseconds in
// 64 bits.
const maxUnixSeconds = math.MaxInt64 / int64(time.Second)

// unixNanos gives the time when it has a place in 64 bits of nanoseconds.
func unixNanos(t time.Time) (int64, bool) {
	if t.IsZero() || t.Unix() <= -maxUnixSeconds || t.Unix() >= maxUnixSeconds {
		return 0, false
	}
	return t.UnixNano(), true
}

// readAppend decodes the fields of an append. The entries never alias the
// frame unless owned says that the frame's memory is theirs.
func readAppend(f *fields, owned bool) (*raft.AppendEntriesRequest, reading, error) {
	clock := reading(f.uvarint())
	r := &raft.AppendEntriesRequest{
		Term: f.uvarint(), PrevLogEntry: f.uvarint(), PrevLogTerm: f.uvarint(), LeaderCommitIndex: f.uvarint(),
	}
	count := f.uvarint()
	const smallestEntry = 2
	if f.bad || count > maxEntries || count*smallestEntry > uint64(len(f.rest)) {
		return nil, 0, errMalformed
	}
	if count == 0 {
		return r, clock, f.err()
	}
	if !owned {
		f.rest = slices.Clone(f.rest) // one allocation for the data of all entries
	}
	logs := make([]raft.Log, count)
	r.Entries = make([]*raft.Log, count)
	prev := entryContext{index: r.PrevLogEntry, term: r.PrevLogTerm}
	for i := range logs {
		readEntry(f, &prev, &logs[i])
		r.Entries[i] = &logs[i]
	}
	return r, clock, f.err()
}

func readEntry(f *fields, prev *entryContext, e *raft.Log) {
	flags := f.byte()
	if flags&entryUnused != 0 {
		f.fail()
		return
	}
	e.Type = raft.LogType(flags & entryTypeMask)
	e.Index, e.Term = prev.index+1, prev.term
	if flags&entryNextIndex == 0 {
		e.Index = f.uvarint()
	}
	if flags&entrySameTerm == 0 {
		e.Term = f.uvarint()
	}
	if flags&entryTime != 0 {
		prev.nanos += f.varint()
		e.AppendedAt = time.Unix(0, prev.nanos)
	}
	if flags&entryExtensions != 0 {
		e.Extensions = f.bytes(f.uvarint())
	}
	if data := f.bytes(f.uvarint()); len(data) > 0 {
		e.Data = data
	}
	prev.index, prev.term = e.Index, e.Term
}

func appendVote(dst []byte, h raftHeader, r *raft.RequestVoteRequest) []byte {
	dst = appendRaftHeader(dst, kindVote, h)
	dst = binary.AppendUvarint(dst, r.Term)
	dst = binary.AppendUvarint(dst, r.LastLogIndex)
	dst = binary.AppendUvarint(dst, r.LastLogTerm)
	return append(dst, flag(r.LeadershipTransfer, flagTransfer))
}

func readVote(f *fields) (*raft.RequestVoteRequest, error) {
	r := &raft.RequestVoteRequest{Term: f.uvarint(), LastLogIndex: f.uvarint(), LastLogTerm: f.uvarint()}
	r.LeadershipTransfer = f.byte()&flagTransfer != 0
	return r, f.err()
}

func appendPreVote(dst []byte, h raftHeader, r *raft.RequestPreVoteRequest) []byte {
	dst = appendRaftHeader(dst, kindPreVote, h)
	dst = binary.AppendUvarint(dst, r.Term)
	dst = binary.AppendUvarint(dst, r.LastLogIndex)
	return binary.AppendUvarint(dst, r.LastLogTerm)
}

func readPreVote(f *fields) (*raft.RequestPreVoteRequest, error) {
	r := &raft.RequestPreVoteRequest{Term: f.uvarint(), LastLogIndex: f.uvarint(), LastLogTerm: f.uvarint()}
	return r, f.err()
}

func appendSnapshot(dst []byte, h raftHeader, r *raft.InstallSnapshotRequest) []byte {
	dst = appendRaftHeader(dst, kindSnapshot, h)
	for _, v := range [...]uint64{uint64(r.SnapshotVersion), r.Term, r.LastLogIndex, r.LastLogTerm, r.ConfigurationIndex, uint64(r.Size)} {
		dst = binary.AppendUvarint(dst, v)
	}
	return append(dst, r.Configuration...)
}

func readSnapshot(f *fields) (*raft.InstallSnapshotRequest, error) {
	version := f.uvarint()
	r := &raft.InstallSnapshotRequest{Term: f.uvarint(), LastLogIndex: f.uvarint(), LastLogTerm: f.uvarint(), ConfigurationIndex: f.uvarint()}
	size := f.uvarint()
	if version > math.MaxInt32 || size > math.MaxInt64 {
		return nil, errMalformed
	}
	r.SnapshotVersion, r.Size = raft.SnapshotVersion(version), int64(size)
	r.Configuration = slices.Clone(f.tail())
	return r, f.err()
}

// flag gives bit when on is true.
func flag(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

// err is nil when the frame was read whole.
func (f *fields) err() error {
	if !f.done() {
		return errMalformed
	}
	return nil
}
