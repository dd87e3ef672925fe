package clustertest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage/digest"
)

const (
	// flipRounds are made in make test, as many more in make soak as SOAK says.
	flipRounds = 3
	// flipWrites is how many entries each group gets before a round: its shard does not hold them yet.
	flipWrites = 2
	// mostFlips is how many bytes of a node go bad in one round.
	mostFlips = 3
	// settleLimit bounds, in virtual time, how long a node takes to be whole again.
	settleLimit = 10 * time.Minute
)

// flips are rounds of bytes that go bad in the log and the votes of one node, whichever comes, while it runs or is down.
type flips struct {
	*logScene
	random  *rand.Rand
	clients []*client.Client // of each node alone

	mu     sync.Mutex
	acked  int64 // guarded by mu: entries of each group that are acked, and that may be
	begun  int64
	came   map[string]int // how often what became of a round
	answer int            // whole answers of readers
}

// replicaNow is one replica between two writes.
type replicaNow struct {
	self   membership.ServerID
	last   uint64
	leaves []digest.Entry
}

func (f *flips) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.came[what]++
}

// append writes entries to every group.
func (f *flips) append(n int) {
	f.t.Helper()
	for range n {
		f.mu.Lock()
		f.begun++
		at := f.begun
		f.mu.Unlock()
		f.write(at)
		f.mu.Lock()
		f.acked = at
		f.mu.Unlock()
	}
}

