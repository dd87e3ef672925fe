package clustertest

import (
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A cluster holds little and makes much garbage: three nodes of 256 groups on
// two cores spend a quarter of their time in the collector by default.
const gcPercent = 300

func TestMain(m *testing.M) {
	debug.SetGCPercent(gcPercent)
	if slower > 1 {
		// Two processors that fire timers of one bubble at once share what the race detector knows of them, which ends
		// the process (seen with Go 1.26.8: a fault in maybeRunChan, a failed check of its library).
		runtime.GOMAXPROCS(1)
	}
	goleak.VerifyTestMain(m)
}

// times is how much more `make soak` does.
func times(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("SOAK"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}

// I2: histories of concurrent clients under faults have an order that respects
// real time.
func TestI2HistoriesAreLinearizable(t *testing.T) {
	clusters := 10 // of two histories each
	if slower > 1 {
		clusters = 2
	}
	for cluster := range clusters * times(t) {
		t.Run(strconv.Itoa(cluster), func(t *testing.T) { histories(t, uint64(cluster), 2) })
	}
}

// told is one history with how it came about.
type told struct {
	seed uint64
	ops  []Op
	did  []string
}

func histories(t *testing.T, seed uint64, count int) {
	var all []told
	Run(t, 6*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		for i := range count {
			w := Workload{
				Ops: 10_000 / slower, Keys: 64, Workers: 32, Think: 60 * time.Millisecond,
				Seed: seed*100 + uint64(i), Prefix: strconv.Itoa(i),
			}
			began := time.Now()
			h, wait := c.Begin(w)
			done := make(chan struct{})
			go func() { wait(); close(done) }()
			did := c.Torment(Nemesis{Seed: w.Seed, Pause: 500 * time.Millisecond, Longest: 4 * time.Second}, done)
			t.Logf("seed %d: %s; in %v with %d faults", w.Seed, h, time.Since(began), len(did))
			all = append(all, told{w.Seed, h.Ops(), did})
			c.AwaitLeaders(30 * time.Second)
		}
	})
	for _, h := range all { // outside of the bubble: porcupine's timeout is real time
		err := Check(h.ops, 15*time.Second)
		if errors.Is(err, ErrUndecided) {
			t.Logf("seed %d: %v", h.seed, err)
			continue
		}
		if err != nil {
			t.Errorf("seed %d: %v\n%q", h.seed, err, h.did)
		}
	}
}
