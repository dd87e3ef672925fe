package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// scrubFile keeps how far the scrub has got, over restarts.
	scrubFile = "scrub.json"
	// scrubSave is the pause between two writes of it: what a crash forgets is read
	// again.
	scrubSave = 10 * time.Second
	// scrubIdle is the longest pause when nothing is due.
	scrubIdle = 5 * time.Second
	// scrubRetry is how long a part is left alone that could not be read.
	scrubRetry = time.Minute
	// scrubYield is the shortest pause between two steps.
	scrubYield = time.Millisecond
	// maxScrubFile bounds what is read of it.
	maxScrubFile = 4 << 20
)

// The parts of a scrub that are no shard.
const (
	partLog   = "log"
	partVotes = "votes"
)

func partOf(group uint32) string { return "shard/" + strconv.FormatUint(uint64(group), 10) }

// groupOfPart is the inverse of partOf.
func groupOfPart(part string) (uint32, bool) {
	text, ok := strings.CutPrefix(part, "shard/")
	id, err := strconv.ParseUint(text, 10, 32)
	return uint32(id), ok && err == nil
}

// scrub re-reads all that this node stores within storage.anti_entropy.
// scrub_interval: each shard, the log and the votes, a piece at a time. What a
// piece shows to be wrong takes the path of any other read.
type scrub struct {
	node  *Node
	bytes atomic.Int64  // re-read since the start
	whole atomic.Uint64 // parts that were read to their end since the start
	bad   atomic.Uint64 // leaves and records that were found bad

	mu    sync.Mutex
	state antientropy.Scrub // guarded by mu; written by run alone
	since map[string]time.Time
	saved time.Time
	skip  map[string]time.Time // parts that cannot be read before
}

func newScrub(n *Node) *scrub {
	return &scrub{node: n, since: make(map[string]time.Time), skip: make(map[string]time.Time)}
}

// last is when a group's shard was last read to its end; zero: never.
func (s *scrub) last(group uint32) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Done[partOf(group)]
}

// counts are what was done since the start.
func (s *scrub) counts() gateway.Scrubbed {
	return gateway.Scrubbed{ScrubBytes: s.bytes.Load(), ScrubParts: s.whole.Load(), ScrubBad: s.bad.Load()}
}

// run scrubs until ctx ends.
func (s *scrub) run(ctx context.Context) {
	s.load()
	defer s.save(time.Now())
	for {
		now := time.Now()
		settings := s.node.checkSettings()
		wait := scrubIdle
		var step antientropy.ScrubStep
		if settings.Enabled {
			here, readable := s.parts(now)
			s.mu.Lock()
			s.state.Forget(here)
			step = antientropy.NextScrub(now, settings, s.state, readable)
			s.mu.Unlock()
			wait = min(step.Wait, scrubIdle)
		}
		if step.Part != "" {
			wait = s.make(ctx, step)
		}
		if time.Since(s.saved) > scrubSave {
			s.save(time.Now())
		}
		if !pause(ctx, max(wait, scrubYield)) {
			return
		}
	}
}

