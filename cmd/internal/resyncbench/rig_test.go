package resyncbench

import (
	"os"
	"testing"
	"time"
)

// A cluster that was filled below Raft goes on as if it had been written to: equal on all nodes, and led.
// It needs a binary: FLOTILLA_BINARY names it.
func TestFilledClusterGoesOn(t *testing.T) {
	binary := os.Getenv("FLOTILLA_BINARY")
	if binary == "" {
		t.Skip("FLOTILLA_BINARY names no binary")
	}
	sh, err := shapeOf(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{series: seriesOfGroups(), shape: sh, say: t.Logf}
	t.Cleanup(func() {
		if t.Failed() {
			r.tails()
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	began := time.Now()
	lap := func(what string) { t.Logf("%s: %v", what, time.Since(began)); began = time.Now() }
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"open", func() error { return r.open(t.Context(), binary, t.TempDir()) }},
		{"stop", func() error { return r.stop(t.Context(), r.fleet.Processes...) }},
		{"fill", func() error {
			return below(t.Context(), r.dirs(), allGroups(), sh.fill(r.series, 1), func() {})
		}},
		{"start", func() error { return r.start(t.Context(), r.fleet.Processes...) }},
		{"settle", func() error { return r.settled(t.Context()) }},
		{"compare", func() error { return r.equal(t.Context()) }},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		lap(step.what)
	}
}
