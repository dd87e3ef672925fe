package resync

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// gaps are how far the target is behind, and the verdict that this has.
var gaps = []struct {
	name    string
	verdict string
	set     func(r *rig)
}{
	{"0", "none", func(r *rig) {}},
	{"1", "replay", func(r *rig) { r.fall(1) }},
	{"just bridgeable", "replay", func(r *rig) { r.fall(10); r.first = r.target.applied + 1 }},
	{"just not", "delta", func(r *rig) { r.fall(10); r.first = r.target.applied + 2 }},
	{"far", "delta", func(r *rig) { r.stale(3000) }},
	{"wiped", "full", func(r *rig) { r.wiped() }},
}

// mishaps are what happens meanwhile. A job must end well after each, or fail with the old state intact.
var mishaps = []struct {
	name string
	set  func(r *rig)
	fail bool // jobs that copy fail
}{
	{"nothing", func(r *rig) {}, false},
	{"source dies", func(r *rig) { r.dies("n2", 2) }, false},
	{"all sources die", func(r *rig) { r.dies("n1", 0); r.dies("n2", 0) }, true},
	{"target dies", func(r *rig) { r.onceAt(Fetch, "fetching", r.kill) }, false},
	{"leader changes", func(r *rig) { r.onceAt(Fetch, "fetching", func() { r.elect(1) }) }, false},
	{"trim attempted", func(r *rig) {
		r.at = func(s Stage, point string) {
			if point != "asked" && s < Ending { // before and after a job nothing holds the log
				r.trim()
			}
		}
	}, false},
	{"disk full", func(r *rig) { r.faults.room = 2000 }, true},
	{"corrupted message", func(r *rig) {
		r.faults.fetch = func(source string, n int) error {
			if source == "n1" {
				return errLie
			}
			return nil
		}
	}, false},
	{"answers lost", func(r *rig) {
		n := 0
		r.faults.call = func(op) (before, after error) {
			if n++; n%3 == 0 {
				return nil, errNobody
			}
			if n%5 == 0 {
				return errNobody, nil
			}
			return nil, nil
		}
	}, false},
	{"under writes", func(r *rig) {
		n := 0
		r.at = func(Stage, string) { r.mu.Lock(); n++; r.write(n, 5000+n); r.mu.Unlock() }
	}, false},
}

// dies ends a source before its n-th leaf.
func (r *rig) dies(name string, n int) {
	was := r.faults.fetch
	r.faults.fetch = func(source string, i int) error {
		if source == name && i >= n {
			return errors.New("connection reset")
		}
		if was != nil {
			return was(source, i)
		}
		return nil
	}
}

func TestMatrixOfGapsAndMishaps(t *testing.T) {
	for _, gap := range gaps {
		for _, mishap := range mishaps {
			t.Run(fmt.Sprintf("%s, %s", gap.name, mishap.name), func(t *testing.T) {
				t.Parallel()
				inWorld(t, func(t *testing.T, r *rig) {
					gap.set(r)
					before := r.target.data
					mishap.set(r)
					result := r.run(request7())
					want := Done
					if mishap.fail && (gap.verdict == "delta" || gap.verdict == "full") {
						want = Failed
					}
					if r.mustBe(result, want); r.verdict() != gap.verdict && (gap.name != "0" || mishap.name != "under writes") {
						t.Fatalf("verdict %s, want %s: %s", r.verdict(), gap.verdict, result.Row.Reason)
					}
					if want == Failed && (r.target.installs != 0 || !r.target.data.equal(before) || result.Err == nil) {
						t.Fatalf("failed (%v), and the old state is another one", result.Err)
					}
				})
			})
		}
	}
}

func TestLyingSourceIsBlamedAndTheOtherGivesAll(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.faults.fetch = func(source string, n int) error {
			if source == "n2" && n > 4 {
				return errLie
			}
			return nil
		}
		result := r.run(request7())
		r.mustBe(result, Done)
		if b := result.Row.Report.SourcesBlamed; len(b) != 1 || b[0] != "n2" {
			t.Fatalf("%v", b)
		}
	})
}

