package node

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// nudgeAgain is the pause before a node is told again about the same replica.
	nudgeAgain = 3 * time.Second
	// nudgeLimit bounds one call.
	nudgeLimit = time.Second
	// nudgeForget is how long an answer is worth showing.
	nudgeForget = time.Minute
	// maxNudged bounds the groups of one call.
	maxNudged = 4096
)

// nudgeBook keeps whom this node has told about replicas that need a look, what
// they answered, and which of its own it was told about.
type nudgeBook struct {
	wake chan struct{} // holds at most one wake

	mu   sync.Mutex
	told map[nudgeKey]nudgeTold // guarded by mu
	own  map[uint32]bool        // guarded by mu: groups of this node
}

type nudgeKey struct {
	group uint32
	node  membership.NodeID
}

type nudgeTold struct {
	at     time.Time
	known  bool // it has answered
	answer nudgeAnswer
}

// nudgeAnswer is what the node of a replica makes of a nudge.
type nudgeAnswer struct {
	Takes bool   `json:"takes"` // it copies, or will
	Why   string `json:"why"`   // one line: how far it is, or what hinders it
}

func newNudgeBook() *nudgeBook {
	return &nudgeBook{wake: make(chan struct{}, 1), told: make(map[nudgeKey]nudgeTold), own: make(map[uint32]bool)}
}

// due reports whether a node may be told about a replica now, and notes it.
func (b *nudgeBook) due(k nudgeKey, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := b.told[k]
	if now.Sub(told.at) < nudgeAgain {
		return false
	}
	told.at = now
	b.told[k] = told
	return true
}

func (b *nudgeBook) answered(k nudgeKey, a nudgeAnswer, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told[k] = nudgeTold{now, true, a}
	for k, told := range b.told {
		if now.Sub(told.at) > nudgeForget {
			delete(b.told, k)
		}
	}
}

// last is what a node answered of late about a replica.
func (b *nudgeBook) last(k nudgeKey) (nudgeAnswer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := b.told[k]
	return told.answer, told.known
}

// note remembers that this node was told about its replica.
func (b *nudgeBook) note(group uint32) {
	b.mu.Lock()
	b.own[group] = true
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take gives what was noted, once.
func (b *nudgeBook) take() map[uint32]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.own
	b.own = make(map[uint32]bool)
	return own
}

// nudge tells the node of a replica that it needs a look, at most every
// nudgeAgain, and gives the last answer.
func (m *resyncs) nudge(ctx context.Context, group uint32, node membership.NodeID) (nudgeAnswer, bool) {
	k := nudgeKey{group, node}
	if m.nudges.due(k, time.Now()) {
		m.tell(ctx, node, []uint32{group})
	}
	return m.nudges.last(k)
}

// syncCopies has reconcile tell the nodes of replicas that need a copy.
type syncCopies struct{ syncs *resyncs }

// Nudge implements reconcile.Copies. A node that has not answered yet may take
// it: the log is only taken where a node says that it does not copy.
func (c syncCopies) Nudge(ctx context.Context, group uint32, server membership.ServerID) (takes bool) {
	a, known := c.syncs.nudge(ctx, group, server.NodeID)
	return a.Takes || !known
}

// nudgePeers tells the nodes of all replicas that the logs of this node's
// leaders no longer reach, each node once for all of its groups.
func (m *resyncs) nudgePeers(ctx context.Context) {
	host, now := m.node.hosts.host.Load(), time.Now()
	due := make(map[membership.NodeID][]uint32)
	for _, g := range host.Groups() {
		for _, gap := range g.Gaps() {
			if node := gap.Peer.NodeID; m.nudges.due(nudgeKey{g.ID(), node}, now) && len(due[node]) < maxNudged {
				due[node] = append(due[node], g.ID())
			}
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for node, groups := range due {
		wg.Go(func() { m.tell(ctx, node, groups) })
	}
}

func (m *resyncs) tell(ctx context.Context, node membership.NodeID, groups []uint32) {
	request, err := json.Marshal(groups)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, nudgeLimit)
	defer cancel()
	raw, err := m.node.mux.Call(ctx, node, methodNudge, request)
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
		m.nudges.answered(nudgeKey{group, node}, a, now)
	}
}

// copied tells the leader of a group that a replica of this node has its copy:
// it may be given its vote now, and not at the leader's next look.
func (m *resyncs) copied(group uint32) {
	m.node.errands.send(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, nudgeLimit)
		defer cancel()
		if _, _, err := m.caller.ask(ctx, group, methodCopied, encodeGroup(group)); err != nil {
			m.log.Debug("the leader was not told of a copy", "group", group, "err", err)
		}
	})
}

func (n *Node) answerCopied(_ context.Context, _ membership.NodeID, request []byte) ([]byte, error) {
	group, err := decodeGroup(request)
	if loop := n.hosts.reconcile.Load(); err == nil && loop != nil {
		loop.Look(group)
	}
	return nil, err
}

// answerNudge looks at the replicas that another node names, and says what is
// done about them.
func (m *resyncs) answerNudge(_ context.Context, _ membership.NodeID, request []byte) ([]byte, error) {
	var groups []uint32
	if err := json.Unmarshal(request, &groups); err != nil || len(groups) > maxNudged {
		return nil, fmt.Errorf("nudge of %d bytes: %w", len(request), err)
	}
	answers := make([]nudgeAnswer, len(groups))
	for i, group := range groups {
		answers[i] = m.nudged(group)
	}
	return json.Marshal(answers)
}

func (m *resyncs) nudged(group uint32) nudgeAnswer {
	if j := m.jobOf(group); j != nil {
		return nudgeAnswer{true, j.describe()}
	}
	why := m.why(group, true)
	if !m.settings().Enabled {
		return nudgeAnswer{false, why}
	}
	if !m.mayStart(group) {
		m.mu.Lock()
		defer m.mu.Unlock()
		past := m.past[group]
		return nudgeAnswer{past.failed == 0 && !past.log, why}
	}
	m.nudges.note(group)
	return nudgeAnswer{true, why}
}
