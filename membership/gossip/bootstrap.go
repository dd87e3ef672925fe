package gossip

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/membership"
)

// The promise of --bootstrap-expect N. Each fresh node promises, durably and
// once, one set of exactly N name.incarnations that it sees. When all N have
// promised the same set, the lowest of them makes the cluster id and
// bootstraps. Any node that reports an existing cluster ends it: then the
// fresh nodes join that one.
//
// Two sets that both have all promises share no node, since a node promises
// once: at most one cluster is made of the same nodes, whatever gossip loses.

// Digest stands for a promised set in the metadata.
type Digest [16]byte

// DigestOf names a set, in any order.
func DigestOf(set []membership.NodeID) Digest {
	set = slices.Clone(set)
	slices.SortFunc(set, membership.NodeID.Compare)
	var text strings.Builder
	for _, id := range set {
		text.WriteString(id.String())
		text.WriteByte('\n')
	}
	sum := sha256.Sum256([]byte(text.String()))
	return Digest(sum[:16])
}

// Step is what a node without a cluster should do next.
type Step uint8

// The steps.
const (
	StepWait      Step = iota + 1 // Reason says for what
	StepPromise                   // promise Set
	StepBootstrap                 // make the cluster
	StepJoin                      // join the cluster ClusterID
)

// Fresh is a node without a cluster, as gossip sees it.
type Fresh struct {
	ID      membership.NodeID
	Expect  uint32
	Promise Digest
}

// View is what the decision rests on.
type View struct {
	Self      membership.NodeID
	Expect    uint32              // 0: this node never bootstraps
	ClusterID string              // of any node that was seen, or our own
	Promised  []membership.NodeID // our own promise, nil: none yet
	Others    []Fresh             // fresh nodes that answer, without ourselves
}

// Decision is the next step.
type Decision struct {
	Step      Step
	Set       []membership.NodeID
	ClusterID string
	Reason    string
}

// Decide gives the next step of a node without a cluster.
func Decide(v View) Decision {
	switch {
	case v.ClusterID != "":
		return Decision{Step: StepJoin, ClusterID: v.ClusterID}
	case v.Expect == 0:
		return Decision{Step: StepWait, Reason: "no member of a cluster has answered yet"}
	case v.Promised == nil:
		return decideSet(v)
	}
	return decideMaker(v)
}

// decideSet looks for the set to promise.
func decideSet(v View) Decision {
	set := []membership.NodeID{v.Self}
	for _, o := range v.Others {
		if o.Expect != v.Expect {
			return wait("%s was started with --bootstrap-expect %d, this node with %d", o.ID, o.Expect, v.Expect)
		}
		set = append(set, o.ID)
	}
	slices.SortFunc(set, membership.NodeID.Compare)
	for i := 1; i < len(set); i++ {
		if set[i].Name == set[i-1].Name {
			return wait("two fresh nodes are called %q: %s and %s", set[i].Name, set[i-1], set[i])
		}
	}
	switch n := len(set); {
	case n < int(v.Expect):
		return wait("%d of %d nodes are here", n, v.Expect)
	case n > int(v.Expect):
		return wait("%d fresh nodes are here, and --bootstrap-expect says %d", n, v.Expect)
	}
	return Decision{Step: StepPromise, Set: set}
}

// decideMaker waits for the others' promises.
func decideMaker(v View) Decision {
	ours := DigestOf(v.Promised)
	for _, id := range v.Promised {
		if id == v.Self {
			continue
		}
		i := slices.IndexFunc(v.Others, func(o Fresh) bool { return o.ID == id })
		switch {
		case i < 0:
			return wait("%s does not answer, and the promise of this node needs it: start it, or begin again with empty data directories", id)
		case v.Others[i].Promise == Digest{}:
			return wait("%s has not promised yet", id)
		case v.Others[i].Promise != ours:
			return wait("%s has promised another set of nodes: begin again with empty data directories", id)
		}
	}
	if lowest := slices.MinFunc(v.Promised, membership.NodeID.Compare); lowest != v.Self {
		return wait("%s makes the cluster", lowest)
	}
	return Decision{Step: StepBootstrap, Set: v.Promised}
}

func wait(format string, args ...any) Decision {
	return Decision{Step: StepWait, Reason: fmt.Sprintf(format, args...)}
}
