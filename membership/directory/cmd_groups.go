package directory

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/membership"
)

// maxHolders bounds the replicas of one group.
const maxHolders = 64

// Bear gives birth to groups: the birth record and the first assignment of
// each. A group that exists already is left as it is: a group is born once.
type Bear struct {
	Births []membership.Birth // the first voter is the primary; epochs are 1
	At     time.Time
}

// Kind implements Command.
func (Bear) Kind() Kind       { return KindBirth }
func (Bear) repeatable() bool { return true }

func (c Bear) stamped(now time.Time) Command {
	c.At = stamp(c.At, now)
	return c
}

func (c Bear) check() error {
	for _, b := range c.Births {
		if id, err := uuid.Parse(b.Lineage); err != nil || id == uuid.Nil {
			return refuse(codeInvalid, "birth of group %d: lineage %q", b.Group, b.Lineage)
		}
		if len(b.Voters) == 0 || len(b.Voters) > maxHolders {
			return refuse(codeInvalid, "birth of group %d: %d voters", b.Group, len(b.Voters))
		}
		for i, v := range b.Voters {
			if v.Validate() != nil || slices.ContainsFunc(b.Voters[:i], func(o membership.ServerID) bool { return o.Name == v.Name }) {
				return refuse(codeInvalid, "birth of group %d: voter %q", b.Group, v)
			}
		}
	}
	return nil
}

// write names each voter once: a birth refers to its place in that list.
func (c Bear) write(w *writer) {
	var servers []membership.ServerID
	place := map[membership.ServerID]int{}
	for _, b := range c.Births {
		for _, v := range b.Voters {
			if _, ok := place[v]; !ok {
				place[v] = len(servers)
				servers = append(servers, v)
			}
		}
	}
	w.count(len(servers))
	for _, s := range servers {
		w.server(s)
	}
	w.count(len(c.Births))
	for _, b := range c.Births {
		w.uint(uint64(b.Group))
		w.uuid(b.Lineage)
		w.count(len(b.Voters))
		for _, v := range b.Voters {
			w.count(place[v])
		}
	}
	w.time(c.At)
}

func readBear(r *reader) Command {
	var servers []membership.ServerID
	for range r.count() {
		servers = append(servers, r.server())
	}
	var c Bear
	for range r.count() {
		b := membership.Birth{Group: r.uint32(), Lineage: r.uuid(), Epoch: 1}
		for range r.count() {
			i := r.uint()
			if i >= uint64(len(servers)) {
				r.fail("a voter")
				return c
			}
			b.Voters = append(b.Voters, servers[i])
		}
		c.Births = append(c.Births, b)
	}
	c.At = r.time()
	return c
}

func (c Bear) apply(d *draft) error {
	for _, b := range c.Births {
		if b.Group >= d.table.TotalGroups {
			return refuse(codeInvalid, "birth of group %d of %d", b.Group, d.table.TotalGroups)
		}
		for _, v := range b.Voters {
			if _, ok := d.table.Node(v.NodeID); !ok {
				return refuse(codeStale, "birth of group %d: node %s", b.Group, v.NodeID)
			}
		}
	}
	for _, b := range c.Births {
		if _, born := d.table.Births[b.Group]; born {
			continue
		}
		d.setBirth(b.Clone())
		a := membership.Assignment{Group: b.Group, Primary: b.Voters[0].Name, State: membership.GroupActive, Epoch: 1, UpdatedAt: c.At}
		for _, v := range b.Voters[1:] {
			a.Replicas = append(a.Replicas, v.Name)
		}
		slices.Sort(a.Replicas)
		d.setAssignment(a)
	}
	return nil
}

// Assign replaces assignments. Each carries the epoch that it was made from;
// if any is not the present one, none is replaced (ErrStale).
type Assign struct {
	Assignments []membership.Assignment
	At          time.Time
}

// Kind implements Command.
func (Assign) Kind() Kind       { return KindAssign }
func (Assign) repeatable() bool { return false }

func (c Assign) stamped(now time.Time) Command {
	c.At = stamp(c.At, now)
	return c
}

func (c Assign) check() error {
	for _, a := range c.Assignments {
		holders := a.Nodes()
		if a.Primary == "" || len(holders) > maxHolders || !a.State.Valid() || !slices.IsSorted(a.Replicas) {
			return refuse(codeInvalid, "assignment of group %d: %+v", a.Group, a)
		}
		slices.Sort(holders)
		if len(slices.Compact(holders)) != 1+len(a.Replicas) {
			return refuse(codeInvalid, "assignment of group %d names a node twice", a.Group)
		}
	}
	return nil
}

func (c Assign) write(w *writer) {
	w.count(len(c.Assignments))
	for _, a := range c.Assignments {
		writeAssignment(w, a)
	}
	w.time(c.At)
}

func readAssign(r *reader) Command {
	var c Assign
	for range r.count() {
		c.Assignments = append(c.Assignments, readAssignment(r))
	}
	c.At = r.time()
	return c
}

func (c Assign) apply(d *draft) error {
	seen := map[uint32]bool{}
	for _, a := range c.Assignments {
		old, ok := d.table.Assignments[a.Group]
		switch {
		case !ok:
			return refuse(codeNotFound, "group %d", a.Group)
		case old.Epoch != a.Epoch || seen[a.Group]:
			return refuse(codeStale, "group %d is at epoch %d, not %d", a.Group, old.Epoch, a.Epoch)
		}
		seen[a.Group] = true
		for _, name := range a.Nodes() {
			if _, ok := d.table.Nodes[name]; !ok {
				return refuse(codeNotFound, "assignment of group %d: node %q", a.Group, name)
			}
		}
	}
	for _, a := range c.Assignments {
		a = a.Clone()
		a.Epoch++
		a.UpdatedAt = c.At
		d.setAssignment(a)
	}
	return nil
}

func writeAssignment(w *writer, a membership.Assignment) {
	w.uint(uint64(a.Group))
	w.text(a.Primary)
	w.texts(a.Replicas)
	w.byte(byte(a.State))
	w.uint(a.Epoch)
	w.time(a.UpdatedAt)
}

func readAssignment(r *reader) membership.Assignment {
	return membership.Assignment{
		Group: r.uint32(), Primary: r.text(), Replicas: r.texts(),
		State: membership.GroupState(r.byte()), Epoch: r.uint(), UpdatedAt: r.time(),
	}
}
