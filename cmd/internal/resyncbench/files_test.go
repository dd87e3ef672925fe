package resyncbench

import (
	"testing"

	"github.com/flotilla-db/flotilla/storage"
)

// BenchmarkCompare compares and proves 16 groups of a gigabyte; a figure of the whole is 16 times as much.
func BenchmarkCompare(b *testing.B) {
	groups := allGroups()[:16]
	sh, err := shapeOf(1 << 30)
	if err != nil {
		b.Fatal(err)
	}
	at := storage.Position{Index: 40, Term: 5}
	dirs := []string{stopped(b, groups, at), stopped(b, groups, at)}
	if err := below(b.Context(), dirs, groups, sh.fill(seriesOfGroups(), 1), func() {}); err != nil {
		b.Fatal(err)
	}
	var s sums
	for b.Loop() {
		for _, g := range groups {
			if err := s.group(b.Context(), dirs[0], dirs[1], g); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(s.compared.Microseconds())/1000/float64(b.N), "compare-ms/op")
	b.ReportMetric(megabytes(s.bytes)/s.proven.Seconds(), "proof-MB/s")
	b.ReportMetric(megabytes(s.bytes)/s.provenCPU.Seconds(), "proof-MB/s/core")
}
