package resync

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// fakeReplica is the target's own. The world's lock guards it.
type fakeReplica struct {
	w          *world
	server     membership.ServerID
	lineage    string
	damage     string
	hasData    bool
	applied    uint64
	term       uint64
	data       contents
	running    bool
	member     bool
	voter      bool
	dismissed  bool
	hold       *fakeHeld
	moved      time.Time // when it last applied
	installs   int
	addedAt    time.Time
	stages     map[string]fakeStage // what was committed to stage files, by path
	rotten     map[digest.Leaf]bool // leaves of its own file whose bytes are not what their digests say
	commitEach bool                 // stage files commit each leaf
	lies       bool                 // claims the leader's own root for a proof
	proving    func()               // is called before each leaf that a proof reads; nil: at once
}

const replayRate = 2000 // entries/s

// connects says whether Raft can bring the replica further. The caller holds the lock.
func (r *fakeReplica) connects() bool {
	return r.hold == nil && r.running && r.lineage == r.w.lineage && r.applied+1 >= r.w.first && r.w.leader >= 0 && r.member &&
		(r.applied == 0 || r.applied <= r.w.last() && r.w.entries[r.applied-1].term == r.term)
}

// catchUp applies entries up to an index. The caller holds the lock, or nobody else is there.
func (r *fakeReplica) catchUp(to uint64) {
	if r.data == nil {
		r.data = contents{}
	}
	for ; r.applied < to; r.applied++ {
		r.data.apply(r.w.entries[r.applied])
		r.term = r.w.entries[r.applied].term
	}
	r.moved = time.Now()
	r.hasData = r.hasData || r.applied > 0
}

// advance applies what had time to come.
func (r *fakeReplica) advance() {
	if !r.member && r.installs > 0 && len(r.w.sums) > 0 && !r.dismissed {
		if r.addedAt.IsZero() {
			r.addedAt = time.Now()
		}
		r.member = time.Since(r.addedAt) > 2*time.Second
	}
	n := uint64(time.Since(r.moved).Seconds() * replayRate)
	if r.connects() && n > 0 {
		r.catchUp(min(r.w.last(), r.applied+n))
		r.voter = r.voter || time.Since(r.addedAt) > 4*time.Second
	}
}

// fails is the fault of a method. The caller holds the lock.
func (r *fakeReplica) fails(method string) error {
	if r.w.faults.replica == nil {
		return nil
	}
	return r.w.faults.replica(method)
}

func (r *fakeReplica) Report(context.Context) (Standing, error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if err := r.fails("report"); err != nil {
		return Standing{}, err
	}
	r.advance()
	s := Standing{Server: r.server, Target: walgap.Target{Cluster: "c", Group: testGroup, Lineage: r.lineage, Readable: true, Damage: r.damage,
		HasData: r.hasData, Applied: walgap.Position{Index: r.applied, Term: r.term}, First: r.applied + 1, Last: r.applied,
		Bytes: uint64(bytesOf(r.data.entries()))}}
	if !r.hasData {
		s.First, s.Last, s.Lineage, s.Applied = 0, 0, "", walgap.Position{}
	}
	return s, nil
}

// StepAside has n1 lead.
func (r *fakeReplica) StepAside(context.Context) error {
	r.w.mu.Lock()
	err := r.fails("aside")
	r.w.mu.Unlock()
	if err == nil {
		r.w.elect(0)
	}
	return err
}

