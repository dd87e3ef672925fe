package transfer

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// While clients wait, leaves are read one at a time and with pauses; while they
// do not, all at once.
func TestLeavesGiveWayToThoseWhoWait(t *testing.T) {
	virtual(t, func(t *testing.T) {
		const readers, each, took = 8, 5, 3 * time.Millisecond
		var waits atomic.Bool
		w := newRightOfWay(waits.Load)
		run := func() (most int32, total time.Duration) {
			var now, top atomic.Int32
			var wg sync.WaitGroup
			began := time.Now()
			for range readers {
				wg.Go(func() {
					for range each {
						_, err := w.read(context.Background(), func() ([]byte, error) {
							n := now.Add(1)
							for m := top.Load(); n > m && !top.CompareAndSwap(m, n); m = top.Load() {
							}
							time.Sleep(took)
							now.Add(-1)
							return nil, nil
						})
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			return top.Load(), time.Since(began)
		}
		if most, total := run(); most != readers || total != each*took {
			t.Errorf("nobody waits: %d at once, %v", most, total)
		}
		waits.Store(true)
		if most, total := run(); most != 1 || total != 2*readers*each*took {
			t.Errorf("clients wait: %d at once, %v", most, total)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w.turn <- struct{}{}
		cancel()
		if _, err := w.read(ctx, func() ([]byte, error) { return nil, nil }); err == nil {
			t.Error("a reader waits for its turn for ever")
		}
	})
}
