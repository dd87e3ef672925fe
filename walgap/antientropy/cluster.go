package antientropy

import (
	"context"
	"errors"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

var (
	// ErrMoved: the leader changed or is not known, or the group's configuration did. The check is made again.
	ErrMoved = errors.New("the group moved on")
	// ErrNotPinned: the replica has no view of that cut (any more). The check is made again with another cut.
	ErrNotPinned = errors.New("no view of that cut")
	// ErrAway: the replica is being copied to, by whatever job, and comes back. It is waited for.
	ErrAway = errors.New("the replica is away for a copy")
)

// Cluster reaches the replicas of the groups, by the names of their nodes. Every call ends when its context does, and
// may be made by several goroutines at once. An error that is none of those above counts against the replica that was
// asked: it is missing, and the text says why.
type Cluster interface {
	Roster
	Cuts
	Witnesses
	Acts
}

// Roster knows who is assigned.
type Roster interface {
	// Members lists the assigned replicas of a group, those that cannot answer too.
	Members(ctx context.Context, group uint32) ([]Member, error)
}

// Member is one assigned replica.
type Member struct {
	Node   string
	Server string // its Raft identity, if known: another one of the same node is another replica
	Voter  bool
	Leader bool   // it hands leadership over before it is repaired; it has no other weight
	Why    string // why it cannot answer: it is not asked, and missing; "": it can
	// Suspect is the suspicion that it lives under, nil: none.
	Suspect *Suspicion
}

// Cuts are the states at which replicas can be compared.
type Cuts interface {
	// Standing is the statement of a replica at what it has applied now. Nothing goes into the log, nothing is pinned.
	Standing(ctx context.Context, group uint32, node string) (Statement, error)
	// Cut puts a cut into the group's log. Its views live until EndCut, or for a bounded time without Renew.
	Cut(ctx context.Context, group uint32) (id string, index uint64, err error)
	// Renew prolongs the views of a cut; it is called every RenewEvery while a check is under way.
	Renew(ctx context.Context, group uint32, id string) error
	// EndCut ends the views. One that does not live is no error.
	EndCut(ctx context.Context, group uint32, id string) error
}

// Witnesses ask one replica about its view of a cut.
type Witnesses interface {
	// Root waits until the replica has applied the cut and gives the root there, from stored digests.
	Root(ctx context.Context, group uint32, cut, node string) (Statement, error)
	// Leaves gives leaves (only nil: all that there are, in leaf order) with their stored digests; with reread the
	// digests are computed from bytes that were read off the disk, and what cannot be read says so. A leaf of `only`
	// that the replica does not have is left out of the list.
	Leaves(ctx context.Context, group uint32, cut, node string, reread bool, only []digest.Leaf) (LeafList, error)
	// Inspect reads everything of the replica again: blocks, structure, digests, its log records and votes. With an empty
	// cut it is the state that is applied now.
	Inspect(ctx context.Context, group uint32, cut, node string) (Inspected, error)
	// Detail says what points a leaf holds there, bounded. A leaf that it does not have is an empty Detail.
	Detail(ctx context.Context, group uint32, cut, node string, leaf digest.Leaf) (Detail, error)
}

// Acts are all that a check does to a replica.
type Acts interface {
	// Accuse marks the replica, durably: it does not serve those leaves any more (disputed ones it does, as far as they
	// can be read), and does not stay leader while another can lead. A second accusation adds to the first.
	Accuse(ctx context.Context, group uint32, node string, s Suspicion) error
	// Acquit trusts the replica in these leaves again (none: in all). What else is held against it, by whom ever and
	// since when ever, stands.
	Acquit(ctx context.Context, group uint32, node string, leaves []digest.Leaf) error
	// Repair starts the job that brings the replica to equality with the good ones, and waits for its end.
	Repair(ctx context.Context, group uint32, node string, r Repair) error
}

// Place names a state of a group. Roots and leaves compare only at one place.
type Place struct {
	Lineage string
	Index   uint64
}

// Statement is what a replica says of itself as a whole.
type Statement struct {
	Place
	Root   digest.ID
	Bytes  int64 // of the leaves
	Points uint64
	// Doubts are leaves that the replica does not trust itself, since some read or scrub.
	Doubts []digest.Leaf
}

// LeafStatement is what a replica says of one leaf.
type LeafStatement struct {
	digest.Entry
	Unreadable bool   // the digest says nothing
	Why        string // of what is unreadable
}

// LeafList is what a replica says of some leaves, in leaf order.
type LeafList struct {
	Place
	Leaves    []LeafStatement
	BytesRead int64 // off the disk
}

// Inspected is what reading all of a replica found.
type Inspected struct {
	Place
	BytesRead int64
	Bad       []LeafStatement // leaves with blocks that cannot be read, or structure of the leaf that is wrong
	Records   []digest.Leaf   // leaves whose bytes are not what their stored digest says
	Structure string          // what is wrong with the file as a whole, "": nothing; then it is replaced whole
	Harmless  []string        // damage that nothing reads: free pages
	Log       []LogDamage
}

// LogDamage is a bad record of the log, or of the votes.
type LogDamage struct {
	Votes    bool
	Repaired bool // the node has mended it by itself (DESIGN section 5)
	Why      string
}

// Detail is what points a leaf holds on one replica.
type Detail struct {
	Devices []DeviceDetail // bounded
	More    bool           // there are more
}

// DeviceDetail is one device of a leaf. Two that are alike on two replicas are not listed as touched.
type DeviceDetail struct {
	Name     string
	From, To int64  // first and last time, ns; both 0: not known
	Sum      string // of its blocks, "": not known
	Bad      bool   // it cannot be read
}

// Suspicion is why a replica is not trusted.
type Suspicion struct {
	Since    time.Time
	Disputed bool // no majority can say who is wrong
	Why      string
	Leaves   []digest.Leaf // in leaf order; none: the replica as a whole
}

// Repair says what is to be brought to equality.
type Repair struct {
	Good      []string      // nodes to fetch from: nothing may come from any other
	Leaves    []digest.Leaf // that are wrong
	Structure bool          // the file as a whole is damaged: a new one is built
	Log       bool          // records of the log or of the votes are damaged; alone, nothing is fetched
	Why       string
}
