package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

const testGroup = 7

// door is a Transport in memory.
type door struct{ *raft.InmemTransport }

func (door) OnGap(func(membership.ServerID, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse) error) {
}
func (door) OnAppend(func(*raft.AppendEntriesRequest) *raft.AppendEntriesRequest) {}
func (door) OnAppended(func(term, leaderCommit uint64, sentAfter time.Time))      {}

func (d door) Close() error {
	d.DisconnectAll()
	return d.InmemTransport.Close()
}

// Deliver is asked for campaigns only.
func (d door) Deliver(_ context.Context, request any) error {
	timeoutNow, ok := request.(*raft.TimeoutNowRequest)
	if !ok {
		return errors.ErrUnsupported
	}
	_, own := raft.NewInmemTransport("")
	own.Connect(d.LocalAddr(), d.InmemTransport)
	return own.TimeoutNow("", d.LocalAddr(), timeoutNow, &raft.TimeoutNowResponse{})
}

// scene is a group whose voters run on real hosts, and a loop on n1, which
// leads; what other nodes answer can be made up.
type scene struct {
	loop  *Loop
	hosts map[string]*raftgroup.Host
	lead  *raftgroup.Group

	mu        sync.Mutex
	assigned  Assignment
	runs      map[string]membership.ServerID // made up answers, by node
	root      func() (digest.ID, error)
	described int // questions, without those that are made while a server catches up or is proven
	proofs    int
	roots     map[string]int                                   // questions for a root, by node
	asked     func(node membership.NodeID, group uint32) error // nil: nothing hinders an answer
}

func newScene(t *testing.T, voters ...string) *scene {
	t.Helper()
	s := &scene{hosts: make(map[string]*raftgroup.Host), runs: make(map[string]membership.ServerID), roots: make(map[string]int)}
	birth := &membership.Birth{Group: testGroup, Lineage: "6f1c8a3e-0000-4000-8000-000000000007", Epoch: 1}
	doors := make(map[string]*raft.InmemTransport)
	for _, name := range voters {
		birth.Voters = append(birth.Voters, id(name))
		_, doors[name] = raft.NewInmemTransport(raft.ServerAddress(id(name).String()))
	}
	for _, a := range doors {
		for _, b := range doors {
			a.Connect(b.LocalAddr(), b)
		}
	}
	for _, name := range voters {
		s.hosts[name] = openHost(t, name, door{doors[name]}, s.call)
	}
	var wg sync.WaitGroup
	for _, host := range s.hosts {
		wg.Go(func() { // together, so that the first campaigns and the others hear it
			if _, err := host.Ensure(t.Context(), raftgroup.Want{Group: testGroup, Birth: birth, Assigned: true}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.lead, _ = s.hosts[voters[0]].Group(testGroup)
	s.await(t, "n1 leads", time.Minute, func() bool {
		_, _, err := s.lead.Members()
		return s.lead.IsLeader() && err == nil
	})
	s.assigned = Assignment{Epoch: 1, Settled: true, Nodes: []membership.NodeID{id("n1").NodeID, id("n2").NodeID}}
	s.loop = New(s.hosts[voters[0]], s, s, nil, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.loop.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return s
}

// call answers the questions of hosts for each other's terms.
func (s *scene) call(ctx context.Context, to membership.NodeID, m raftgroup.Method, b []byte) ([]byte, error) {
	if host := s.hosts[to.Name]; host != nil {
		return host.Handle(ctx, to, m, b)
	}
	return nil, errNobody
}

var errNobody = errors.New("nobody answers")

func openHost(t *testing.T, name string, d door, call raftgroup.Caller) *raftgroup.Host {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	engine, err := raftlog.OpenShared(filepath.Join(dir, "log"), raftlog.SharedOptions{SegmentBytes: 1 << 20})
	must(err)
	votes, err := raftlog.OpenVotes(filepath.Join(dir, "votes.db"), raftlog.VotesOptions{})
	must(err)
	host, err := raftgroup.Open(raftgroup.HostConfig{
		Self: id(name).NodeID, ClusterID: "3b9f7e34-0000-4000-8000-00000000c1c1", Dir: dir, Engine: engine, Votes: votes, Call: call,
		Transport: func(uint32, string, membership.ServerID) (raftgroup.Transport, error) { return d, nil },
		TuneShard: func(o *storage.Options) { o.InitialMmapSize = 1 << 20 },
	})
	must(err)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nothing is handed over
		if err := errors.Join(host.Close(ctx), votes.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	return host
}

func (s *scene) await(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s: %+v", limit, what, s.lead.Status())
		}
	}
}

func (s *scene) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *scene) counts() (described, proofs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.described, s.proofs
}

// Of implements Assignments.
func (s *scene) Of(uint32) (Assignment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.assigned, true
}

// Settle implements Assignments.
func (s *scene) Settle(context.Context, uint32, uint64) error {
	s.change(func() { s.assigned.Settled = true })
	return nil
}

// Describe implements Peers: the made up servers have applied everything.
func (s *scene) Describe(ctx context.Context, node membership.NodeID, group uint32) (Replica, error) {
	s.mu.Lock()
	s.described++
	server, made := s.runs[node.Name]
	asked := s.asked
	s.mu.Unlock()
	if asked != nil {
		if err := asked(node, group); err != nil {
			return Replica{}, err
		}
	}
	if made {
		return Replica{Server: server, Applied: 1 << 40}, nil
	}
	host := s.hosts[node.Name]
	if host == nil {
		return Replica{}, errNobody
	}
	return Remote{func(ctx context.Context, _ membership.NodeID, b []byte) ([]byte, error) {
		return Responder{host}.Handle(ctx, id("n1").NodeID, b)
	}}.Describe(ctx, node, group)
}

// Root implements Peers.
func (s *scene) Root(_ context.Context, node membership.NodeID, _ uint32, _ string) (digest.ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proofs++
	s.roots[node.Name]++
	return s.root()
}

func TestHoldersOfASettledGroupAreAskedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "n1", "n2")
		time.Sleep(time.Minute)
		before, _ := s.counts()
		time.Sleep(10 * recheck)
		if after, _ := s.counts(); after-before < 9 || after-before > 11 {
			t.Errorf("%d questions in %v", after-before, 10*recheck)
		}
		before, _ = s.counts()
		for range 100 {
			s.loop.Poke() // leaders of other groups changed
		}
		time.Sleep(2 * gather)
		if after, _ := s.counts(); after != before {
			t.Errorf("%d questions because of pokes", after-before)
		}
		s.loop.PeerBack(id("n2").NodeID)
		time.Sleep(2 * gather)
		if after, _ := s.counts(); after != before+1 {
			t.Errorf("%d questions when the holder came back", after-before)
		}
		s.change(func() {
			s.runs["n2"] = again("n2", 1)
			s.root = func() (digest.ID, error) { return digest.ID{}, errors.New("not now") }
		})
		s.await(t, "the new id of n2 is a member", recheck+time.Second, func() bool {
			members, _, err := s.lead.Members()
			return err == nil && len(members) == 3 && members[2] == raftgroup.Member{ID: again("n2", 1)}
		})
	})
}

