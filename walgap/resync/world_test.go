package resync

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// world is a group of three nodes in memory: n1 and n2 hold everything, n3 is the target. Its log is the truth that
// every copy is compared with.
type world struct {
	t testing.TB

	mu      sync.Mutex // guards the rest
	leader  int        // index in nodes; -1: none
	term    uint64
	lineage string
	epoch   uint64
	first   uint64 // of the leader's log; entries below stay in the truth
	entries []entry
	alone   bool // the leader needs the target for its quorum
	away    bool // no source answers
	leases  map[string]*fakeLease
	views   map[string]fakeView // pinned, by cut
	pinned  map[string][3]bool  // on which nodes
	sums    map[string]bool     // jobs whose proof was equal
	held    map[string]bool     // records that Raft is shown
	faults  faults

	forge bool // answers to proofs say equal

	nodes      [3]*node
	target     *fakeReplica
	violations []string
	witnessed  []string // cuts
}

// entry changes one leaf: nil removes it. index is its place in the slice + 1.
type entry struct {
	term uint64
	leaf digest.Leaf
	data []byte
}

type fakeLease struct {
	from     uint64
	view     bool
	deadline time.Time
}

type fakeView struct {
	at    storage.Position
	data  contents
	until time.Time
}

type contents map[digest.Leaf][]byte

// faults are what goes wrong; each is counted down, or called.
type faults struct {
	call    func(op op) (before, after error) // of the transport
	cuts    int                               // cuts that fail for a reason of the leader's own
	aborts  int                               // cuts that would pause for too long
	busy    int                               // record holds that another job has
	fetch   func(source string, n int) error  // before the n-th leaf of a source; errLie: wrong bytes
	room    int64                             // bytes that the disk takes; 0: any
	rot     map[digest.Leaf]bool              // leaves that change on the target's disk once, after they were verified
	sealed  bool                              // what rots passes its own checksums all the same
	knows   int                               // installs that find a log that knows more
	wrong   bool                              // the leader answers proofs wrong
	install error
	views   int // views that are lost when listed
	replica func(method string) error
	lease   func()        // before a lease is taken or renewed
	slow    time.Duration // that taking a hold takes
	listing time.Duration // that the leader takes to list a view
	behind  time.Time     // until then Raft brings nothing
	write   error         // of the job's state
}

type node struct {
	id        membership.NodeID
	responder *Responder
}

const testGroup = 7

