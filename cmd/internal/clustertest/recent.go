package clustertest

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
)

// keptLines is how many lines of the nodes' logs a failing test prints.
const keptLines = 400

// recentLines keeps the end of a log. With CLUSTER_LOG set it goes to standard
// error as well.
type recentLines struct {
	mu    sync.Mutex
	lines []string // guarded by mu: a ring
	next  int      // guarded by mu
}

// Write takes one line, as slog's handlers write them.
func (r *recentLines) Write(b []byte) (int, error) {
	line := string(bytes.TrimSuffix(b, []byte("\n")))
	if os.Getenv("CLUSTER_LOG") != "" {
		fmt.Fprintln(os.Stderr, line)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) < keptLines {
		r.lines = append(r.lines, line)
	} else {
		r.lines[r.next] = line
		r.next = (r.next + 1) % keptLines
	}
	return len(b), nil
}

// String gives the lines in order.
func (r *recentLines) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	ordered := append(append([]string(nil), r.lines[r.next:]...), r.lines[:r.next]...)
	return strings.Join(ordered, "\n")
}

// contains reports whether a kept line holds all the texts.
func (r *recentLines) contains(texts ...string) bool {
	for line := range strings.Lines(r.String()) {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(line, text)
		}
		if all {
			return true
		}
	}
	return false
}
