package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// cutTTL is how long the views of a check live if nobody ends or renews them.
	cutTTL = 2 * time.Minute
	// cutTimeout bounds the search for a leader and the commit of a cut.
	cutTimeout = 10 * time.Second
	// rootTimeout bounds how long a replica is waited for.
	rootTimeout = 30 * time.Second
	// syncingTimeout is rootTimeout of a replica that says that it is not ready.
	syncingTimeout = 5 * time.Second
	// rereadTimeout bounds one page of leaves that is read off a disk.
	rereadTimeout = 2 * time.Minute
	// actTimeout bounds an accusation, an acquittal, and the begin of a repair.
	actTimeout = 10 * time.Second
)

// checkCluster reaches the replicas for checks. It implements
// antientropy.Cluster.
type checkCluster struct {
	g     *Gateway
	known *conditions
	cuts  *sync.Map // index by id, of the checks under way
}

// Members implements antientropy.Roster.
func (c checkCluster) Members(ctx context.Context, group uint32) ([]antientropy.Member, error) {
	t := c.g.cfg.Directory.Table()
	a, ok := t.Assignments[group]
	if !ok {
		return nil, fmt.Errorf("group %d is not in this node's table: %w", group, antientropy.ErrMoved)
	}
	conds := c.known.of(ctx, a, 0) // whoever waits for a change of them asks again and again
	var out []antientropy.Member
	for _, name := range a.Nodes() {
		k := conds[name]
		m := antientropy.Member{Node: name, Voter: k.role != api.RoleLearner, Leader: k.role == api.RoleLeader, Suspect: k.suspicion}
		node, there := t.Nodes[name]
		switch state, _ := c.g.seen(node); {
		case !there || state == membership.NodeDown:
			m.Why = "its node is down"
		case k.lost: // no leader comes for a cut, and nobody has a copy to give
			m.Why = k.why
		case k.state == api.ReplicaQuarantined: // all of it is in question
			m.Suspect = &antientropy.Suspicion{Why: k.why}
		case k.cut:
			m.Why = k.why
		}
		out = append(out, m)
	}
	return out, nil
}

// id finds a node; its absence counts against the replica.
func (c checkCluster) id(name string) (membership.NodeID, error) {
	id, ok := c.g.cfg.Directory.Table().node(name)
	if !ok {
		return id, fmt.Errorf("node %s is not in this node's table", name)
	}
	return id, nil
}

// Standing implements antientropy.Cuts.
func (c checkCluster) Standing(ctx context.Context, group uint32, node string) (antientropy.Statement, error) {
	return c.root(ctx, group, "", node)
}

// Cut implements antientropy.Cuts.
func (c checkCluster) Cut(ctx context.Context, group uint32) (string, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, cutTimeout)
	defer cancel()
	cut, _, err := askLeader[cutAnswer](ctx, c.g, group, MethodCut, cutRequest{group, antientropy.CutPurpose, cutTTL.Milliseconds()})
	if err != nil {
		return "", 0, fmt.Errorf("no cut: %w", errors.Join(antientropy.ErrMoved, err))
	}
	c.cuts.Store(cut.ID, cut.Index)
	return cut.ID, cut.Index, nil
}

// Renew implements antientropy.Cuts.
func (c checkCluster) Renew(ctx context.Context, group uint32, id string) error {
	frames := storage.AppendLease(nil, storage.Lease{ID: id, Purpose: antientropy.CutPurpose, TTL: cutTTL})
	return c.g.command(ctx, group, frames)
}

// EndCut implements antientropy.Cuts.
func (c checkCluster) EndCut(ctx context.Context, group uint32, id string) error {
	c.cuts.Delete(id)
	return c.g.endCut(ctx, group, id)
}

// Root implements antientropy.Witnesses.
func (c checkCluster) Root(ctx context.Context, group uint32, cut, node string) (antientropy.Statement, error) {
	return c.root(ctx, group, cut, node)
}

