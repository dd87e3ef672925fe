package failover

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// nextInOrder is how long each place in the order waits for the one before
	// it, and once more for each electionCrowd groups that elect at once: a vote
	// takes longer then. Jitter is added so that places of different groups do
	// not collide.
	nextInOrder   = 300 * time.Millisecond
	orderJitter   = 100 * time.Millisecond
	electionCrowd = 32
	// exchangeTimeout bounds one exchange of standings with one peer.
	exchangeTimeout = time.Second
	// hearsayLife is how long standings of others count.
	hearsayLife = 3 * time.Second
	// leaderlessPoll is how often groups without any leader are looked for.
	leaderlessPoll = 500 * time.Millisecond
	// leaderlessPolls is how many times in a row a group must be seen in the
	// same term without a leader: a term that changes is an election under way,
	// which another candidate would only disturb.
	leaderlessPolls = 3
	// wakeQueue bounds the suspects that wait to be looked at.
	wakeQueue = 64
	// maxExchanges bounds the exchanges under way at once.
	maxExchanges = 64
)

// Groups are the replicas of this node.
type Groups interface {
	// LedBy returns the standings of the local replicas that follow a leader on
	// peer; for the zero NodeID those that know no leader.
	LedBy(peer membership.NodeID) []Standing
	// Campaign starts an election in a group if its replica is, at that moment,
	// still a voter and a follower of leader (zero: of nobody) in that term: in
	// a later one somebody else has campaigned already, and may win.
	Campaign(group uint32, leader membership.ServerID, term uint64) error
}

// Exchange sends a message to a peer's Agent.Handle and returns the answer.
type Exchange func(ctx context.Context, to membership.NodeID, message []byte) ([]byte, error)

// Agent runs the failover of one node.
type Agent struct {
	self     membership.NodeID
	groups   Groups
	exchange Exchange
	log      *slog.Logger

	wake  chan membership.NodeID // suspects to exchange standings about; bounded, the poll repeats a lost one
	heeds chan membership.NodeID // suspects of whom news has come: decide again, tell nobody (no echo)

	mu       sync.Mutex
	suspects map[membership.NodeID]struct{} // guarded by mu: peers that this node holds dead
	heard    map[standingKey]hearsay        // guarded by mu: what others said lately
	lonely   map[uint32]loneliness          // guarded by mu: groups without a leader
	decided  map[decision]time.Time         // guarded by mu: elections already ordered
}

type standingKey struct {
	group uint32
	self  membership.ServerID
}

type hearsay struct {
	Standing
	at time.Time
}

// loneliness is for how many polls a group has been in a term without a leader.
type loneliness struct {
	term  uint64
	polls int
}

// decision names one election that was ordered: one a group, leader and term.
type decision struct {
	group  uint32
	leader membership.ServerID
	term   uint64
}

// New returns an agent that does nothing until Run.
func New(self membership.NodeID, groups Groups, exchange Exchange, log *slog.Logger) *Agent {
	return &Agent{
		self: self, groups: groups, exchange: exchange, log: log,
		wake:     make(chan membership.NodeID, wakeQueue),
		heeds:    make(chan membership.NodeID, wakeQueue),
		suspects: make(map[membership.NodeID]struct{}),
		heard:    make(map[standingKey]hearsay),
		decided:  make(map[decision]time.Time),
	}
}

// Suspect tells the agent that a peer is dead or silent.
func (a *Agent) Suspect(peer membership.NodeID) {
	a.mu.Lock()
	a.suspects[peer] = struct{}{}
	a.mu.Unlock()
	poke(a.wake, peer)
}

// Trust takes Suspect back.
func (a *Agent) Trust(peer membership.NodeID) {
	a.mu.Lock()
	delete(a.suspects, peer)
	a.mu.Unlock()
}

func poke(queue chan membership.NodeID, peer membership.NodeID) {
	select {
	case queue <- peer:
	default:
	}
}

