package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// Conn is one connection to one node, shared by many callers. Last and Range are linearizable reads; Range returns
// how many points there were.
type Conn interface {
	Write(ctx context.Context, points []storage.Point) error
	Range(ctx context.Context, series storage.Series, from, to int64) (points int, err error)
	Last(ctx context.Context, series storage.Series) (points int, err error)
}

// Bounds of a plan.
const (
	MaxCallers = 65_536
	MaxBatch   = 10_000
)

// Plan is one measurement.
type Plan struct {
	Conns      []Conn
	Callers    int
	Batch      int // points a write
	Devices    int
	Points     int // points a range read
	Database   string
	Collection string
	Warmup     time.Duration // not measured
	Duration   time.Duration // measured
	Start      time.Time     // of the simulated readings
	Seed       uint64
	Tick       func(done time.Duration, points int64) // about once a second, may be nil

	// Counter returns how many entries the logs of all groups hold in sum; nil where nobody can say.
	Counter func(ctx context.Context) (uint64, error)
}

// Result is what `bench -o json` prints.
type Result struct {
	Kind              string         `json:"kind"`
	Callers           int            `json:"callers"`
	Connections       int            `json:"connections"`
	Batch             int            `json:"batch"`
	Devices           int            `json:"devices"`
	Seconds           float64        `json:"seconds"`
	Requests          int64          `json:"requests"`
	RequestsPerSecond float64        `json:"requests_per_s"`
	Points            int64          `json:"points"`
	PointsPerSecond   float64        `json:"points_per_s"`
	Proposals         *uint64        `json:"proposals"`
	ProposalsPerSec   *float64       `json:"proposals_per_s"`
	PointsPerProposal *float64       `json:"points_per_proposal"`
	P50Ms             float64        `json:"p50_ms"`
	P90Ms             float64        `json:"p90_ms"`
	P99Ms             float64        `json:"p99_ms"`
	MaxMs             float64        `json:"max_ms"`
	Errors            map[string]int `json:"errors"`
}

// request is what one caller does once: it returns how many points that moved.
type request func(ctx context.Context) (points int, err error)

// run lets every caller repeat its request, first for the warm-up, then for the measured time.
func run(ctx context.Context, kind string, p Plan, perCaller func(caller int, c Conn) request) (Result, error) {
	if len(p.Conns) == 0 || p.Callers < 1 || p.Callers > MaxCallers {
		return Result{}, fmt.Errorf("bench needs a connection and 1 to %d callers", MaxCallers)
	}
	requests := make([]request, p.Callers)
	for i := range requests {
		requests[i] = perCaller(i, p.Conns[i%len(p.Conns)])
	}
	if p.Warmup > 0 {
		if _, err := phase(ctx, requests, p.Warmup, nil); err != nil {
			return Result{}, err
		}
	}
	before, known := count(ctx, p.Counter)
	tally, err := phase(ctx, requests, p.Duration, p.Tick)
	if err != nil {
		return Result{}, err
	}
	after, knownAfter := count(ctx, p.Counter)
	r := tally.result(kind, p)
	if known && knownAfter && after >= before && kind == kindWrite {
		r.addProposals(after - before)
	}
	return r, nil
}

func count(ctx context.Context, counter func(context.Context) (uint64, error)) (uint64, bool) {
	if counter == nil {
		return 0, false
	}
	n, err := counter(ctx)
	return n, err == nil
}

// tally is what the callers of a phase did together.
type tally struct {
	latency  histogram
	points   int64
	elapsed  time.Duration
	failures map[string]int
}

// phase runs every caller until the time is over; what is in flight then is waited for and counted.
func phase(ctx context.Context, requests []request, length time.Duration, tick func(time.Duration, int64)) (*tally, error) {
	began := time.Now()
	callers := make([]caller, len(requests))
	var points atomic.Int64
	var wait sync.WaitGroup
	for i := range requests {
		wait.Go(func() { callers[i].repeat(ctx, requests[i], began.Add(length), &points) })
	}
	stopTicks := ticks(began, &points, tick)
	wait.Wait()
	stopTicks()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sum := &tally{points: points.Load(), elapsed: time.Since(began), failures: map[string]int{}}
	for i := range callers {
		sum.latency.merge(&callers[i].latency)
		for reason, n := range callers[i].failures {
			sum.failures[reason] += n
		}
	}
	return sum, nil
}

// ticks calls tick once a second until the returned function is called, which waits for the last call.
func ticks(began time.Time, points *atomic.Int64, tick func(time.Duration, int64)) (stop func()) {
	if tick == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				tick(time.Since(began), points.Load())
			}
		}
	})
	return func() { close(done); wait.Wait() }
}

// caller is one independent client.
type caller struct {
	latency  histogram
	failures map[string]int
}

// failurePause keeps callers of a cluster that refuses everything from spinning.
const failurePause = 10 * time.Millisecond

func (c *caller) repeat(ctx context.Context, do request, until time.Time, points *atomic.Int64) {
	for {
		began := time.Now()
		if ctx.Err() != nil || !began.Before(until) {
			return
		}
		n, err := do(ctx)
		if err == nil {
			c.latency.add(time.Since(began))
			points.Add(int64(n))
			continue
		}
		if c.failures == nil {
			c.failures = map[string]int{}
		}
		c.failures[reasonOf(err)]++
		select {
		case <-ctx.Done():
		case <-time.After(failurePause):
		}
	}
}

// reasonOf shortens an error to something that can be counted.
func reasonOf(err error) string {
	for wrapped := errors.Unwrap(err); wrapped != nil; wrapped = errors.Unwrap(err) {
		err = wrapped
	}
	text := err.Error()
	const kept = 120
	return text[:min(kept, len(text))]
}