// make makes a step, and says how long to wait after it.
func (s *scrub) make(ctx context.Context, step antientropy.ScrubStep) time.Duration {
	began := time.Now()
	bytes, err := s.step(ctx, step)
	if err != nil && ctx.Err() == nil {
		s.node.log.Debug("a part of the scrub is left alone for a while", "part", step.Part, "err", err)
		s.skip[step.Part] = time.Now().Add(scrubRetry)
	}
	return step.Pause(bytes, time.Since(began))
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// parts are what is on this node, and what of it can be read now.
func (s *scrub) parts(now time.Time) (here, readable []antientropy.Part) {
	add := func(name string, bytes int64) {
		if s.since[name].IsZero() {
			s.since[name] = now
		}
		p := antientropy.Part{Name: name, Bytes: bytes, Since: s.since[name]}
		here = append(here, p)
		if bytes >= 0 && !s.skip[name].After(now) {
			readable = append(readable, p)
		}
	}
	if host := s.node.hosts.host.Load(); host != nil {
		for _, g := range host.Groups() {
			bytes := int64(-1)
			if shard := g.Shard(); shard != nil {
				bytes = shard.Stats().Bytes
			}
			add(partOf(g.ID()), bytes)
		}
	}
	add(partLog, s.node.engine.Bytes())
	add(partVotes, 0)
	return here, readable
}

// step reads one piece.
func (s *scrub) step(ctx context.Context, step antientropy.ScrubStep) (int64, error) {
	next, bytes, err := s.read(ctx, step)
	if err == nil { // deep checks read at the same rate, and before the same clients
		err = s.node.examiner.pace.wait(ctx, int(bytes))
	}
	if err != nil {
		return bytes, err
	}
	s.bytes.Add(bytes)
	if next == "" {
		s.whole.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Advance(time.Now(), step, next, bytes)
	return bytes, nil
}

func (s *scrub) read(ctx context.Context, step antientropy.ScrubStep) (next string, bytes int64, err error) {
	switch step.Part {
	case partLog:
		next, bytes, bad, err := s.node.engine.Scrub(ctx, step.Cursor, max(step.MaxBytes, 1))
		s.bad.Add(uint64(len(s.node.examiner.logs.note(bad, false))))
		return next, bytes, err
	case partVotes:
		bytes, bad, err := s.node.votes.Scrub(ctx)
		s.bad.Add(uint64(len(s.node.examiner.logs.note(bad, true))))
		return "", bytes, err
	}
	group, ok := groupOfPart(step.Part)
	if !ok {
		return "", 0, nil // of a later version
	}
	g, err := s.node.syncs.groupOf(group)
	if err != nil {
		return step.Cursor, 0, err
	}
	shard := g.Shard()
	if shard == nil {
		return step.Cursor, 0, raftgroup.ErrClosed
	}
	next, found, err := shard.Scrub(ctx, step.Cursor, max(step.MaxBytes, 1))
	if err == nil {
		s.found(group, &found)
	}
	return next, found.Bytes, err
}

// found acts on what a piece of a shard showed. Leaves that cannot be read are
// distrusted already, and the group was told; a file whose structure is damaged
// has left service.
func (s *scrub) found(group uint32, in *storage.Inspection) {
	for _, b := range in.Bad {
		s.bad.Add(1)
		s.node.gateway.Note(api.EventFinding, &group, "", "the scrub found window/slot %s bad: %v", b.Leaf, b.Cause)
		if errors.Is(b.Cause, storage.ErrRecord) { // the others say who is right
			s.node.suspects.check(group)
		}
	}
	for _, leaf := range in.Digests {
		s.node.gateway.Note(api.EventFinding, &group, "", "the digest of window/slot %s could not be read over blocks that are right: written anew", leaf)
	}
	if in.Structure != nil {
		s.bad.Add(1)
		s.node.gateway.Note(api.EventFinding, &group, "", "the scrub found the structure of the shard damaged: %v", in.Structure)
	}
}

func (s *scrub) path() string { return filepath.Join(s.node.cfg.DataDir, scrubFile) }

// load reads how far an earlier process got; what cannot be read begins anew.
func (s *scrub) load() {
	b, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var state antientropy.Scrub
	if err == nil && len(b) > maxScrubFile {
		err = fmt.Errorf("%d bytes", len(b))
	}
	if err == nil {
		err = json.Unmarshal(b, &state)
	}
	if err != nil {
		s.node.log.Warn("how far the scrub got cannot be read: it begins anew", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// save writes it down; a crash may lose it.
func (s *scrub) save(now time.Time) {
	s.saved = now
	s.mu.Lock()
	b, err := json.Marshal(&s.state)
	s.mu.Unlock()
	tmp := s.path() + ".new"
	if err == nil {
		err = os.WriteFile(tmp, append(b, '\n'), 0o640)
	}
	if err == nil {
		err = os.Rename(tmp, s.path())
	}
	if err != nil {
		s.node.log.Warn("how far the scrub got is not written down", "err", err)
	}
}
