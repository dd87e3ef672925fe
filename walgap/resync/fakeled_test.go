package resync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// fakeLed is the group on node n, which leads it in a term.
type fakeLed struct {
	w    *world
	n    int
	term uint64
}

func (w *world) led(n int, group uint32) (Led, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if group != testGroup || w.leader != n {
		return nil, ErrNotLeader
	}
	return &fakeLed{w, n, w.term}, nil
}

var errNoQuorum = errors.New("no quorum")

func (l *fakeLed) leads() error {
	if l.w.leader != l.n || l.w.term != l.term {
		return ErrNotLeader
	}
	return nil
}

// commit says whether a command can. The caller holds the lock.
func (l *fakeLed) commit() error {
	if err := l.leads(); err != nil {
		return err
	}
	if l.w.alone && !l.w.target.connects() {
		return errNoQuorum
	}
	return nil
}

// command puts an entry into the log that changes no data.
func (l *fakeLed) command() (uint64, error) {
	if err := l.commit(); err != nil {
		return 0, err
	}
	l.w.entries = append(l.w.entries, entry{term: l.term, leaf: noLeaf})
	return l.w.last(), nil
}

func (l *fakeLed) Standing(_ context.Context, asker membership.ServerID) (LedStanding, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return LedStanding{Server: l.w.nodes[l.n].id.Server(0), Term: l.term, Lineage: l.w.lineage, Epoch: l.w.epoch, Applied: l.w.last(),
		Assigned: asker == l.w.target.server && !l.w.target.dismissed}, l.leads()
}

func (l *fakeLed) Report(context.Context, membership.ServerID) (LedReport, error) {
	w := l.w
	w.mu.Lock()
	defer w.mu.Unlock()
	data := w.dataAt(w.last())
	r := LedReport{Leader: walgap.Leader{Cluster: "c", Group: testGroup, Lineage: w.lineage, Committed: true,
		CanCommit: !w.alone || w.target.connects(), First: w.first, Last: w.last(), Terms: w.terms(),
		Record: walgap.Position(w.position(w.record())), Points: uint64(len(data)), Leaves: uint64(len(data)),
		Bytes: uint64(bytesOf(data.entries()))}}
	for i := range 2 {
		if w.away {
			break
		}
		r.Sources = append(r.Sources, Source{Server: w.nodes[i].id.Server(0), Leader: i == l.n})
	}
	return r, l.leads()
}

// record is the snapshot record: where the log was trimmed to, or, where nothing can commit, all that is applied.
func (w *world) record() uint64 {
	if w.alone {
		return w.last()
	}
	return w.first - 1
}

func (l *fakeLed) Lease(_ context.Context, id string, from uint64, ttl time.Duration) (uint64, error) {
	l.w.mu.Lock()
	before := l.w.faults.lease
	l.w.mu.Unlock()
	if before != nil {
		before()
	}
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	index, err := l.command()
	if err != nil {
		return 0, err
	}
	if old := l.w.leases[id]; old != nil && time.Now().Before(old.deadline) {
		old.deadline = time.Now().Add(ttl)
		return index, nil
	}
	if from == 0 || from > index {
		from = index
	}
	l.w.leases[id] = &fakeLease{from: from, deadline: time.Now().Add(ttl)}
	return index, nil
}

func (l *fakeLed) Leased(id string) bool {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	lease := l.w.leases[id]
	return lease != nil && time.Now().Before(lease.deadline)
}

func (l *fakeLed) End(_ context.Context, ids []string) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if _, err := l.command(); err != nil {
		return err
	}
	for _, id := range ids {
		delete(l.w.leases, id)
		delete(l.w.pinned, id)
	}
	return nil
}

