package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/bench"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// benchSeed is fixed: the same command writes the same points again, and the store does not grow by repetition.
const benchSeed = 1

func benchVerb(s streams) *cli.Command {
	return &cli.Command{
		Name:      "bench",
		Usage:     "measure a cluster with simulated devices, or copies on one of its own",
		ArgsUsage: "write|read|resync|check",
		Subcommands: []*cli.Command{
			{
				Name:  "write",
				Usage: "durable writes: independent callers, each with one write in flight, nothing merged on this side",
				Flags: clientFlags(append(benchFlags(),
					&cli.IntFlag{Name: "callers", Usage: "independent clients", DefaultText: "256, or 8 with --batch"},
					&cli.IntFlag{Name: "batch", Value: 1, Usage: "points a write, each of another device"},
					&cli.IntFlag{Name: "devices", Value: 10_000, Usage: "simulated devices"})...),
				Action: func(c *cli.Context) error { return benchWrite(c, s) },
				Description: `flotilla bench write --duration 10s
flotilla bench write --batch 1000 --callers 8 -o json
flotilla bench write --callers 1 --addr 127.0.0.1:7601,127.0.0.1:7611,127.0.0.1:7621`,
			},
			{
				Name:  "read",
				Usage: "linearizable reads: ranges of one device, or with --last its last point",
				Flags: clientFlags(append(benchFlags(),
					&cli.IntFlag{Name: "callers", Usage: "independent clients", DefaultText: "8, or 64 with --last"},
					&cli.BoolFlag{Name: "last", Usage: "read the last point of a device"},
					&cli.IntFlag{Name: "points", Value: 1000, Usage: "points of each device, and of a range"},
					&cli.IntFlag{Name: "devices", Value: 500, Usage: "simulated devices, filled before the measurement"})...),
				Action: func(c *cli.Context) error { return benchRead(c, s) },
				Description: `flotilla bench read --duration 10s
flotilla bench read --last --callers 64 -o json`,
			},
			benchResyncVerb(s),
			benchCheckVerb(s),
		},
		Description: `flotilla bench write --duration 10s
flotilla bench read --last
flotilla bench resync --size 1GB
flotilla bench check --size 1GB`,
	}
}

func benchFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "db", Value: "bench", Usage: "database that is written to, before a read too"},
		&cli.StringFlag{Name: "collection", Value: "readings", Usage: "collection of it"},
		&cli.StringFlag{Name: "duration", Value: "10s", Usage: "how long is measured"},
		&cli.StringFlag{Name: "warmup", Value: "2s", Usage: "how long runs before that"},
		&cli.IntFlag{Name: "connections", Usage: "gRPC connections, spread over all nodes", DefaultText: "16 for write, one a node for read"},
	}
}

func benchWrite(c *cli.Context, s streams) error {
	callers := 256
	if c.Int("batch") > 1 {
		callers = 8
	}
	if c.IsSet("callers") {
		callers = c.Int("callers")
	}
	if devices := c.Int("devices"); 0 < devices && devices < callers && callers <= bench.MaxCallers {
		return usagef("--devices %d is below the %d callers: each device has one writer", devices, callers)
	}
	return runBench(c, s, (*session).benchWriters, func(ctx context.Context, p bench.Plan) (bench.Result, error) {
		p.Batch, p.Callers = c.Int("batch"), callers
		return bench.Write(ctx, p)
	})
}

func benchRead(c *cli.Context, s streams) error {
	return runBench(c, s, (*session).benchReader, func(ctx context.Context, p bench.Plan) (bench.Result, error) {
		p.Points, p.Callers = c.Int("points"), 8
		measure := bench.Range
		if c.Bool("last") {
			measure, p.Callers = bench.Last, 64
		}
		if c.IsSet("callers") {
			p.Callers = c.Int("callers")
		}
		return measure(ctx, p)
	})
}

// connector opens so many connections for callers, 0: as many as are usual.
type connector func(s *session, ctx context.Context, n int) (conns []bench.Conn, closeAll func(), err error)

