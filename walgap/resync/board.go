package resync

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/walgap"
)

// board is what a job shows: its row, when it last progressed, and how fast. The driver writes it, the watcher
// publishes it, and ends a stage that has not progressed for its bound.
type board struct {
	jobs   Jobs
	meter  *Meter
	limit  func() int64   // bytes/s of the copy, 0: none
	share  func() float64 // of a core that it gets; nil: all that it wants
	logger *slog.Logger

	publishing sync.Mutex // one Update at a time, in order

	mu       sync.Mutex // guards the rest
	row      Row
	dirty    bool
	progress time.Time // monotonic
	idle     time.Duration
	stage    Stage
	since    time.Time               // when it began
	doing    string                  // what it does while it cannot progress
	end      context.CancelCauseFunc // of the stage that runs; nil: none
	pace     Pace
	work     Work
	hasWork  bool
	summed   int64 // bytes, by the proof that runs
}

// enter begins a stage; end is called when it is stuck.
func (b *board) enter(s Stage, idle time.Duration, end context.CancelCauseFunc) {
	b.mu.Lock()
	b.stage, b.since, b.idle, b.end, b.doing = s, time.Now(), idle, end, ""
	b.pace.Reset(s == Install)
	b.summed = 0
	if s < Ending {
		b.row.Stage = s
	}
	b.movedLocked()
	b.mu.Unlock()
	b.publish()
}

// extend gives the stage that runs more time: for work that cannot tell its progress.
func (b *board) extend(by time.Duration, doing string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle += by
	b.doing = doing
}

// queue gives the stage that runs all the time that it waits for its turn, until over is called.
func (b *board) queue(doing string) (over func()) {
	b.mu.Lock()
	idle, was := b.idle, b.doing
	b.idle, b.doing = maxTurn, doing
	b.row.BlockedBy, b.dirty = doing, true
	b.mu.Unlock()
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.idle, b.doing = idle, was
		b.movedLocked()
	}
}

// leave ends a stage.
func (b *board) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end = nil
}

// interrupt ends the stage that runs, if it is one of those.
func (b *board) interrupt(cause error, stages ...Stage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range stages {
		if b.stage == s && b.end != nil {
			b.end(cause)
		}
	}
}

// edit changes the row.
func (b *board) edit(change func(*Row)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.row)
	b.dirty = true
}

// moved notes progress.
func (b *board) moved() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.movedLocked()
}

func (b *board) movedLocked() {
	b.progress = time.Now()
	b.row.LastProgressAt = b.progress
	b.row.BlockedBy = ""
	if b.row.Status == Stalled {
		b.row.Status = Running
	}
	b.dirty = true
}

// block says what the job waits for.
func (b *board) block(why string) {
	b.edit(func(r *Row) { r.BlockedBy = why })
}

// plan sets what is left to do.
func (b *board) plan(w Work) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.work, b.hasWork = w, true
}

// fetched notes bytes of the leaves wanted; more than before is progress.
func (b *board) fetched(done int64, sources []SourceBytes) {
	b.mu.Lock()
	defer b.mu.Unlock()
	done = min(done, b.row.BytesTotal)
	if done > b.row.BytesDone {
		b.movedLocked()
		b.row.BytesDone = done
	}
	if sources != nil {
		b.row.Sources = sources
	}
	b.work.FetchBytes = b.row.BytesTotal - b.row.BytesDone
	b.addLocked(time.Now(), b.row.BytesDone)
	b.dirty = true
}

// addLocked adds to the pace of what is done, at the share that is got now.
func (b *board) addLocked(now time.Time, done int64) {
	b.getsLocked(now)
	b.pace.Add(now, done)
}

func (b *board) getsLocked(now time.Time) {
	if b.share != nil {
		b.pace.Gets(now, b.share())
	}
}

// time is how much time the copy was given so far.
func (b *board) time() clock {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.getsLocked(now)
	b.pace.advance(now) // where no share is told
	return b.pace.clock
}

// proved notes bytes that were read and summed.
func (b *board) proved(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.work.ProofBytes = max(b.work.ProofBytes-n, 0)
	b.summed += n
	b.since = now // what is left counts from here
	b.addLocked(now, b.summed)
	b.movedLocked()
}

// copied notes bytes that came from the old file.
func (b *board) copied(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.work.CopyBytes = max(b.work.CopyBytes-n, 0)
	b.movedLocked()
}

// replayed notes how many entries are left.
func (b *board) replayed(done, left int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if done > b.row.EntriesDone {
		b.movedLocked()
	}
	b.row.EntriesDone = done
	b.work = Work{Entries: left}
	b.hasWork = true
	b.addLocked(time.Now(), done)
	b.dirty = true
}

// watch publishes and guards until the context ends.
func (b *board) watch(ctx context.Context) {
	ticker := time.NewTicker(rowInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if b.tick(time.Now()) {
				b.publish()
			}
		case <-ctx.Done():
			return
		}
	}
}

// tick finds a job that stands still, and says whether there is something new to show.
func (b *board) tick(now time.Time) bool {
	var rates walgap.Rates
	if b.meter != nil {
		rates = b.meter.Rates()
	}
	if b.limit != nil {
		if limit := walgap.Rate(b.limit()); limit > 0 {
			rates.WireBytesPerS = min(limit, walgap.Rate(rateOr(rates.WireBytesPerS, walgap.DefaultWireBytesPerS)))
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	still := now.Sub(b.progress)
	if still >= stalledAfter && b.row.Status == Running {
		b.row.Status, b.dirty = Stalled, true
		if b.row.BlockedBy == "" {
			b.row.BlockedBy = b.doing
		}
		if b.row.BlockedBy == "" {
			b.row.BlockedBy = fmt.Sprintf("stage %s has not progressed since %s", b.stage, b.progress.UTC().Format(time.RFC3339))
		}
	}
	if still >= b.idle && b.end != nil {
		b.end(fmt.Errorf("%w for %v: %s", errStuck, b.idle, b.row.BlockedBy))
	}
	if b.hasWork && !b.row.Status.Final() {
		b.getsLocked(now)
		pace := b.pace.PerSecond(now)
		if b.stage == Install && !b.pace.Known() {
			pace = 0
		}
		eta := ETA(b.work, giving(rates, b.pace.gets()), b.stage, pace).Seconds()
		if b.stage != Fetch && b.stage != Replay { // work that is not counted while it is done
			eta = max(eta-now.Sub(b.since).Seconds(), 0)
		}
		b.row.EtaS, b.row.Rate = &eta, 0
		if b.stage == Fetch {
			b.row.Rate = pace
		}
		if b.row.Status == Stalled { // nobody can tell
			b.row.EtaS, b.row.Rate = nil, 0
		}
		b.dirty = true
	}
	return b.dirty
}

// publish gives the row to its keeper.
func (b *board) publish() {
	if err := b.tell(); err != nil {
		b.logger.Warn("resync: the job's row was not kept", "error", err)
	}
}

func (b *board) tell() error {
	b.publishing.Lock()
	defer b.publishing.Unlock()
	b.mu.Lock()
	b.dirty = false
	row := b.row
	b.mu.Unlock()
	err := b.jobs.Update(row)
	if err != nil {
		b.edit(func(*Row) {})
	}
	return err
}

// look is the row as it is now.
func (b *board) look() Row {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.row
}
