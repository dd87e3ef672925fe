package checking

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// scrubSave is the pause between two writes of it: what a crash forgets is read
	// again.
	scrubSave = 10 * time.Second
	// scrubIdle is the longest pause when nothing is due.
	scrubIdle = 5 * time.Second
	// scrubRetry is how long a part is left alone that could not be read.
	scrubRetry = time.Minute
	// scrubYield is the shortest pause between two steps.
	scrubYield = time.Millisecond
	// sizeFresh is how long the size of a shard is gone by: it tells how fast to
	// read, and steps follow each other by the millisecond where a scrub is late.
	sizeFresh = time.Minute
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

// Scrub re-reads all that this node stores within storage.anti_entropy.
// scrub_interval: each shard, the log and the votes, a piece at a time. What a
// piece shows to be wrong takes the path of any other read.
type Scrub struct {
	config   *Config
	pace     *Pace
	logs     *Logs
	suspects *Suspects

	bytes atomic.Int64  // re-read since the start
	whole atomic.Uint64 // parts that were read to their end since the start
	bad   atomic.Uint64 // leaves and records that were found bad

	mu    sync.Mutex
	state antientropy.Scrub // guarded by mu; written by Run alone
	since map[string]time.Time
	saved time.Time
	skip  map[string]time.Time // parts that cannot be read before
	sizes map[uint32]shardSize // of Run alone; of the groups that are here
}

// shardSize is how large a shard was.
type shardSize struct {
	bytes int64
	at    time.Time
}

func newScrub(c *Config, pace *Pace, logs *Logs, suspects *Suspects) *Scrub {
	return &Scrub{config: c, pace: pace, logs: logs, suspects: suspects, since: make(map[string]time.Time), skip: make(map[string]time.Time), sizes: make(map[uint32]shardSize)}
}

// Last is when a group's shard was last read to its end; zero: never.
func (s *Scrub) Last(group uint32) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Done[partOf(group)]
}

// Counts are what was done since the start.
func (s *Scrub) Counts() gateway.Scrubbed {
	return gateway.Scrubbed{ScrubBytes: s.bytes.Load(), ScrubParts: s.whole.Load(), ScrubBad: s.bad.Load()}
}

// Run scrubs until ctx ends.
func (s *Scrub) Run(ctx context.Context) {
	s.load()
	defer s.save(time.Now())
	for {
		now := time.Now()
		settings := s.config.settings()
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
		if pause.For(ctx, max(wait, scrubYield)) != nil {
			return
		}
	}
}

// make makes a step, and says how long to wait after it.
func (s *Scrub) make(ctx context.Context, step antientropy.ScrubStep) time.Duration {
	began := time.Now()
	bytes, err := s.step(ctx, step)
	if err != nil && ctx.Err() == nil {
		s.config.Logger.Debug("a part of the scrub is left alone for a while", "part", step.Part, "err", err)
		s.skip[step.Part] = time.Now().Add(scrubRetry)
	}
	return step.Pause(bytes, time.Since(began))
}

// fresh asks for the size once in a while.
func (z shardSize) fresh(now time.Time, ask func() int64) shardSize {
	if z.at.IsZero() || now.Sub(z.at) >= sizeFresh {
		return shardSize{ask(), now}
	}
	return z
}

// parts are what is on this node, and what of it can be read now.
func (s *Scrub) parts(now time.Time) (here, readable []antientropy.Part) {
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
	groups := s.config.Groups()
	sizes := make(map[uint32]shardSize, len(groups))
	for _, g := range groups {
		bytes := int64(-1)
		if shard := g.Shard(); shard != nil {
			sizes[g.ID()] = s.sizes[g.ID()].fresh(now, func() int64 { return shard.Stats().Bytes })
			bytes = sizes[g.ID()].bytes
		}
		add(partOf(g.ID()), bytes)
	}
	s.sizes = sizes
	add(partLog, s.config.Log.Bytes())
	add(partVotes, 0)
	return here, readable
}

// step reads one piece.
func (s *Scrub) step(ctx context.Context, step antientropy.ScrubStep) (int64, error) {
	next, bytes, err := s.read(ctx, step)
	if err == nil { // deep checks read at the same rate, and before the same clients
		err = s.pace.Wait(ctx, int(bytes))
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

func (s *Scrub) read(ctx context.Context, step antientropy.ScrubStep) (next string, bytes int64, err error) {
	switch step.Part {
	case partLog:
		next, bytes, bad, err := s.config.Log.Scrub(ctx, step.Cursor, max(step.MaxBytes, 1))
		s.bad.Add(uint64(len(s.logs.note(bad, false))))
		return next, bytes, err
	case partVotes:
		bytes, bad, err := s.config.Votes.Scrub(ctx)
		s.bad.Add(uint64(len(s.logs.note(bad, true))))
		return "", bytes, err
	}
	group, ok := groupOfPart(step.Part)
	if !ok {
		return "", 0, nil // of a later version
	}
	g, err := s.config.Group(group)
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
func (s *Scrub) found(group uint32, in *storage.Inspection) {
	for _, b := range in.Bad {
		s.bad.Add(1)
		s.config.Checks.Note(api.EventFinding, &group, "", "the scrub found window/slot %s bad: %v", b.Leaf, b.Cause)
		if errors.Is(b.Cause, storage.ErrRecord) { // the others say who is right
			s.suspects.Check(group)
		}
	}
	for _, leaf := range in.Digests {
		s.config.Checks.Note(api.EventFinding, &group, "", "the digest of window/slot %s could not be read over blocks that are right: written anew", leaf)
	}
	if in.Structure != nil {
		s.bad.Add(1)
		s.config.Checks.Note(api.EventFinding, &group, "", "the scrub found the structure of the shard damaged: %v", in.Structure)
	}
}
