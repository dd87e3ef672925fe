package checking

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
)

// Whoever re-reads replicas of a node shares one rate, which may be changed while they read, in pieces of any size.
func TestPaceKeepsTheRateThatIsInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rate atomic.Int64
		p := newPace(func() config.AntiEntropy { return config.AntiEntropy{BatchSize: 10000, Rate: rate.Load()} })
		read := func(piece int) time.Duration { // 24 MiB, by three
			began := time.Now()
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					for left := 8 << 20; left > 0; left -= piece {
						if err := p.Wait(t.Context(), min(piece, left)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			return time.Since(began)
		}
		if took := read(64 << 10); took > 0 {
			t.Errorf("without a rate it takes %v", took)
		}
		for _, c := range []struct {
			rate  int64
			piece int
			want  time.Duration
		}{{1 << 20, 4 << 10, 24 * time.Second}, {4 << 20, 1 << 20, 6 * time.Second}, {512 << 10, 3 << 20, 48 * time.Second}} {
			rate.Store(c.rate)
			if took := read(c.piece); took < c.want*9/10 || took > c.want*11/10 {
				t.Errorf("%d bytes a second, %d at a time: 24 MiB take %v", c.rate, c.piece, took)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Wait(ctx, 100<<20); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it goes on after its context has ended: %v", err)
		}
	})
}

// Clients go first after every batch of points.
func TestPaceYieldsAfterEachBatch(t *testing.T) {
	for _, c := range []struct{ batch, piece, want int }{{1000, 600, 100}, {1000, 6000, 1000}, {100, 6000, 1000}, {10000, 6000, 100}} {
		p, yields := newPace(func() config.AntiEntropy { return config.AntiEntropy{BatchSize: c.batch} }), 0
		p.yield = func() { yields++ }
		for range 1000 {
			if err := p.Wait(t.Context(), c.piece); err != nil {
				t.Fatal(err)
			}
		}
		if yields != c.want {
			t.Errorf("batches of %d points, %d bytes at a time: %d yields in 1000 pieces, want %d", c.batch, c.piece, yields, c.want)
		}
	}
}

// A rate that clients hardly feel is kept beside them; no rate, or a high one, gives way.
func TestLowRatesDoNotGiveWay(t *testing.T) {
	for rate, want := range map[int64]bool{0: false, 256 << 10: true, gentleRate: true, gentleRate + 1: false} {
		p := newPace(func() config.AntiEntropy { return config.AntiEntropy{Rate: rate} })
		if p.Gentle() != want {
			t.Errorf("%d bytes a second: %v", rate, p.Gentle())
		}
	}
}
