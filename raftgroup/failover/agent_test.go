package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// fleet is a set of agents whose groups only record who campaigned.
type fleet struct {
	mu     sync.Mutex
	agents map[membership.NodeID]*Agent
	nodes  map[membership.NodeID]*fakeGroups
	ran    []string // "group by server at 300ms"
	start  time.Time
	wins   bool // a campaign ends the group's leaderlessness everywhere
}

type fakeGroups struct {
	fleet *fleet
	mine  map[uint32]Standing
}

func (g *fakeGroups) LedBy(peer membership.NodeID) []Standing {
	g.fleet.mu.Lock()
	defer g.fleet.mu.Unlock()
	var out []Standing
	for _, s := range g.mine {
		if s.Leader.NodeID == peer {
			out = append(out, s)
		}
	}
	return out
}

func (g *fakeGroups) Campaign(group uint32, leader membership.ServerID, _ uint64) error {
	g.fleet.mu.Lock()
	defer g.fleet.mu.Unlock()
	s := g.mine[group]
	if s.Leader != leader {
		return errors.New("no longer follows it")
	}
	g.fleet.ran = append(g.fleet.ran, fmt.Sprintf("%d by %s", group, s.Self.Name))
	if !g.fleet.wins {
		return nil
	}
	for _, n := range g.fleet.nodes {
		if o, ok := n.mine[group]; ok {
			o.Leader = s.Self
			n.mine[group] = o
		}
	}
	return nil
}

// newFleet starts an agent a name; standings are what each one knows.
func newFleet(t *testing.T, ctx context.Context, standings ...Standing) *fleet {
	f := &fleet{agents: map[membership.NodeID]*Agent{}, nodes: map[membership.NodeID]*fakeGroups{}, start: time.Now(), wins: true}
	for _, s := range standings {
		node := s.Self.NodeID
		if f.nodes[node] == nil {
			g := &fakeGroups{fleet: f, mine: map[uint32]Standing{}}
			f.nodes[node] = g
			f.agents[node] = New(node, g, f.exchangeFrom(node), slog.New(slog.DiscardHandler))
		}
		f.nodes[node].mine[s.Group] = s
	}
	var wg sync.WaitGroup
	for _, a := range f.agents {
		wg.Go(func() { _ = a.Run(ctx) })
	}
	t.Cleanup(wg.Wait)
	return f
}

// join lets two fleets reach each other.
func (f *fleet) join(other *fleet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	maps.Copy(f.agents, other.agents)
	other.agents = maps.Clone(f.agents)
}

func (f *fleet) exchangeFrom(from membership.NodeID) Exchange {
	return func(ctx context.Context, to membership.NodeID, msg []byte) ([]byte, error) {
		f.mu.Lock()
		a := f.agents[to]
		f.mu.Unlock()
		if a == nil {
			return nil, errors.New("refused")
		}
		return a.Handle(ctx, from, msg)
	}
}

func (f *fleet) campaigns() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.ran...)
}

func TestLeaderDiesAndOneSurvivorCampaignsForEachGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var all []Standing
		for g := range uint32(85) {
			inGroup := func(s *Standing) { s.Group = g }
			all = append(all, standing("n2", 3, 9, inGroup), standing("n3", 3, 9, inGroup))
		}
		f := newFleet(t, ctx, all...)
		f.agents[server("n2").NodeID].Suspect(server("n1").NodeID)
		synctest.Wait()
		if got := f.campaigns(); len(got) != 0 {
			t.Fatalf("one witness of three voters sufficed: %v", got)
		}
		f.agents[server("n3").NodeID].Suspect(server("n1").NodeID)
		synctest.Wait() // no time passes: the first in each order waits for nothing
		if got := f.campaigns(); len(got) != 85 {
			t.Fatalf("%d campaigns for 85 groups: %v", len(got), got)
		}
		cancel()
	})
}

func TestNextInOrderCampaignsWhenTheFirstDoesNotWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFleet(t, ctx, standing("n2", 3, 10), standing("n3", 3, 9))
		f.wins = false
		f.agents[server("n2").NodeID].Suspect(server("n1").NodeID)
		f.agents[server("n3").NodeID].Suspect(server("n1").NodeID)
		synctest.Wait()
		if got := fmt.Sprint(f.campaigns()); got != "[7 by n2]" {
			t.Fatalf("at once: %s", got)
		}
		time.Sleep(nextInOrder + orderJitter)
		synctest.Wait()
		if got := fmt.Sprint(f.campaigns()); got != "[7 by n2 7 by n3]" {
			t.Fatalf("after a place in the order: %s", got)
		}
		cancel()
	})
}

func TestPeerThatComesBackIsNotDeposed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFleet(t, ctx, standing("n2", 3, 10), standing("n3", 3, 9))
		n2, n3 := f.agents[server("n2").NodeID], f.agents[server("n3").NodeID]
		n3.Suspect(server("n1").NodeID)
		synctest.Wait()
		n3.Trust(server("n1").NodeID)
		n2.Suspect(server("n1").NodeID)
		time.Sleep(2 * nextInOrder)
		synctest.Wait()
		// n3 spoke as a witness before it took it back, so n2 may go once; n3 must not.
		for _, c := range f.campaigns() {
			if c != "7 by n2" {
				t.Fatalf("deposed by one that trusts the leader: %v", f.campaigns())
			}
		}
		cancel()
	})
}

func TestGroupsWithoutAnyLeaderElectOneAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		nobody := func(s *Standing) { s.Leader = membership.ServerID{} }
		f := newFleet(t, ctx, standing("n1", 2, 4, nobody), standing("n2", 2, 4, nobody, primary), standing("n3", 2, 4, nobody))
		time.Sleep((leaderlessPolls + 1) * leaderlessPoll)
		synctest.Wait()
		if got := fmt.Sprint(f.campaigns()); got != "[7 by n2]" {
			t.Fatalf("campaigns: %s", got)
		}
		cancel()
	})
}

// The second in order finds out first: it must not campaign against the first, who would have begun a moment later.
func TestFirstInOrderNeedNotFindOutFirst(t *testing.T) {
	for _, behind := range []time.Duration{50 * time.Millisecond, leaderlessPoll / 2, leaderlessPoll - 10*time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			nobody := func(s *Standing) { s.Leader = membership.ServerID{} }
			f := newFleet(t, ctx, standing("n3", 1, 4, nobody))
			f.wins = false
			f.agents[server("n3").NodeID].Suspect(server("n1").NodeID)
			time.Sleep(behind)
			late := newFleet(t, ctx, standing("n2", 2, 4, nobody))
			late.agents[server("n2").NodeID].Suspect(server("n1").NodeID)
			f.join(late)
			time.Sleep(leaderlessPolls*leaderlessPoll + 100*time.Millisecond)
			synctest.Wait()
			if got := fmt.Sprint(f.campaigns(), late.campaigns()); got != "[] [7 by n2]" {
				t.Errorf("%v apart: campaigns %s", behind, got)
			}
			cancel()
		})
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(appendMessage(nil, message{suspect: server("n1").NodeID, standings: []Standing{standing("n2", 3, 10, primary)}}))
	f.Add([]byte{messageVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err != nil {
			return
		}
		again, err := decodeMessage(appendMessage(nil, m))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Fatalf("%v became %v (%v)", m, again, err)
		}
	})
}
