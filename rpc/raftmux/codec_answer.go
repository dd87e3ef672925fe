package raftmux

import (
	"encoding/binary"
	"time"

	"github.com/hashicorp/raft"
)

// appendRaftAnswer encodes what a Raft instance answered.
func appendRaftAnswer(dst []byte, id uint64, response any, err error) []byte {
	if err != nil {
		return appendFailed(dst, id, CodeRaft, err.Error())
	}
	switch r := response.(type) {
	case *raft.AppendEntriesResponse:
		dst = binary.AppendUvarint(append(dst, kindAppended), id)
		dst = binary.AppendUvarint(dst, r.Term)
		dst = binary.AppendUvarint(dst, r.LastLog)
		return append(dst, flag(r.Success, flagSuccess)|flag(r.NoRetryBackoff, flagNoBackoff), byte(r.ProtocolVersion))
	case *raft.RequestVoteResponse:
		return appendVoted(dst, id, r.Term, r.Granted, r.ProtocolVersion)
	case *raft.RequestPreVoteResponse:
		return appendVoted(dst, id, r.Term, r.Granted, r.ProtocolVersion)
	case *raft.TimeoutNowResponse:
		return appendDone(dst, id)
	case *raft.InstallSnapshotResponse:
		dst = binary.AppendUvarint(append(dst, kindInstalled), id)
		dst = binary.AppendUvarint(dst, r.Term)
		return append(dst, flag(r.Success, flagSuccess), byte(r.ProtocolVersion))
	default:
		return appendFailed(dst, id, CodeRaft, "no answer")
	}
}

func appendVoted(dst []byte, id, term uint64, granted bool, protocol raft.ProtocolVersion) []byte {
	dst = binary.AppendUvarint(append(dst, kindVoted), id)
	dst = binary.AppendUvarint(dst, term)
	return append(dst, flag(granted, flagGranted), byte(protocol))
}

func appendDone(dst []byte, id uint64) []byte {
	return binary.AppendUvarint(append(dst, kindDone), id)
}

func appendFailed(dst []byte, id uint64, code Code, text string) []byte {
	dst = binary.AppendUvarint(append(dst, kindFailed), id)
	dst = append(dst, byte(code))
	return append(dst, cleanText(text)...)
}

func appendCalled(dst []byte, id uint64, payload []byte) []byte {
	dst = binary.AppendUvarint(append(dst, kindCalled), id)
	return append(dst, payload...)
}

// readRaftAnswer decodes the answer of a kind into the response that Raft
// waits with. from is the server id that answered.
func readRaftAnswer(kind byte, f *fields, response any, from []byte) error {
	header := func() raft.RPCHeader {
		return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersion(f.byte()), ID: from, Addr: from}
	}
	switch r := response.(type) {
	case *raft.AppendEntriesResponse:
		if kind != kindAppended {
			return errMalformed
		}
		v := raft.AppendEntriesResponse{Term: f.uvarint(), LastLog: f.uvarint()}
		flags := f.byte()
		v.Success, v.NoRetryBackoff = flags&flagSuccess != 0, flags&flagNoBackoff != 0
		v.RPCHeader = header()
		return take(f, r, v)
	case *raft.RequestVoteResponse:
		if kind != kindVoted {
			return errMalformed
		}
		v := raft.RequestVoteResponse{Term: f.uvarint(), Granted: f.byte()&flagGranted != 0}
		v.RPCHeader = header()
		return take(f, r, v)
	case *raft.RequestPreVoteResponse:
		if kind != kindVoted {
			return errMalformed
		}
		v := raft.RequestPreVoteResponse{Term: f.uvarint(), Granted: f.byte()&flagGranted != 0}
		v.RPCHeader = header()
		return take(f, r, v)
	case *raft.InstallSnapshotResponse:
		if kind != kindInstalled {
			return errMalformed
		}
		v := raft.InstallSnapshotResponse{Term: f.uvarint(), Success: f.byte()&flagSuccess != 0}
		v.RPCHeader = header()
		return take(f, r, v)
	default: // timeoutNow, chunk: nothing but the fact
		if kind != kindDone {
			return errMalformed
		}
		return f.err()
	}
}

// take stores what was read only when the frame was read whole: Raft must not
// see half an answer.
func take[T any](f *fields, dst *T, v T) error {
	if err := f.err(); err != nil {
		return err
	}
	*dst = v
	return nil
}

// callHeader begins a call.
type callHeader struct {
	id      uint64
	method  Method
	urgent  bool
	timeout time.Duration // what is left of the caller's deadline
}

// appendCall encodes a call. The deadline is rounded up to a millisecond.
func appendCall(dst []byte, h callHeader, payload []byte) []byte {
	dst = binary.AppendUvarint(append(dst, kindCall), h.id)
	dst = append(dst, byte(h.method), flag(h.urgent, flagUrgent))
	ms := (h.timeout + time.Millisecond - 1) / time.Millisecond
	dst = binary.AppendUvarint(dst, uint64(max(ms, 0)))
	return append(dst, payload...)
}

// maxCallTimeout bounds what a peer may ask a handler's context to last.
const maxCallTimeout = time.Hour

func readCall(f *fields) (callHeader, []byte, error) {
	h := callHeader{id: f.uvarint(), method: Method(f.byte()), urgent: f.byte()&flagUrgent != 0}
	h.timeout = time.Duration(min(f.uvarint(), uint64(maxCallTimeout/time.Millisecond))) * time.Millisecond
	payload := f.tail()
	return h, payload, f.err()
}

func appendChunk(dst []byte, id, snapshot uint64, last bool, data []byte) []byte {
	dst = binary.AppendUvarint(append(dst, kindChunk), id)
	dst = binary.AppendUvarint(dst, snapshot)
	dst = append(dst, flag(last, flagLastChunk))
	return append(dst, data...)
}

func readChunk(f *fields) (id, snapshot uint64, last bool, data []byte, err error) {
	id, snapshot, last = f.uvarint(), f.uvarint(), f.byte()&flagLastChunk != 0
	data = f.tail()
	return id, snapshot, last, data, f.err()
}
