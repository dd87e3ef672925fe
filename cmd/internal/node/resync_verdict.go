package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// verdictLimit bounds one question for a verdict.
const verdictLimit = 3 * time.Second

// verdictAsk is a replica's question to its leader. No lease is taken for the
// answer: it says what to do first, and a job that copies plans anew.
type verdictAsk struct {
	Server membership.ServerID `json:"server"`
	Target walgap.Target       `json:"target"`
	Rates  walgap.Rates        `json:"rates"`
	Mode   walgap.Mode         `json:"mode"`
	// Ago is how old the report is, where it is what the replica held when its node
	// started; 0: it is of now.
	Ago time.Duration `json:"ago,omitempty"`
}

// verdictAnswer is what separates it from the leader.
type verdictAnswer struct {
	Verdict walgap.Verdict      `json:"verdict"`
	Leader  membership.ServerID `json:"leader"`
	Last    uint64              `json:"last"`   // of the leader's log
	Points  uint64              `json:"points"` // of its shard
	Spare   int                 `json:"spare"`  // live voters beside the asker, beyond a quorum
	Sources []string            `json:"sources"`
	// Election: all that the replica lacks is what the leader put there to lead, or
	// what was written later than the report.
	Election bool `json:"election"`
}

// entriesOfElection is what a leader appends before anybody writes: Raft's no-op
// and the command that shows its state machine that it leads.
const entriesOfElection = 2

// onlyElection reports whether a replica that is to replay has all but what
// leaders put there to lead: nothing was written that it lacks.
func onlyElection(l walgap.Leader, t walgap.Target) bool {
	return hasAllBeforeTerm(l, t) && l.Last < l.Terms[len(l.Terms)-1].First+entriesOfElection
}

// writtenSince reports whether all that a replica lacks came after its report:
// the leader began to lead later.
func writtenSince(l walgap.Leader, ledFor time.Duration, t walgap.Target, ago time.Duration) bool {
	return ledFor > 0 && ledFor < ago && hasAllBeforeTerm(l, t)
}

// hasAllBeforeTerm reports whether nothing was written between the last entry of
// a replica and the term of the leader: others may have led for a moment, as when
// all nodes start together.
func hasAllBeforeTerm(l walgap.Leader, t walgap.Target) bool {
	last := max(t.Last, t.Applied.Index)
	i := slices.IndexFunc(l.Terms, func(r walgap.TermRun) bool { return r.First == last+1 })
	if i < 0 {
		return false
	}
	for ; i+1 < len(l.Terms); i++ {
		if l.Terms[i+1].First-l.Terms[i].First > entriesOfElection {
			return false
		}
	}
	return true
}

// verdictOn asks the leader of a group about a replica as it stands.
func (m *resyncs) verdictOn(ctx context.Context, s resync.Standing, mode walgap.Mode, rate int64) (verdictAnswer, error) {
	if node := m.settings().Rate; node > 0 && (rate == 0 || node < rate) {
		rate = node
	}
	return m.askVerdict(ctx, verdictAsk{Server: s.Server, Target: s.Target, Rates: m.meter.Rates().Copying(rate), Mode: mode})
}

func (m *resyncs) askVerdict(ctx context.Context, q verdictAsk) (verdictAnswer, error) {
	ask, err := json.Marshal(q)
	if err != nil {
		return verdictAnswer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, verdictLimit)
	defer cancel()
	raw, leader, err := m.caller.ask(ctx, q.Target.Group, methodVerdict, ask)
	if err != nil {
		if errors.Is(err, errNoLeaderKnown) {
			return verdictAnswer{}, err
		}
		return verdictAnswer{}, fmt.Errorf("node %s does not answer: %w", leader.Name, err)
	}
	var a verdictAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return verdictAnswer{}, fmt.Errorf("verdict of node %s: %w", leader.Name, err)
	}
	return a, nil
}

// answerVerdict judges a replica of another node, or of this one.
func (m *resyncs) answerVerdict(ctx context.Context, _ membership.NodeID, request []byte) ([]byte, error) {
	var ask verdictAsk
	if err := json.Unmarshal(request, &ask); err != nil {
		return nil, fmt.Errorf("question for a verdict: %w", err)
	}
	g, err := m.groupOf(ask.Target.Group)
	if err != nil {
		return nil, err
	}
	if !g.IsLeader() {
		return nil, resync.ErrNotLeader
	}
	led := ledGroup{m.node, g}
	report, err := led.Report(ctx, ask.Server)
	if err != nil {
		return nil, err
	}
	a := verdictAnswer{
		Verdict: walgap.Judge(report.Leader, ask.Target, ask.Rates, ask.Mode), Leader: g.Self(), Last: report.Last, Points: report.Points,
		Spare: m.spare(g, ask.Server), Election: onlyElection(report.Leader, ask.Target) || writtenSince(report.Leader, g.LedFor(), ask.Target, ask.Ago),
	}
	if a.Verdict.Decided && !a.Verdict.Kind.Copies() {
		m.lookAtNewcomer(g, ask.Server)
	}
	for _, s := range report.Sources {
		a.Sources = append(a.Sources, s.Server.Name)
	}
	return json.Marshal(a)
}

// lookAtNewcomer has reconcile look at a group whose new replica has just shown
// that it is open: it would learn of it at its next look only.
func (m *resyncs) lookAtNewcomer(g *raftgroup.Group, server membership.ServerID) {
	members, _, err := g.Members()
	isServer := func(s raftgroup.Member) bool { return s.ID == server }
	if loop := m.node.hosts.reconcile.Load(); err == nil && loop != nil && !slices.ContainsFunc(members, isServer) {
		loop.Look(g.ID())
	}
}

// spare is how many live voters a group has beyond a quorum, without one.
func (m *resyncs) spare(g *raftgroup.Group, without membership.ServerID) int {
	members, _, err := g.Members()
	if err != nil {
		return 0
	}
	voters, live := 0, 0
	for _, s := range members {
		if !s.Voter {
			continue
		}
		voters++
		if s.ID != without && m.node.liveness.Up(s.ID.NodeID) {
			live++
		}
	}
	return live - (voters/2 + 1)
}

// encodeGroup and decodeGroup are requests that name a group and nothing else.
func encodeGroup(group uint32) []byte { return binary.BigEndian.AppendUint32(nil, group) }

func decodeGroup(b []byte) (uint32, error) {
	if len(b) != 4 {
		return 0, fmt.Errorf("a request of %d bytes names no group", len(b))
	}
	return binary.BigEndian.Uint32(b), nil
}