func runBench(c *cli.Context, s streams, connect connector, measure func(context.Context, bench.Plan) (bench.Result, error)) error {
	if err := arity(c, 0, 0); err != nil {
		return err
	}
	duration, err := positiveFlag(c, "duration")
	if err != nil {
		return err
	}
	warmup, err := durationFlag(c, "warmup")
	if err != nil {
		return err
	}
	if warmup < 0 {
		return usagef("--warmup %s is below zero", c.String("warmup"))
	}
	if err := refuseEmpty(c, "db", "collection", "duration"); err != nil {
		return err
	}
	if err := errors.Join(storage.ValidateDatabase(c.String("db")), storage.ValidateCollection(c.String("collection"))); err != nil {
		return usageError{firstOf(err).Error()}
	}
	for _, bound := range []struct {
		flag string
		high int
	}{{"connections", maxConnections}, {"callers", bench.MaxCallers}, {"devices", maxBenchDevices}, {"batch", bench.MaxBatch}, {"points", maxBenchPoints}} {
		if bound.flag == "connections" && !c.IsSet(bound.flag) {
			continue // 0: as many as are usual
		}
		if err := within(c, bound.flag, 1, bound.high); err != nil {
			return err
		}
	}
	session, err := open(c)
	if err != nil {
		return err
	}
	conns, closeAll, err := connect(session, c.Context, c.Int("connections"))
	if err != nil {
		return err
	}
	defer closeAll()
	show := newProgress(s.err, "bench", int64(duration), func(n int64) string { return time.Duration(n).Round(time.Second).String() })
	result, err := measure(c.Context, bench.Plan{
		Conns: conns, Devices: c.Int("devices"), Database: c.String("db"), Collection: c.String("collection"),
		Warmup: warmup, Duration: duration, Start: benchStart, Seed: benchSeed, Counter: session.entries,
		Tick: func(done time.Duration, points int64) {
			show.set(int64(done), fmt.Sprintf("%.0f points/s", float64(points)/done.Seconds()))
		},
	})
	show.end()
	if err != nil {
		return err
	}
	body, err := json.Marshal(result)
	if err != nil {
		return err
	}
	if err := session.print.print(body, func() (*table, error) { return benchTable(&result), nil }); err != nil {
		return err
	}
	if len(result.Errors) > 0 {
		return verdict{exitPartial, fmt.Sprintf("some requests failed: %v", result.Errors)}
	}
	return nil
}

// benchStart is when the readings of the simulated devices begin.
var benchStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// What bounds the flags of a measurement.
const (
	maxConnections  = 1024
	maxBenchDevices = 10_000_000
	maxBenchPoints  = 1_000_000
)

// entries sums up the commit indices of all groups: each proposal is one entry.
func (s *session) entries(ctx context.Context) (uint64, error) {
	body, err := s.api.List(ctx, "/v1/admin/groups", nil)
	if err != nil {
		return 0, err
	}
	var l api.GroupList
	if err := json.Unmarshal(body, &l); err != nil {
		return 0, err
	}
	sum := uint64(0)
	for _, g := range l.Groups {
		sum += g.CommitIndex
	}
	return sum, nil
}

func benchTable(r *bench.Result) *table {
	t := &table{columns: []column{{heading: "WHAT"}, {heading: "CALLERS", right: true}, {heading: "CONNECTIONS", right: true},
		{heading: "REQUESTS/S", right: true}, {heading: "POINTS/S", right: true}, {heading: "PROPOSALS/S", right: true},
		{heading: "POINTS/PROPOSAL", right: true}, {heading: "P50 MS", right: true}, {heading: "P99 MS", right: true},
		{heading: "BATCH", right: true, wide: true}, {heading: "DEVICES", right: true, wide: true},
		{heading: "SECONDS", right: true, wide: true}, {heading: "MAX MS", right: true, wide: true}}}
	t.add(r.Kind, countCell(r.Callers), countCell(r.Connections), rateCell(&r.RequestsPerSecond), rateCell(&r.PointsPerSecond),
		rateCell(r.ProposalsPerSec), ratioCell(r.PointsPerProposal), fmt.Sprintf("%.2f", r.P50Ms), fmt.Sprintf("%.2f", r.P99Ms),
		countCell(r.Batch), countCell(r.Devices), fmt.Sprintf("%.1f", r.Seconds), fmt.Sprintf("%.2f", r.MaxMs))
	return t
}

func rateCell(n *float64) string {
	if n == nil {
		return absent
	}
	return fmt.Sprintf("%.0f", *n)
}

func ratioCell(n *float64) string {
	if n == nil {
		return absent
	}
	return fmt.Sprintf("%.1f", *n)
}
