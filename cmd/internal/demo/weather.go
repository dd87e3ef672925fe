package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/cmd/internal/ledger"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/testdata/weather"
)

// tellWeather loads the real readings through one node, and compares every value read back through another.
func tellWeather(ctx context.Context, s *stage) error {
	all, err := readWeather()
	if err != nil {
		return err
	}
	s.say.line("NOAA, public domain, from the npm package vega-datasets: %s rows", thousands(all.rows))
	in, out := s.fleet.Processes[1], s.fleet.Processes[2]
	began := time.Now()
	if err := s.load(ctx, in, weather.Daily, dailyCollection, "--device-column", dailyStation); err != nil {
		return err
	}
	if err := s.load(ctx, in, weather.Hourly, hourlyCollection, "--device", hourlyStation); err != nil {
		return err
	}
	s.weather = all
	s.say.line("loaded in %s", seconds(time.Since(began)))
	groups := all.groups()
	s.say.line("They are %d devices, so they live in %d of the %d groups: %s.",
		len(all.values), len(groups), totalGroups, strings.Join(groups, ", "))
	return s.compareWeather(ctx, "real readings, through another node", out)
}

// load runs `flotilla write` of one file, through one node.
func (s *stage) load(ctx context.Context, through *fleet.Process, file []byte, collection string, device ...string) error {
	args := append([]string{"write", "--db", weatherDatabase, "--collection", collection, "--format", "csv",
		"--time-column", dateColumn}, device...)
	s.say.command(strings.Join(args, " ") + " --addr " + through.Name)
	out, code, err := s.flotilla(ctx, file, append(args, "--addr", through.HTTPAddr)...)
	if err == nil && code != 0 {
		err = fmt.Errorf("write %s: exit code %d: %s", collection, code, out)
	}
	return err
}

// groups names the group of each device.
func (r *readings) groups() []string {
	var names []string
	for series := range r.values {
		group := storage.GroupOf(series.Database, series.Collection, series.Device, totalGroups)
		names = append(names, fmt.Sprintf("%d (%s, %s)", group, series.Device, series.Collection))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// compareWeather reads every series back and compares every value. Nothing is told where none were loaded.
func (s *stage) compareWeather(ctx context.Context, what string, through ...*fleet.Process) error {
	if s.weather == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	source, err := ledger.Dial(rpcAddrs(through)...)
	if err != nil {
		return err
	}
	var d difference
	for series := range s.weather.values {
		var read []storage.Point
		err = errors.Join(err, source.Read(ctx, series, func(p storage.Point) error {
			read = append(read, p)
			return nil
		}))
		s.weather.compare(series, read, &d)
	}
	if err = errors.Join(err, source.Close()); err != nil {
		return err
	}
	s.score.check(what, d.none() && d.equal == s.weather.count,
		"%d acked, %d read back, all %s values equal, %d missing, %d wrong", s.weather.rows, d.points, thousands(d.equal), d.missing, d.wrong+d.extra)
	for _, e := range d.examples {
		s.say.line("%s", e)
	}
	return nil
}
