package raftmux

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/membership"
)

// pairOf opens one group's transports on two connected nodes.
func pairOf(t *testing.T, nodes []*node, group uint32) (*Transport, *Transport, raft.ServerAddress) {
	t.Helper()
	wait(t, "streams", time.Second, connected(nodes...))
	a := nodes[0].Transport(group, testLineage, nodes[0].id.Server(0))
	b := nodes[1].Transport(group, testLineage, nodes[1].id.Server(0))
	return a, b, b.LocalAddr()
}

func entries(first uint64, sizes ...int) *raft.AppendEntriesRequest {
	r := &raft.AppendEntriesRequest{Term: 1, PrevLogEntry: first - 1, PrevLogTerm: 1}
	for i, size := range sizes {
		r.Entries = append(r.Entries, &raft.Log{Index: first + uint64(i), Term: 1, Data: make([]byte, size)})
	}
	return r
}

// Small AppendEntries of a group never overtake a large one, whatever the
// lanes; a heartbeat does.
func TestGroupOrderHoldsAcrossLargeFrames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		defer b.Close()
		beats := make(chan int, 1)
		var arrived atomic.Int32
		b.SetHeartbeatHandler(func(rpc raft.RPC) {
			beats <- int(arrived.Load())
			rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
		})
		s := a.mux.peers[nodes[1].id].out.session.Load()
		// Queued under the sender's lock, so that all of it waits at once.
		big := entries(1, 4<<20)
		var want []uint64
		for i := range uint64(10) {
			r := entries(2+i, 10)
			if i == 0 {
				r = big
			}
			want = append(want, r.PrevLogEntry)
			p := &pending{owner: a, answer: &raft.AppendEntriesResponse{}, done: make(chan struct{})}
			if _, err := s.request(p, a.appendFrameOf(r), func(dst []byte, id uint64) []byte {
				return appendAppend(dst, raftHeader{id: id, group: 7, lineage: lineageTag(testLineage), protocol: 3}, 0, r)
			}); err != nil {
				t.Fatalf("request: %v", err)
			}
		}
		go a.AppendEntries("", addr, &raft.AppendEntriesRequest{Term: 1}, &raft.AppendEntriesResponse{})
		var got []uint64
		for range want {
			rpc := <-b.Consumer()
			got = append(got, rpc.Command.(*raft.AppendEntriesRequest).PrevLogEntry)
			arrived.Add(1)
			rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
		}
		if !slices.Equal(got, want) {
			t.Errorf("arrived in order %v", got)
		}
		<-beats
	})
}

func TestPipelineKeepsTwoOnTheWayAndNoMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		defer b.Close()
		p, err := a.AppendEntriesPipeline("", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		var sent atomic.Int32
		go func() {
			for i := range uint64(5) {
				if _, err := p.AppendEntries(entries(i+1, 10), &raft.AppendEntriesResponse{}); err != nil {
					t.Errorf("append %d: %v", i, err)
				}
				sent.Add(1)
			}
		}()
		<-time.After(100 * time.Millisecond)
		if got := sent.Load(); got != maxPipelined {
			t.Fatalf("%d on the way", got)
		}
		for i := range uint64(5) {
			rpc := <-b.Consumer()
			rpc.Respond(&raft.AppendEntriesResponse{Success: true, LastLog: i}, nil)
			f := <-p.Consumer()
			if f.Error() != nil || f.Response().LastLog != i || f.Request().PrevLogEntry != i {
				t.Fatalf("answer %d: %+v, %v", i, f.Response(), f.Error())
			}
		}
	})
}

