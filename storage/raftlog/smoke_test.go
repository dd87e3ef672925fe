package raftlog

import (
	"fmt"
	"github.com/hashicorp/raft"
	"os"
	"sync"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	if d := os.Getenv("LOGDIR"); d != "" {
		dir = d
		os.RemoveAll(d)
	}
	s, err := OpenShared(dir, SharedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	start := time.Now()
	const per = 300
	for g := range 256 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			l, err := s.Open(uint32(g))
			if err != nil {
				t.Error(err)
				return
			}
			for i := range per {
				e := &raft.Log{Index: uint64(i + 1), Term: 1, Data: make([]byte, 200), AppendedAt: time.Now()}
				if err := l.StoreLog(e); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	d := time.Since(start)
	fmt.Printf("%d appends in %v: %.0f/s, %d syncs, %.1f per sync\n", 256*per, d, 256*per/d.Seconds(), s.committer.sequence, 256*per/float64(s.committer.sequence))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	s, err = OpenShared(dir, SharedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("reopen", time.Since(start), s.Bytes())
	for g := range 256 {
		l, _ := s.Open(uint32(g))
		last, _ := l.LastIndex()
		if last != per {
			t.Fatal(g, last)
		}
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
}
