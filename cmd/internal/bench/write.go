package bench

import (
	"context"
	"fmt"

	"github.com/flotilla-db/flotilla/storage"
)

const (
	kindWrite = "write"
	kindRange = "read range"
	kindLast  = "read last"
)

// Write measures durable writes: each caller has devices of its own, and one write of p.Batch points in flight, each
// point of another device as far as it has so many.
func Write(ctx context.Context, p Plan) (Result, error) {
	if p.Batch < 1 || p.Batch > MaxBatch {
		return Result{}, fmt.Errorf("a batch holds 1 to %d points", MaxBatch)
	}
	if p.Devices < p.Callers {
		return Result{}, fmt.Errorf("%d callers need as many devices, not %d: each device has one writer", p.Callers, p.Devices)
	}
	if err := touch(ctx, p); err != nil {
		return Result{}, err
	}
	return run(ctx, kindWrite, p, func(caller int, c Conn) request {
		devices := newDevices(p.Database, p.Collection, caller, p.Callers, p.Devices, p.Start, p.Seed)
		turn := 0
		return func(ctx context.Context) (int, error) {
			points := make([]storage.Point, p.Batch)
			for i := range points {
				points[i] = devices[turn%len(devices)].point()
				turn++
			}
			return len(points), c.Write(ctx, points)
		}
	})
}

// touch writes one point of every device, in large batches: groups are born at their first write, and that is not
// what is measured.
func touch(ctx context.Context, p Plan) error {
	const batch = 1000
	devices := newDevices(p.Database, p.Collection, 0, 1, p.Devices, p.Start, p.Seed)
	for len(devices) > 0 {
		part := devices[:min(batch, len(devices))]
		devices = devices[len(part):]
		points := make([]storage.Point, len(part))
		for i, d := range part {
			points[i] = d.point()
		}
		if err := p.Conns[0].Write(ctx, points); err != nil {
			return fmt.Errorf("first point of each device: %w", err)
		}
	}
	return nil
}
