package resyncbench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/bench"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

const (
	connections   = 8
	loadRate      = 1000 // writes a second
	loadInFlight  = 1024
	loadDevices   = 2000
	loadWarmup    = 3 * time.Second
	loadBefore    = 10 * time.Second
	maxPauseMs    = 100.0 // what an attempt to pause may take before it is aborted
	lastLoadWrite = 2 * time.Second
)

// playLoad copies every group to the target, whatever it has, while 1,000 writes a second go on: what that costs the
// writers, and how long a cut holds them.
func playLoad(ctx context.Context, r *rig, l *ledger) error {
	conns, closeAll, err := r.conns(connections)
	if err != nil {
		return err
	}
	defer closeAll()
	load, err := bench.StartSteady(ctx, conns, loadRate, loadInFlight, loadPoint)
	if err != nil {
		return err
	}
	defer load.Stop()
	if err := sleep(ctx, loadWarmup); err != nil {
		return err
	}
	load.Mark()
	if err := sleep(ctx, loadBefore); err != nil {
		return err
	}
	before := load.Mark()
	all, err := r.copyAll(ctx)
	during := load.Mark()
	if err != nil {
		return err
	}
	l.add("load", "p99 before a copy", "ms", before.P99Ms)
	l.add("load", "p99 during a copy", "ms", during.P99Ms)
	l.add("load", "p99 during a copy against before", "x", during.P99Ms/before.P99Ms)
	l.add("load", "writes failed during a copy", "writes", float64(failed(during)))
	l.add("load", "full copy under load", "MB/s", megabytes(all.bytes())/all.span().Seconds())
	pauses, aborted := all.pauses()
	l.add("load", "write pause, p50", "ms", quantile(pauses, 0.50))
	l.add("load", "write pause, p99", "ms", quantile(pauses, 0.99))
	l.add("load", "write pauses aborted", "%", 100*float64(aborted)/float64(max(1, len(all))))
	if err := sleep(ctx, lastLoadWrite); err != nil {
		return err
	}
	load.Stop()
	if err := r.settled(ctx); err != nil {
		return err
	}
	return r.equal(ctx)
}

// copyAll runs `flotilla resync` as an operator would.
func (r *rig) copyAll(ctx context.Context) (rows, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := exec.CommandContext(ctx, r.binary, "resync", "--all", "--target", r.target().Name, "--mode", api.ModeFullSync,
		"--max-pause", strconv.Itoa(int(maxPauseMs))+"ms", "--yes", "-o", "json", "--addr", strings.Join(r.fleet.HTTPAddrs(), ","))
	out, err := command.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("%w: %s", err, failed.Stderr)
	}
	var list api.JobList
	if len(out) > 0 {
		err = errors.Join(err, json.Unmarshal(out, &list))
	}
	if err != nil {
		return nil, fmt.Errorf("flotilla resync --all: %w", err)
	}
	return list.Jobs, rows(list.Jobs).done()
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

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
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