func TestFullDiskEndsTheJobWithItsReason(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.room = func() (int64, error) { return 1 << 20, nil }
		began := time.Now()
		result := r.run(request7())
		if r.mustBe(result, Failed); result.Row.Attempt != 1 || r.passed["fetch fetching"] != 0 || time.Since(began) > 5*time.Minute {
			t.Fatalf("%+v", result.Row)
		}
	})
}

// The leader needs the target for its quorum: no cut and no lease can commit, and the target keeps its vote.
func TestThirdVoterIsDeadSoTheRecordIsCopied(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.alone = true
		result := r.run(request7())
		r.mustBe(result, Done)
		report := result.Row.Report
		if report.Cuts != 0 || !report.Installed || len(result.Row.Sources) != 1 || result.Row.Sources[0].Node != "n1" {
			t.Fatalf("%+v from %v", report, result.Row.Sources)
		}
	})
}

func TestThirdVoterDiesDuringTheCopy(t *testing.T) {
	for _, point := range []struct {
		s Stage
		p string
	}{{Plan, "judged"}, {Hold, "held"}, {Cut, "pinned"}, {Fetch, "fetching"}, {Install, "proven"}, {Install, "switched"}} {
		t.Run(point.p, func(t *testing.T) {
			inWorld(t, func(t *testing.T, r *rig) {
				r.stale(10)
				r.onceAt(point.s, point.p, func() { r.mu.Lock(); r.alone = true; r.mu.Unlock() })
				r.mustBe(r.run(request7()), Done)
			})
		})
	}
}

// What rots in the staging file is fetched again, whether it fails its own checksums or only the sum over all.
func TestRotBetweenVerifyingAndProofIsFoundAndFetchedAgain(t *testing.T) {
	for name, set := range map[string]func(r *rig){"full": func(r *rig) { r.wiped() }, "delta": func(r *rig) { r.stale(10) }} {
		for _, sealed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sealed %v", name, sealed), func(t *testing.T) {
				inWorld(t, func(t *testing.T, r *rig) {
					set(r)
					first := r.dataAt(r.last()).entries()[0]
					r.faults.rot, r.faults.sealed = map[digest.Leaf]bool{first.Leaf: true}, sealed
					result := r.run(request7())
					if r.mustBe(result, Done); result.Row.Attempt != 2 || r.passed["plan judged"] != 1 {
						t.Fatalf("%+v", result.Row)
					}
				})
			})
		}
	}
}

// A leaf of the old file whose stored digest is right and whose bytes are not.
func TestRotInTheOldFileIsFoundByTheProof(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		leaf := r.dataAt(r.last()).entries()[15].Leaf
		r.target.rotten = map[digest.Leaf]bool{leaf: true}
		result := r.run(request7())
		r.mustBe(result, Done)
		if report := result.Row.Report; report.InPlace || report.BytesMoved != 5*1200 || report.Attempts != 2 {
			t.Fatalf("%+v", report)
		}
	})
}

func TestTargetThatClaimsTheRootForAProofIsNotInstalled(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.target.lies = true
		if r.mustBe(r.run(request7()), Failed); r.target.installs != 0 || len(r.sums) != 0 {
			t.Fatal("installed")
		}
	})
}

func TestLeaderThatProvesWrongIsNotBelieved(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.faults.wrong = true
		if r.mustBe(r.run(request7()), Failed); r.target.installs != 0 {
			t.Fatal("installed")
		}
	})
}

// A leader (or whoever stands between) says equal, and its sum is another one.
func TestEqualIsNotBelievedWithoutTheSum(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.faults.wrong, r.forge = true, true
		if r.mustBe(r.run(request7()), Failed); r.target.installs != 0 {
			t.Fatal("installed")
		}
	})
}