// The others tell their roots at the cut of a proof too: else a group would show that two of its three are equal.
func TestAllTellTheirRootsAtTheCutOfAProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "n1", "n2")
		s.change(func() {
			s.assigned.Nodes = append(s.assigned.Nodes, id("n3").NodeID)
			s.runs["n3"] = id("n3")
			s.root = func() (digest.ID, error) { return digest.ID{1}, nil }
		})
		time.Sleep(time.Hour)
		s.change(func() {
			if s.roots["n3"] != maxDiffering || s.roots["n2"] != maxDiffering || s.roots["n1"] != 0 {
				t.Errorf("roots were asked of %v, want %d of n2 and n3 each", s.roots, maxDiffering)
			}
		})
	})
}

func TestServerWithOtherDataIsProvenThriceUnderEachID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "n1")
		s.change(func() {
			s.runs["n2"] = id("n2")
			s.root = func() (digest.ID, error) { return digest.ID{1}, nil }
		})
		for i, server := range []membership.ServerID{id("n2"), again("n2", 1)} {
			s.change(func() { s.runs["n2"] = server })
			time.Sleep(time.Hour)
			why, about := s.loop.Waits(testGroup)
			if _, proofs := s.counts(); proofs != (i+1)*maxDiffering || about != server || !strings.Contains(why, "not tried again") {
				t.Errorf("%d proofs in an hour; waits for %s: %s", proofs, about, why)
			}
		}
	})
}

func TestServerWhoseProofFailsIsTriedEverMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "n1")
		s.change(func() {
			s.runs["n2"] = id("n2")
			s.root = func() (digest.ID, error) { return digest.ID{}, errors.New("no view of the cut") }
		})
		time.Sleep(10 * time.Minute)
		if _, proofs := s.counts(); proofs < 8 || proofs > 10 {
			t.Errorf("%d proofs in ten minutes", proofs)
		}
		why, _ := s.loop.Waits(testGroup)
		if !strings.Contains(why, "no view of the cut") {
			t.Errorf("why %q", why)
		}
	})
}
