package node

import (
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
)

// The methods of the stream between nodes that belong to no package of rpc.
// The numbers are on the wire: never reuse one. The gateway's begin at 32.
const (
	methodTerms                    = raftmux.Method(raftgroup.MethodTerms)
	methodStanding                 = raftmux.Method(raftgroup.MethodStanding)
	methodFailover  raftmux.Method = 8
	methodReconcile raftmux.Method = 9
	methodDirectory raftmux.Method = 10
	methodClock     raftmux.Method = 11
	methodResync    raftmux.Method = 12 // of a job, to the leader of its group
	methodWho       raftmux.Method = 13 // who leads a group
	methodVerdict   raftmux.Method = 14 // what separates a replica from its leader
	methodNudge     raftmux.Method = 15 // from a leader: a replica of yours needs a look
	methodNamed     raftmux.Method = 16 // whether the configuration of a group names the asker
	methodCopied    raftmux.Method = 17 // to a leader: a replica of mine has its copy
)
