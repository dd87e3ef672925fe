package storage

import (
	"context"
	"log/slog"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// Position is an index of the group's log and the term of the entry there.
type Position struct{ Index, Term uint64 }

// Durable is what the file holds: the record that raft's snapshot store lists.
type Durable struct {
	Position
	Configuration      []byte // as the entry carried it; nil before the first
	ConfigurationIndex uint64
}

// Identity says whose data a file holds. An empty member is not compared.
type Identity struct {
	ClusterID string
	Group     uint32
	Lineage   string
}

// Options of OpenShard.
type Options struct {
	Path     string
	Identity Identity
	Window   time.Duration // length of a window; DefaultWindow if 0. Fixed when the file is made
	Budget   *Budget       // shared by the shards of a node; nil: one of its own
	Logger   *slog.Logger  // nil: silent
	// Fatal is called once, on the flusher's goroutine or in OpenShard, when the file cannot be written. The outcome of
	// the write is unknown and is never tried again: the process should exit.
	Fatal func(error)
	// Damaged is called once when the file's structure turns out bad. The shard serves nothing afterwards.
	Damaged func(error)
	// ReplayThrough is the last index that the log held at open. Cuts up to it were made before this process lived:
	// they are applied, but not pinned.
	ReplayThrough uint64
	// InitialMmapSize is how much address space the file may grow into without waiting for readers, in bytes. 0: 8 GiB
	// on 64-bit systems other than windows (where it would be the file's size), else 64 MiB. Fails under a `ulimit -v`
	// below it.
	InitialMmapSize int
	FlushAge        time.Duration // a head older than this is flushed; 0: 5 minutes
	MaxHeadBytes    int64         // an active head larger than this is frozen; 0: 32 MiB
	MaxParts        int           // parts of a series and window that are not full, before all are merged; 0: 8
	MaxViewBytes    int64         // bytes written under a view before it ends; 0: 256 MiB
	MinCompactBytes int64         // a file smaller than this is never compacted; 0: 64 MiB
	SkipCheck       bool          // OpenShard does not walk the keys (see Shard.Check)
}

// Entry is one entry of the group's log, as Apply wants it.
type Entry struct {
	Index, Term uint64
	Config      bool   // Data is an encoded configuration, not commands
	Data        []byte // not kept after Apply
}

// Query says what Scan reads: one series, or all of a collection (Device empty).
type Query struct {
	Series
	From, To   int64    // ns, To exclusive; NoEnd for no end
	Fields     []string // nil: all; rows that have none of them are left out
	Descending bool     // newest first: chunks come newest first, rows within a chunk still ascend
	Limit      int      // rows a series; 0: all
}

// Stats are figures for people: cheap, and not exact while writes go on.
type Stats struct {
	Bytes      int64  // disk blocks of the file x 512
	BlockBytes int64  // encoded blocks in the file
	Points     uint64 // rows in parts and heads; a point in several parts counts several times until they are merged
	Series     uint64 // with blocks in the file
	Parts      uint64
	HeadBytes  int64 // memory of active and frozen heads
	HeadPoints uint64
	Views      int
	Flushes    uint64 // since open
	Applied    Position
	Durable    Position
}

// Record is a lease as the shard keeps it.
type Record struct {
	ID      string
	Purpose string
	Index   uint64 // of the entry that made it
	TTL     time.Duration
	Log     bool // keeps the log from Index on
	View    bool // was made by a cut
}

// View is the shard at exactly the index of a cut. It stays until the cut's ttl has passed, End was applied, or too much
// was written under it; then its methods answer ErrNotPinned.
type View struct{}

// OpenShard opens the file, and makes it when absent. ErrIdentity when it belongs to something else, ErrDamaged when it
// cannot be read.
func OpenShard(o Options) (*Shard, error) { panic("soon") }

// Shard is the state machine of one replica and its file.
type Shard struct{}

// Apply brings entries to the head; those at or below Applied are skipped. Only one goroutine may call it. The result
// has one outcome an entry: nil, ErrBadCommand (on every replica alike; the index counts as applied), or, from the
// entry on that could not be applied here and now, ErrClosed, ErrDamaged or ErrStorage. It waits while MaxFrozen heads
// wait for the flusher, or the node's budget is spent twice.
func (s *Shard) Apply(entries []Entry) []error { panic("soon") }

// Applied is the last entry in memory.
func (s *Shard) Applied() Position { panic("soon") }

// Durable is the last flushed state.
func (s *Shard) Durable() Durable { panic("soon") }

// Configuration is the last applied configuration entry and its index; index 0 when there was none.
func (s *Shard) Configuration() ([]byte, uint64) { panic("soon") }

// Flush brings everything applied before the call to disk.
func (s *Shard) Flush(ctx context.Context) (Durable, error) { panic("soon") }

// AwaitView waits until the cut has been applied and flushed here, and returns its view; ErrNotPinned when there is
// none and will be none. A cut that this shard has not heard of is waited for. The caller closes the View.
func (s *Shard) AwaitView(ctx context.Context, cutID string) (*View, error) { panic("soon") }

// Index is where the cut lies in the log.
func (v *View) Index() Position { panic("soon") }

// Root computes the digests that are absent, and the root over all leaves.
func (v *View) Root(ctx context.Context) (digest.ID, []digest.Entry, error) { panic("soon") }

// Leaves lists the leaves that have points.
func (v *View) Leaves() ([]digest.Leaf, error) { panic("soon") }

// ReadLeaf yields the canonical blocks of a leaf in order of series key and time. Slices are valid during the call.
func (v *View) ReadLeaf(ctx context.Context, leaf digest.Leaf, yield func(seriesKey, block []byte) error) error {
	panic("soon")
}

// Close gives the handle back. The cut stays pinned for others.
func (v *View) Close() error { panic("soon") }

// Scan yields the points that match in chunks of at most blocks.MaxRows rows, one series after the other in key order.
// Of one series it shows one moment, at or after the call. Columns are valid during the call.
func (s *Shard) Scan(ctx context.Context, q Query, yield func(Series, *blocks.Columns) error) error {
	panic("soon")
}

// Databases, Collections and Series list what has points, sorted.
func (s *Shard) Databases() ([]string, error) { panic("soon") }

// Collections lists the collections of a database.
func (s *Shard) Collections(database string) ([]string, error) { panic("soon") }

// Series lists the devices' series of a collection, of a database (collection empty), or all.
func (s *Shard) Series(database, collection string) ([]Series, error) { panic("soon") }

// Stats are the shard's figures.
func (s *Shard) Stats() Stats { panic("soon") }

// Leases are the live leases, by index.
func (s *Shard) Leases() []Record { panic("soon") }

// LeaseFloor is the lowest index that a live lease keeps in the log: that entry and all after it must stay.
func (s *Shard) LeaseFloor() (uint64, bool) { panic("soon") }

// FormatVersion is the block format version in force.
func (s *Shard) FormatVersion() uint8 { panic("soon") }

// Check reads the whole file: order and count of keys, every CRC. It returns ErrDamaged with the first damage.
func (s *Shard) Check(ctx context.Context) error { panic("soon") }

// Close flushes, ends views and closes the file. Idempotent.
func (s *Shard) Close() error { panic("soon") }
