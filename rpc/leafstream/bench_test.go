package leafstream

import (
	"context"
	"fmt"
	"testing"

	"github.com/flotilla-db/flotilla/snapshot/transfer"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// BenchmarkTransfer moves leaves from two sources in this process over loopback, with no store at either end.
func BenchmarkTransfer(b *testing.B) {
	for _, c := range []struct{ leaves, bytes int }{{64, 1 << 20}, {256, 256 << 10}, {2048, 32 << 10}, {16384, 2 << 10}} {
		b.Run(fmt.Sprintf("leaf%dKiB", c.bytes>>10), func(b *testing.B) {
			leaves, want := leavesOf(c.leaves, c.bytes)
			sources := []transfer.SourceInfo{
				{Source: start(b, "n1", &replica{shard: leaves}, nil), SameZone: true},
				{Source: start(b, "n2", &replica{shard: leaves}, nil), SameZone: true},
			}
			b.SetBytes(int64(c.leaves * c.bytes))
			for b.Loop() {
				plan := transfer.Plan{Cut: "cut", Want: want, Sources: sources}
				if _, err := transfer.Run(context.Background(), plan, func(string, digest.Entry, []byte) error { return nil }, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