// read reads everything through one node: what is answered without an error is all that was acked, and right.
func (f *flips) read(node int) error {
	f.mu.Lock()
	acked := f.acked
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(f.t.Context(), opTimeout)
	defer cancel()
	got := make(map[string]map[int64]string)
	err := f.clients[node].Query(ctx, client.Query{Database: database, Collection: collection}, func(device string, c *client.Columns) error {
		if got[device] == nil {
			got[device] = make(map[int64]string)
		}
		for row, at := range c.Times {
			v, _ := c.Lookup(row, "text")
			got[device][at] = v.Str
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer++
	for group, device := range f.devices {
		for at := int64(1); at <= f.begun; at++ {
			text, there := got[device][at]
			if there && text != marker(uint32(group), at) || !there && at <= acked {
				f.t.Errorf("%s answers %q for entry %d of group %d, %d were acked", f.nodes[node].Name, text, at, group, acked)
			}
		}
		if len(got[device]) > int(f.begun) {
			f.t.Errorf("%s answers with %d points of group %d, %d were written", f.nodes[node].Name, len(got[device]), group, f.begun)
		}
	}
	return nil
}

// readers read through all nodes until they are told to end.
func (f *flips) readers() (end func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	var wg sync.WaitGroup
	for i := range f.nodes {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = f.read(i) // it may be away, or not lead any more
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// now is what the nodes hold, but one. To look brings a shard to its file.
func (f *flips) now(but int) map[string]replicaNow {
	f.t.Helper()
	out := make(map[string]replicaNow)
	for i := range f.nodes {
		for group := range f.devices {
			g, ok := f.Group(i, uint32(group))
			if i == but || !ok {
				continue
			}
			out[fmt.Sprintf("group %d on %s", group, f.nodes[i].Name)] = replicaNow{g.Self(), g.Status().LogLast, f.holds(i, uint32(group))}
		}
	}
	return out
}

// stays makes sure that the nodes hold what they did, but one.
func (f *flips) stays(but int, before map[string]replicaNow) {
	f.t.Helper()
	after := f.now(but)
	for what, b := range before {
		if a := after[what]; a.self != b.self || a.last < b.last || !slices.Equal(a.leaves, b.leaves) {
			f.t.Errorf("%s was not touched: it was %v to %d, %d leaves, and is %v to %d, %d leaves", what, b.self, b.last, len(b.leaves), a.self, a.last, len(a.leaves))
		}
	}
}

// logs are the ends of a node's logs, by server.
func (f *flips) logs(node int) map[uint32]replicaNow {
	out := make(map[uint32]replicaNow)
	for group := range f.devices {
		if g, ok := f.Group(node, uint32(group)); ok {
			out[uint32(group)] = replicaNow{self: g.Self(), last: g.Status().LogLast}
		}
	}
	return out
}

// flip lets some bytes of a node's files go bad, and says which.
func (f *flips) flip(node int) (did []string) {
	f.t.Helper()
	for range 1 + f.random.IntN(mostFlips) {
		pattern, group := "log/[0-9]*.wal", f.random.IntN(len(f.devices))
		if node == inFiles {
			pattern = fmt.Sprintf("groups/%d/raft.db", group)
		}
		votes := f.random.IntN(4) == 0
		if votes {
			pattern = "votes.db"
		}
		paths, err := filepath.Glob(filepath.Join(f.nodes[node].Config.DataDir, pattern))
		must(f.t, err)
		if len(paths) == 0 {
			f.t.Fatalf("%s has no %s", f.nodes[node].Name, pattern)
		}
		path := paths[f.random.IntN(len(paths))]
		b, err := os.ReadFile(path)
		must(f.t, err)
		at := f.place(b, uint32(group), votes)
		bit := byte(1) << f.random.IntN(8)
		overwrite(f.t, path, int64(at), []byte{b[at] ^ bit})
		name, _ := filepath.Rel(f.nodes[node].Config.DataDir, path)
		did = append(did, fmt.Sprintf("byte %d of %s ^ %#x", at, name, bit))
	}
	return did
}

// place is where a byte goes bad: half of them in, or just before and behind, an entry that no flush has met; else in anything
// that was written.
func (f *flips) place(b []byte, group uint32, votes bool) int {
	if !votes && f.random.IntN(2) == 0 {
		text := []byte(marker(group, f.acked-int64(f.random.IntN(flipWrites))))
		if i := bytes.LastIndex(b, text); i >= 0 {
			return min(len(b)-1, max(0, i-80+f.random.IntN(len(text)+120)))
		}
	}
	used := bytes.Count(b, []byte{0})
	nth := f.random.IntN(len(b) - used)
	for at, c := range b {
		if c == 0 {
			continue
		}
		if nth == 0 {
			return at
		}
		nth--
	}
	return 0
}

// settled says what is missing until every group has the three replicas that run now as its voters.
func (f *flips) settled() string {
	for group := range uint32(len(f.devices)) {
		ids := f.memberIDs(group)
		for i := range f.nodes {
			g, ok := f.Group(i, group)
			if !ok || !slices.Contains(ids, g.Self()) || len(ids) != len(f.nodes) || len(f.voters(group)) != len(f.nodes) {
				return fmt.Sprintf("group %d on %s: %v", group, f.nodes[i].Name, ids)
			}
			if st := g.Status(); st.State.String() != api.ReplicaReady {
				return fmt.Sprintf("group %d on %s: %s %s", group, f.nodes[i].Name, st.State, st.Why)
			}
		}
	}
	return ""
}

func (f *flips) awaitSettled() {
	f.t.Helper()
	f.Await("all groups have three replicas", settleLimit, func() string {
		time.Sleep(lookPause)
		return f.settled()
	})
	f.AwaitReady()
	f.awaitLevel()
}

// reopen starts a node that reaches nobody, by what is on its disk alone: a replica that is what it was has a log that reaches
// as far. It reports how many came back as another, or not at all.
func (f *flips) reopen(node int, before map[uint32]replicaNow) (others int) {
	f.t.Helper()
	f.Partition(node)
	defer f.Heal()
	f.Start(node)
	time.Sleep(10 * time.Second)
	for group, b := range before {
		g, ok := f.Group(node, group)
		switch {
		case !ok || !g.Running() || g.Self() != b.self:
			others++
		case g.Status().LogLast < b.last:
			f.t.Errorf("group %d on %s ends at %d in silence, %d were acked", group, f.nodes[node].Name, g.Status().LogLast, b.last)
		}
	}
	return others
}

// repaired has all that is damaged found, and mended: nothing is found afterwards.
func (f *flips) repaired(node int) (found int) {
	f.t.Helper()
	r := f.verify(f.t, api.VerifyRequest{Deep: true, Repair: true})
	for n := 0; ; n++ {
		for _, finding := range r.Findings {
			if found++; finding.Node != f.nodes[node].Name {
				f.t.Errorf("nothing of it was touched: %+v", finding)
			}
		}
		if r.ExitCode() == 0 && n > 0 && !slices.ContainsFunc(r.Findings, func(f api.Finding) bool { return f.Verdict != api.FoundHarmless }) {
			return found
		}
		if n == 4 {
			f.t.Errorf("not mended: %+v, %+v", r.Findings, r.Unchecked)
			return found
		}
		f.awaitSettled()
		time.Sleep(2 * time.Second) // a deep check goes by votes that were read a moment ago
		r = f.verify(f.t, api.VerifyRequest{Deep: true, Repair: true})
	}
}

// round is one: bytes of one node's log or votes go bad while all three replicas are whole.
func (f *flips) round(n int) {
	f.t.Helper()
	node, down := f.random.IntN(len(f.nodes)), f.random.IntN(2) == 0
	f.append(flipWrites)
	f.awaitLevel()
	time.Sleep(time.Second) // a log that is at rest knows where it ends
	before, logs := f.now(node), f.logs(node)
	end := f.readers()
	var did []string
	outcome := "running: "
	if down {
		f.Crash(node)
		did = f.flip(node)
		switch others := f.reopen(node, logs); {
		case others == 0:
			outcome = "open: all are what they were, "
		case others < len(logs):
			outcome = "open: some are others, "
		default:
			outcome = "open: the node is another, "
		}
	} else {
		did = f.flip(node)
	}
	f.t.Logf("round %d: %s, down %v: %s", n, f.nodes[node].Name, down, strings.Join(did, "; "))
	f.awaitSettled()
	if f.repaired(node) > 0 {
		outcome += "found by a deep check"
	} else {
		outcome += "nothing is found"
	}
	end()
	f.stays(node, before)
	f.awaitSettled()
	logs = f.logs(node)
	f.Crash(node) // by what is on disk, all is what it was: nothing was missed
	if others := f.reopen(node, logs); others > 0 {
		f.t.Errorf("round %d: damage of %d groups was found by the start after the check", n, others)
	}
	f.awaitSettled()
	for i := range f.nodes {
		if err := f.read(i); err != nil {
			f.t.Errorf("round %d, in the end through %s: %v", n, f.nodes[i].Name, err)
		}
	}
	if _, err := f.CompareRoots(); err != nil {
		f.t.Error(err)
	}
	f.t.Logf("round %d: %s", n, outcome)
	f.note(outcome)
}

// flipAtRandom makes rounds on a scene of which so many entries of each group are written.
func (s *logScene) flipAtRandom(written int64) {
	s.t.Helper()
	f := &flips{logScene: s, random: rand.New(rand.NewPCG(51, uint64(times(s.t)))), acked: written, begun: written, came: make(map[string]int)}
	for i := range s.nodes {
		f.clients = append(f.clients, s.Client(i))
	}
	for n := range flipRounds * times(s.t) {
		if s.t.Failed() {
			break
		}
		f.round(n)
	}
	s.t.Logf("%v, %d whole answers", f.came, f.answer)
}
