package antientropy

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// scrubbed is what a simulated scrub did.
type scrubbed struct {
	began, ended map[string][]time.Time // of the passes over each part
	read         int64
	busy         time.Duration
	late         int
	maxRate      float64
}

// scrub plays some time of a node; stops says whether the process is away then. The state goes through JSON with each
// step, as over a restart.
func scrub(t testing.TB, s Settings, state *Scrub, parts []Part, span time.Duration, stopped func(time.Duration) bool) scrubbed {
	out := scrubbed{began: map[string][]time.Time{}, ended: map[string][]time.Time{}}
	sizes := map[string]int64{}
	for _, p := range parts {
		sizes[p.Name] = p.Bytes
	}
	for now := epoch; now.Before(epoch.Add(span)); {
		if stopped(now.Sub(epoch)) {
			now = now.Add(time.Minute)
			continue
		}
		raw, _ := json.Marshal(state)
		*state = Scrub{}
		if err := json.Unmarshal(raw, state); err != nil {
			t.Fatal(err)
		}
		step := NextScrub(now, s, *state, parts)
		if step.Part == "" {
			if step.Wait <= 0 || step.Wait > ScrubIdle {
				t.Fatalf("waits for %v", step.Wait)
			}
			now = now.Add(step.Wait)
			continue
		}
		if step.MaxBytes <= 0 || step.MaxBytes > ScrubChunk || s.Rate > 0 && step.Rate > float64(s.Rate) {
			t.Fatalf("%+v", step)
		}
		if step.Late {
			out.late++
		}
		out.maxRate = max(out.maxRate, step.Rate)
		at := int64(0)
		if step.Cursor == "" {
			out.began[step.Part] = append(out.began[step.Part], now)
		} else if _, err := fmt.Sscan(step.Cursor, &at); err != nil || state.Part != step.Part {
			t.Fatalf("%+v of %+v", step, state)
		}
		n := min(step.MaxBytes, sizes[step.Part]-at)
		now = now.Add(max(step.Pause(n, 0), time.Millisecond))
		out.read += n
		out.busy += step.Pause(n, 0)
		next := fmt.Sprint(at + n)
		if at+n == sizes[step.Part] {
			next = ""
			out.ended[step.Part] = append(out.ended[step.Part], now)
		}
		state.Advance(now, step, next, n)
	}
	return out
}

func always(time.Duration) bool { return false }

func manyParts(n int, bytes int64) (parts []Part) {
	for i := range n {
		parts = append(parts, Part{Name: fmt.Sprintf("shard %d", i), Bytes: bytes * int64(i%3+1) / 2, Since: epoch})
	}
	return parts
}

// worst is the longest that any block of any part went without being read.
func (s scrubbed) worst(parts []Part, span time.Duration) (longest time.Duration) {
	for _, p := range parts {
		last := epoch
		for i, end := range s.ended[p.Name] {
			longest = max(longest, end.Sub(last))
			last = s.began[p.Name][i]
		}
		longest = max(longest, epoch.Add(span).Sub(last)-0)
	}
	return longest
}

func TestEverythingIsReadInEveryInterval(t *testing.T) {
	s := Settings{Enabled: true, ScrubInterval: 20 * time.Minute}
	for _, bytes := range []int64{0, 1 << 18, 5 << 20, 70 << 20} {
		parts, state, span := manyParts(40, bytes), &Scrub{}, 90*time.Minute
		out := scrub(t, s, state, parts, span, always)
		if worst := out.worst(parts, span); worst > s.ScrubInterval {
			t.Errorf("%d bytes: something was not read for %v", bytes, worst)
		}
		total := 40 * bytes
		if rate := float64(out.read) / span.Seconds(); bytes >= 5<<20 && rate > 1.6*float64(total)/s.ScrubInterval.Seconds() {
			t.Errorf("%d bytes: read %.1f times as much as needed", bytes, rate*s.ScrubInterval.Seconds()/float64(total))
		}
		if out.maxRate > max(2.5*float64(total)/s.ScrubInterval.Seconds(), minScrubRate) {
			t.Errorf("%d bytes: up to %.0f bytes/s", bytes, out.maxRate)
		}
	}
}