// Raft renews its lease for whatever Consumer gives it: an AppendEntries that
// nobody answered must not come out there.
func TestFailedPipelineRequestIsNoSignOfLife(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		defer b.Close()
		p, err := a.AppendEntriesPipeline("", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		n.cut("n1", "n2")
		f, err := p.AppendEntries(entries(1, 10), &raft.AppendEntriesResponse{})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := f.Error(); !errors.Is(err, ErrBroken) {
			t.Errorf("future: %v", err)
		}
		if took := time.Since(begin); took >= 2*time.Second || took < time.Second {
			t.Errorf("deadline after %v: not under half of the lease", took)
		}
		select {
		case f := <-p.Consumer():
			t.Errorf("consumer gave %+v", f.Response())
		default:
		}
		if _, err := p.AppendEntries(entries(2, 10), &raft.AppendEntriesResponse{}); err == nil {
			t.Error("the pipeline goes on after a failure")
		}
	})
}

// An append to a peer that is late is another matter: away_test.go.
func TestRPCsEndWithinTheirDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		defer b.Close() // nobody consumes there
		for name, call := range map[string]func(raft.ServerAddress) error{
			"heartbeat": func(to raft.ServerAddress) error {
				return a.AppendEntries("", to, &raft.AppendEntriesRequest{Term: 1}, &raft.AppendEntriesResponse{})
			},
			"vote": func(to raft.ServerAddress) error {
				return a.RequestVote("", to, &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{})
			},
			"now": func(to raft.ServerAddress) error { return a.TimeoutNow("", to, nil, &raft.TimeoutNowResponse{}) },
		} {
			for _, to := range []raft.ServerAddress{addr, "n9.0a1b2c3d.0"} {
				begin := time.Now()
				err := call(to)
				if took := time.Since(begin); err == nil || took >= 2*time.Second {
					t.Errorf("%s to %s: %v after %v", name, to, err, took)
				}
			}
		}
	})
}

func TestClosedTransportFailsItsRequestsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		done := make(chan error, 2)
		go func() { done <- a.AppendEntries("", addr, entries(1, 1), &raft.AppendEntriesResponse{}) }()
		go func() {
			done <- a.RequestVote("", "n9.0a1b2c3d.0", &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{})
		}()
		<-time.After(50 * time.Millisecond)
		begin := time.Now()
		a.Close()
		for range 2 {
			if err := <-done; err == nil || errors.Is(err, ErrBroken) {
				t.Errorf("got %v", err)
			}
		}
		// At the other end what was delivered is answered with an error.
		go func() {
			again := nodes[0].Transport(7, testLineage, nodes[0].id.Server(0))
			defer again.Close()
			done <- again.RequestVote("", addr, &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{})
		}()
		<-time.After(50 * time.Millisecond)
		b.Close()
		var remote *RemoteError
		if err := <-done; !errors.As(err, &remote) || remote.Code != CodeNotOpen {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took > 200*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestFullGroupQueueIsAnsweredBusyAndHoldsNobodyUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		defer b.Close()
		errs := make(chan error, 2*consumerQueue)
		for i := range uint64(2 * consumerQueue) {
			go func() { errs <- a.AppendEntries("", addr, entries(i+1, 1), &raft.AppendEntriesResponse{}) }()
		}
		busy := 0
		for range consumerQueue {
			if err := <-errs; errors.Is(err, ErrBusy) {
				busy++
			}
		}
		if busy != consumerQueue {
			t.Errorf("%d answered busy", busy)
		}
		nodes[1].Handle(echo, echoHandler)
		if _, err := nodes[0].Call(t.Context(), nodes[1].id, echo, nil); err != nil {
			t.Errorf("call beside a full group: %v", err)
		}
	})
}