// Run exchanges and campaigns until ctx ends, then waits for what it started.
func (a *Agent) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxExchanges)
	poll := time.NewTicker(leaderlessPoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case peer := <-a.wake:
			a.round(ctx, &wg, slots, peer)
		case peer := <-a.heeds:
			a.act(ctx, &wg, peer, a.own(peer))
		case <-poll.C:
			a.forget()
			for _, peer := range a.suspected() {
				a.round(ctx, &wg, slots, peer)
			}
			a.countLonely()
			a.round(ctx, &wg, slots, membership.NodeID{})
		}
	}
}

// round tells every other voter of the groups that suspect led what this node
// knows of them, takes in the answers, and acts on what is then decided.
func (a *Agent) round(ctx context.Context, wg *sync.WaitGroup, slots chan struct{}, suspect membership.NodeID) {
	own := a.own(suspect)
	if len(own) == 0 {
		return
	}
	a.act(ctx, wg, suspect, own) // a sole voter needs no answer
	msg := appendMessage(nil, message{suspect: suspect, standings: own})
	for _, peer := range a.peersOf(own, suspect) {
		select {
		case slots <- struct{}{}:
		default:
			continue // the next poll repeats it
		}
		wg.Go(func() {
			defer func() { <-slots }()
			callCtx, cancel := context.WithTimeout(ctx, exchangeTimeout)
			defer cancel()
			reply, err := a.exchange(callCtx, peer, msg)
			if err != nil {
				return // dead as well, or not yet up: its standing stays unknown
			}
			if m, err := decodeMessage(reply); err == nil && m.suspect == suspect {
				a.hear(peer, m)
				a.act(ctx, wg, suspect, a.own(suspect))
			}
		})
	}
}

// own are this node's standings about a suspect; of groups without any leader
// only those that stay so.
func (a *Agent) own(suspect membership.NodeID) []Standing {
	standings := a.groups.LedBy(suspect)
	if suspect != (membership.NodeID{}) {
		return standings
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(standings, func(s Standing) bool {
		l := a.lonely[s.Group]
		return (l.term != s.CurrentTerm || l.polls < leaderlessPolls) && !a.heardLonely(s)
	})
}

// heardLonely reports whether another voter has just said that this term has
// no leader: it counts for our own polls. Without it the first in order would
// begin up to a poll later than the second, who would not have waited so long,
// and they would campaign against each other in step. The caller holds mu.
func (a *Agent) heardLonely(s Standing) bool {
	return slices.ContainsFunc(s.Voters, func(v membership.ServerID) bool {
		h, ok := a.heard[standingKey{s.Group, v}]
		return ok && h.Leader.IsZero() && h.CurrentTerm == s.CurrentTerm && time.Since(h.at) <= exchangeTimeout
	})
}

// countLonely looks at the groups that have no leader now.
func (a *Agent) countLonely() {
	standings := a.groups.LedBy(membership.NodeID{})
	a.mu.Lock()
	defer a.mu.Unlock()
	lonely := make(map[uint32]loneliness, len(standings))
	for _, s := range standings {
		l := loneliness{term: s.CurrentTerm, polls: 1}
		if was := a.lonely[s.Group]; was.term == s.CurrentTerm {
			l.polls += was.polls
		}
		lonely[s.Group] = l
	}
	a.lonely = lonely
}

func (a *Agent) peersOf(own []Standing, suspect membership.NodeID) []membership.NodeID {
	var peers []membership.NodeID
	for _, s := range own {
		for _, v := range s.Voters {
			if v.NodeID != a.self && v.NodeID != suspect && !slices.Contains(peers, v.NodeID) {
				peers = append(peers, v.NodeID)
			}
		}
	}
	return peers
}

// Handle takes the message of a peer and answers with this node's standings, if
// it holds the same peer dead.
func (a *Agent) Handle(_ context.Context, from membership.NodeID, payload []byte) ([]byte, error) {
	m, err := decodeMessage(payload)
	if err != nil {
		return nil, err
	}
	a.hear(from, m)
	answer := message{suspect: m.suspect}
	if a.holdsDead(m.suspect) {
		answer.standings = a.groups.LedBy(m.suspect)
		poke(a.heeds, m.suspect)
	}
	return appendMessage(nil, answer), nil
}

func (a *Agent) holdsDead(suspect membership.NodeID) bool {
	if suspect == (membership.NodeID{}) {
		return true // to know no leader needs no witness
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, dead := a.suspects[suspect]
	return dead
}

func (a *Agent) suspected() []membership.NodeID {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]membership.NodeID, 0, len(a.suspects))
	for peer := range a.suspects {
		out = append(out, peer)
	}
	return out
}

