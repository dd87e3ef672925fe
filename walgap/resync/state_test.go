package resync

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

func TestStateComesBackAsItWasWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "staging")
	want := &state{Version: stateVersion, Request: withDefaults(Request{ID: "x", Group: 9, Mode: walgap.PartialSync, StartedAt: time.Unix(5, 7).UTC()}),
		Attempt: 2, Asked: true, Cuts: 3, Sources: []SourceBytes{{"n1", 5}}, Suspects: []digest.Leaf{{Window: -3, Slot: 2}},
		Switching: &switched{CutID: "x.c3", Lineage: "l", Position: storage.Position{Index: 4, Term: 2}, Root: digest.ID{7}}, Ending: Failed, Error: "e"}
	var n notes
	for i, how := range []durability{durably, lazily, lazily, durably} { // over older ones too
		want.Attempt = i + 1
		if err := n.write(dir, want, how); err != nil {
			t.Fatal(err)
		}
		got, err := readState(dir)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\n%+v\n%+v", err, got, want)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Fatalf("%v", list)
	}
}

// A power failure may leave a part of the last line, or nothing of it but its length. The next process writes no line behind
// that.
func TestStateWithATornLineIsTheOneBefore(t *testing.T) {
	for _, torn := range []string{"{", "\x00\x00\x00", `{"version":1,"attempt":9}`} {
		dir, s := t.TempDir(), &state{Version: stateVersion, Request: withDefaults(Request{ID: "x"})}
		var n notes
		for s.Attempt = range 4 {
			if err := n.write(dir, s, lazily); err != nil {
				t.Fatal(err)
			}
		}
		if err := appendFile(filepath.Join(dir, stateFile), []byte(torn)); err != nil {
			t.Fatal(err)
		}
		for attempt := 3; attempt < 6; attempt++ {
			got, err := readState(dir)
			if err != nil || got.Attempt != attempt {
				t.Fatalf("behind %q: %+v, %v, want attempt %d", torn, got, err, attempt)
			}
			if attempt == 3 {
				n = notes{} // of the next process
			}
			got.Attempt++
			if err := n.write(dir, got, lazily); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// However often a job notes what it does, its file stays one that can be read.
func TestNotesDoNotGrowWithoutBound(t *testing.T) {
	dir, s := t.TempDir(), &state{Version: stateVersion, Request: withDefaults(Request{ID: "x"}), Attempt: 1, Error: strings.Repeat("e", maxNotes/8)}
	var n notes
	for range 40 {
		if err := n.write(dir, s, lazily); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, stateFile)); err != nil || info.Size() > maxStateFile/2 {
			t.Fatal(info.Size(), err)
		}
	}
	if got, err := readState(dir); err != nil || got.Error != s.Error {
		t.Fatal(err)
	}
}

func TestLeasesOfAJobAreAllThatWereAskedFor(t *testing.T) {
	s := &state{Request: Request{ID: "x"}}
	if got := s.leases(); len(got) != 0 {
		t.Fatal(got)
	}
	s.Asked, s.Cuts = true, 2
	if got := strings.Join(s.leases(), " "); got != "x x.c1 x.c2" {
		t.Fatal(got)
	}
	s.Cuts, s.CutIDs = 2, nil // by an older binary
	if id := s.nextCut(); strings.Join(s.leases(), " ") != "x x.c1 x.c2 "+id || !ownedBy("x", id) {
		t.Fatal(s.leases())
	}
	for s.Cuts < maxCuts {
		s.nextCut()
	}
	if len(s.leases()) > maxCutIDs {
		t.Fatal("more than a message may carry")
	}
}

// A power failure may bring an older state of a job back: its next cut must not be taken for the one that it has forgotten,
// whose view may still be there.
func TestForgottenCutLendsItsNameToNoOther(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		var older []byte
		r.at = func(s Stage, point string) {
			var err error
			switch {
			case r.starts > 1:
			case s == Hold && point == "held":
				older, err = os.ReadFile(filepath.Join(r.dir, stateFile))
			case s == Cut && point == "pinned":
				if err = os.WriteFile(filepath.Join(r.dir, stateFile), older, 0o644); err == nil {
					r.kill()
				}
			}
			if err != nil {
				t.Error(err)
			}
		}
		r.once(request7(), nil)
		forgotten := maps.Clone(r.views)
		r.restart()
		_ = pause.For(t.Context(), 2*leaseTTL) // nobody ends what was forgotten
		result := r.run(request7())
		if len(forgotten) != 1 || len(r.views) != 2 {
			t.Errorf("%d views before, %d in all: want one of each process", len(forgotten), len(r.views))
		}
		r.mustBe(result, Done)
	})
}

func TestStagingWithoutAJobIsRemovedAtStart(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		if _, found, err := r.engine().Resume(testGroup); found || err != nil {
			t.Fatal(found, err)
		}
		write := func(name, text string) {
			if err := errors.Join(os.MkdirAll(r.dir, 0o755), os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		write("shard.db", "leftover")
		if _, found, err := r.engine().Resume(testGroup); found || err != nil {
			t.Fatal(found, err)
		}
		for _, text := range []string{"", "{", `{"version":99}`, `{"version":1,"request":{"id":""}}`, strings.Repeat(" ", maxStateFile+1)} {
			write("shard.db", "leftover")
			write(stateFile, text)
			if _, found, err := r.engine().Resume(testGroup); found || !errors.Is(err, ErrState) {
				t.Fatalf("%.20q: %v, %v", text, found, err)
			}
			if _, err := os.Stat(r.dir); err == nil {
				t.Fatal("staging is left")
			}
		}
	})
}

func TestAnotherJobBeginsWithNoStaging(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.target.commitEach = true
		r.onceAt(Fetch, "gathered", r.kill)
		r.once(request7(), nil)
		r.restart()
		r.rows = nil
		q := request7()
		q.ID = "job-2"
		_ = pause.For(t.Context(), 2*leaseTTL) // nobody ends what job-1 held
		result := r.run(q)
		if r.mustBe(result, Done); result.Row.Report.BytesKept != 0 {
			t.Fatalf("%+v", result.Row.Report)
		}
	})
}

func TestMeterKeepsRatesOverRestarts(t *testing.T) {
	var m, n Meter
	m.Observe(func(r walgap.Rates) walgap.Rates {
		return r.WithFetch(1<<30, 10*time.Second).WithReplay(50_000, time.Second)
	})
	raw, err := m.MarshalBinary()
	if err != nil || n.UnmarshalBinary(raw) != nil || n.Rates() != m.Rates() || !n.Rates().WireBytesPerS.Measured() {
		t.Fatalf("%v, %+v, %+v", err, n.Rates(), m.Rates())
	}
	for _, bad := range []string{"", "x", `{"EntriesPerS":-1}`, `[]`} {
		if err := n.UnmarshalBinary([]byte(bad)); err == nil || n.Rates() != m.Rates() {
			t.Errorf("%q: %v, %+v", bad, err, n.Rates())
		}
	}
}

func TestJobsMoveTheRates(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.fall(900)
		if r.mustBe(r.run(request7()), Done); r.meter.Rates().EntriesPerS < replayRate/2 || r.meter.Rates().EntriesPerS > replayRate*2 {
			t.Fatalf("%+v", r.meter.Rates())
		}
	})
}
