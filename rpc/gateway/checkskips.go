package gateway

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// Groups that cannot be checked come in crowds: a node that is away is missing in
// all that it holds. Each crowd is told of once, with its size and its first
// groups: at the end of the job that met it, else a moment after its first group;
// then, while it goes on, ever more seldom.
const (
	// skipGather is how long a crowd is gathered that is new, and skipRepeat after
	// how long at most it is told of again.
	skipGather = 2 * time.Second
	skipRepeat = 10 * time.Minute
	// maxCrowds bounds them; what comes beyond is one more.
	maxCrowds = 64
	// namedGroups is how many groups of a crowd are named.
	namedGroups = 8
)

// skips gathers the groups that were not fully checked.
type skips struct {
	tell func(crowd)

	mu     sync.Mutex
	crowds map[string]*crowd // guarded by mu
	closed bool              // guarded by mu
}

// crowd are groups that were not fully checked for one reason.
type crowd struct {
	missing []string // the nodes that did not take part
	why     string   // of the first group
	groups  map[uint32]bool
	last    time.Time // when it last grew
	wait    time.Duration
	timer   *time.Timer
}

func newSkips(tell func(crowd)) *skips { return &skips{tell: tell, crowds: map[string]*crowd{}} }

func (s *skips) add(r *antientropy.Report) {
	key := strings.Join(r.Missing, ",")
	if key == "" {
		key = r.Unchecked
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if len(s.crowds) >= maxCrowds && s.crowds[key] == nil {
		key = ""
	}
	c := s.crowds[key]
	if c == nil {
		c = &crowd{missing: slices.Clone(r.Missing), groups: map[uint32]bool{}, wait: skipGather}
		c.timer = time.AfterFunc(c.wait, func() { s.due(key) })
		s.crowds[key] = c
	}
	if len(c.groups) == 0 {
		c.why = r.Unchecked
		c.timer.Reset(c.wait)
	}
	c.last = time.Now()
	c.groups[r.Group] = true
}

// due tells of a crowd, and forgets one that has not grown for long.
func (s *skips) due(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.crowds[key]
	switch {
	case s.closed || c == nil:
	case len(c.groups) > 0:
		s.tellLocked(c)
	case time.Since(c.last) >= skipRepeat:
		delete(s.crowds, key)
	default:
		c.timer.Reset(skipRepeat - time.Since(c.last))
	}
}

// flush tells of all that wait to be told of: a job is over.
func (s *skips) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.crowds {
		if len(c.groups) > 0 {
			s.tellLocked(c)
		}
	}
}

func (s *skips) tellLocked(c *crowd) {
	s.tell(*c)
	c.groups, c.wait = map[uint32]bool{}, min(2*c.wait, skipRepeat)
	c.timer.Reset(skipRepeat)
}

func (s *skips) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range s.crowds {
		c.timer.Stop()
	}
}

// names lists the first groups.
func (c *crowd) names() string {
	ids := make([]uint32, 0, len(c.groups))
	for id := range c.groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var names []string
	for _, id := range ids[:min(len(ids), namedGroups)] {
		names = append(names, strconv.FormatUint(uint64(id), 10))
	}
	text := strings.Join(names, ", ")
	if more := len(ids) - namedGroups; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// noteSkipped is told of crowds.
func (g *Gateway) noteSkipped(c crowd) {
	node := ""
	if len(c.missing) == 1 {
		node = c.missing[0]
	}
	g.logger.Warn("groups were not fully checked: missing is not equal", "groups", len(c.groups), "first", c.names(), "missing", c.missing, "why", c.why)
	if len(c.groups) == 1 {
		for group := range c.groups {
			g.Note(api.EventCheck, &group, node, "the group was not fully checked: %s", c.why)
		}
		return
	}
	g.Note(api.EventCheck, nil, node, "%d groups were not fully checked (%s), the first because: %s", len(c.groups), c.names(), c.why)
}
