package raftlog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// corruptShared changes one byte of an entry in its segment.
func corruptShared(h *harness, group uint32, index uint64) {
	h.t.Helper()
	names, err := filepath.Glob(filepath.Join(h.dir, "log", "*"+segmentSuffix))
	must(h.t, err)
	want := entry(group, index, 1).Data
	for _, name := range names {
		b, err := os.ReadFile(name)
		must(h.t, err)
		if k := bytes.Index(b, want); k >= 0 {
			b[k] ^= 1
			must(h.t, os.WriteFile(name, b, 0o644))
			return
		}
	}
	h.t.Fatal("the entry is not there")
}

var _ = testing.Short
