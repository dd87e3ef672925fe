package resyncbench

import (
	"testing"

	"github.com/flotilla-db/flotilla/storage"
)

// BenchmarkFill fills 16 groups of three stopped nodes as a gigabyte over all 256 would.
func BenchmarkFill(b *testing.B) {
	groups := allGroups()[:16]
	sh, err := shapeOf(1 << 30)
	if err != nil {
		b.Fatal(err)
	}
	series := seriesOfGroups()
	at := storage.Position{Index: 40, Term: 5}
	b.SetBytes(int64(len(groups)) * (1 << 30) / totalGroups)
	for b.Loop() {
		b.StopTimer()
		dirs := []string{stopped(b, groups, at), stopped(b, groups, at), stopped(b, groups, at)}
		b.StartTimer()
		if err := below(b.Context(), dirs, groups, sh.fill(series, 1), func() {}); err != nil {
			b.Fatal(err)
		}
	}
}