func (c checkCluster) root(ctx context.Context, group uint32, cut, node string) (antientropy.Statement, error) {
	a := c.g.cfg.Directory.Table().Assignments[group]
	limit, call := rootTimeout, c.g.gather.call
	if c.known.of(ctx, a, conditionsAge)[node].state == api.ReplicaSyncing {
		limit, call = syncingTimeout, c.g.call // nobody else waits for it
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := askNodeOver[Root](limited, c, call, node, MethodRoots, rootRequest{group, cut})
	if late := errors.Is(err, context.DeadlineExceeded) || limited.Err() != nil; err != nil && late && ctx.Err() == nil {
		return antientropy.Statement{}, c.late(ctx, a, node)
	}
	if index, ok := c.cuts.Load(cut); ok && errors.Is(err, ErrStructure) {
		// It is there, and wrong: what it holds equals nothing.
		at := antientropy.Place{Lineage: r.Lineage, Index: index.(uint64)}
		return antientropy.Statement{Place: at, Root: sha256.Sum256([]byte("no root of " + node))}, nil
	}
	if err != nil {
		return antientropy.Statement{}, err
	}
	s := antientropy.Statement{Place: antientropy.Place{Lineage: r.Lineage, Index: r.Index}, Bytes: r.Bytes, Points: r.Points, Doubts: r.Doubts}
	if s.Root, err = digest.ParseID(r.Root); err != nil {
		return s, fmt.Errorf("answer of node %s: %w", node, errPayload)
	}
	return s, nil
}

// late says why a replica did not answer in time, as it is seen now.
func (c checkCluster) late(ctx context.Context, a membership.Assignment, node string) error {
	k := c.known.of(ctx, a, 0)[node]
	if k.state == "" {
		return errors.New(k.describe())
	}
	return fmt.Errorf("it did not get to the cut in time: %s", k.describe())
}

// askNode asks one node about its replica, in the terms of a check.
func askNode[T any](ctx context.Context, c checkCluster, node string, method Method, request any) (T, error) {
	return askNodeOver[T](ctx, c, c.g.call, node, method, request)
}

func askNodeOver[T any](ctx context.Context, c checkCluster, call caller, node string, method Method, request any) (T, error) {
	var none T
	to, err := c.id(node)
	if err != nil {
		return none, err
	}
	v, err := askReplicaOver[T](ctx, call, to, method, request)
	switch {
	case err == nil:
		return v, nil
	case errors.Is(err, ErrNotPinned):
		return none, fmt.Errorf("%w: %w", antientropy.ErrNotPinned, err)
	}
	text, kind := strings.TrimPrefix(err.Error(), "node "+node+": "), err // a check names who says what
	if errors.Is(err, ErrAway) {
		kind = antientropy.ErrAway
	}
	return v, &replicaError{text, kind}
}

// Accuse implements antientropy.Acts.
func (c checkCluster) Accuse(ctx context.Context, group uint32, node string, s antientropy.Suspicion) error {
	word := "is suspect"
	if s.Disputed {
		word = "is disputed"
	}
	err := c.act(ctx, node, accuseRequest{Group: group, Suspicion: &s})
	if err == nil {
		c.g.Note(api.EventFinding, &group, node, "the replica %s: %s", word, s.Why)
	}
	return err
}

// Acquit implements antientropy.Acts.
func (c checkCluster) Acquit(ctx context.Context, group uint32, node string, leaves []digest.Leaf) error {
	err := c.act(ctx, node, accuseRequest{Group: group, Leaves: leaves})
	if err == nil {
		c.g.Note(api.EventCheck, &group, node, "the replica is equal at a later cut: it is trusted again")
	}
	return err
}

func (c checkCluster) act(ctx context.Context, node string, r accuseRequest) error {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	defer c.known.forget(r.Group)
	_, err := askNode[struct{}](ctx, c, node, MethodAccuse, r)
	return err
}
