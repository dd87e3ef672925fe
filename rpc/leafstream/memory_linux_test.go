//go:build !race

package leafstream

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/snapshot/transfer"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// maxGrowthBytes is what source and target of copies may take above idle, in total (RssAnon).
const maxGrowthBytes = 64 << 20

// filler makes leaves as a shard does.
type filler struct{ bytes int }

func (f filler) View(context.Context, uint32, string) (transfer.LeafReader, func(), error) {
	return f, func() {}, nil
}

func (f filler) AppendLeaf(_ context.Context, dst []byte, _ digest.Leaf) ([]byte, error) {
	b := slices.Grow(dst, f.bytes)[:f.bytes]
	for i := 0; i < len(b); i += 512 {
		b[i] = byte(i)
	}
	return b, nil
}

// Both ends of copies, five of them at once, from two nodes each, in one process.
func TestMemoryOfCopiesIsBounded(t *testing.T) {
	for _, c := range []struct{ jobs, leaves, bytes, messageBytes int }{
		{1, 1000, 256 << 10, 0}, {5, 300, 256 << 10, 0}, {5, 50, 2 << 20, 0}, {5, 20, 4 << 20, 16 << 20},
	} {
		t.Run(fmt.Sprintf("%dx%dKiB", c.jobs, c.bytes>>10), func(t *testing.T) {
			a, b := start(t, "n1", filler{c.bytes}, nil), start(t, "n2", filler{c.bytes}, nil)
			var want []digest.Entry
			for i := range c.leaves {
				want = append(want, digest.Entry{Leaf: digest.Leaf{Window: int64(i)}, LeafDigest: digest.LeafDigest{Bytes: uint64(c.bytes)}})
			}
			debug.FreeOSMemory()
			idle := rssAnon(t)
			limits, done, most := transfer.NewLimits(0), make(chan struct{}), int64(0)
			var jobs, watch sync.WaitGroup
			watch.Go(func() {
				for {
					most = max(most, rssAnon(t))
					select {
					case <-done:
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
			})
			for range c.jobs {
				jobs.Go(func() {
					plan := transfer.Plan{Cut: "cut", Want: want, Sources: both(a, b), Limits: limits, MessageBytes: c.messageBytes}
					if _, err := transfer.Run(t.Context(), plan, func(string, digest.Entry, []byte) error { return nil }, nil); err != nil {
						t.Error(err)
					}
				})
			}
			jobs.Wait()
			close(done)
			watch.Wait()
			t.Logf("%d MiB above idle", (most-idle)>>20)
			if most-idle > maxGrowthBytes {
				t.Errorf("source and target took %d MiB above idle, more than %d", (most-idle)>>20, maxGrowthBytes>>20)
			}
		})
	}
}

// rssAnon is the anonymous memory of this process that is resident, in bytes.
func rssAnon(t *testing.T) int64 {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Error(err)
		return 0
	}
	_, rest, _ := bytes.Cut(raw, []byte("RssAnon:"))
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	kib, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		t.Error(err)
	}
	return kib << 10
}