func (l *fakeLed) Cut(ctx context.Context, ask CutAsk) (CutMade, error) {
	w := l.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.faults.cuts > 0 {
		w.faults.cuts--
		return CutMade{}, errNoQuorum
	}
	if w.faults.aborts > 0 {
		w.faults.aborts--
		return CutMade{ID: ask.ID, Fenced: ask.MaxPause}, ErrAborted
	}
	index, err := l.command()
	if err != nil {
		return CutMade{}, err
	}
	if old := w.leases[ask.Lease]; old != nil && time.Now().Before(old.deadline) {
		old.deadline = time.Now().Add(ask.TTL)
	} else if ask.Lease != "" {
		w.leases[ask.Lease] = &fakeLease{from: index, deadline: time.Now().Add(ask.TTL)}
	}
	w.leases[ask.ID] = &fakeLease{view: true, deadline: time.Now().Add(ask.TTL)}
	w.views[ask.ID] = fakeView{at: w.position(index), data: w.dataAt(index)}
	w.pinned[ask.ID] = [3]bool{true, true, false}
	_, _ = l.command() // the no-op that follows it
	return CutMade{ask.ID, w.position(index), time.Millisecond}, ctx.Err()
}

func (l *fakeLed) PinRecord(_ context.Context, owner string, ttl time.Duration) (CutMade, error) {
	w := l.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := l.leads(); err != nil {
		return CutMade{}, err
	}
	for other := range w.held {
		if other != owner {
			return CutMade{}, ErrBusy
		}
	}
	w.held[owner] = true
	index := w.last()
	if w.alone {
		index = w.record()
	}
	id := fmt.Sprintf("pin-%d-%d", len(w.views), w.term)
	w.views[id] = fakeView{at: w.position(index), data: w.dataAt(index), until: time.Now().Add(ttl)}
	pinned := [3]bool{}
	pinned[l.n] = true
	w.pinned[id] = pinned
	return CutMade{ID: id, Position: w.position(index)}, nil
}

func (l *fakeLed) Unpin(id string) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.unpin(id)
}

func (l *fakeLed) View(_ context.Context, id string) (LedView, error) {
	w := l.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.faults.views > 0 {
		w.faults.views--
		w.unpin(id)
	}
	if !w.pinnedAt(id, l.n) {
		return nil, storage.ErrNotPinned
	}
	return &fakeLedView{l, w.views[id]}, nil
}

// pinnedAt: a cut's view ends with its lease, a record's with its time.
func (w *world) pinnedAt(id string, n int) bool {
	lease := w.leases[id]
	alive := lease != nil && time.Now().Before(lease.deadline) || time.Now().Before(w.views[id].until)
	return alive && w.pinned[id][n]
}

type fakeLedView struct {
	l *fakeLed
	v fakeView
}

func (v *fakeLedView) Index() storage.Position { return v.v.at }

func (v *fakeLedView) Root(ctx context.Context) (digest.ID, []digest.Entry, error) {
	v.l.w.mu.Lock()
	slow := v.l.w.faults.listing
	v.l.w.mu.Unlock()
	if err := pause.For(ctx, slow); err != nil {
		return digest.ID{}, nil, err
	}
	list := v.v.data.entries()
	return digest.Root(list), list, nil
}

func (v *fakeLedView) State() ([]byte, error) {
	return fmt.Appendf(nil, "%d %d", v.v.at.Index, v.v.at.Term), nil
}

func (v *fakeLedView) Prove(_ context.Context, key []byte) (digest.ID, error) {
	if v.l.w.faults.wrong {
		return digest.ID{1}, nil
	}
	return v.v.data.sum(key, v.v.data.entries()), nil
}

func (v *fakeLedView) Close() error { return nil }

func (l *fakeLed) Proven(_ context.Context, p Proof) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.sums[fmt.Sprintf("%s@%d", p.Job, p.Position.Index)] = true
	return nil
}

func (l *fakeLed) Witness(cutID string, target membership.ServerID) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if target != l.w.target.server {
		l.w.violated("%s is copied to", target)
	}
	if pinned, found := l.w.pinned[cutID]; found && pinned != [3]bool{true, true, false} { // lost views tell nothing, and do no harm
		l.w.violated("%s is to be witnessed, and is pinned on %v", cutID, pinned)
	}
	l.w.witnessed = append(l.w.witnessed, cutID)
}

func (l *fakeLed) HoldRecord(_ context.Context, owner string, state []byte) (func(), error) {
	w := l.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.faults.busy > 0 || len(w.held) > 0 && !w.held[owner] {
		w.faults.busy--
		return nil, ErrBusy
	}
	w.held[owner] = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.held, owner)
	}, nil
}
