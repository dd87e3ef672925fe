package antientropy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// world is a group in memory: a fake Cluster that knows the truth, and notes what a check must never do.
type world struct {
	t testing.TB

	mu       sync.Mutex // guards the rest
	truth    map[digest.Leaf]byte
	replicas []*replica
	leader   int
	index    uint64
	cuts     map[string]map[string]*replica // views that live, by cut and node
	made     int                            // cuts
	calls    map[string]int
	busy     map[string]int // repairs under way, by node
	noted    []string       // violations
	fault    func(call, node string) error
	repaired func(*replica) error // instead of a repair
	eventful bool                 // replicas come and go during checks
}

// replica is one copy, or a view of it.
type replica struct {
	Member
	lineage string
	index   uint64 // 0: the world's; else it stands there
	data    map[digest.Leaf]byte
	rotten  map[digest.Leaf]bool // cannot be read
	record  map[digest.Leaf]byte // what the stored digest says instead
	doubts  []digest.Leaf

	structure string
	harmless  []string
	log       []LogDamage
}

var leaves = []digest.Leaf{{Window: -1, Slot: 15}, {Window: 0, Slot: 3}, {Window: 0, Slot: 4}, {Window: 7, Slot: 0}}

// newWorld has n voters n1.. that all hold the same four leaves; n1 leads.
func newWorld(t testing.TB, n int) *world {
	w := &world{
		t: t, truth: map[digest.Leaf]byte{}, index: 40, calls: map[string]int{}, cuts: map[string]map[string]*replica{}, busy: map[string]int{},
	}
	for i, leaf := range leaves {
		w.truth[leaf] = byte(10 + i)
	}
	for i := range n {
		w.replicas = append(w.replicas, &replica{
			Member:  Member{Node: fmt.Sprintf("n%d", i+1), Server: fmt.Sprintf("n%d.0.0", i+1), Voter: true},
			lineage: "l1", data: maps.Clone(w.truth), rotten: map[digest.Leaf]bool{}, record: map[digest.Leaf]byte{},
		})
	}
	return w
}

