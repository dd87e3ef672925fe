package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// Table is one state of the meta group as this node knows it. It is never
// changed after Directory.Table returned it; the maps may be shared.
type Table struct {
	Index       uint64 // of the last meta command in it
	ClusterID   string
	ClusterName string
	TotalGroups uint32
	MetaLeader  string // name of the node that leads the meta group, "" unknown
	Nodes       map[string]membership.Node
	Assignments map[uint32]membership.Assignment // only groups that exist
	Databases   map[string]membership.Database
}

// Directory is this node's copy of the meta group. Table is cheap and called
// once a request. EnsureGroups returns when all the groups are assigned in
// the local table. Barrier returns when the local table is at least as new
// as what the meta leader had committed when it was called.
type Directory interface {
	Table() *Table
	EnsureGroups(ctx context.Context, groups []uint32) error
	Barrier(ctx context.Context) error
}

// Databases changes the database table through the meta group. The change is
// in the local table when a call returns. CreateDatabase reports whether the
// database is new; one that exists alike is no error, one that differs is
// ErrExists. EnsureDatabase takes one as it is, whatever its retention.
// Changes of what does not exist are ErrMissing.
type Databases interface {
	CreateDatabase(ctx context.Context, name string, retention time.Duration) (made bool, err error)
	EnsureDatabase(ctx context.Context, name string) error
	SetRetention(ctx context.Context, name string, retention time.Duration) error
	DropDatabase(ctx context.Context, name string) error
}

// Collections changes which collections exist by their name alone, by the
// rules of Databases. All others exist by their points.
type Collections interface {
	CreateCollection(ctx context.Context, database, name string) (made bool, err error)
	DropCollection(ctx context.Context, database, name string) error
}

// Liveness is what this node believes of the others (gossip and streams):
// NodeUp, NodeSuspect or NodeDown, and how long ago the node was heard, negative
// if never since this process began. For this node itself it is not asked.
type Liveness interface {
	Seen(id membership.NodeID) (state membership.NodeState, silent time.Duration)
}

// Host gives the groups that this node holds.
type Host interface {
	Group(id uint32) (Group, bool)
	Groups() []uint32
	DiskFree() int64 // bytes
}

// Group is one replica that this node holds.
type Group interface {
	Proposer
	Reader
	Operator
}

// Proposer takes command frames for the group's log. The proposal ends with
// nil (committed and applied here), or with one of the errors below; it ends
// by the deadline plus the time of one append. Frames are not copied: the
// caller leaves them untouched for ever.
type Proposer interface {
	ProposeAsync(frames []byte, deadline time.Time) Proposal
}

// Proposal is one proposal on its way. Err is valid after Done is closed.
type Proposal interface {
	Done() <-chan struct{}
	Err() error
}

// Reader reads the replica. ReadBarrier makes the following reads of this
// replica linearizable, or fails. Contact is the age of the last contact
// with a leader at a known commit, 0 on a leader.
type Reader interface {
	ReadBarrier(ctx context.Context) error
	IsLeader() bool
	Contact() (age time.Duration, known bool)
	Data() Data
}

// Data is the state of the replica: *storage.Shard, as far as it is needed.
type Data interface {
	Scan(ctx context.Context, q storage.Query, yield func(storage.Series, *blocks.Columns) error) error
	Collections(database string) ([]string, error)
}

// Operator is the administration of a replica. Cut proposes a cut and the
// no-op behind it (leader only). AwaitRoot waits until that cut is applied
// here and gives root and index of the view pinned at it.
type Operator interface {
	Status() ReplicaStatus
	Cut(ctx context.Context, purpose string, ttl time.Duration) (cutID string, index uint64, err error)
	AwaitRoot(ctx context.Context, cutID string) (Root, error)
	CurrentRoot(ctx context.Context) (Root, error)  // at what is applied now: no cut in the log
	Trim(ctx context.Context, through uint64) error // what is applied, but nothing that a replica needs whose last entry is through
	StepDown(ctx context.Context, to string) error  // "" lets the leader choose
	// TrimPlan and StepDownTarget tell what Trim and StepDown would do now.
	TrimPlan() (TrimPlan, error)
	StepDownTarget(ctx context.Context, to string) (node string, err error)
}

// Root is the digest of a replica at one index.
type Root struct {
	Index   uint64 `json:"index"`
	Term    uint64 `json:"term"`
	Lineage string `json:"lineage"`
	Root    string `json:"root"` // lower-case hex
	Bytes   int64  `json:"bytes"`
	Points  uint64 `json:"points"`
	// Doubts are leaves that the replica does not trust itself.
	Doubts []digest.Leaf `json:"doubts,omitempty"`
}

