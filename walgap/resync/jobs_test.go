package resync

import (
	"testing"
)

func TestReplicaThatLacksEntriesReplays(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.fall(10)
		r.mustBe(r.run(request7()), Done)
		if r.verdict() != "replay" || r.target.installs != 0 {
			t.Fatalf("%s, %d installs", r.verdict(), r.target.installs)
		}
	})
}

func TestReplicaBehindATrimmedLogGetsWhatDiffers(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.mustBe(r.run(request7()), Done)
		if r.verdict() != "delta" || r.target.installs != 1 {
			t.Fatalf("%s, %d installs", r.verdict(), r.target.installs)
		}
	})
}

func TestWipedReplicaGetsAllLeavesFromTwoSources(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		result := r.run(request7())
		r.mustBe(result, Done)
		t.Logf("%+v\n%+v", result.Row, *result.Row.Report)
		if r.verdict() != "full" || r.target.installs != 1 || len(result.Row.Sources) != 2 {
			t.Fatalf("%s, %d installs, %v", r.verdict(), r.target.installs, result.Row.Sources)
		}
	})
}
