package syncing

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// nudgeLimit bounds one call.
	nudgeLimit = time.Second
	// maxNudged bounds the groups of one call.
	maxNudged = 4096
)

// nudges tells other nodes of replicas that need a look, and is told of this
// node's.
type nudges struct {
	config *Config
	table  *table
	book   *nudgeBook
}

// nudge tells the node of a replica that it needs a look, at most every
// nudgeAgain, and gives the last answer.
func (n *nudges) nudge(ctx context.Context, group uint32, node membership.NodeID) (nudgeAnswer, bool) {
	k := nudgeKey{group, node}
	if n.book.due(k, time.Now()) {
		n.tell(ctx, node, []uint32{group})
	}
	return n.book.last(k)
}

// tellPeers tells the nodes of all replicas that the logs of this node's
// leaders no longer reach, each node once for all of its groups.
func (n *nudges) tellPeers(ctx context.Context) {
	now := time.Now()
	due := make(map[membership.NodeID][]uint32)
	for _, g := range n.config.Groups() {
		for _, gap := range g.Gaps() {
			if node := gap.Peer.NodeID; n.book.due(nudgeKey{g.ID(), node}, now) && len(due[node]) < maxNudged {
				due[node] = append(due[node], g.ID())
			}
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for node, groups := range due {
		wg.Go(func() { n.tell(ctx, node, groups) })
	}
}

func (n *nudges) tell(ctx context.Context, node membership.NodeID, groups []uint32) {
	request, err := json.Marshal(groups)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, nudgeLimit)
	defer cancel()
	raw, err := n.config.Streams.Call(ctx, node, methodNudge, request)
	var answers []nudgeAnswer
	if err == nil {
		err = json.Unmarshal(raw, &answers)
	}
	now := time.Now()
	for i, group := range groups {
		a := nudgeAnswer{Takes: true, Why: "its node does not answer"} // as far as is known
		if err == nil && i < len(answers) {
			a = answers[i]
		}
		n.book.answered(nudgeKey{group, node}, a, now)
	}
}

// answer looks at the replicas that another node names, and says what is
// done about them.
func (n *nudges) answer(_ context.Context, _ membership.NodeID, request []byte) ([]byte, error) {
	var groups []uint32
	if err := json.Unmarshal(request, &groups); err != nil || len(groups) > maxNudged {
		return nil, fmt.Errorf("nudge of %d bytes: %w", len(request), err)
	}
	answers := make([]nudgeAnswer, len(groups))
	for i, group := range groups {
		answers[i] = n.nudged(group)
	}
	return json.Marshal(answers)
}

func (n *nudges) nudged(group uint32) nudgeAnswer {
	if j := n.table.of(group); j != nil {
		return nudgeAnswer{true, j.describe()}
	}
	why := n.table.why(group, true)
	if !n.config.Settings().Enabled {
		return nudgeAnswer{false, why}
	}
	if !n.table.mayStart(group) {
		return nudgeAnswer{n.table.willCopy(group), why}
	}
	n.book.note(group)
	return nudgeAnswer{true, why}
}
