package clustertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/ledger"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// gapClass is what n3's replica of a group lacks; a group's class is its number
// modulo gapClasses, so that one cluster has them all at the same time.
type gapClass uint32

const (
	gapNone    gapClass = iota // nothing
	gapOne                     // one entry
	gapBridged                 // the leader's log begins at n3's last entry
	gapBroken                  // the leader's log begins behind it
	gapFar                     // the leader's log is empty
	gapClasses
)

func classOf(group uint32) gapClass { return gapClass(group % uint32(gapClasses)) }

// copies reports whether the log cannot close the gap.
func (k gapClass) copies() bool { return k >= gapBroken }

// missed is how many writes n3 misses.
func (k gapClass) missed() int { return [gapClasses]int{0, 1, 3, 3, 6}[k] }

// gapScene is three nodes, of which n3 was away and lacks in each group what
// the group's class says. Every group has a device of its own.
type gapScene struct {
	*Cluster
	t       *testing.T
	watch   *syncWatch
	devices []string          // by group
	acked   []int64           // by group: points of its device, at the times 1, 2, ...
	last    map[uint32]uint64 // by group: n3's last entry when it went away
	ledger  *ledger.Ledger    // nil: idle
	end     func()            // of the writes
}

// newGapScene makes one; n3 is down.
func newGapScene(t *testing.T, tune func(i int, c *config.Config)) *gapScene {
	t.Helper()
	s := &gapScene{Cluster: New(t, tune), t: t, watch: newSyncWatch(), last: make(map[uint32]uint64), end: func() {}}
	s.hooks = s.watch.of
	for range 3 {
		s.Add()
	}
	s.AwaitReady()
	s.devices = devicesOfAllGroups()
	s.acked = make([]int64, len(s.devices))
	for range 3 {
		s.write(func(uint32) bool { return true })
	}
	s.leaveNothingLed(2)
	for _, g := range s.nodes[2].Node().Groups().Groups() {
		s.last[g.ID()] = g.Status().LogLast
	}
	s.Stop(2)
	s.AwaitLeaders(30 * time.Second)
	for n := range gapFar.missed() {
		s.write(func(group uint32) bool { return n < classOf(group).missed() })
	}
	s.awaitLevel()
	s.trimByClass()
	s.awaitGaps()
	return s
}

// awaitGaps waits until the leaders know whom their logs do not reach: until then
// what they had read before the trim is on its way to n3, and would close the
// narrow gap.
func (s *gapScene) awaitGaps() {
	s.t.Helper()
	s.Await("leaders know of the gaps", 3*time.Minute, func() string {
		time.Sleep(5 * time.Second)
		for group := range s.last {
			if i, led := s.Leader(group); classOf(group).copies() && led {
				if g, _ := s.Group(i, group); len(g.Gaps()) == 0 {
					return fmt.Sprintf("group %d on %s", group, s.nodes[i].Name)
				}
			}
		}
		return ""
	})
}

// awaitLevel waits until the replicas that run stand at the same place. Looking
// at all of them is dear.
func (c *Cluster) awaitLevel() {
	c.t.Helper()
	c.Await("the replicas are level", 2*time.Minute, func() string {
		time.Sleep(lookPause)
		return c.uneven()
	})
}

// devicesOfAllGroups names one device a group.
func devicesOfAllGroups() []string {
	devices := make([]string, totalGroups)
	for i, left := 0, len(devices); left > 0; i++ {
		name := fmt.Sprintf("gap-%d", i)
		if at := &devices[groupOf(name)]; *at == "" {
			*at = name
			left--
		}
	}
	return devices
}

// write writes one point to the devices of some groups, with one entry a group.
func (s *gapScene) write(to func(group uint32) bool) {
	s.t.Helper()
	var points []client.Point
	for group, device := range s.devices {
		if to(uint32(group)) {
			s.acked[group]++
			points = append(points, point(device, s.acked[group], s.acked[group]))
		}
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), opTimeout)
	defer cancel()
	if _, err := s.Client(0).Write(ctx, points); err != nil {
		s.t.Fatal(err)
	}
}

// leaveNothingLed moves every leadership away from a node, and waits until the
// replicas are level. For a moment none comes back.
func (c *Cluster) leaveNothingLed(node int) {
	c.t.Helper()
	c.Await("a node leads nothing, and the replicas are level", time.Minute, func() string {
		time.Sleep(lookPause)
		var wg sync.WaitGroup
		led := 0
		for _, g := range c.nodes[node].Node().Groups().Groups() {
			if g.IsLeader() {
				led++
				wg.Go(func() { _ = g.StepDown(context.Background()) }) // or at the next look
			}
		}
		wg.Wait()
		if led > 0 {
			return fmt.Sprintf("it led %d groups", led)
		}
		return c.uneven()
	})
}

