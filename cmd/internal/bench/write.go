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
