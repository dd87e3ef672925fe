package raftgroup

import (
	"math/rand/v2"
	"testing"
	"time"
)

// testLogs are logs in memory with entries of one size, that a trimmer observes.
type testLogs struct {
	logs  []logSize
	marks [][]mark
}

const testEntryBytes = 1 << 10

func (l *testLogs) write(log int, entries uint64) {
	l.logs[log].last += entries
	l.logs[log].bytes += int64(entries) * testEntryBytes
}

func (l *testLogs) observe(now time.Time) (sizes []logSize, total int64) {
	for i := range l.logs {
		s := &l.logs[i]
		l.marks[i] = remember(l.marks[i], now, s.first, s.last)
		s.marks = l.marks[i]
		total += s.bytes
	}
	return l.logs, total
}

// trim does what a plan says and returns what that freed.
func (l *testLogs) trim(steps []trimStep) (freed int64) {
	for _, step := range steps {
		s := &l.logs[step.group]
		gone := int64(step.through-s.first+1) * testEntryBytes
		s.first, s.bytes = step.through+1, s.bytes-gone
		freed += gone
	}
	return freed
}

func newTestLogs(entries ...uint64) *testLogs {
	l := &testLogs{marks: make([][]mark, len(entries))}
	for i, n := range entries {
		l.logs = append(l.logs, logSize{group: uint32(i), first: 1})
		l.write(i, n)
	}
	return l
}

// All that was written before the start is as old as the process can tell: the
// first trim may not take it for one piece.
func TestFirstTrimAfterAStartTakesWhatItMust(t *testing.T) {
	now := time.Unix(1e6, 0)
	tests := map[string][]uint64{
		"OneLog":          {1_000_000},
		"OneLogOfMany":    {10, 900_000, 0, 7},
		"ManySmallLogs":   {100_000, 200_000, 300_000, 400_000, 17},
		"LogsOfFewerThan": {5, 3, 2, 9},
	}
	for name, entries := range tests {
		t.Run(name, func(t *testing.T) {
			l := newTestLogs(entries...)
			_, retention := l.observe(now)
			l.write(0, uint64(retention/testEntryBytes/100+1)) // it goes on, and a little is too much
			sizes, total := l.observe(now.Add(trimInterval))
			excess := total - int64(float64(retention)*trimTarget)
			step := total/markSteps + int64(len(entries)+1)*testEntryBytes
			freed := l.trim(planTrim(sizes, excess))
			if freed < excess || freed > excess+step {
				t.Errorf("of %d KiB, %d KiB too many, %d KiB went", total>>10, excess>>10, freed>>10)
			}
			for _, s := range l.logs {
				if s.last > 100 && s.first > s.last/2 {
					t.Errorf("of log %d, 1..%d, is left what begins at %d", s.group, s.last, s.first)
				}
			}
		})
	}
}

// Whatever the load, and however long the node runs, a trim frees what is too
// much and at most about one step beyond.
func TestTrimsOfALongRunFreeOneStepTooMuchAtMost(t *testing.T) {
	loads := map[string]func(r *rand.Rand, round, log int) uint64{
		"Even":   func(_ *rand.Rand, _, _ int) uint64 { return 40 },
		"Uneven": func(_ *rand.Rand, _, log int) uint64 { return uint64(log * log * 10) },
		"Random": func(r *rand.Rand, _, _ int) uint64 { return r.Uint64N(100) },
		"Bursts": func(_ *rand.Rand, round, log int) uint64 {
			if (round+log)%500 < 3 {
				return 20_000
			}
			return 1
		},
		"SlowThenFast": func(_ *rand.Rand, round, _ int) uint64 {
			if round > 5000 {
				return 2000
			}
			return 12
		},
	}
	for name, load := range loads {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			l := newTestLogs(0, 100, 0, 5000)
			const retention = 200_000 * testEntryBytes
			now, trims := time.Unix(1e6, 0), 0
			for round := range 10_000 {
				now = now.Add(trimInterval)
				for i := range l.logs {
					l.write(i, load(r, round, i))
				}
				sizes, total := l.observe(now)
				for i, marks := range l.marks {
					if len(marks) > maxMarks {
						t.Fatalf("%d marks of log %d", len(marks), i)
					}
				}
				if total <= retention {
					continue
				}
				excess := total - int64(retention*trimTarget)
				freed := l.trim(planTrim(sizes, excess))
				if trims++; freed < excess || freed > excess+total/8 {
					t.Fatalf("round %d: of %d KiB, %d KiB too many, %d KiB went", round, total>>10, excess>>10, freed>>10)
				}
			}
			if trims < 5 {
				t.Errorf("%d trims: the test tests nothing", trims)
			}
		})
	}
}

func TestMarksFollowALogThatIsTakenBackOrEmptied(t *testing.T) {
	now := time.Unix(1e6, 0)
	marks := remember(nil, now, 1, 160)
	if n := len(marks); n != markSteps || marks[0].index != 10 || marks[n-1].index != 160 || !marks[n-2].at.Before(now) {
		t.Fatalf("first observation: %v", marks)
	}
	marks = remember(marks, now.Add(time.Minute), 1, 155) // 151..160 were in conflict, and 5 are new
	if m := marks[len(marks)-1]; m.index != 155 || !m.at.Equal(now.Add(time.Minute)) {
		t.Errorf("after a truncation: %v", marks)
	}
	marks = remember(marks, now.Add(2*time.Minute), 0, 0)
	marks = remember(marks, now.Add(3*time.Minute), 156, 157)
	for _, m := range marks {
		if m.index < 156 || m.index > 157 || m.at.Before(now.Add(time.Minute)) {
			t.Fatalf("after the log was emptied: %v", marks)
		}
	}
	marks = remember(marks, now.Add(4*time.Minute), 1, 3) // another life of the log
	if n := len(marks); n != 3 || marks[0].index != 1 || marks[2].index != 3 {
		t.Errorf("after a reset: %v", marks)
	}
}
