package client

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
)

// Any node answers any read, and forwards it to the node that leads the group:
// that costs twice the CPU. So answers say who that was, and the next reads of
// the group are asked of that node at once. All that is remembered here is a
// hint: a node that does not lead any more forwards as any other would.
const (
	// maxRouteGroups bounds the groups that a Client remembers the leaders of.
	maxRouteGroups = 1 << 16
	// maxMembers bounds the nodes that a Client remembers. One that is wiped is
	// another one afterwards.
	maxMembers = 256
	// routePatience is how long a node that is believed to lead may be silent
	// before another one is asked too, and silentRest for how long it is then
	// not believed.
	routePatience = 2 * time.Second
	silentRest    = 5 * time.Second
)

// routes is who leads which group, as far as answers have told.
type routes struct {
	leaders atomic.Pointer[[]atomic.Pointer[member]] // one slot a group; nil before the first answer that tells

	mu      sync.Mutex
	members map[string]*member // guarded by mu; by identity
	closed  bool               // guarded by mu: no more connections are made
	dials   sync.WaitGroup     // begun with mu held, while not closed
}

// member is one node of the cluster.
type member struct {
	identity  string                  // as pb.NodeHeader says it
	conns     atomic.Pointer[[]*conn] // that ended at this node when they were opened last
	turn      atomic.Uint64
	restUntil atomic.Pointer[time.Time] // nil: it may be asked

	addr    string // guarded by routes.mu; advertised, "" unknown
	dialed  *conn  // guarded by routes.mu; to addr, which the Client was not given
	cancel  func() // guarded by routes.mu; of the attempt to dial that is under way, else nil
	refused int    // guarded by routes.mu; attempts that failed since the last that did not
}

// routable reports whether a query is for the leader of one group, and which.
// known is false as long as the number of groups is not known.
func (r *routes) routable(q *Query) (group uint32, known, ok bool) {
	if q.Consistency == Stale || len(q.Devices) == 0 || len(q.Devices) > wholeDevices {
		return 0, false, false
	}
	slots := r.leaders.Load()
	if slots == nil {
		return 0, false, true
	}
	total := uint32(len(*slots))
	group = storage.GroupOf(q.Database, q.Collection, q.Devices[0], total)
	for _, device := range q.Devices[1:] {
		if storage.GroupOf(q.Database, q.Collection, device, total) != group {
			return 0, false, false
		}
	}
	return group, true, true
}

// leader is who was last seen to lead a group, nil if nobody was.
func (r *routes) leader(group uint32) *member {
	if slots := r.leaders.Load(); slots != nil && int(group) < len(*slots) {
		return (*slots)[group].Load()
	}
	return nil
}

// forget drops what is known of a group, if it is still that.
func (r *routes) forget(group uint32, m *member) {
	if slots := r.leaders.Load(); slots != nil && int(group) < len(*slots) {
		(*slots)[group].CompareAndSwap(m, nil)
	}
}

// learn notes who led a group; nil if that cannot be kept.
func (r *routes) learn(route *pb.Route) *member {
	total := route.GetTotalGroups()
	if total == 0 || total > maxRouteGroups || route.GetGroup() >= total || route.GetNode() == "" {
		return nil
	}
	if m := r.leader(route.GetGroup()); m != nil && m.identity == route.GetNode() && len(*r.leaders.Load()) == int(total) {
		return m
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.member(route.GetNode())
	if m == nil {
		return nil
	}
	m.addr = route.GetRpcAddr()
	slots := r.leaders.Load()
	if slots == nil || len(*slots) != int(total) {
		made := make([]atomic.Pointer[member], total)
		slots = &made
		r.leaders.Store(slots)
	}
	(*slots)[route.GetGroup()].Store(m)
	return m
}

// announce notes at which node a connection ends.
func (r *routes) announce(n *conn, identity string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := n.at.Load(); before != nil {
		if before.identity == identity {
			return
		}
		before.without(n)
		n.at.Store(nil)
	}
	if m := r.member(identity); m != nil {
		m.with(n)
		n.at.Store(m)
	}
}

// member gives the node of an identity; nil for "" and where there are too many.
// mu is held.
func (r *routes) member(identity string) *member {
	m := r.members[identity]
	if m != nil || identity == "" {
		return m
	}
	if len(r.members) >= maxMembers {
		r.sweep()
	}
	if len(r.members) >= maxMembers {
		return nil
	}
	if r.members == nil {
		r.members = map[string]*member{}
	}
	m = &member{identity: identity}
	r.members[identity] = m
	return m
}

// sweep forgets nodes to which there is no connection, and who leads: answers
// tell it again. mu is held.
func (r *routes) sweep() {
	r.leaders.Store(nil)
	for identity, m := range r.members {
		if m.dialed == nil && m.cancel == nil && m.conns.Load() == nil {
			delete(r.members, identity)
		}
	}
}

// with and without change the connections; routes.mu is held.
func (m *member) with(n *conn) {
	conns := []*conn{n}
	if had := m.conns.Load(); had != nil {
		conns = append(slices.Clone(*had), n)
	}
	m.conns.Store(&conns)
}

func (m *member) without(n *conn) {
	had := m.conns.Load()
	if had == nil {
		return
	}
	conns := slices.DeleteFunc(slices.Clone(*had), func(x *conn) bool { return x == n })
	if len(conns) == 0 {
		m.conns.Store(nil)
		return
	}
	m.conns.Store(&conns)
}

// pick gives a connection that is open now: a hint is never waited for.
func (m *member) pick() *conn {
	conns := m.conns.Load()
	if conns == nil || m.rests() {
		return nil
	}
	first := int(m.turn.Add(1) % uint64(len(*conns)))
	for i := range *conns {
		if n := (*conns)[(first+i)%len(*conns)]; n.queries.ready() {
			return n
		}
	}
	return nil
}

// rest keeps reads from a node for a while.
func (m *member) rest(d time.Duration) {
	until := time.Now().Add(d)
	m.restUntil.Store(&until)
}

func (m *member) rests() bool {
	until := m.restUntil.Load()
	return until != nil && time.Now().Before(*until)
}
