package failover

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/membership"
)

// A message carries the standings of one node about one suspect:
//
//	version (1 B) | string suspect | uvarint count | count x standing
//	standing: uvarint group | string self | string leader | uvarint last term
//	        | uvarint last index | uvarint current term | flags (1 B)
//	        | uvarint voters | voters x string
//	string: uvarint length | bytes
//
// The suspect is a node id, or empty for "groups without a leader".
const messageVersion = 1

// Bounds of a message that is decoded; a node has one standing a group.
const (
	maxStandings = 1 << 16
	maxVoters    = 64
	maxIDBytes   = 256
)

const (
	flagVoter = 1 << iota
	flagReady
	flagPrimary
)

// ErrMessage is returned for bytes that are no message: drop them.
var ErrMessage = errors.New("malformed failover message")

type message struct {
	suspect   membership.NodeID
	standings []Standing
}

func appendMessage(dst []byte, m message) []byte {
	dst = append(dst, messageVersion)
	dst = appendString(dst, m.suspect.String())
	dst = binary.AppendUvarint(dst, uint64(len(m.standings)))
	for _, s := range m.standings {
		dst = appendStanding(dst, s)
	}
	return dst
}

func appendStanding(dst []byte, s Standing) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.Group))
	dst = appendString(dst, s.Self.String())
	dst = appendString(dst, s.Leader.String())
	dst = binary.AppendUvarint(dst, s.LastTerm)
	dst = binary.AppendUvarint(dst, s.LastIndex)
	dst = binary.AppendUvarint(dst, s.CurrentTerm)
	var flags byte
	if s.Voter {
		flags |= flagVoter
	}
	if s.Ready {
		flags |= flagReady
	}
	if s.Primary {
		flags |= flagPrimary
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(len(s.Voters)))
	for _, v := range s.Voters {
		dst = appendString(dst, v.String())
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// decodeMessage refuses whatever appendMessage would not have written.
func decodeMessage(b []byte) (message, error) {
	r := reader{b: b}
	if v := r.byte(); v != messageVersion {
		return message{}, fmt.Errorf("%w: version %d", ErrMessage, v)
	}
	var m message
	m.suspect = r.node()
	n := r.count(maxStandings)
	for range n {
		if r.failed {
			break
		}
		m.standings = append(m.standings, r.standing())
	}
	if r.failed || len(r.b) != 0 {
		return message{}, ErrMessage
	}
	return m, nil
}

// reader consumes a message from the front; after a failure it yields zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) standing() Standing {
	s := Standing{Group: uint32(r.count(1<<32 - 1)), Self: r.server(), Leader: r.server()}
	s.LastTerm, s.LastIndex, s.CurrentTerm = r.uvarint(), r.uvarint(), r.uvarint()
	flags := r.byte()
	s.Voter, s.Ready, s.Primary = flags&flagVoter != 0, flags&flagReady != 0, flags&flagPrimary != 0
	for range r.count(maxVoters) {
		s.Voters = append(s.Voters, r.server())
	}
	return s
}

func (r *reader) byte() byte {
	if r.failed || len(r.b) == 0 {
		r.failed = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.failed || n <= 0 {
		r.failed = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) count(limit uint64) uint64 {
	v := r.uvarint()
	if v > limit {
		r.failed = true
		return 0
	}
	return v
}

func (r *reader) string() string {
	n := r.count(maxIDBytes)
	if r.failed || uint64(len(r.b)) < n {
		r.failed = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) node() membership.NodeID {
	s := r.string()
	if s == "" {
		return membership.NodeID{}
	}
	id, err := membership.ParseNodeID(s)
	r.failed = r.failed || err != nil
	return id
}

func (r *reader) server() membership.ServerID {
	s := r.string()
	if s == "" {
		return membership.ServerID{}
	}
	id, err := membership.ParseServerID(s)
	r.failed = r.failed || err != nil
	return id
}
