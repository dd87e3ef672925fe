package bench

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// Steady is a load at a fixed rate: a write is due at its time whether those before it have been answered or not, and
// its latency counts from when it was due. What a cluster makes writes wait for is therefore seen in full: callers that
// wait for an answer before they write again would not ask while it is slow.
type Steady struct {
	began  time.Time
	gap    time.Duration // between two writes that are due
	next   atomic.Int64  // the first write that nobody took yet
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu       sync.Mutex // guards what follows: of the writes answered since the last Mark
	latency  histogram
	failures map[string]int
	since    time.Time
}

// Spell is what a steady load saw between two marks.
type Spell struct {
	Seconds float64        `json:"seconds"`
	Writes  int64          `json:"writes"`
	P50Ms   float64        `json:"p50_ms"`
	P99Ms   float64        `json:"p99_ms"`
	MaxMs   float64        `json:"max_ms"`
	Errors  map[string]int `json:"errors"`

	latency histogram
}

func newSpell(seconds float64, latency histogram, failures map[string]int) Spell {
	return Spell{Seconds: seconds, Writes: int64(latency.total), P50Ms: milliseconds(latency.quantile(0.5)),
		P99Ms: milliseconds(latency.quantile(0.99)), MaxMs: milliseconds(latency.max), Errors: maps.Clone(failures), latency: latency}
}

// Join takes spells of one kind, seen by turns with another, for one: its quantiles are those of all their writes.
func Join(spells ...Spell) Spell {
	var latency histogram
	seconds, failures := 0.0, map[string]int{}
	for i := range spells {
		latency.merge(&spells[i].latency)
		seconds += spells[i].Seconds
		for why, n := range spells[i].Errors {
			failures[why] += n
		}
	}
	return newSpell(seconds, latency, failures)
}

// StartSteady begins to write points, perSecond writes a second and at most inFlight of them at once, until Stop.
func StartSteady(ctx context.Context, conns []Conn, perSecond, inFlight int, point func(n int64) storage.Point) (*Steady, error) {
	if len(conns) == 0 || perSecond < 1 || inFlight < 1 || inFlight > MaxCallers {
		return nil, errors.New("a steady load needs a connection, a rate and writes in flight")
	}
	ctx, cancel := context.WithCancel(ctx)
	now := time.Now()
	s := &Steady{began: now, gap: time.Second / time.Duration(perSecond), cancel: cancel, failures: map[string]int{}, since: now}
	for i := range inFlight {
		s.wait.Go(func() { s.caller(ctx, conns[i%len(conns)], point) })
	}
	return s, nil
}

func (s *Steady) caller(ctx context.Context, c Conn, point func(int64) storage.Point) {
	for {
		n := s.next.Add(1) - 1
		due := s.began.Add(time.Duration(n) * s.gap)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		err := c.Write(ctx, []storage.Point{point(n)})
		if ctx.Err() != nil {
			return
		}
		s.count(time.Since(due), err)
	}
}

func (s *Steady) count(took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failures[reasonOf(err)]++
		return
	}
	s.latency.add(took)
}

// Mark returns what was seen since the last one, and begins anew.
func (s *Steady) Mark() Spell {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	spell := newSpell(now.Sub(s.since).Seconds(), s.latency, s.failures)
	s.latency, s.since = histogram{}, now
	clear(s.failures)
	return spell
}

// Stop ends the load. Writes under way are given up.
func (s *Steady) Stop() {
	s.cancel()
	s.wait.Wait()
}
