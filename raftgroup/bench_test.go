package raftgroup

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkPropose and BenchmarkReadBarrier run three hosts in one process over
// a network of function calls: what this package costs, and the disk.
func BenchmarkPropose(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			leaders := benchGroups(b, 32)
			share(b, callers, func(i int) error {
				_, err := leaders[i%len(leaders)].Propose(context.Background(), putFrame("dev", int64(i), 1))
				return err
			})
		})
	}
}

func BenchmarkReadBarrier(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			leaders := benchGroups(b, 32)
			share(b, callers, func(i int) error { return leaders[i%len(leaders)].ReadBarrier(context.Background()) })
		})
	}
}

func benchGroups(b *testing.B, n int) []*Group {
	b.Helper()
	c := newTestCluster(b, 3, nil)
	groups := make([]uint32, n)
	for i := range groups {
		groups[i] = uint32(i)
	}
	c.bear(3, groups...)
	leaders := make([]*Group, n)
	for i, id := range groups {
		leaders[i] = c.leader(id)
	}
	return leaders
}

// share has callers do b.N operations together, one in flight each.
func share(b *testing.B, callers int, do func(i int) error) {
	b.Helper()
	b.ResetTimer()
	start := time.Now()
	var wg sync.WaitGroup
	for w := range callers {
		wg.Go(func() {
			for i := w; i < b.N; i += callers {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "ops/s")
}
