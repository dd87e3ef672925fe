package raftgroup

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// flipRounds is how many bits are flipped, each of them alone.
func flipRounds() int {
	if os.Getenv("SOAK") != "" {
		return 250
	}
	return 8
}

// Entries that were acked by two of three are on two disks, and a bit flips on one of these in what is neither the
// shard nor its marks: in the log or the votes. That one and the third, which has none of these entries, are a
// majority: they never answer without them. With the other one back, all is there, and whoever runs is equal.
func TestAnyBitOfALogOrOfVotesLosesNothing(t *testing.T) {
	for name, bolt := range map[string]bool{"shared": false, "boltdb": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { flipBits(t, bolt) })
		})
	}
}

func flipBits(t *testing.T, bolt bool) {
	s := newScene(t, bolt, nil)
	s.applied(7, s.write(2))
	s.crash(s.third)
	s.leader = s.testCluster.leader(7)
	s.write(20)
	hurt := s.target // what it holds is in its log alone: a crash flushes nothing
	for _, n := range s.nodes {
		if n != s.third {
			s.crash(n)
		}
	}
	intact := make(map[*testNode]map[string][]byte)
	for _, n := range s.nodes {
		intact[n] = filesOf(t, n.dir)
	}
	record := readVote(t, hurt)
	random := rand.New(rand.NewPCG(3, 4))
	came := make(map[string]int)
	for round := range flipRounds() {
		for n, files := range intact {
			putBack(t, n.dir, files)
		}
		if round%2 == 0 { // in an entry, in all copies of its page
			i := int64(2 + random.IntN(20))
			rot(t, hurt, putFrame("dev", i, i*7))
		} else {
			flipOne(t, hurt, intact[hurt], random, round)
		}
		came[s.outcome(hurt, record)]++
	}
	t.Logf("the replica with the flipped bit: %v", came)
	if came["runs"] == flipRounds() {
		t.Error("no flip was one of what is read: the test shows nothing")
	}
}

// outcome starts the hurt node with the third, and then the other one, and says how the hurt one stood.
func (s *scene) outcome(hurt *testNode, record *raftlog.VoteRecord) string {
	s.t.Helper()
	if now := readVote(s.t, hurt); now != nil && !reflect.DeepEqual(now, record) {
		s.t.Errorf("its vote was %+v and is %+v", record, now)
	} else if now == nil {
		return "has lost its votes" // and comes back as another
	}
	s.start(s.third)
	refused := s.startRefused(hurt)
	time.Sleep(time.Minute)
	for _, n := range []*testNode{hurt, s.third} {
		if g, ok := n.host.Group(7); ok && g.IsLeader() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if g.ReadBarrier(ctx) == nil && !maps.Equal(readAll(s.t, g, "dev"), s.want) {
				s.t.Errorf("%s leads without what was acked", n.id.Name)
			}
			cancel()
		}
	}
	for _, n := range s.nodes {
		if n.host == nil {
			s.start(n)
		}
	}
	stood := "does not run"
	g, ok := hurt.host.Group(7)
	if ok && g.Running() {
		if stood = "runs"; g.Self() != hurt.id.Server(0) {
			stood = "is another"
		}
	} else if _, why := g.Condition(); refused == nil && why == "" {
		s.t.Error("it does not run, and does not say why")
	}
	s.leader = s.testCluster.leader(7)
	for _, n := range s.nodes {
		if g, ok := n.host.Group(7); ok && g.Running() && g.Self() == n.id.Server(0) {
			s.applied2(n, s.leader.Shard().Applied().Index)
			if !maps.Equal(readAll(s.t, g, "dev"), s.want) {
				s.t.Errorf("%s holds another thing than what was acked", n.id.Name)
			}
		}
	}
	for _, n := range s.nodes {
		s.crash(n)
	}
	return stood
}

// readVote gives nil where there is none that can be read.
func readVote(t *testing.T, n *testNode) *raftlog.VoteRecord {
	t.Helper()
	votes, err := raftlog.OpenVotes(filepath.Join(n.dir, "votes.db"), raftlog.VotesOptions{Fatal: func(error) {}})
	if err != nil {
		return nil
	}
	defer votes.Close()
	r, known, err := votes.Record(7)
	if err != nil || !known {
		return nil
	}
	return &r
}

// filesOf reads a directory with all below.
func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path], err = os.ReadFile(path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

func putBack(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	err := os.RemoveAll(dir)
	for path, b := range files {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, b, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// flipOne flips a bit of the log, in every fourth round of the votes; not in what was never written.
func flipOne(t *testing.T, n *testNode, files map[string][]byte, random *rand.Rand, round int) {
	t.Helper()
	var paths []string
	for path := range files {
		votes, log := strings.HasSuffix(path, "votes.db"), strings.HasSuffix(path, ".wal") || strings.HasSuffix(path, "raft.db")
		if votes && round%4 == 3 || log && round%4 != 3 {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		t.Fatalf("%s has no such file", n.id.Name)
	}
	path := paths[random.IntN(len(paths))]
	b := append([]byte(nil), files[path]...)
	used := len(b)
	for used > 1 && b[used-1] == 0 {
		used--
	}
	at := random.IntN(used)
	b[at] ^= 1 << random.IntN(8)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("round %d: %s, byte %d of %d", round, filepath.Base(path), at, used)
}