// ReplicaStatus is what a replica says of itself for the tables.
type ReplicaStatus struct {
	Group       uint32      `json:"group"`
	Replica     api.Replica `json:"replica"`
	Leader      string      `json:"leader"` // name of the node, "" unknown
	Term        uint64      `json:"term"`
	CommitIndex uint64      `json:"commit_index"`
	LastProofAt api.Time    `json:"last_proof_at"`
	LastScrubAt api.Time    `json:"last_scrub_at"`
	// Behind says, on a leader, why replicas of other nodes (by name) cannot
	// follow it: they do not know it themselves.
	Behind map[string]string `json:"behind,omitempty"`
	// Suspicion is what is held against the replica; nil: nothing.
	Suspicion *antientropy.Suspicion `json:"suspicion,omitempty"`
}

// Peers reaches the other nodes. Call is one small request over the stream
// that Raft uses, with the deadline of ctx; Conn is for results too large
// for it. A Call fails with ErrUnreachable (certainly not delivered),
// ErrBroken (may have been executed), or another error that the handler on the
// other side returned (its text only; what matters is inside the payloads).
// The payload that a handler gets is only lent.
type Peers interface {
	Call(ctx context.Context, to membership.NodeID, method Method, payload []byte) ([]byte, error)
	Conn(ctx context.Context, to membership.NodeID) (*grpc.ClientConn, error)
}

// Errors that the adapters of Host and Peers return. The composition root
// translates those of raftgroup and raftmux into these.
var (
	// ErrUnreachable: the request was certainly not delivered. Retry.
	ErrUnreachable = errors.New("peer unreachable")
	// ErrBroken: the connection broke after the request left. A write's
	// outcome is unknown; a read may be repeated.
	ErrBroken = errors.New("connection broke")
	// ErrNotApplied: the proposal was certainly not applied. Retry.
	ErrNotApplied = errors.New("not applied")
	// ErrNotRunning: the replica of this node is closed, in quarantine say, so
	// that it leads nothing; another may. It is an ErrNotApplied.
	ErrNotRunning = fmt.Errorf("replica does not run: %w", ErrNotApplied)
	// ErrAway: the replica of this node is being copied to, and comes back by
	// itself. It is an ErrNotRunning.
	ErrAway = fmt.Errorf("replica is away: %w", ErrNotRunning)
	// ErrUnknown: the proposal may have been applied or may be yet. Never
	// repeat it inside the server.
	ErrUnknown = errors.New("outcome unknown")
	// ErrBusy: the group's queue is full, not applied. Tell the client.
	ErrBusy = errors.New("queue full")
	// ErrNoSpace: the disk reserve is reached, not applied.
	ErrNoSpace = errors.New("disk reserve reached")
	// ErrNotPinned: the replica holds no view of that cut.
	ErrNotPinned = errors.New("cut not pinned here")
	// ErrStructure: the replica's file as a whole is damaged. It is replaced, and
	// says nothing until then.
	ErrStructure = errors.New("the file is damaged")
	// ErrRefused: the arguments of an operation are wrong. Do not retry.
	ErrRefused = errors.New("refused")
	// ErrExists: it exists, and differs from what was asked for.
	ErrExists = errors.New("exists and differs")
	// ErrMissing: what was to be changed does not exist.
	ErrMissing = errors.New("does not exist")
)

// NotLeaderError says that the replica does not lead and who is believed to:
// the name of a node, "" when it is not known. Not applied: ask that node.
type NotLeaderError struct{ Leader string }

func (e *NotLeaderError) Error() string {
	if e.Leader == "" {
		return "not the leader, and no leader is known"
	}
	return "not the leader: " + e.Leader + " is"
}

// Method numbers a request between peers.
type Method uint8

// The methods that the gateway serves and calls. The numbers are on the wire
// between nodes: never reuse one. They begin at 32; smaller ones belong to
// others on the same stream.
const (
	MethodWrite          Method = 32 + iota // parts to propose
	MethodQuery                             // a read that fits one answer
	MethodReport                            // replicas of this node, for the tables
	MethodJobs                              // jobs of this node
	MethodCancelJob                         // cancel a job of this node
	MethodCut                               // cut of one group, on its leader
	MethodRoots                             // root of one group
	MethodTrim                              // trim one group here
	MethodStepDown                          // hand over one group
	MethodCollections                       // collections of a database
	MethodTrimPlan                          // what a trim of groups would drop here
	MethodStepDownTarget                    // who would take one group over
	MethodResync                            // resync, move, or a plan of either, of replicas here
	MethodEvents                            // events of the caller
	MethodLeaves                            // content ids of leaves at a cut, from digests or from disk
	MethodInspect                           // everything that a replica stores, re-read
	MethodDetail                            // whose points a leaf holds
	MethodAccuse                            // a replica is suspect, or is not any more
	MethodRepair                            // begin the repair of a replica here
	MethodDrill                             // damage a replica of this node on purpose
	MethodMany                              // questions about many groups
	MethodAgree                             // a replica here was found equal to all others
	MethodReplay                            // what leaves hold by the log of a replica here
	methodEnd
)

// Methods lists them, for the composition root to register Gateway.Serve.
func Methods() []Method {
	var out []Method
	for m := MethodWrite; m < methodEnd; m++ {
		out = append(out, m)
	}
	return out
}