func TestScrubPicksUpAfterAStop(t *testing.T) {
	s := Settings{Enabled: true, ScrubInterval: 20 * time.Minute}
	parts, state, span := manyParts(40, 20<<20), &Scrub{}, 40*time.Minute
	away := func(d time.Duration) bool { return d > 5*time.Minute && d < 13*time.Minute }
	out := scrub(t, s, state, parts, span, away)
	if worst := out.worst(parts, span); worst > s.ScrubInterval {
		t.Errorf("something was not read for %v", worst)
	}
	for name, began := range out.began {
		if len(began)-len(out.ended[name]) > 1 {
			t.Errorf("%s was begun %d times and ended %d times", name, len(began), len(out.ended[name]))
		}
	}
}

func TestOperatorsRateIsKept(t *testing.T) {
	s := Settings{Enabled: true, ScrubInterval: time.Hour, Rate: 100_000}
	parts, state, span := manyParts(4, 200<<20), &Scrub{}, 20*time.Minute
	out := scrub(t, s, state, parts, span, always)
	if rate := float64(out.read) / span.Seconds(); rate > 100_000*1.01 || rate < 90_000 {
		t.Errorf("%.0f bytes/s", rate)
	}
	if out.late == 0 {
		t.Error("nobody is told that the interval cannot be kept")
	}
}

func TestOffOrNothingToRead(t *testing.T) {
	for _, step := range []ScrubStep{
		NextScrub(epoch, Settings{ScrubInterval: time.Hour}, Scrub{}, manyParts(1, 1)),
		NextScrub(epoch, hourly, Scrub{}, nil),
	} {
		if step.Part != "" || step.Wait != ScrubIdle {
			t.Errorf("%+v", step)
		}
	}
}

func TestPartsThatWentAwayAreForgotten(t *testing.T) {
	state := Scrub{Part: "shard 1", Cursor: "x", Read: 7, StartedAt: epoch, Done: map[string]time.Time{"shard 0": epoch, "shard 1": epoch}}
	state.Forget([]Part{{Name: "shard 0"}})
	if state.Part != "" || state.Cursor != "" || state.Read != 0 || len(state.Done) != 1 {
		t.Errorf("%+v", state)
	}
}

func TestStepIsAlwaysBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := Settings{
			Enabled: true, ScrubInterval: time.Duration(rapid.Int64Range(1, int64(1000*time.Hour)).Draw(rt, "interval")),
			Rate: rapid.SampledFrom([]int64{0, 1, 1 << 10, 1 << 20, 1 << 40}).Draw(rt, "rate"),
		}
		var parts []Part
		state := Scrub{Done: map[string]time.Time{}}
		for i := range rapid.IntRange(1, 5).Draw(rt, "parts") {
			name := fmt.Sprint(i)
			when := func(what string) time.Time {
				return epoch.Add(time.Duration(rapid.Int64Range(-int64(2000*time.Hour), int64(time.Hour)).Draw(rt, what)))
			}
			parts = append(parts, Part{name, rapid.Int64Range(-1, 1<<50).Draw(rt, "bytes"), when("since")})
			if rapid.Bool().Draw(rt, "done") {
				state.Done[name] = when("done at")
			}
		}
		state.Part = rapid.SampledFrom([]string{"", "0", "9"}).Draw(rt, "part")
		step := NextScrub(epoch, s, state, parts)
		ok := step.Part == "" && step.Wait > 0 && step.Wait <= ScrubIdle ||
			step.Part != "" && step.MaxBytes > 0 && step.MaxBytes <= ScrubChunk && step.Rate > 0 && (s.Rate == 0 || step.Rate <= float64(s.Rate))
		if !ok || state.Part == "0" && step.Part != "0" {
			rt.Fatalf("%+v", step)
		}
	})
}
