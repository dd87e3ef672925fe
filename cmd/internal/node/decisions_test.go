package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

func TestPlaceAmongVotersThatAreUp(t *testing.T) {
	a, b, c, d := nodeID(t, "a.00000001"), nodeID(t, "b.00000001"), nodeID(t, "c.00000001"), nodeID(t, "d.00000001")
	voters := []membership.NodeID{c, a, b}
	for _, tt := range []struct {
		name string
		self membership.NodeID
		up   []membership.NodeID
		want int
	}{
		{"first of all", a, voters, 0},
		{"third of all", c, voters, 2},
		{"the first is down", c, []membership.NodeID{b, c}, 1},
		{"no quorum is up", a, []membership.NodeID{a}, -1},
		{"no voter", d, []membership.NodeID{a, b, c, d}, -1},
		{"many that are up and have no vote are no quorum", a, []membership.NodeID{a, d}, -1},
	} {
		if got := placeAmong(voters, tt.self, func(id membership.NodeID) bool { return slices.Contains(tt.up, id) }); got != tt.want {
			t.Errorf("%s: place %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestOnlyVotersThatAnswerAreLiveReplicas(t *testing.T) {
	a, b, c := nodeID(t, "a.00000001"), nodeID(t, "b.00000001"), nodeID(t, "c.00000001")
	members := []raftgroup.Member{{ID: a.Server(0), Voter: true}, {ID: b.Server(1), Voter: true}, {ID: c.Server(0)}}
	if n := liveVoters(members, func(id membership.NodeID) bool { return id != b }); n != 1 {
		t.Fatalf("%d live voters", n)
	}
}

func TestReplicasThatAreCopiedHoldReadinessBackForALimitedTime(t *testing.T) {
	p := progress{closed: 1, behind: 2, unproven: 3}
	if lines, syncing := p.missing(false); len(lines) != 3 || syncing != 0 {
		t.Fatalf("%q, %d", lines, syncing)
	}
	if lines, syncing := p.missing(true); len(lines) != 0 || syncing != 6 {
		t.Fatalf("%q, %d", lines, syncing)
	}
	p.leaderless = 1
	if lines, _ := p.missing(true); len(lines) != 1 {
		t.Fatalf("a group without a leader: %q", lines)
	}
	if lines, syncing := (progress{}).missing(false); len(lines) != 0 || syncing != 0 {
		t.Fatalf("%q, %d", lines, syncing)
	}
}

func TestStagesStopInReverseOrderWhateverFails(t *testing.T) {
	var order []string
	s := &stages{log: slog.New(slog.DiscardHandler)}
	bad := errors.New("bad")
	for _, name := range []string{"first", "second", "third"} {
		s.add(name, func(context.Context) error {
			order = append(order, name)
			if name == "second" {
				s.add("late", func(context.Context) error { order = append(order, "late"); return nil })
				return bad
			}
			return nil
		})
	}
	if err := s.close(t.Context()); !errors.Is(err, bad) || !strings.Contains(err.Error(), "stop second") {
		t.Fatal(err)
	}
	if want := []string{"third", "second", "late", "first"}; !slices.Equal(order, want) {
		t.Fatal(order)
	}
	if err := s.close(t.Context()); err != nil || len(order) != 4 {
		t.Fatalf("again: %v %v", err, order)
	}
}

func TestErrandsBeyondTheBoundAreDropped(t *testing.T) {
	e := newErrands()
	done := 0
	for range maxErrands + 5 {
		e.send(func(context.Context) { done++ })
	}
	if len(e.queue) != maxErrands {
		t.Fatalf("%d wait", len(e.queue))
	}
}

func TestDiskWatchTellsChangesOnly(t *testing.T) {
	free, failure := int64(1000), error(nil)
	var told []bool
	var fatal error
	w := &diskWatch{
		free: func() (int64, error) { return free, failure }, reserve: 100, log: slog.New(slog.DiscardHandler),
		changed: func(full bool) { told = append(told, full) }, fatal: func(err error) { fatal = err },
	}
	for _, free = range []int64{1000, 99, 50, 200, 201, 500} {
		w.look()
	}
	if !slices.Equal(told, []bool{true, false}) || w.last.Load() != 500 || fatal != nil {
		t.Fatalf("told %v, last %d, fatal %v", told, w.last.Load(), fatal)
	}
	failure = errors.New("gone")
	if w.look(); !errors.Is(fatal, failure) {
		t.Fatal(fatal)
	}
}

func TestSeedOfAnotherClusterEndsOnlyANodeThatStarts(t *testing.T) {
	wrong := errors.New("another cluster")
	for _, c := range []struct {
		name  string
		addr  string
		since time.Duration
		ends  bool
	}{
		{"a seed, at the start", "10.0.0.1:7602", 0, true},
		{"a seed, later", "10.0.0.1:7602", time.Hour, false},
		{"a node of the table", "10.0.0.2:7602", 0, false},
	} {
		n := &Node{failed: make(chan error, 1), startedAt: time.Now().Add(-c.since)}
		n.cfg.Join = []string{"10.0.0.1:7602"}
		n.foreignSeed(c.addr, wrong)
		if (len(n.failed) == 1) != c.ends {
			t.Errorf("%s: ends %v", c.name, len(n.failed) == 1)
		}
	}
}

func TestErrorsOfAGroupSayWhatIsKnown(t *testing.T) {
	for _, c := range []struct {
		from, to error
	}{
		{raftgroup.ErrBusy, gateway.ErrBusy}, {raftgroup.ErrNoSpace, gateway.ErrNoSpace},
		{raftgroup.ErrNotApplied, gateway.ErrNotApplied}, {raftgroup.ErrNoQuorum, gateway.ErrNotApplied},
		{raftgroup.ErrInvalid, gateway.ErrRefused}, {errors.New("anything else"), gateway.ErrUnknown},
		{errors.Join(raftgroup.ErrUnknown, raftgroup.ErrClosed), gateway.ErrUnknown},
		{errors.Join(raftgroup.ErrUnknown, raftgroup.ErrNotLeader{}), gateway.ErrUnknown},
	} {
		if got := groupError(c.from); !errors.Is(got, c.to) || c.to == gateway.ErrUnknown && errors.Is(got, gateway.ErrNotApplied) {
			t.Errorf("%v: %v, want %v", c.from, got, c.to)
		}
	}
	if groupError(nil) != nil {
		t.Error("no error became one")
	}
}
