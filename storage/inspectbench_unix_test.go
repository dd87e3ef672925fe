//go:build unix

package storage

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkInspect reads a shard's file of closed windows from the disk on one core: pages, checksums, digests.
func BenchmarkInspect(b *testing.B) {
	o := testOptions(b)
	o.Window, o.InitialMmapSize = 10*time.Minute, 1<<30
	s := mustOpen(b, o)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 40 {
		var points []Point
		for d := range 100 {
			for i := range 600 {
				points = append(points, point(fmt.Sprint("device-", d), int64(round*600+i)*int64(time.Second), "a", random.Float64(), "b", random.Float64()))
			}
		}
		apply(b, s, AppendPut(nil, points))
		if _, err := s.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	v, err := s.Look(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	bytes, before := int64(0), cpuSeconds(b)
	for b.Loop() {
		r, err := v.Inspect(b.Context(), nil)
		if err != nil || r.Structure != nil || len(r.Bad) > 0 {
			b.Fatal(r.Structure, r.Bad, err)
		}
		bytes = r.Bytes
	}
	b.SetBytes(bytes)
	b.ReportMetric(float64(bytes)*float64(b.N)/1e6/(cpuSeconds(b)-before), "MB/cpu-s")
	b.ReportMetric(float64(s.Stats().BlockBytes)/float64(bytes), "blocks/read")
}

// cpuSeconds is what the process has used: the machine may be busy with others.
func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
