package resyncbench

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/bench"
	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

const (
	connections  = 8
	loadRate     = 1000 // writes a second
	loadInFlight = 1024
	loadDevices  = 2000
	loadWarmup   = 3 * time.Second
	loadBefore   = 10 * time.Second
	maxPauseMs   = 100.0 // the default of --max-pause: an attempt that would take longer is aborted
)

// playLoad copies everything to a target whose disk was wiped while 1,000 writes a second go on at the other nodes: what
// that costs the writers, and how long a cut holds them.
func playLoad(ctx context.Context, r *rig, l *ledger) error {
	if err := r.stop(ctx, r.target()); err != nil {
		return err
	}
	if err := wipe(r.target()); err != nil {
		return err
	}
	if err := r.led(ctx); err != nil {
		return err
	}
	load, before, end, err := r.steady(ctx)
	if err != nil {
		return err
	}
	defer end()
	since := time.Now()
	if err := r.target().Start(); err != nil {
		return err
	}
	all, err := r.copied(ctx, since, func() { load.Mark() })
	if err != nil {
		return err
	}
	during := load.Mark()
	load.Stop()
	l.load(before, during, all)
	if _, err := r.ended(ctx, since); err != nil {
		return err
	}
	return r.equal(ctx)
}

// steady begins the writes of a scene, and gives what they were like before anything else goes on.
func (r *rig) steady(ctx context.Context) (load *bench.Steady, before bench.Spell, end func(), err error) {
	conns, closeAll, err := r.conns(connections)
	if err != nil {
		return nil, before, nil, err
	}
	if load, err = bench.StartSteady(ctx, conns, loadRate, loadInFlight, loadPoint); err != nil {
		closeAll()
		return nil, before, nil, err
	}
	end = func() { load.Stop(); closeAll() }
	if err = pause.For(ctx, loadWarmup); err == nil {
		load.Mark()
		err = pause.For(ctx, loadBefore)
	}
	if err != nil {
		end()
		return nil, before, nil, err
	}
	return load, load.Mark(), end, nil
}

func (l *ledger) load(before, during bench.Spell, all rows) {
	l.add("load", "p99 before a copy", "ms", before.P99Ms)
	l.add("load", "p99 during a copy", "ms", during.P99Ms)
	l.add("load", "p99 during a copy against before", "x", during.P99Ms/before.P99Ms)
	l.add("load", "writes a second during a copy", "writes/s", float64(during.Writes)/during.Seconds)
	l.add("load", "writes failed during a copy", "writes", float64(failed(during)))
	l.add("load", "full copy under load", "MB/s", megabytes(all.bytes())/all.span().Seconds())
	pauses, aborted := all.pauses()
	l.add("load", "write pause, p50", "ms", quantile(pauses, 0.50))
	l.add("load", "write pause, p99", "ms", quantile(pauses, 0.99))
	l.add("load", "write pauses aborted", "%", 100*float64(aborted)/float64(max(1, len(all))))
	if n := failed(during); n > 0 {
		l.note("writes that failed during a copy: %v", during.Errors)
	}
}

// pauses are those of the cuts that were made, in order, and how many were given up: fence_ms is the longest of a job,
// aborted ones included, and one that is as long as an attempt may be was aborted.
func (all rows) pauses() (held []float64, aborted int) {
	for i := range all {
		if ms := all[i].FenceMs; ms >= maxPauseMs {
			aborted++
		} else if ms > 0 {
			held = append(held, ms)
		}
	}
	slices.Sort(held)
	return held, aborted
}

// quantile of sorted values; 0 without any.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))]
}

func failed(s bench.Spell) (n int) {
	for _, count := range s.Errors {
		n += count
	}
	return n
}

// loadPoint is the n-th write of the load: each device in turn, a second apart.
func loadPoint(n int64) storage.Point {
	device := n % loadDevices
	return storage.Point{
		Series: storage.Series{Database: database, Collection: "steady", Device: "steady-" + strconv.FormatInt(device, 10)},
		Time:   start.Add(time.Duration(n/loadDevices) * time.Second).UnixNano(),
		Fields: []storage.Field{{Name: fieldNames[0], Value: blocks.Float(float64(n))}},
	}
}

// conns are connections to the nodes that run, in turn.
func (r *rig) conns(n int) (conns []bench.Conn, closeAll func(), err error) {
	var clients []*client.Client
	closeAll = func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}
	var addrs []string
	for _, p := range r.fleet.Processes {
		if p.Running() {
			addrs = append(addrs, p.RPCAddr)
		}
	}
	for i := range n {
		c, err := client.New(client.Options{Addrs: []string{addrs[i%len(addrs)]}, RetryFor: requestLimit})
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		clients, conns = append(clients, c), append(conns, writer{c})
	}
	return conns, closeAll, nil
}

// writer is a client that only writes.
type writer struct{ c *client.Client }

func (w writer) Write(ctx context.Context, points []storage.Point) error {
	_, err := w.c.Write(ctx, points)
	return err
}

var errNoReads = errors.New("this benchmark reads nothing")

func (writer) Range(context.Context, storage.Series, int64, int64) (int, error) { return 0, errNoReads }
func (writer) Last(context.Context, storage.Series) (int, error)                { return 0, errNoReads }