// hear keeps what a peer says of its own replicas; of others it may not speak.
func (a *Agent) hear(from membership.NodeID, m message) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range m.standings {
		if s.Self.NodeID == from {
			a.heard[standingKey{s.Group, s.Self}] = hearsay{s, now}
		}
	}
}

// forget drops what is too old to count.
func (a *Agent) forget() {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, h := range a.heard {
		if now.Sub(h.at) > hearsayLife {
			delete(a.heard, k)
		}
	}
	for d, at := range a.decided {
		if now.Sub(at) > hearsayLife {
			delete(a.decided, d)
		}
	}
}

// act orders an election for each group whose standings are those of a quorum,
// once, and campaigns when it is this node's turn.
func (a *Agent) act(ctx context.Context, wg *sync.WaitGroup, suspect membership.NodeID, own []Standing) {
	for _, s := range own {
		order := a.decide(s)
		place := slices.Index(order, s.Self)
		if place < 0 {
			continue
		}
		wait := time.Duration(place) * (a.turn(suspect, len(own)) + rand.N(orderJitter))
		wg.Go(func() { a.campaign(ctx, wait, suspect, s) })
	}
}

// turn is how long each place waits for the one before it when so many groups
// elect at once. Nodes find that a group has no leader up to a poll apart.
func (a *Agent) turn(suspect membership.NodeID, groups int) time.Duration {
	turn := nextInOrder * time.Duration(1+groups/electionCrowd)
	if suspect == (membership.NodeID{}) {
		turn += leaderlessPoll
	}
	return turn
}

// decide returns the order for the group of s, or nil if it is not known or was
// given out before.
func (a *Agent) decide(s Standing) []membership.ServerID {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := decision{s.Group, s.Leader, s.CurrentTerm}
	if _, done := a.decided[d]; done {
		return nil
	}
	standings := []Standing{s}
	for _, v := range s.Voters {
		if h, ok := a.heard[standingKey{s.Group, v}]; ok && time.Since(h.at) <= hearsayLife {
			standings = append(standings, h.Standing)
		}
	}
	if a.awaits(s, standings) {
		return nil
	}
	order := Order(s.Leader, standings)
	if order != nil {
		a.decided[d] = time.Now()
	}
	return order
}

// awaits reports whether a voter of a group without a leader should be heard
// first: all of them may be alive, and two nodes that decide by different
// quorums campaign against each other. One poll later a quorum is enough. The
// caller holds mu.
func (a *Agent) awaits(s Standing, heard []Standing) bool {
	if s.Leader != (membership.ServerID{}) || a.lonely[s.Group].polls > leaderlessPolls {
		return false
	}
	return slices.ContainsFunc(s.Voters, func(v membership.ServerID) bool {
		_, suspect := a.suspects[v.NodeID]
		return !suspect && !slices.ContainsFunc(heard, func(h Standing) bool { return h.Self == v })
	})
}

func (a *Agent) campaign(ctx context.Context, wait time.Duration, suspect membership.NodeID, s Standing) {
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
	if !a.holdsDead(suspect) {
		return // it is back
	}
	if err := a.groups.Campaign(s.Group, s.Leader, s.CurrentTerm); err != nil {
		a.log.Debug("campaign not started", "group", s.Group, "err", err)
	}
}
