package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/flotilla-db/flotilla/storage"
)

// fillWriters write the data that reads need.
const fillWriters = 8

// Range measures reads of p.Points points of one device, all devices filled first.
func Range(ctx context.Context, p Plan) (Result, error) {
	if err := fill(ctx, p); err != nil {
		return Result{}, err
	}
	from, to := p.Start.UnixNano(), p.Start.UnixNano()+int64(p.Points)*int64(readingInterval)
	return run(ctx, kindRange, p, func(caller int, c Conn) request {
		devices := newDevices(p.Database, p.Collection, 0, 1, p.Devices, p.Start, p.Seed)
		random := rand.New(rand.NewPCG(p.Seed, uint64(caller)))
		return func(ctx context.Context) (int, error) {
			series := devices[random.IntN(len(devices))].series
			n, err := c.Range(ctx, series, from, to)
			return n, expect(series, n, p.Points, err)
		}
	})
}

// Last measures linearizable reads of the last point of a device.
func Last(ctx context.Context, p Plan) (Result, error) {
	if err := fill(ctx, p); err != nil {
		return Result{}, err
	}
	return run(ctx, kindLast, p, func(caller int, c Conn) request {
		devices := newDevices(p.Database, p.Collection, 0, 1, p.Devices, p.Start, p.Seed)
		random := rand.New(rand.NewPCG(p.Seed, uint64(caller)))
		return func(ctx context.Context) (int, error) {
			series := devices[random.IntN(len(devices))].series
			n, err := c.Last(ctx, series)
			return n, expect(series, n, 1, err)
		}
	})
}

// expect: a fast answer with too few points is a wrong answer.
func expect(series storage.Series, got, want int, err error) error {
	if err == nil && got != want {
		return fmt.Errorf("read of %s gave %d points, not %d", series, got, want)
	}
	return err
}

// fill writes p.Points points of every device. Points of an earlier run with the same seed are written again alike.
func fill(ctx context.Context, p Plan) error {
	if p.Points < 1 || p.Devices < 1 {
		return fmt.Errorf("reads need at least one device and one point of each")
	}
	failures := make([]error, fillWriters)
	var wait sync.WaitGroup
	for w := range fillWriters {
		wait.Go(func() {
			devices := newDevices(p.Database, p.Collection, w, fillWriters, p.Devices, p.Start, p.Seed)
			for _, d := range devices {
				if failures[w] = d.fill(ctx, p.Conns[w%len(p.Conns)], p.Points); failures[w] != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	for _, err := range failures {
		if err != nil {
			return fmt.Errorf("fill devices: %w", err)
		}
	}
	return nil
}

func (d *device) fill(ctx context.Context, c Conn, count int) error {
	const batch = 2000
	for count > 0 {
		points := make([]storage.Point, min(batch, count))
		for i := range points {
			points[i] = d.point()
		}
		if err := c.Write(ctx, points); err != nil {
			return err
		}
		count -= len(points)
	}
	return nil
}
