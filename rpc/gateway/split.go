package gateway

import (
	"sync"

	"github.com/flotilla-db/flotilla/storage"
)

// part is what one write brings to one group.
type part struct {
	group  uint32
	frames []byte // command frames, untouched from here to the log

	outcome  outcome
	err      error
	leader   string // with notLeader: who is believed to lead
	failed   string // name of the node that the last attempt failed at
	proposal Proposal
}

// scratch is memory that a split needs only while it runs.
type scratch struct {
	groups []uint32
	points []storage.Point
	counts []int32
	frames []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// split sorts a batch's points by group, in their order, and encodes each
// group's part once. A group whose points do not fit one proposal gets
// several parts, which must be carried out in order: they are in different
// rounds. The points are valid (checkPoints).
func split(points []storage.Point, totalGroups uint32, proposalBytes int) (rounds [][]*part) {
	s := scratches.Get().(*scratch)
	defer s.release()
	sorted := s.sort(points, totalGroups)
	for begin := 0; begin < len(sorted); {
		group := s.groups[begin]
		round, size, at := 0, 0, begin
		for ; at < len(sorted) && s.groups[at] == group; at++ {
			n := storage.PutBytes(&sorted[at])
			if size > 0 && size+n > proposalBytes {
				rounds = s.encode(rounds, round, group, sorted[begin:at])
				begin, size, round = at, 0, round+1
			}
			size += n
		}
		rounds = s.encode(rounds, round, group, sorted[begin:at])
		begin = at
	}
	return rounds
}

// sort gives the points ordered by group (stable), and their groups in
// s.groups. One point, the hot case, is not copied.
func (s *scratch) sort(points []storage.Point, totalGroups uint32) []storage.Point {
	s.groups = s.groups[:0]
	if len(points) == 1 {
		s.groups = append(s.groups, groupOf(&points[0], totalGroups))
		return points
	}
	s.counts = append(s.counts[:0], make([]int32, totalGroups+1)...)
	same := true
	for i := range points {
		group := groupOf(&points[i], totalGroups)
		same = same && (i == 0 || group == s.groups[0])
		s.groups = append(s.groups, group)
		s.counts[group+1]++
	}
	if same {
		return points
	}
	for i := 1; i < len(s.counts); i++ {
		s.counts[i] += s.counts[i-1]
	}
	s.points = append(s.points[:0], points...) // sets the length; overwritten below
	for i := range points {
		group := s.groups[i]
		s.points[s.counts[group]] = points[i]
		s.counts[group]++
	}
	for group := range totalGroups { // counts[group] is now where the group ends
		begin := int32(0)
		if group > 0 {
			begin = s.counts[group-1]
		}
		for i := begin; i < s.counts[group]; i++ {
			s.groups[i] = group
		}
	}
	return s.points
}

func groupOf(p *storage.Point, totalGroups uint32) uint32 {
	return storage.GroupOf(p.Database, p.Collection, p.Device, totalGroups)
}

// encode adds a part to its round. The frames get memory of their own: the
// log may keep them long after the batch is gone.
func (s *scratch) encode(rounds [][]*part, round int, group uint32, points []storage.Point) [][]*part {
	s.frames = storage.AppendPut(s.frames[:0], points)
	frames := make([]byte, len(s.frames))
	copy(frames, s.frames)
	if round == len(rounds) {
		rounds = append(rounds, nil)
	}
	rounds[round] = append(rounds[round], &part{group: group, frames: frames})
	return rounds
}

// release gives the memory back, without the points' strings.
func (s *scratch) release() {
	clear(s.points)
	if cap(s.frames) <= 1<<20 {
		scratches.Put(s)
	}
}