func (w *world) engine() *Engine {
	w.t.Helper()
	e, err := New(Config{Cluster: w, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// check runs one check, and looks at what must hold after any.
func (w *world) check(o Options) Report {
	w.t.Helper()
	r, err := w.engine().Check(w.t.Context(), 7, o)
	if err != nil {
		w.t.Errorf("check: %v", err)
	}
	w.after(r)
	return r
}

func (w *world) after(r Report) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.cuts) > 0 {
		w.t.Errorf("cuts that live after the check: %v", slices.Collect(maps.Keys(w.cuts)))
	}
	for _, v := range w.noted {
		w.t.Error(v)
	}
	w.noted = nil
	if len(r.Findings) > MaxFindings || len(r.Findings) > r.FindingsTotal {
		w.t.Errorf("%d findings of %d", len(r.Findings), r.FindingsTotal)
	}
	for _, f := range r.Findings {
		if f.Action == Repaired && f.Leaf != nil && w.healthyMajority() && !w.of(f.Node).rightAbout(*f.Leaf, w.truth) {
			w.t.Errorf("leaf %s of %s is said to be repaired, and is not right", f.Leaf, f.Node)
		}
	}
	if r.Equal {
		for _, h := range w.replicas {
			if h.Why != "" && !w.eventful || w.healthyMajority() && !maps.Equal(h.data, w.truth) {
				w.t.Errorf("said to be equal, and %s is not (%q)", h.Node, h.Why)
			}
		}
	}
}

func (w *world) note(format string, args ...any) {
	w.noted = append(w.noted, fmt.Sprintf(format, args...))
}

func (w *world) of(node string) *replica {
	for _, h := range w.replicas {
		if h.Node == node {
			return h
		}
	}
	return nil
}

// right: it holds the truth and can read it.
func (h *replica) right(truth map[digest.Leaf]byte) bool {
	return maps.Equal(h.data, truth) && len(h.rotten) == 0 && len(h.record) == 0 && h.structure == "" && h.lineage == "l1"
}

// rightAbout: it holds the truth of a leaf, can read it, and has it recorded.
func (h *replica) rightAbout(leaf digest.Leaf, truth map[digest.Leaf]byte) bool {
	_, record := h.record[leaf]
	return h.data[leaf] == truth[leaf] && !h.rotten[leaf] && !record
}

// healthy: it holds the truth in every leaf that it can read.
func (w *world) healthyMajority() bool {
	voters, healthy := 0, 0
	for _, h := range w.replicas {
		if h.Voter {
			voters++
			if maps.Equal(h.data, w.truth) && len(h.rotten) == 0 && h.lineage == "l1" {
				healthy++
			}
		}
	}
	return 2*healthy > voters
}

// enter is the begin of each call.
func (w *world) enter(ctx context.Context, call, node string) error {
	w.mu.Lock()
	w.calls[call]++
	fault := w.fault
	w.mu.Unlock()
	if fault != nil {
		if err := fault(call, node); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	return nil
}

func (w *world) Members(ctx context.Context, group uint32) ([]Member, error) {
	if err := w.enter(ctx, "members", ""); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	var out []Member
	for i, h := range w.replicas {
		m := h.Member
		m.Leader = i == w.leader
		out = append(out, m)
	}
	return out, nil
}

func (h *replica) clone() *replica {
	c := *h
	c.data, c.rotten, c.record = maps.Clone(h.data), maps.Clone(h.rotten), maps.Clone(h.record)
	return &c
}

func (w *world) standsAt(h *replica) uint64 { return cmp.Or(h.index, w.index) }

func (w *world) Standing(ctx context.Context, group uint32, node string) (Statement, error) {
	if err := w.enter(ctx, "standing", node); err != nil {
		return Statement{}, err
	}
	defer w.mu.Unlock()
	return w.of(node).statement(w.standsAt(w.of(node)))
}

func (h *replica) statement(index uint64) (Statement, error) {
	if h.Why != "" {
		return Statement{}, errors.New("not reached")
	}
	s := Statement{Place: Place{h.lineage, index}, Doubts: h.doubts}
	var entries []digest.Entry
	for _, l := range h.list(false, nil) {
		if l.Unreadable {
			continue // the root is that of what can be read
		}
		entries = append(entries, l.Entry)
		s.Bytes += int64(l.Bytes)
	}
	s.Root = digest.Root(entries)
	return s, nil
}

// list gives leaves: with reread what the bytes are, else what the records say.
func (h *replica) list(reread bool, only []digest.Leaf) (out []LeafStatement) {
	for _, leaf := range slices.SortedFunc(maps.Keys(h.data), digest.Leaf.Compare) {
		if only != nil && !slices.Contains(only, leaf) {
			continue
		}
		k := h.data[leaf]
		if v, other := h.record[leaf]; other && !reread {
			k = v
		}
		s := LeafStatement{Entry: digest.Entry{Leaf: leaf, LeafDigest: content(k)}}
		if h.rotten[leaf] && (reread || slices.Contains(h.doubts, leaf)) {
			s.Unreadable, s.Why = true, "a block fails its CRC"
		}
		out = append(out, s)
	}
	return out
}

func (w *world) Cut(ctx context.Context, group uint32) (string, uint64, error) {
	if err := w.enter(ctx, "cut", ""); err != nil {
		return "", 0, err
	}
	defer w.mu.Unlock()
	w.made++
	w.index++
	id := fmt.Sprintf("cut %d", w.made)
	w.cuts[id] = map[string]*replica{}
	for _, h := range w.replicas {
		w.cuts[id][h.Node] = h.clone()
		w.cuts[id][h.Node].index = w.standsAt(h)
	}
	if len(w.cuts) > 1 && !w.eventful {
		w.note("%d cuts live at once", len(w.cuts))
	}
	return id, w.index, nil
}

func (w *world) Renew(ctx context.Context, group uint32, id string) error {
	if err := w.enter(ctx, "renew", ""); err != nil {
		return err
	}
	defer w.mu.Unlock()
	if w.cuts[id] == nil {
		return ErrNotPinned
	}
	return nil
}

func (w *world) EndCut(ctx context.Context, group uint32, id string) error {
	if err := w.enter(ctx, "end", ""); err != nil {
		return err
	}
	defer w.mu.Unlock()
	delete(w.cuts, id)
	return nil
}

// view is that of a cut; the lock is held if there is no error.
func (w *world) view(ctx context.Context, call, cut, node string) (*replica, error) {
	if err := w.enter(ctx, call, node); err != nil {
		return nil, err
	}
	v := w.cuts[cut][node]
	var err error
	switch {
	case w.of(node) == nil || w.of(node).Why != "":
		err = errors.New("not reached")
	case v == nil:
		err = ErrNotPinned
	}
	if err != nil {
		w.mu.Unlock()
	}
	return v, err
}

func (w *world) Root(ctx context.Context, group uint32, cut, node string) (Statement, error) {
	v, err := w.view(ctx, "root", cut, node)
	if err != nil {
		return Statement{}, err
	}
	defer w.mu.Unlock()
	return v.statement(v.index)
}

func (w *world) Leaves(ctx context.Context, group uint32, cut, node string, reread bool, only []digest.Leaf) (LeafList, error) {
	call := "leaves"
	if reread {
		call = "reread"
	}
	v, err := w.view(ctx, call, cut, node)
	if err != nil {
		return LeafList{}, err
	}
	defer w.mu.Unlock()
	l := LeafList{Place: Place{v.lineage, v.index}, Leaves: v.list(reread, only)}
	if reread {
		l.BytesRead = int64(100 * len(l.Leaves))
	}
	return l, nil
}

func (w *world) Inspect(ctx context.Context, group uint32, cut, node string) (Inspected, error) {
	v, err := w.of(node), error(nil)
	if cut == "" {
		err = w.enter(ctx, "inspect", node)
	} else {
		v, err = w.view(ctx, "inspect", cut, node)
	}
	if err != nil {
		return Inspected{}, err
	}
	defer w.mu.Unlock()
	in := Inspected{
		Place: Place{v.lineage, w.standsAt(v)}, BytesRead: 1000, Structure: v.structure, Harmless: v.harmless, Log: w.of(node).log,
	}
	for leaf := range v.data {
		if v.rotten[leaf] {
			in.Bad = append(in.Bad, LeafStatement{Entry: digest.Entry{Leaf: leaf}, Unreadable: true, Why: "a block fails its CRC"})
		} else if _, wrong := v.record[leaf]; wrong {
			in.Records = append(in.Records, leaf)
		}
	}
	return in, nil
}

func (w *world) Detail(ctx context.Context, group uint32, cut, node string, leaf digest.Leaf) (Detail, error) {
	v, err := w.view(ctx, "detail", cut, node)
	if err != nil {
		return Detail{}, err
	}
	defer w.mu.Unlock()
	k, has := v.data[leaf]
	if !has {
		return Detail{}, nil
	}
	return Detail{Devices: []DeviceDetail{
		{Name: "same", From: 5, To: 6, Sum: "s"},
		{Name: "dev", From: 100, To: 200 + int64(k), Sum: fmt.Sprint(k), Bad: v.rotten[leaf]},
	}}, nil
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) Repair(ctx context.Context, group uint32, node string, r Repair) error {
	if err := w.enter(ctx, "repair", node); err != nil {
		return err
	}
	h := w.of(node)
	w.busy[node]++
	w.allowed(h, r)
	instead := w.repaired
	w.mu.Unlock()
	err := pause.For(ctx, time.Second)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy[node]--
	if err == nil && instead != nil {
		return instead(h)
	}
	if err != nil || len(r.Good) == 0 {
		if r.Log {
			h.log = nil
		}
		return err
	}
	w.copy(h, r)
	return nil
}

// allowed notes what is wrong with a repair.
func (w *world) allowed(h *replica, r Repair) {
	total := 0
	for _, n := range w.busy {
		total += n
	}
	if total > 1 {
		w.note("%d repairs at once", total)
	}
	if len(w.cuts) > 0 && !w.eventful {
		w.note("a cut lives during a repair")
	}
	if len(r.Good) > 0 && w.replicas[w.leader] == h {
		w.note("%s is repaired and leads", h.Node)
	}
	if len(r.Good) > 0 && h.Suspect == nil {
		w.note("%s is repaired, and was not accused", h.Node)
	}
	for _, leaf := range r.Leaves {
		if s := h.Suspect; s != nil && len(s.Leaves) > 0 && !slices.Contains(s.Leaves, leaf) {
			w.note("leaf %s of %s is repaired, and %s was not accused of it", leaf, h.Node, h.Node)
		}
	}
	if len(r.Good)+len(r.Leaves) == 0 && !r.Log {
		w.note("a repair of nothing: %+v", r)
	}
	for _, n := range r.Good {
		for _, leaf := range r.Leaves {
			if g := w.of(n); w.majorityHas(leaf) && (g.data[leaf] != w.truth[leaf] || g.rotten[leaf]) {
				w.note("leaf %s would be copied from %s, which is not right", leaf, n)
			}
		}
		if n == h.Node {
			w.note("%s copies from itself", n)
		}
	}
}

func (w *world) copy(h *replica, r Repair) {
	from := w.of(r.Good[0])
	list := r.Leaves
	if r.Structure {
		list = slices.Collect(maps.Keys(from.data))
		h.data, h.structure = map[digest.Leaf]byte{}, ""
		clear(h.rotten)
		clear(h.record)
	}
	for _, leaf := range list {
		delete(h.data, leaf)
		if k, has := from.data[leaf]; has {
			h.data[leaf] = k
		}
		delete(h.rotten, leaf)
		delete(h.record, leaf)
	}
	if r.Log {
		h.log = nil
	}
}
