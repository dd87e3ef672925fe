package fakecluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// groupLog is the log of one group: what its leader proposes is applied on
// every replica at once.
type groupLog struct {
	group uint32

	mu      sync.Mutex
	leader  string // "" none
	index   uint64
	count   int // proposals that were applied
	cuts    int
	shards  map[string]*storage.Shard
	lineage string
	first   map[string]uint64 // of the log of a replica that was trimmed
	stuck   map[string]bool
	says    map[string]string // lineages that replicas say to be of, where it is another
}

func newGroupLog(tb testing.TB, group uint32, leader string, nodes []string, dir string) *groupLog {
	l := &groupLog{group: group, leader: leader, shards: map[string]*storage.Shard{}, first: map[string]uint64{}, stuck: map[string]bool{}, says: map[string]string{}, lineage: fmt.Sprintf("lineage-%d", group)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	for _, node := range nodes {
		s, err := storage.OpenShard(storage.Options{Path: filepath.Join(dir, node+".db"), InitialMmapSize: 1 << 22,
			Identity: storage.Identity{ClusterID: "c", Group: group, Lineage: l.lineage}})
		if err != nil {
			tb.Fatal(err)
		}
		l.shards[node] = s
	}
	return l
}

func (l *groupLog) close() {
	for _, s := range l.shards {
		_ = s.Close()
	}
}

func (l *groupLog) setLeader(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader = node
}

func (l *groupLog) leaderName() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leader
}

func (l *groupLog) proposals() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func (l *groupLog) shard(node string) *storage.Shard {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shards[node]
}

// commit applies frames on every replica, if node leads.
func (l *groupLog) commit(node string, frames []byte) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leader != node {
		return 0, &gateway.NotLeaderError{Leader: l.leader}
	}
	l.index++
	for name, s := range l.shards {
		if l.stuck[name] {
			continue
		}
		if errs := s.Apply([]storage.Entry{{Index: l.index, Term: 1, Data: frames}}); len(errs) > 0 && errs[0] != nil {
			return 0, fmt.Errorf("%w: %w", gateway.ErrUnknown, errs[0])
		}
	}
	l.count++
	return l.index, nil
}

// replica is one node's view of a group.
type replica struct {
	n *Node
	l *groupLog
}

type proposal struct {
	done chan struct{}
	err  error
}

func (p *proposal) Done() <-chan struct{} { return p.done }
func (p *proposal) Err() error            { return p.err }

// ErrHang as the answer of OnPropose leaves the proposal without an outcome.
var ErrHang = errors.New("hang")

// ErrAppliedUnknown as the answer of OnPropose applies the proposal and says
// that its outcome is unknown.
var ErrAppliedUnknown = fmt.Errorf("applied all the same: %w", gateway.ErrUnknown)

func (r replica) ProposeAsync(frames []byte, _ time.Time) gateway.Proposal {
	p := &proposal{done: make(chan struct{})}
	r.n.c.mu.Lock()
	hook := r.n.c.onPropose
	r.n.c.mu.Unlock()
	if hook != nil {
		p.err = hook(r.n.Name, r.l.group)
	}
	switch {
	case errors.Is(p.err, ErrHang):
		return p
	case errors.Is(p.err, ErrAppliedUnknown):
		_, _ = r.l.commit(r.n.Name, frames)
	case p.err == nil:
		_, p.err = r.l.commit(r.n.Name, frames)
	}
	close(p.done)
	return p
}

func (r replica) ReadBarrier(context.Context) error {
	if leader := r.l.leaderName(); leader != r.n.Name {
		return &gateway.NotLeaderError{Leader: leader}
	}
	return nil
}

func (r replica) IsLeader() bool { return r.l.leaderName() == r.n.Name }

func (r replica) Contact() (time.Duration, bool) {
	if r.IsLeader() {
		return 0, true
	}
	return 50 * time.Millisecond, true
}

func (r replica) Data() gateway.Data { return r.l.shard(r.n.Name) }

func (r replica) Status() gateway.ReplicaStatus {
	stats := r.l.shard(r.n.Name).Stats()
	role, ms := api.RoleFollower, int64(50)
	if r.IsLeader() {
		role, ms = api.RoleLeader, 0
	}
	lag := uint64(0)
	s := gateway.ReplicaStatus{Group: r.l.group, Leader: r.l.leaderName(), Term: 1, CommitIndex: stats.Applied.Index,
		Replica: api.Replica{Role: role, State: api.ReplicaReady, AppliedIndex: stats.Applied.Index, LogFirst: r.l.logFirst(r.n.Name), LogLast: stats.Applied.Index,
			Bytes: stats.Bytes, Points: stats.Points, LastContactMs: &ms, Lag: &lag}}
	r.n.c.mu.Lock()
	hook := r.n.c.onStatus
	r.n.c.mu.Unlock()
	if hook != nil {
		hook(r.n.Name, r.l.group, &s)
	}
	return s
}