func newWorld(t testing.TB) *world {
	w := &world{t: t, term: 2, lineage: "l1", epoch: 1, first: 1, leases: map[string]*fakeLease{}, views: map[string]fakeView{},
		pinned: map[string][3]bool{}, sums: map[string]bool{}, held: map[string]bool{}}
	for i := range w.nodes {
		n := &node{id: membership.NodeID{Name: fmt.Sprintf("n%d", i+1), Incarnation: "0a1b2c3d"}}
		n.responder = NewResponder(ResponderConfig{Led: func(group uint32) (Led, error) { return w.led(i, group) }, Logger: quiet()})
		w.nodes[i] = n
	}
	for i := range 40 {
		w.write(i%20, i)
	}
	w.target = &fakeReplica{w: w, server: w.nodes[2].id.Server(0), lineage: "l1", member: true, voter: true, running: true, hasData: true}
	w.target.catchUp(w.last())
	return w
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (w *world) last() uint64 { return uint64(len(w.entries)) }

// write puts an entry into the log that changes a leaf.
func (w *world) write(leaf, salt int) {
	data := bytes.Repeat([]byte{byte(leaf), byte(salt), byte(salt >> 8)}, 400)
	w.entries = append(w.entries, entry{w.term, digest.Leaf{Window: int64(leaf / 4), Slot: uint8(leaf % 4)}, data})
}

// fall puts n entries into the log that the target lacks.
func (w *world) fall(n int) {
	for i := range n {
		w.write(i%4, 1000+i)
	}
}

// dataAt is the truth at an index.
func (w *world) dataAt(index uint64) contents {
	c := contents{}
	for _, e := range w.entries[:index] {
		c.apply(e)
	}
	return c
}

func (c contents) apply(e entry) {
	switch {
	case e.leaf == noLeaf:
	case e.data == nil:
		delete(c, e.leaf)
	default:
		c[e.leaf] = e.data
	}
}

var noLeaf = digest.Leaf{Window: -1 << 62}

func (c contents) entries() []digest.Entry {
	list := make([]digest.Entry, 0, len(c))
	for leaf, data := range c {
		list = append(list, digest.Entry{Leaf: leaf, LeafDigest: digest.LeafDigest{ID: sha256.Sum256(data), Points: 1, Bytes: uint64(len(data))}})
	}
	slices.SortFunc(list, func(a, b digest.Entry) int { return a.Leaf.Compare(b.Leaf) })
	return list
}

// sum is the keyed sum of the leaves of a manifest.
func (c contents) sum(key []byte, leaves []digest.Entry) (id digest.ID) {
	h := hmac.New(sha256.New, key)
	for _, e := range leaves {
		leaf := sha256.Sum256(c[e.Leaf])
		h.Write(leaf[:])
	}
	h.Sum(id[:0])
	return id
}

func (c contents) equal(d contents) bool { return maps.EqualFunc(c, d, bytes.Equal) }

func (w *world) position(index uint64) storage.Position {
	if index == 0 {
		return storage.Position{}
	}
	return storage.Position{Index: index, Term: w.entries[index-1].term}
}

// trim drops as much of the log as leases allow.
func (w *world) trim() {
	w.mu.Lock()
	defer w.mu.Unlock()
	floor := w.last() + 1
	for _, l := range w.leases {
		if l.from > 0 && time.Now().Before(l.deadline) {
			floor = min(floor, l.from)
		}
	}
	w.first = max(w.first, floor)
}

// set changes the world.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// elect makes another node the leader. Views of a cut stay pinned; what the old one held in memory does not.
func (w *world) elect(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leader = n
	w.term++
	w.entries = append(w.entries, entry{term: w.term, leaf: noLeaf})
	clear(w.held)
}

// loseViews unpins everything everywhere.
func (w *world) loseViews() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.pinned {
		w.unpin(id)
	}
	for id, l := range w.leases {
		if l.view {
			delete(w.leases, id)
		}
	}
}

// unpin ends a view; with that of a pinned record ends what Raft is shown. The caller holds the lock.
func (w *world) unpin(id string) {
	if _, found := w.pinned[id]; found && strings.HasPrefix(id, "pin") {
		clear(w.held)
	}
	delete(w.pinned, id)
}

func (w *world) violated(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// Call asks whoever leads.
func (w *world) Call(ctx context.Context, group uint32, raw []byte) ([]byte, membership.NodeID, error) {
	w.mu.Lock()
	leader, call := w.leader, w.faults.call
	w.mu.Unlock()
	var q request
	if err := decode("request", raw, &q); err != nil {
		w.t.Error(err)
	}
	var before, after error
	if call != nil {
		before, after = call(q.Op)
	}
	if leader < 0 {
		before = errNobody
	}
	if before != nil {
		return nil, membership.NodeID{}, before
	}
	a, err := w.nodes[leader].responder.Answer(ctx, w.nodes[2].id, raw)
	if err == nil && len(a) > maxMessage {
		w.t.Errorf("answer of %d bytes", len(a))
	}
	if w.forge && q.Op == opProve && err == nil {
		var forged answer
		if err := decode("answer", a, &forged); err != nil {
			w.t.Error(err)
		}
		forged.Equal = true
		a, err = encode("answer", forged)
	}
	if after != nil {
		err = after
	}
	return a, w.nodes[leader].id, err
}

var errNobody = fmt.Errorf("nobody leads")

func (w *world) close() {
	for _, n := range w.nodes {
		if err := n.responder.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

// terms are the runs of the leader's log.
func (w *world) terms() (runs []walgap.TermRun) {
	for i := w.first; i <= w.last(); i++ {
		if t := w.entries[i-1].term; len(runs) == 0 || runs[len(runs)-1].Term != t {
			runs = append(runs, walgap.TermRun{First: i, Term: t})
		}
	}
	return runs
}

func (*world) Elsewhere(uint32, membership.NodeID) {}
