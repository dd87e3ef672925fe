package resync

import (
	"runtime"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/walgap"
)

// giveWay plays a target whose copies get a share of one core while clients ask, and all cores otherwise.
type giveWay struct {
	began time.Time
	share func(at time.Duration) float64
}

func (g *giveWay) now() float64 { return g.share(time.Since(g.began)) }

// work takes as long as so much work of one core does. spread: all cores do it where nobody asks.
func (g *giveWay) work(cost time.Duration, spread bool) {
	const step = 2 * time.Millisecond
	for ; cost > 0; cost -= step {
		took := time.Duration(float64(min(step, cost)) / g.now())
		if spread && g.now() == 1 {
			took /= time.Duration(runtime.GOMAXPROCS(0))
		}
		time.Sleep(took)
	}
}

// steps is a share that changes at times.
func steps(list ...float64) func(time.Duration) float64 { // share, second, share, second, ..., share
	return func(at time.Duration) float64 {
		now := list
		for len(now) > 1 && at.Seconds() >= now[1] {
			now = now[2:]
		}
		return now[0]
	}
}

// After a tenth of the bytes the estimate is within a factor of 1.5 of the truth, also while copies give way to clients, and
// two seconds after what they get has changed: of the fetch and of the proof behind it.
func TestETAOfACopyThatGivesWayToClients(t *testing.T) {
	for name, tc := range map[string]struct {
		share   func(time.Duration) float64
		changes []float64 // seconds
	}{
		"Never":                  {share: steps(1)},
		"AllAlong":               {share: steps(0.2)},
		"AtTheFloor":             {share: steps(0.1)},
		"ClientsCome":            {share: steps(1, 3, 0.2), changes: []float64{3}},
		"ClientsGo":              {share: steps(0.2, 15, 1), changes: []float64{15}},
		"TheMachineIsBusier":     {share: steps(0.4, 8, 0.1), changes: []float64{8}},
		"DuringTheProof":         {share: steps(1, 10, 0.1), changes: []float64{10}},
		"AndGetMore":             {share: func(at time.Duration) float64 { return min(0.2+at.Seconds()/5, 0.4) }},
		"TheShareGoesUpAndDown":  {share: func(at time.Duration) float64 { return []float64{0.2, 0.3}[at.Milliseconds()/300%2] }},
		"TheProofIsMostlyBehind": {share: steps(0.25, 30, 0.2), changes: []float64{30}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, r *rig) {
				for leaf := 20; leaf < 200; leaf++ {
					r.write(leaf, leaf)
				}
				r.wiped()
				g := &giveWay{time.Now(), tc.share}
				r.share = g.now
				r.faults.fetch = func(string, int) error { g.work(40*time.Millisecond, false); return nil }
				proof := 20 * time.Millisecond * time.Duration(runtime.GOMAXPROCS(0)) // of a core a leaf; of all 60,000 bytes/s
				r.target.proving = func() { g.work(proof, true) }
				r.meter.Observe(func(walgap.Rates) walgap.Rates { return walgap.Rates{ProofBytesPerS: 60e3, CutS: 0.05} })
				r.mustBe(r.run(request7()), Done)
				r.checkETA(t, g.began, tc.changes)
			})
		})
	}
}

// A proof that takes five times as long as proofs did before is told so while it runs.
func TestETAOfAProofFollowsHowFastItIs(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.target.proving = func() { time.Sleep(time.Second) }
		r.meter.Observe(func(walgap.Rates) walgap.Rates { return walgap.Rates{ProofBytesPerS: 6000, CutS: 0.05} })
		began := time.Now()
		r.mustBe(r.run(request7()), Done)
		r.checkETA(t, began, []float64{3})
	})
}

// checkETA compares the estimates of the rows with what came.
func (r *rig) checkETA(t *testing.T, began time.Time, changes []float64) {
	t.Helper()
	end, seen := time.Time{}, map[Stage]int{}
	for i := range r.rows {
		if r.rows[i].Status.Final() {
			end = r.times[i]
		}
	}
rows:
	for i, row := range r.rows {
		at, truth := r.times[i].Sub(began).Seconds(), end.Sub(r.times[i]).Seconds()
		if row.BytesDone*10 < row.BytesTotal || row.BytesDone == 0 || row.EtaS == nil || truth < 1 || row.Stage > Install {
			continue
		}
		for _, change := range changes { // before one nobody can tell
			if at < change+2 {
				continue rows
			}
		}
		if seen[row.Stage]++; *row.EtaS > 1.5*truth || *row.EtaS < truth/1.5 {
			t.Errorf("%.1f s, %s, %d of %d bytes: %.1f s, truth %.1f s", at, row.Stage, row.BytesDone, row.BytesTotal, *row.EtaS, truth)
		}
	}
	if t.Logf("looked at %v", seen); seen[Install] < 2 {
		t.Errorf("estimates: %v", seen)
	}
}

// What was measured while clients went first tells what the node can do without them.
func TestRatesAreThoseOfANodeThatNobodyAsks(t *testing.T) {
	var p Pace
	at := time.Unix(0, 0)
	p.Gets(at, 0.25)
	p.Gets(at.Add(8*time.Second), 1)
	p.Gets(at.Add(9*time.Second), 1)
	if p.busy != 3 || p.alone != 1+2/float64(runtime.GOMAXPROCS(0)) {
		t.Errorf("8 s with a quarter of a core and 1 s with all count %v s, %v s of all cores", p.busy, p.alone)
	}
}