// trimByClass drops what the classes want dropped, on both nodes that live.
func (s *gapScene) trimByClass() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 2 {
		for _, g := range s.nodes[i].Node().Groups().Groups() {
			wg.Go(func() {
				last, err := s.last[g.ID()], error(nil)
				switch classOf(g.ID()) {
				case gapBridged:
					err = g.TrimThrough(ctx, last)
				case gapBroken:
					err = g.TrimThrough(ctx, last+1)
				case gapFar:
					err = g.Trim(ctx)
				}
				if err == nil {
					err = s.gapIsAsWanted(g.Status())
				}
				if err != nil {
					s.t.Errorf("%s: %v", s.nodes[i].Name, err)
				}
			})
		}
	}
	wg.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
}

// gapIsAsWanted checks one replica that n3 may be brought up to date by.
func (s *gapScene) gapIsAsWanted(r raftgroup.Status) error {
	last, k := s.last[r.Group], classOf(r.Group)
	first := map[gapClass]uint64{gapNone: 1, gapOne: 1, gapBridged: last, gapBroken: last + 1, gapFar: r.LogLast + 1}[k]
	if r.LogFirst != first || r.LogLast != last+uint64(k.missed()) {
		return fmt.Errorf("group %d of class %d: n3 has up to %d, the log is %d..%d", r.Group, k, last, r.LogFirst, r.LogLast)
	}
	return nil
}

// writes begins writes to nearly all groups, until end is called.
func (s *gapScene) writes() {
	s.ledger = s.NewLedger("meanwhile", ledgerDevices)
	s.end = s.Load(s.ledger, loadCallers, loadRate)
}

// checkPoints reads the devices of all groups through one node.
func (s *gapScene) checkPoints(node int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	has := make(map[string]int64)
	q := client.Query{Database: database, Collection: collection}
	if err := s.Client(node).Query(ctx, q, func(device string, c *client.Columns) error {
		for i, at := range c.Times {
			if int64(c.Cols[0].Nums[i]) == at {
				has[device]++
			}
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	for group, device := range s.devices {
		if has[device] != s.acked[group] {
			s.t.Errorf("group %d: %d points were acked, %d are read through %s", group, s.acked[group], has[device], s.nodes[node].Name)
		}
	}
}

// syncWatch sees the resyncs of n3, and stops them where a test wants to strike.
type syncWatch struct {
	mu       sync.Mutex
	stage    resync.Stage    // guarded by mu: where to stop, 0: nowhere
	point    string          // guarded by mu
	after    int             // guarded by mu: so many go on before
	reached  chan struct{}   // closed when one has stopped
	gate     chan struct{}   // closed when they may go on
	stopped  map[string]bool // guarded by mu: jobs that stopped there
	jobs     map[string]bool // guarded by mu: those that were at any point
	changes  map[string]int  // guarded by mu: by outcome
	full     bool            // guarded by mu: the disk is
	lie      func(job, source string) bool
	lied     int // guarded by mu: leaves
	onChange func(job string, t resync.Transition)
}

// lookPause is the pause between two looks at all replicas, in virtual time.
const lookPause = 100 * time.Millisecond

// gatePatience is how long, in virtual time, a stopped job waits for the test.
const gatePatience = 5 * time.Minute

func newSyncWatch() *syncWatch {
	return &syncWatch{reached: make(chan struct{}), gate: make(chan struct{}), stopped: make(map[string]bool), jobs: make(map[string]bool), changes: make(map[string]int)}
}

// stopAt has the jobs stop at a point, the after-th that comes there and all later.
func (w *syncWatch) stopAt(stage resync.Stage, point string, after int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stage, w.point, w.after = stage, point, after
}

func (w *syncWatch) of(node int) resync.Hooks {
	if node != 2 {
		return resync.Hooks{}
	}
	return resync.Hooks{Step: w.step, Change: w.change, Write: w.write, Leaf: w.leaf}
}

func (w *syncWatch) step(job string, stage resync.Stage, point string) {
	w.mu.Lock()
	w.jobs[job] = true
	if stage != w.stage || point != w.point {
		w.mu.Unlock()
		return
	}
	w.after--
	if w.after == 0 {
		close(w.reached)
	}
	stop := w.after <= 0
	if stop {
		w.stopped[job] = true
	}
	w.mu.Unlock()
	if stop {
		select {
		case <-w.gate:
		case <-time.After(gatePatience):
		}
	}
}

func (w *syncWatch) change(job string, t resync.Transition) {
	w.mu.Lock()
	w.changes[t.On.String()]++
	told := w.onChange
	w.mu.Unlock()
	if told != nil {
		told(job, t)
	}
}

func (w *syncWatch) write(string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full {
		return errDiskFull
	}
	return nil
}

func (w *syncWatch) leaf(job, source string, leafBytes []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lie == nil || !w.lie(job, source) {
		return leafBytes
	}
	w.lied++
	other := slices.Clone(leafBytes)
	other[len(other)/2] ^= 1
	return other
}

func (w *syncWatch) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// stands reports whether a job stopped, by the id of its row, which ends with the job's own.
func (w *syncWatch) stands(row string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for job := range w.stopped {
		if strings.HasSuffix(row, job) {
			return true
		}
	}
	return false
}

func (w *syncWatch) outcomes() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.changes)
}
