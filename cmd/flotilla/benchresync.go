package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/resyncbench"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// benchResyncVerb needs no cluster: it starts three processes of its own, like the demo.
func benchResyncVerb(s streams) *cli.Command {
	return ownClusterBench(s, false, "resync", "copies of replicas, on three processes of its own in a temporary directory", `flotilla bench resync
flotilla bench resync --size 10MB --runs 5
flotilla bench resync --only full -o json`)
}

// benchCheckVerb is its like for proofs and repairs.
func benchCheckVerb(s streams) *cli.Command {
	return ownClusterBench(s, true, "check", "checks, deep checks and repairs, on three processes of its own in a temporary directory", `flotilla bench check
flotilla bench check --size 256MB --runs 1
flotilla bench check --only repair -o json`)
}

func ownClusterBench(s streams, checks bool, name, usage, examples string) *cli.Command {
	return &cli.Command{
		Name:  name,
		Usage: usage,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "size", Value: "1GB", Usage: "random floats over all groups, on each node; five times as much disk is used"},
			&cli.IntFlag{Name: "runs", Value: 3, Usage: "how often each scene is played; medians are shown"},
			&cli.StringFlag{Name: "only", Usage: "play one scene: " + resyncbench.Scenes(checks)},
			&cli.StringFlag{Name: "dir", DefaultText: "the system's temporary directory", Usage: "where the data is kept while it runs"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: outputTable, Usage: "table, wide, json, yaml, csv, name"},
		},
		Action: func(c *cli.Context) error { return benchOwnCluster(c, s, checks) },
		Description: examples + `

The data is written below Raft into the shards of nodes that are stopped, the same bytes on each. Nothing else should
run on the machine meanwhile. Exit code 6: something was slower than its goal.`,
	}
}

func benchOwnCluster(c *cli.Context, s streams, checks bool) error {
	if err := arity(c, 0, 0); err != nil {
		return err
	}
	format := c.String("output")
	if err := checkOutput(format); err != nil {
		return err
	}
	size, err := api.ParseSize(c.String("size"))
	if err != nil {
		return usagef("--size: %v", err)
	}
	if size < resyncbench.MinBytes || size > resyncbench.MaxBytes {
		return usagef("--size %s is not between 1MiB and 64GiB", c.String("size"))
	}
	if err := within(c, "runs", 1, resyncbench.MaxRuns); err != nil {
		return err
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the binary to start: %w", err)
	}
	var bar *progress
	report, err := resyncbench.Run(c.Context, resyncbench.Options{
		Binary: binary, Dir: c.String("dir"), Bytes: size, Runs: c.Int("runs"), Only: c.String("only"), Checks: checks,
		Say: func(format string, args ...any) { fmt.Fprintf(s.err, "bench: "+format+"\n", args...) },
		Fill: func(done, all int) {
			if bar == nil {
				bar = newProgress(s.err, "fill", int64(all), func(n int64) string { return fmt.Sprintf("%d groups", n) })
			}
			if bar.set(int64(done), ""); done == all {
				bar.end()
			}
		},
	})
	if errors.Is(err, resyncbench.ErrNoScene) {
		return usagef("--only: %v", err)
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(report)
	if err != nil {
		return err
	}
	p := printer{w: s.out, format: format, colour: colours(s.out)}
	if err := p.print(body, func() (*table, error) { return benchResyncTable(report), nil }); err != nil {
		return err
	}
	return slower(report)
}

func benchResyncTable(r *resyncbench.Report) *table {
	t := &table{columns: []column{{heading: "SCENE"}, {heading: "WHAT"}, {heading: "MEDIAN", right: true}, {heading: "UNIT"},
		{heading: "GOAL"}, {heading: "HELD"}, {heading: "RUNS", wide: true}}}
	for _, m := range r.Measures {
		held := absent
		if m.Held != nil {
			held = map[bool]string{true: "yes", false: "NO"}[*m.Held]
		}
		var runs []string
		for _, v := range m.Values {
			runs = append(runs, figure(v))
		}
		t.add(m.Scene, m.Name, figure(m.Median), m.Unit, m.Goal, held, strings.Join(runs, " "))
	}
	t.verdict = fmt.Sprintf("%d bytes in %d leaves of %d groups, medians of %d runs, %d cores", r.Bytes, r.Leaves, r.Groups, r.Runs, r.CPUs)
	for _, n := range r.Notes {
		t.verdict += "; " + n
	}
	return t
}

// figure shows large numbers whole and small ones with decimals.
func figure(v float64) string {
	if math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// slower is the exit code of a report: what missed its goal is named.
func slower(r *resyncbench.Report) error {
	var missed []string
	for _, m := range r.Measures {
		if m.Held != nil && !*m.Held {
			missed = append(missed, m.Name)
		}
	}
	if len(missed) > 0 {
		return verdict{exitPartial, fmt.Sprintf("short of their goals: %q", missed)}
	}
	return nil
}
