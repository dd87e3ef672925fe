package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// Identity says whose data a file holds. An empty ClusterID or Lineage is not compared.
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
	// Fatal is called once, on the flusher's goroutine, when the file cannot be written. The outcome of the write is
	// unknown and is never tried again: the process should exit. It must not call Close and wait for it.
	Fatal func(error)
	// Damaged is called once when the file's structure turns out bad, by OpenShard too. The shard serves nothing
	// afterwards. It may be called under locks of the shard: it must not call its methods.
	Damaged func(error)
	// BadLeaf is called once a leaf, until Trust, when any read, flush, merge, digest or scrub meets a record of it that
	// fails its checksum. The leaf is distrusted already. It may be called under locks of the shard, and by OpenShard: it
	// must neither block nor call the shard's methods.
	BadLeaf func(digest.Leaf, error)
	// ReplayThrough is the last index that the log held at open. Cuts up to it were made before this process lived:
	// they are applied, but not pinned.
	ReplayThrough uint64
	// InitialMmapSize is how much address space the file gets, in bytes, and with it how large it may become. 0: 8 GiB;
	// on 32-bit systems and windows 1 MiB, and then it grows, waiting for readers. OpenShard fails under a `ulimit -v`
	// below it.
	InitialMmapSize int
	FlushAge        time.Duration // a head older than this is flushed; 0: 5 minutes
	MaxHeadBytes    int64         // an active head larger than this is frozen; 0: 32 MiB
	MaxParts        int           // parts of a series and window that are not full, before all are merged; 0: 8
	MaxViewBytes    int64         // bytes written under a view before it ends; 0: 256 MiB
	MinCompactBytes int64         // a file smaller than this is never compacted; 0: 64 MiB
	IdleCompact     time.Duration // without a flush, before the file may be compacted; 0: 1 minute
	SkipCheck       bool          // OpenShard does not walk the keys (see Shard.Check)
	Turns           Turns         // of those who read whole leaves of views, or scrub; nil: nobody waits
}

func (o Options) withDefaults() Options {
	if o.Window == 0 {
		o.Window = DefaultWindow
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Budget == nil {
		o.Budget = NewBudget(0)
	}
	setDefault(&o.FlushAge, 5*time.Minute)
	setDefault(&o.MaxHeadBytes, 32<<20)
	setDefault(&o.MaxParts, 8)
	setDefault(&o.MaxViewBytes, 256<<20)
	setDefault(&o.MinCompactBytes, 64<<20)
	setDefault(&o.IdleCompact, time.Minute)
	return o
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// OpenShard opens the file, and makes it when absent. ErrIdentity when it belongs to something else, or (ErrLayout) when
// this binary does not know its layout, ErrDamaged when it cannot be read.
func OpenShard(o Options) (*Shard, error) {
	o = o.withDefaults()
	if o.Window < time.Second || o.Window > 366*24*time.Hour {
		return nil, fmt.Errorf("open shard %d: window of %v (between 1s and 366 days)", o.Identity.Group, o.Window)
	}
	s := &Shard{o: o, windowNs: int64(o.Window), budget: o.Budget, log: o.Logger, active: newHead(),
		pins: make(map[string]*pin), looks: make(map[*pin]bool), known: newDigests(), renew: make(map[digest.Leaf]bool), changed: make(chan struct{}),
		loose: make(map[digest.Leaf]bool), newest: WindowOf(MinTime, int64(o.Window)),
		wakeup: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	s.rows.schemas = &schemaTable{}
	if err := s.openFile(); err != nil {
		return nil, fmt.Errorf("open shard %d: %w", o.Identity.Group, err)
	}
	s.state = s.durable
	s.state.leases = nil
	s.leases = newLeaseTable(s.durable.leases, time.Now())
	s.compactAt = time.Now().Add(o.IdleCompact)
	s.budget.register(s)
	go s.runFlusher()
	return s, nil
}

func (s *Shard) openFile() (err error) {
	removeStaleCompaction(s.o.Path)
	if s.file, err = openFile(s.o.Path, mapBytes(s.o.InitialMmapSize), false, s.damaged); err != nil {
		return err
	}
	s.file.onBadLeaf = s.badLeaf
	if err = s.load(); err == nil && !lateBirth {
		err = syncDir(filepath.Dir(s.o.Path))
	}
	if err == nil && !s.o.SkipCheck {
		err = s.file.check(context.Background(), false)
	}
	if err != nil {
		return errors.Join(err, s.file.close())
	}
	return nil
}

// load reads identity and state, or writes them into a new file.
func (s *Shard) load() error {
	fresh := false
	err := s.file.view("read meta", func(tx *bolt.Tx) error {
		meta := s.file.bucket(tx, bucketMeta)
		if meta == nil {
			if tx.Bucket(bucketStage) != nil {
				return fmt.Errorf("%w: %s: a stage that was not sealed", ErrIdentity, s.o.Path)
			}
			if fresh = emptyFile(tx); !fresh {
				return s.file.damage(errors.New("bucket meta is missing"))
			}
			return nil
		}
		return s.loadMeta(tx, meta)
	})
	if err != nil || !fresh {
		return err
	}
	s.durable.blockFormat = blocks.FormatVersion
	return s.file.commit("make", func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketBlocks, bucketDigests, bucketSeries} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := s.file.bucket(tx, bucketMeta)
		if err := putIdentity(meta, s.o.Identity, s.o.Window); err != nil {
			return err
		}
		return putState(meta, &s.durable, totals{})
	})
}

func emptyFile(tx *bolt.Tx) bool {
	k, _ := tx.Cursor().First()
	return k == nil
}

func (s *Shard) loadMeta(tx *bolt.Tx, meta *bucket) error {
	format, err := numberMeta(meta, metaFormat)
	if err != nil {
		return s.file.damage(err)
	}
	if format != fileFormat {
		return fmt.Errorf("%w: %w: %s: version %d, this binary reads %d", ErrIdentity, ErrLayout, s.o.Path, format, fileFormat)
	}
	id, window, err := getIdentity(meta)
	if err != nil {
		return s.file.damage(err)
	}
	if wrong := id.differs(s.o.Identity); wrong != "" {
		return fmt.Errorf("%w: %s: %s", ErrIdentity, s.o.Path, wrong)
	}
	if window != s.o.Window {
		return fmt.Errorf("%w: %s: made with windows of %v, asked for %v", ErrIdentity, s.o.Path, window, s.o.Window)
	}
	if s.durable, s.totals, err = getState(meta); err != nil {
		return s.file.damage(err)
	}
	for _, name := range [][]byte{bucketBlocks, bucketDigests, bucketSeries} {
		if tx.Bucket(name) == nil {
			return s.file.damage(fmt.Errorf("bucket %s is missing", name))
		}
	}
	return nil
}

// damaged is told by the file, once.
func (s *Shard) damaged(err error) {
	s.log.Error("shard file is damaged", "path", s.o.Path, "err", err)
	var d *DamageError
	if errors.As(err, &d) && d.Stack != "" {
		s.log.Debug("shard file is damaged", "stack", d.Stack)
	}
	if s.o.Damaged != nil {
		s.o.Damaged(err)
	}
	s.poke() // the flusher makes it final
}