func TestGapAlarmReplacesInstallSnapshotOfDataGroups(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var crossed atomic.Int32
		_, nodes := cluster(t, 2, func(c *Config) { c.ObserveSnapshot = func(uint32) { crossed.Add(1) } })
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		defer b.Close()
		var alarmed membership.ServerID
		behind := errors.New("behind")
		a.OnGap(func(peer membership.ServerID, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse) error {
			if alarmed = peer; req.LastLogIndex == 55 {
				return behind
			}
			resp.Term, resp.Success = 7, true
			return nil
		})
		err := a.InstallSnapshot("", addr, &raft.InstallSnapshotRequest{LastLogIndex: 55, Size: 1}, &raft.InstallSnapshotResponse{}, nil)
		if !errors.Is(err, ErrGap) || !errors.Is(err, behind) || alarmed != nodes[1].id.Server(0) || crossed.Load() != 0 {
			t.Errorf("%v, alarm for %v, %d crossed", err, alarmed, crossed.Load())
		}
		// A peer that was brought to the record by other means needs none.
		var resp raft.InstallSnapshotResponse
		err = a.InstallSnapshot("", addr, &raft.InstallSnapshotRequest{LastLogIndex: 56, Size: 1}, &resp, nil)
		if err != nil || !resp.Success || resp.Term != 7 || crossed.Load() != 0 {
			t.Errorf("%v, %+v, %d crossed", err, resp, crossed.Load())
		}
		// A peer that sends one all the same is refused.
		install := &pending{owner: a, answer: &raft.InstallSnapshotResponse{}, done: make(chan struct{})}
		s := a.mux.peers[nodes[1].id].out.session.Load()
		s.request(install, a.plainFrame(), func(dst []byte, id uint64) []byte {
			return appendSnapshot(dst, raftHeader{id: id, group: 7, lineage: lineageTag(testLineage)}, &raft.InstallSnapshotRequest{})
		})
		<-install.done
		var remote *RemoteError
		if !errors.As(install.err, &remote) || remote.Code != CodeGap {
			t.Errorf("got %v", install.err)
		}
		if crossed.Load() != 1 {
			t.Errorf("the hook saw %d", crossed.Load())
		}
	})
}

func TestRaftSeesTheAppendEntriesThatItsOwnerGives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		defer b.Close()
		b.OnAppend(func(r *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
			moved := *r
			moved.PrevLogEntry += 10
			return &moved
		})
		seen := make(chan uint64, 1)
		go func() {
			rpc := <-b.Consumer()
			seen <- rpc.Command.(*raft.AppendEntriesRequest).PrevLogEntry
			rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
		}()
		request := &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 5, PrevLogTerm: 2}
		if err := a.AppendEntries("", addr, request, &raft.AppendEntriesResponse{}); err != nil {
			t.Fatal(err)
		}
		if at := <-seen; at != 15 || request.PrevLogEntry != 5 {
			t.Errorf("raft saw the entries behind %d, sent behind %d", at, request.PrevLogEntry)
		}
	})
}

func TestHeartbeatsShareMessagesAndBypassTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		wait(t, "streams", time.Second, connected(nodes...))
		const groups = 100
		var here []*Transport
		for g := range uint32(groups) {
			a := nodes[0].Transport(g, testLineage, nodes[0].id.Server(0))
			b := nodes[1].Transport(g, testLineage, nodes[1].id.Server(0))
			b.SetHeartbeatHandler(func(rpc raft.RPC) { rpc.Respond(&raft.AppendEntriesResponse{Success: true, Term: 3}, nil) })
			defer a.Close()
			defer b.Close()
			here = append(here, a)
		}
		<-time.After(time.Second)
		before := [2]Stats{nodes[0].Stats(), nodes[1].Stats()}
		done := make(chan error, groups)
		begin := time.Now()
		for _, a := range here {
			go func() {
				var resp raft.AppendEntriesResponse
				err := a.AppendEntries("", raft.ServerAddress(nodes[1].id.Server(0).String()), &raft.AppendEntriesRequest{Term: 3}, &resp)
				if err == nil && (!resp.Success || resp.Term != 3) {
					err = errors.New("wrong answer")
				}
				done <- err
			}()
		}
		for range groups {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > 22*time.Millisecond {
			t.Errorf("took %v", took)
		}
		for i, nd := range nodes {
			s := nd.Stats()
			messages, frames := s.MessagesOut-before[i].MessagesOut, s.FramesOut-before[i].FramesOut
			t.Logf("node %d: %d frames in %d messages", i+1, frames, messages)
			if frames < groups || messages > 4 {
				t.Errorf("node %d: %d frames in %d messages", i+1, frames, messages)
			}
		}
	})
}
