package syncing

import (
	"encoding/binary"
	"fmt"

	"github.com/flotilla-db/flotilla/rpc/raftmux"
)

// The methods of the stream between nodes that are this package's. The numbers are
// on the wire: never reuse one. Those around them are package node's.
const (
	methodResync  raftmux.Method = 12 // of a job, to the leader of its group
	methodWho     raftmux.Method = 13 // who leads a group
	methodVerdict raftmux.Method = 14 // what separates a replica from its leader
	methodNudge   raftmux.Method = 15 // from a leader: a replica of yours needs a look
	methodNamed   raftmux.Method = 16 // whether the configuration of a group names the asker
	methodCopied  raftmux.Method = 17 // to a leader: a replica of mine has its copy
)

// Answer registers what this node answers.
func (s *Syncs) Answer(handle func(raftmux.Method, raftmux.HandlerFunc)) {
	handle(methodResync, s.responder.Answer)
	handle(methodWho, s.leaders.answerWho)
	handle(methodVerdict, s.leading.answerVerdict)
	handle(methodNudge, s.nudges.answer)
	handle(methodNamed, s.leading.answerNamed)
	handle(methodCopied, s.leading.answerCopied)
}

// encodeGroup and decodeGroup are requests that name a group and nothing else.
func encodeGroup(group uint32) []byte { return binary.BigEndian.AppendUint32(nil, group) }

func decodeGroup(b []byte) (uint32, error) {
	if len(b) != 4 {
		return 0, fmt.Errorf("a request of %d bytes names no group", len(b))
	}
	return binary.BigEndian.Uint32(b), nil
}
