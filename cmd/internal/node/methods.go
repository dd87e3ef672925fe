package node

import (
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
)

// The methods of the stream between nodes that belong to no package of rpc.
// The numbers are on the wire: never reuse one. 12 to 17 are package syncing's, and the
// gateway's begin at 32.
const (
	methodTerms                    = raftmux.Method(raftgroup.MethodTerms)
	methodStanding                 = raftmux.Method(raftgroup.MethodStanding)
	methodContains                 = raftmux.Method(raftgroup.MethodContains)
	methodCommitted                = raftmux.Method(raftgroup.MethodCommitted)
	methodFailover  raftmux.Method = 8
	methodReconcile raftmux.Method = 9
	methodDirectory raftmux.Method = 10
	methodClock     raftmux.Method = 11
)
