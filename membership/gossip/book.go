package gossip

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/flotilla-db/flotilla/membership"
)

// maxRemembered bounds the nodes that are down and still remembered.
const maxRemembered = 256

// Member is what gossip knows of one node.incarnation.
type Member struct {
	membership.NodeID
	Meta
	Addr  string               // gossip address
	State membership.NodeState // up or down
	Since time.Time            // of the state, by this node's clock
}

// book keeps what memberlist tells. memberlist itself forgets the dead.
type book struct {
	mu       sync.Mutex // guards all fields
	members  map[membership.NodeID]Member
	observed string // first cluster id that was seen
	changed  chan struct{}
}

func newBook() *book {
	return &book{members: map[membership.NodeID]Member{}, changed: make(chan struct{})}
}

// changes gives a channel that is closed at the next change.
func (b *book) changes() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// record notes a node of memberlist. Malformed ones never get here: the alive
// delegate has refused them.
func (b *book) record(n *memberlist.Node, state membership.NodeState) {
	id, err := membership.ParseNodeID(n.Name)
	if err != nil {
		return
	}
	meta, err := decodeMeta(n.Meta)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next := Member{NodeID: id, Meta: meta, Addr: n.Address(), State: state, Since: time.Now()}
	if old, ok := b.members[id]; ok && old.State == state {
		next.Since = old.Since
	}
	b.members[id] = next
	b.forget()
	close(b.changed)
	b.changed = make(chan struct{})
}

// forget drops the oldest of the nodes that are down, beyond the bound.
func (b *book) forget() {
	var down []Member
	for _, m := range b.members {
		if m.State == membership.NodeDown {
			down = append(down, m)
		}
	}
	if len(down) <= maxRemembered {
		return
	}
	oldest := slices.MinFunc(down, func(x, y Member) int { return x.Since.Compare(y.Since) })
	delete(b.members, oldest.NodeID)
}

func (b *book) get(id membership.NodeID) (Member, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, ok := b.members[id]
	return m, ok
}

func (b *book) list() []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Member, 0, len(b.members))
	for _, m := range b.members {
		out = append(out, m)
	}
	slices.SortFunc(out, func(x, y Member) int { return x.NodeID.Compare(y.NodeID) })
	return out
}

// observe notes the first cluster id that is seen and gives it.
func (b *book) observe(clusterID string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.observed == "" && clusterID != "" {
		b.observed = clusterID
		close(b.changed)
		b.changed = make(chan struct{})
	}
	return b.observed
}

func (b *book) observedCluster() string { return b.observe("") }