func (r replica) Cut(_ context.Context, purpose string, ttl time.Duration) (string, uint64, error) {
	if err := r.operate(); err != nil {
		return "", 0, err
	}
	r.l.mu.Lock()
	r.l.cuts++
	id := fmt.Sprintf("cut-%d-%d", r.l.group, r.l.cuts)
	r.l.mu.Unlock()
	index, err := r.l.commit(r.n.Name, storage.AppendCut(nil, storage.Cut{ID: id, Purpose: purpose, TTL: ttl}))
	return id, index, err
}

func (r replica) AwaitRoot(ctx context.Context, cutID string) (gateway.Root, error) {
	v, err := r.l.shard(r.n.Name).AwaitView(ctx, cutID)
	if err != nil {
		return gateway.Root{}, err
	}
	return r.rootOf(ctx, v)
}

func (r replica) rootOf(ctx context.Context, v *storage.View) (gateway.Root, error) {
	defer v.Close()
	root, _, err := v.Root(ctx)
	at := v.Index()
	r.l.mu.Lock()
	lineage := cmp.Or(r.l.says[r.n.Name], r.l.lineage)
	r.l.mu.Unlock()
	return gateway.Root{Index: at.Index, Term: at.Term, Lineage: lineage, Root: root.String(), Bytes: 1}, err
}

func (r replica) CurrentRoot(ctx context.Context) (gateway.Root, error) {
	v, err := r.l.shard(r.n.Name).Look(ctx)
	if err != nil {
		return gateway.Root{}, err
	}
	return r.rootOf(ctx, v)
}

// operate gives what OnOperate says.
func (r replica) operate() error {
	r.n.c.mu.Lock()
	hook := r.n.c.onOperate
	r.n.c.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(r.n.Name, r.l.group)
}

func (r replica) Trim(ctx context.Context, through uint64) error {
	if err := r.operate(); err != nil {
		return err
	}
	if _, err := r.l.shard(r.n.Name).Flush(ctx); err != nil {
		return err
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	first := through // this entry stays where the record is above it
	if applied := r.l.shards[r.n.Name].Applied().Index; applied <= through {
		first = applied + 1
	}
	r.l.first[r.n.Name] = max(r.l.first[r.n.Name], first)
	return nil
}

// logFirst is where the log of a replica begins.
func (l *groupLog) logFirst(node string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.first[node], 1)
}

func (r replica) StepDown(_ context.Context, to string) error {
	if err := r.operate(); err != nil {
		return err
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.l.leader != r.n.Name {
		return &gateway.NotLeaderError{Leader: r.l.leader}
	}
	for name := range r.l.shards {
		if name == to || to == "" && name != r.n.Name {
			r.l.leader = name
			return nil
		}
	}
	return fmt.Errorf("%w: no replica on %s", gateway.ErrRefused, to)
}

func (r replica) TrimPlan() (gateway.TrimPlan, error) {
	if err := r.operate(); err != nil {
		return gateway.TrimPlan{}, err
	}
	last := r.l.shard(r.n.Name).Stats().Applied.Index
	plan := gateway.TrimPlan{First: r.l.logFirst(r.n.Name), Through: last, Bytes: 100, LastIndex: last, LastTerm: 1, Applied: last, Term: 1}
	r.n.c.mu.Lock()
	hook := r.n.c.onTrimPlan
	r.n.c.mu.Unlock()
	if hook != nil {
		return hook(r.n.Name, r.l.group, plan)
	}
	return plan, nil
}

func (r replica) StepDownTarget(_ context.Context, to string) (string, error) {
	if err := r.operate(); err != nil {
		return "", err
	}
	if leader := r.l.leaderName(); leader != r.n.Name {
		return "", &gateway.NotLeaderError{Leader: leader}
	}
	if to != "" {
		return to, nil
	}
	for _, n := range r.n.c.Nodes {
		if n.Name != r.n.Name {
			return n.Name, nil
		}
	}
	return "", fmt.Errorf("%w: no other replica", gateway.ErrRefused)
}

// Damage applies a write on one replica only, so that it differs.
func (c *Cluster) Damage(group uint32, node string, points []storage.Point) {
	l := c.log(group)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index++
	for name, s := range l.shards {
		if l.stuck[name] {
			continue
		}
		data := storage.AppendNoop(nil)
		if name == node {
			data = storage.AppendPut(nil, points)
		}
		for _, err := range s.Apply([]storage.Entry{{Index: l.index, Term: 1, Data: data}}) {
			if err != nil {
				c.tb.Fatal(err)
			}
		}
	}
}

// Distrust has a replica serve none of some leaves.
func (c *Cluster) Distrust(group uint32, node string, leaves ...digest.Leaf) {
	c.log(group).shard(node).Distrust(leaves...)
}