func (r *fakeReplica) Progress(ctx context.Context) (Progress, error) {
	if ctx.Err() != nil {
		return Progress{}, context.Cause(ctx)
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if err := r.fails("progress"); err != nil {
		return Progress{}, err
	}
	if time.Now().After(r.w.faults.behind) {
		r.advance()
	}
	return Progress{Running: r.running && r.hold == nil, Applied: r.applied, Member: r.member, Voter: r.voter}, nil
}

func (r *fakeReplica) Contents(ctx context.Context) ([]digest.Entry, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if err := r.fails("contents"); err != nil {
		return nil, err
	}
	return r.data.entries(), nil
}

func (r *fakeReplica) Hold(ctx context.Context, owner string) (Held, error) {
	r.w.mu.Lock()
	slow := r.w.faults.slow
	r.w.mu.Unlock()
	if err := pause.For(ctx, slow+1); err != nil {
		return nil, err
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if err := r.fails("hold"); err != nil {
		return nil, err
	}
	if r.hold == nil {
		r.hold = &fakeHeld{r, owner}
	}
	return r.hold, nil
}

type fakeHeld struct {
	r     *fakeReplica
	owner string
}

func (h *fakeHeld) Contents(ctx context.Context) ([]digest.Entry, error) {
	if h.r.damage != "" {
		return nil, nil
	}
	return h.r.Contents(ctx)
}

func (h *fakeHeld) Open(_ context.Context, b Blueprint) (Build, error) {
	h.r.w.mu.Lock()
	defer h.r.w.mu.Unlock()
	if h.r.stages == nil {
		h.r.stages = map[string]fakeStage{}
	}
	if err := os.MkdirAll(filepath.Dir(b.Path), 0o755); err != nil {
		return nil, err
	}
	if _, err := os.Stat(b.Path); err != nil {
		delete(h.r.stages, b.Path)
		if err := os.WriteFile(b.Path, []byte("stage"), 0o644); err != nil {
			return nil, err
		}
	}
	build := &fakeBuild{r: h.r, b: b, pending: contents{}, ids: map[digest.Leaf]digest.ID{}}
	was := h.r.stages[b.Path]
	for _, e := range b.Manifest {
		if id, found := was.ids[e.Leaf]; found && id == e.ID { // what was verified once is trusted
			build.pending[e.Leaf], build.ids[e.Leaf] = was.data[e.Leaf], id
		}
	}
	return build, build.Commit()
}

func (h *fakeHeld) Install(_ context.Context, i Installation) error {
	r, w := h.r, h.r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.faults.knows > 0 {
		w.faults.knows--
		r.hold = nil
		return ErrKnowsMore
	}
	if err := w.faults.install; err != nil {
		return err
	}
	if r.hold != h {
		w.violated("installed without a hold")
	}
	var at storage.Position
	if _, err := fmt.Sscanf(string(i.State), "%d %d", &at.Index, &at.Term); err != nil {
		return err
	}
	build := i.Build.(*fakeBuild)
	result := contents{}
	for _, e := range i.Manifest {
		result[e.Leaf] = build.at(e)
	}
	if !result.equal(w.dataAt(at.Index)) {
		w.violated("installed at %d what is not the cut", at.Index)
	}
	if !w.sums[fmt.Sprintf("%s@%d", h.owner, at.Index)] {
		w.violated("installed at %d without an equal proof", at.Index)
	}
	r.rotten = nil
	r.data, r.applied, r.term, r.lineage, r.hasData, r.running, r.damage = result, at.Index, at.Term, i.Lineage, true, true, ""
	r.hold, r.moved = nil, time.Now()
	r.installs++
	if !i.InPlace {
		return os.Remove(i.Path)
	}
	return nil
}

func (h *fakeHeld) Release(context.Context) error {
	h.r.w.mu.Lock()
	defer h.r.w.mu.Unlock()
	if h.r.hold == h {
		h.r.hold, h.r.moved = nil, time.Now()
	}
	return nil
}

// fakeStage is a stage file: leaves, and what they were verified to be.
type fakeStage struct {
	data contents
	ids  map[digest.Leaf]digest.ID
}

// fakeBuild is an open one: pending and ids are what it holds, of which the replica keeps what was committed.
type fakeBuild struct {
	r       *fakeReplica
	b       Blueprint
	pending contents
	ids     map[digest.Leaf]digest.ID
	used    int64
}

func (b *fakeBuild) Put(leaf []byte, want digest.Entry) error {
	b.r.w.mu.Lock()
	defer b.r.w.mu.Unlock()
	if sha256.Sum256(leaf) != want.ID {
		return storage.ErrWrongContent
	}
	b.used += int64(len(leaf))
	if room := b.r.w.faults.room; room > 0 && b.used > room {
		return &os.PathError{Op: "write", Path: b.b.Path, Err: syscall.ENOSPC}
	}
	if b.r.w.faults.rot[want.Leaf] {
		delete(b.r.w.faults.rot, want.Leaf)
		leaf = append(bytes.Clone(leaf[:len(leaf)-1]), leaf[len(leaf)-1]^1)
	}
	b.pending[want.Leaf], b.ids[want.Leaf] = leaf, want.ID
	if b.r.commitEach {
		return b.Commit()
	}
	return nil
}

func (b *fakeBuild) Copy(_ context.Context, leaves []digest.Entry, progress func(int64)) error {
	for _, e := range leaves {
		if data := b.r.read(e.Leaf); sha256.Sum256(data) == e.ID {
			if err := b.Put(data, e); err != nil {
				return err
			}
			progress(int64(len(data)))
		}
	}
	return nil
}

func (b *fakeBuild) Drop(leaves ...digest.Leaf) error {
	for _, l := range leaves {
		delete(b.pending, l)
		delete(b.ids, l)
	}
	return nil
}

func (b *fakeBuild) Commit() error {
	b.r.stages[b.b.Path] = fakeStage{maps.Clone(b.pending), maps.Clone(b.ids)}
	return nil
}

// at is what lies on disk for a leaf.
func (b *fakeBuild) at(e digest.Entry) []byte {
	if data, ok := b.pending[e.Leaf]; ok || !b.b.InPlace {
		return data
	}
	return b.r.read(e.Leaf)
}

// read is what lies on disk of the replica's own file.
func (r *fakeReplica) read(leaf digest.Leaf) []byte {
	if r.rotten[leaf] {
		return []byte("rotten")
	}
	return r.data[leaf]
}

// Staged trusts what was verified when it was put.
func (b *fakeBuild) Staged(context.Context) (list []digest.Entry, err error) {
	for _, e := range b.b.Manifest {
		if _, ok := b.pending[e.Leaf]; ok {
			list = append(list, e)
		}
	}
	return list, nil
}

// Prove fails where bytes fail their own checksums; what rotted otherwise (faults.sealed) gives another sum.
func (b *fakeBuild) Prove(ctx context.Context, key []byte, progress func(int64)) (digest.ID, error) {
	if b.r.lies {
		return digest.Root(b.b.Manifest), nil
	}
	if bad, _ := b.Damaged(ctx); len(bad) > 0 && !b.r.w.faults.sealed {
		return digest.ID{}, fmt.Errorf("leaf %s: %w", bad[0], storage.ErrDamaged)
	}
	result := contents{}
	for _, e := range b.b.Manifest {
		if work := b.r.proving; work != nil {
			work()
		}
		result[e.Leaf] = b.at(e)
		progress(int64(e.Bytes))
	}
	return result.sum(key, b.b.Manifest), nil
}

func (b *fakeBuild) Damaged(context.Context) (bad []digest.Leaf, err error) {
	for _, e := range b.b.Manifest {
		if sha256.Sum256(b.at(e)) != e.ID {
			bad = append(bad, e.Leaf)
		}
	}
	return bad, nil
}

func (b *fakeBuild) Close() error { return nil }
