package raftlog

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// benchAppend lets `callers` groups append one entry of 200 bytes at a time.
func benchAppend(b *testing.B, e Engine, callers int) {
	defer e.Close()
	var left atomic.Int64
	left.Store(int64(b.N))
	logs := make([]Log, callers)
	for g := range logs {
		l, err := e.Open(uint32(g))
		if err != nil {
			b.Fatal(err)
		}
		logs[g] = l
	}
	data := make([]byte, 200)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, l := range logs {
		wg.Go(func() {
			for i := uint64(1); left.Add(-1) >= 0; i++ {
				if err := l.StoreLogs([]*raft.Log{{Index: i, Term: 1, Data: data, AppendedAt: time.Now()}}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	if s, ok := e.(*Shared); ok {
		b.ReportMetric(float64(b.N)/float64(s.committer.sequence), "appends/fsync")
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16, 85, 256} {
		b.Run(fmt.Sprintf("shared/%d", callers), func(b *testing.B) {
			s, err := OpenShared(b.TempDir(), SharedOptions{})
			if err != nil {
				b.Fatal(err)
			}
			benchAppend(b, s, callers)
		})
	}
	for _, callers := range []int{1, 256} {
		b.Run(fmt.Sprintf("boltdb/%d", callers), func(b *testing.B) {
			dir := b.TempDir()
			e, err := OpenBolt(func(g uint32) string { return filepath.Join(dir, fmt.Sprint(g), "raft.db") },
				BoltOptions{Groups: func() ([]uint32, error) { return nil, nil }})
			if err != nil {
				b.Fatal(err)
			}
			benchAppend(b, e, callers)
		})
	}
}

func BenchmarkGetLog(b *testing.B) {
	for name, memory := range map[string]int64{"memory": 0, "disk": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			s, err := OpenShared(b.TempDir(), SharedOptions{MemoryBytes: memory})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			l, err := s.Open(1)
			if err != nil {
				b.Fatal(err)
			}
			const n = 10000
			var logs []*raft.Log
			for i := range uint64(n) {
				logs = append(logs, &raft.Log{Index: i + 1, Term: 1, Data: make([]byte, 200)})
			}
			for len(logs) > 0 {
				if err := l.StoreLogs(logs[:100]); err != nil {
					b.Fatal(err)
				}
				logs = logs[100:]
			}
			b.ReportAllocs()
			var out raft.Log
			for i := 0; b.Loop(); i++ {
				if err := l.GetLog(uint64(i%(n/2))+1, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
