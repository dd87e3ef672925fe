package raftmux

import "encoding/binary"

// A gRPC message holds frames, one behind the other:
//
//	message  = frame ...
//	frame    = length uvarint | kind u8 | body        length: of kind and body
//
// Requests travel from the side that opened the stream, answers the other way;
// an answer carries the id of its request. Numbers are uvarints where nothing
// else is said; "rest" runs to the end of the frame.
//
//	ping          = (nothing)
//	pong          = reading of the own clock (echo.go), which "echo" repeats
//	raft request  = id | group | lineage 8 B | to gen | from gen | protocol u8 | fields
//	  heartbeat     term
//	  append        echo | term | prev index | prev term | commit | count | entry ...
//	  vote          term | last index | last term | flags u8 (1: transfer)
//	  prevote       term | last index | last term
//	  timeoutNow    (nothing)
//	  snapshot      version | term | index | last term | config index | size | config rest
//	entry         = flags u8 | [index] | [term] | [time varint, ns since the
//	                previous entry's] | [length | extensions] | length | data
//	                flags: type 0-2, 3 index is the previous + 1, 4 term is the
//	                previous, 5 extensions, 6 time; "previous" of the first
//	                entry is prev index and prev term of the request
//	chunk         = id | id of the snapshot request | flags u8 (1: last) | bytes rest
//	call          = id | method u8 | flags u8 (1: urgent) | deadline in ms | payload rest
//	cancel        = id of a call or snapshot
//	answers       = id | fields
//	  appended      term | last log | flags u8 (1: success, 2: no back-off) | protocol u8
//	  voted         term | flags u8 (1: granted) | protocol u8      (vote and prevote)
//	  done          (nothing)                                       (timeoutNow, chunk)
//	  installed     term | flags u8 (1: success) | protocol u8
//	  called        payload rest
//	  failed        code u8 | text rest
//	fragment      = lane u8 | flags u8 (1: first, 2: last) | [total, if first] | bytes rest
//
// The lineage is the first 8 bytes of SHA-256 over its text. The handshake's
// frames are in hello.go.
const (
	kindHello     byte = 1
	kindChallenge byte = 2
	kindProof     byte = 3
	kindWelcome   byte = 4
	kindRefuse    byte = 5

	kindPing byte = 8
	kindPong byte = 9

	kindHeartbeat  byte = 16
	kindAppend     byte = 17
	kindVote       byte = 18
	kindPreVote    byte = 19
	kindTimeoutNow byte = 20
	kindSnapshot   byte = 21
	kindChunk      byte = 22

	kindCall   byte = 32
	kindCancel byte = 33

	kindAppended  byte = 48
	kindVoted     byte = 49
	kindDone      byte = 50
	kindInstalled byte = 51
	kindCalled    byte = 52
	kindFailed    byte = 53

	kindFragment byte = 64
)

// Bits of flag bytes.
const (
	flagTransfer  = 1
	flagSuccess   = 1
	flagNoBackoff = 2
	flagGranted   = 1
	flagLastChunk = 1
	flagUrgent    = 1

	flagFirstFragment = 1
	flagLastFragment  = 2

	entryTypeMask   = 0x07
	entryNextIndex  = 0x08
	entrySameTerm   = 0x10
	entryExtensions = 0x20
	entryTime       = 0x40
	entryUnused     = 0x80
)

// fields reads the fields of one frame. The first read beyond its end, or of a
// number that is too large, marks it bad; what is read then is zero.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) fail() { f.bad, f.rest = true, nil }

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 {
		f.fail()
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) uint32() uint32 {
	v := f.uvarint()
	if v > 1<<32-1 {
		f.fail()
		return 0
	}
	return uint32(v)
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.rest)
	if n <= 0 {
		f.fail()
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) byte() byte {
	if len(f.rest) == 0 {
		f.fail()
		return 0
	}
	b := f.rest[0]
	f.rest = f.rest[1:]
	return b
}

func (f *fields) fixed64() uint64 {
	if len(f.rest) < 8 {
		f.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(f.rest)
	f.rest = f.rest[8:]
	return v
}

// bytes reads n bytes; the result aliases the frame.
func (f *fields) bytes(n uint64) []byte {
	if n > uint64(len(f.rest)) {
		f.fail()
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

// tail reads everything that is left.
func (f *fields) tail() []byte {
	b := f.rest
	f.rest = nil
	return b
}

// done reports whether the frame was read whole and nothing is left over.
func (f *fields) done() bool { return !f.bad && len(f.rest) == 0 }

// nextFrame cuts the first frame off a message: ok is false when the message
// is not made of frames.
func nextFrame(message []byte) (kind byte, body, rest []byte, ok bool) {
	size, n := binary.Uvarint(message)
	if n <= 0 || size == 0 || size > uint64(len(message)-n) {
		return 0, nil, nil, false
	}
	frame := message[n : n+int(size)]
	return frame[0], frame[1:], message[n+int(size):], true
}

// appendFrame adds a frame (kind and body) to a message.
func appendFrame(message, frame []byte) []byte {
	message = binary.AppendUvarint(message, uint64(len(frame)))
	return append(message, frame...)
}
