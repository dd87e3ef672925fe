package raftmux

import "encoding/binary"

// Lanes keep large frames apart from each other and from small ones: each
// message takes at most one fragment of each lane.
const (
	laneRaft     = iota // AppendEntries with many or large entries
	laneCall            // large calls and answers
	laneSnapshot        // chunks of the meta group's snapshot
	laneCount
)

// maxLaneFrame bounds the frame that a lane may carry.
var maxLaneFrame = [laneCount]uint64{laneRaft: maxRaftFrame, laneCall: maxCallFrame, laneSnapshot: snapshotChunk + 64}

// laneFrame is a large frame on its way out.
type laneFrame struct {
	frame []byte
	sent  int    // bytes handed to gRPC
	group uint32 // laneRaft: later frames of this group wait behind it
	after uint64 // laneRaft: so many segments leave before its last piece
}

// fragment gives the next piece: its header, ready to be put into a message
// before the piece itself, and whether it is the last.
func (l *laneFrame) fragment(lane int) (header, piece []byte, last bool) {
	n := min(fragmentSize, len(l.frame)-l.sent)
	piece = l.frame[l.sent : l.sent+n]
	first := l.sent == 0
	l.sent += n
	last = l.sent == len(l.frame)
	h := make([]byte, 0, 4+2*binary.MaxVarintLen32)
	h = append(h, kindFragment, byte(lane), flag(first, flagFirstFragment)|flag(last, flagLastFragment))
	if first {
		h = binary.AppendUvarint(h, uint64(len(l.frame)))
	}
	header = binary.AppendUvarint(make([]byte, 0, cap(h)), uint64(len(h)+n))
	return append(header, h...), piece, last
}

// assembler puts the fragments of one stream together again. Its memory is
// bounded by the largest frame of each lane, and grows only as bytes arrive.
type assembler struct {
	lanes [laneCount]struct {
		buf    []byte
		total  uint64
		active bool
	}
}

// add takes the body of a fragment. frame is nil until the last one came; its
// memory belongs to the caller.
func (a *assembler) add(body []byte) (frame []byte, err error) {
	f := fields{rest: body}
	lane, flags := f.byte(), f.byte()
	if f.bad || lane >= laneCount {
		return nil, errMalformed
	}
	l := &a.lanes[lane]
	if flags&flagFirstFragment != 0 {
		total := f.uvarint()
		if f.bad || l.active || total == 0 || total > maxLaneFrame[lane] {
			return nil, errMalformed
		}
		l.active, l.total = true, total
		l.buf = make([]byte, 0, min(total, 4*fragmentSize))
	}
	piece := f.tail()
	if f.bad || !l.active || uint64(len(l.buf)+len(piece)) > l.total {
		return nil, errMalformed
	}
	l.buf = append(l.buf, piece...)
	if flags&flagLastFragment == 0 {
		return nil, nil
	}
	if uint64(len(l.buf)) != l.total {
		return nil, errMalformed
	}
	frame = l.buf
	l.buf, l.active = nil, false
	return frame, nil
}
