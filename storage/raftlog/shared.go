package raftlog

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Defaults of SharedOptions.
const (
	defaultSegmentBytes = 64 << 20
	minSegmentBytes     = 64 << 10
	defaultMemoryBytes  = 16 << 20
	defaultGatherWindow = time.Millisecond
)

// closeGrace is how long Close waits, after a failure, for a committer that may hang in a system call.
const closeGrace = time.Second

// SharedOptions configure the shared engine. The zero value is usable.
type SharedOptions struct {
	// SegmentBytes is the size of a segment file: 64 MiB by default, at most 4 GiB.
	SegmentBytes int64
	// MemoryBytes bounds the recent entries that are served from memory: 16 MiB by default. As much again
	// may hold entries that are older and that the state machine has not applied.
	MemoryBytes int64
	// GatherWindow is the longest wait for more appends to share an fdatasync: 1 ms by default; negative: none.
	GatherWindow time.Duration
	// AppendDeadline is the longest an append may take before the engine stops: AppendDeadline by default.
	AppendDeadline time.Duration
	// Fatal is called once, on a disk error or a missed deadline; the process must then exit. It must not
	// call the engine.
	Fatal func(error)
	// OnCorrupt is told of each bad record that a read of a running log finds (Raft swallows some of the
	// errors that GetLog returns). It must not block, nor call the log.
	OnCorrupt func(*CorruptError)
	Logger    *slog.Logger
	// Files replaces the directory, for tests.
	Files Files
}

func (o *SharedOptions) setDefaults() {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	o.SegmentBytes = min(max(o.SegmentBytes, minSegmentBytes), 1<<32-1)
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = defaultMemoryBytes
	}
	if o.GatherWindow == 0 {
		o.GatherWindow = defaultGatherWindow
	}
	if o.AppendDeadline <= 0 {
		o.AppendDeadline = AppendDeadline
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Shared is the engine in which all groups share one write-ahead log.
type Shared struct {
	o         SharedOptions
	files     Files
	committer *committer
	segments  *segments
	window    window
	reclaimer *reclaimer
	pins      pins
	lostAll   bool // open found damage that may have taken whole groups

	mu     sync.RWMutex // guards what follows; held for memory only
	groups map[uint32]*groupLog
	closed bool
}

// OpenShared opens or creates the write-ahead log in dir and reads and checks every record of it. Damage is
// no error here: it is told by the Check of the logs that it hit.
func OpenShared(dir string, o SharedOptions) (*Shared, error) {
	o.setDefaults()
	s := &Shared{o: o, files: o.Files}
	if s.files == nil {
		d, err := openDir(dir)
		if err != nil {
			return nil, err
		}
		s.files = d
	}
	r, err := replay(s.files, o)
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	s.groups, s.lostAll = r.groups, r.lostAll
	s.window.bound = o.MemoryBytes
	s.window.evicted = s.pinUnapplied
	s.pins.bound = o.MemoryBytes
	s.segments = &segments{
		files: s.files, size: o.SegmentBytes, logger: o.Logger, list: r.list, spares: r.spares,
		wanted: make(chan uint64, 1), ready: make(chan prepared),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	s.committer = s.newCommitter(r)
	s.reclaimer = newReclaimer(s)
	s.segments.rolled = s.reclaimer.look
	go s.segments.prepare()
	go s.committer.run()
	go s.reclaimer.run()
	s.reclaimer.look()
	return s, nil
}

func (s *Shared) newCommitter(r *replayed) *committer {
	c := &committer{
		gatherer: newGatherer(s.o.SegmentBytes, s.o.MemoryBytes),
		gap:      s.o.GatherWindow, deadline: s.o.AppendDeadline,
		window: &s.window, segments: s.segments, fatal: s.o.Fatal, logger: s.o.Logger,
		stopping: make(chan struct{}), stopped: make(chan struct{}), failed: make(chan struct{}),
		seg: r.list[len(r.list)-1], off: r.tail, sequence: r.sequence, confirmed: r.confirmed,
		timer: time.NewTimer(time.Hour),
	}
	c.timer.Stop()
	c.watchdog = time.AfterFunc(time.Hour, func() { c.fail(errDeadline) })
	c.watchdog.Stop()
	return c
}

// Name is "shared".
func (s *Shared) Name() string { return "shared" }

// Open gives the group's log.
func (s *Shared) Open(group uint32) (Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	g := s.groups[group]
	if g == nil {
		g = newGroupLog(group)
		g.scanned, g.tailUnknown = true, s.lostAll
		s.groups[group] = g
	}
	if !g.isOpen.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("open log of group %d: %w", group, ErrOpen)
	}
	return &sharedLog{g: g, s: s}, nil
}

func (s *Shared) group(id uint32) *groupLog {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.groups[id]
}

func (s *Shared) allGroups() []*groupLog {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*groupLog, 0, len(s.groups))
	for _, g := range s.groups {
		all = append(all, g)
	}
	return all
}

// Groups lists the groups with any record.
func (s *Shared) Groups() []uint32 {
	var ids []uint32
	for _, g := range s.allGroups() {
		g.mu.RLock()
		if !g.index.empty() || g.anchor != nil {
			ids = append(ids, g.id)
		}
		g.mu.RUnlock()
	}
	slices.Sort(ids)
	return ids
}

// Bytes is what the entries of all groups take.
func (s *Shared) Bytes() int64 {
	var n int64
	for _, g := range s.allGroups() {
		g.mu.RLock()
		n += g.index.bytes()
		g.mu.RUnlock()
	}
	return n
}

// Close writes what is queued, then closes every log.
func (s *Shared) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	err := s.committer.close()
	s.reclaimer.close()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-s.committer.stopped:
		return errors.Join(err, s.segments.close())
	case <-grace.C: // it has failed, and hangs in a file: leave that to the exit
		close(s.segments.stop)
		return err
	}
}

var _ Engine = (*Shared)(nil)
