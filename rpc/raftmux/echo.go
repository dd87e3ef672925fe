package raftmux

import (
	"encoding/binary"
	"time"
)

// How old an AppendEntries is when it arrives is not known from its arrival: a
// network that was cut holds what was sent, and delivers it when it heals. The
// receiver's own clock tells, as the timestamps of TCP do (RFC 7323, section
// 3.2): each of its pongs carries a reading, and each append the latest reading
// that its sender had seen when Raft handed it over. What an append says is
// younger than the reading in it; by how much does not matter for a bound. No
// clock is compared with another node's.

// reading is a time on the clock of the side that accepted a stream: whole
// milliseconds since then, plus 1. 0 is none.
type reading uint64

// readingAt rounds down, so that a reading is never later than its time.
func readingAt(began, now time.Time) reading {
	return reading(max(0, now.Sub(began))/time.Millisecond) + 1
}

// time is when the reading was taken: zero for none, and for one that this
// clock cannot have given yet.
func (r reading) time(began, now time.Time) time.Time {
	if r == 0 || r > readingAt(began, now) {
		return time.Time{}
	}
	return began.Add(time.Duration(r-1) * time.Millisecond)
}

// appendPong encodes a pong.
func appendPong(dst []byte, r reading) []byte {
	return binary.AppendUvarint(append(dst, kindPong), uint64(r))
}

// known is the latest reading of a stream, for the frames of that stream only.
type known struct {
	session *session
	reading reading
}

// on gives the reading if s is its stream.
func (k known) on(s *session) reading {
	if k.session != s {
		return 0
	}
	return k.reading
}

// known notes what is known of the peer's clock now.
func (l *outLink) known() known {
	s := l.session.Load()
	if s == nil {
		return known{}
	}
	return known{s, reading(s.lastReading.Load())}
}
