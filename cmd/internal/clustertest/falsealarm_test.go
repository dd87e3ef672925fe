package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage"
)

const (
	// unrestLength is the virtual time of the test, unrestCheck the interval of the
	// scheduled checks in it, and unrestProofs how often each group has to be proven
	// equal: less often than there are intervals, since nodes are away in some.
	unrestLength = 30 * time.Minute
	unrestCheck  = 5 * time.Minute
	unrestProofs = 4
	// unrestWindow and unrestKept make windows close, merge and go during the test.
	unrestWindow = 5 * time.Minute
	unrestKept   = 10 * time.Minute
	// busyGroups are flushed often on all nodes, so that their windows have parts
	// that are merged.
	busyGroups = 8
	// restarts is the number of parts that they cut the test into.
	restarts = 7
	// fleeting is a collection that is deleted as a whole now and then.
	fleeting = "fleeting"
)

// unhurried are Raft's timers of the test: with those of a real cluster most of its
// CPU would go into heartbeats of idle groups. Followers learn later what is
// committed, so that replicas stand at different places more often.
var unhurried = raftgroup.Timers{Heartbeat: 20 * time.Second, Election: 20 * time.Second, Lease: 16 * time.Second, Commit: 4 * time.Second}

// unrest is a cluster in which everything goes on that may make replicas differ in
// form, and nothing that may make them differ in content.
type unrest struct {
	*Cluster
	t       *testing.T
	length  time.Duration
	devices []string // by group
	watch   *alarmWatch
	writing *client.Client

	wg   sync.WaitGroup
	stop chan struct{}
	did  [disturbances]atomic.Int64

	mu      sync.Mutex
	flushed map[flushKey]int // guarded by mu: flushes that were asked for in a window
}

type flushKey struct {
	node   int
	group  uint32
	window int64
}

type disturbance int

const (
	wrote disturbance = iota
	notWritten
	deleted
	cleared
	flushes
	transferred
	crashed
	stopped
	verified // groups
	verifiedDeep
	unverified
	disturbances
)

func (d disturbance) String() string {
	return [...]string{"batches written", "batches not acked", "ranges deleted", "collections deleted", "flushes", "transfers", "crashes", "stops",
		"groups verified", "groups verified deep", "groups not verified"}[d]
}

// Zero false mismatches: while replicas flush, merge, drop and delete at different
// times, leaders move and nodes come and go, no check ever finds a difference,
// suspects a replica or repairs one. `make soak` writes more.
func TestNoCheckIsEverWrongInThirtyMinutesOfUnrest(t *testing.T) {
	if slower > times(t) {
		t.Skip("many minutes under the race detector: with a SOAK above it only")
	}
	Run(t, 10*time.Minute, func(t *testing.T) {
		u := newUnrest(t, unrestLength)
		u.begin()
		u.goOnFor(u.length)
		close(u.stop)
		u.wg.Wait()
		u.end()
	})
}

func newUnrest(t *testing.T, length time.Duration) *unrest {
	t.Helper()
	u := &unrest{t: t, length: length, stop: make(chan struct{}), devices: devicesOfAllGroups(), flushed: make(map[flushKey]int)}
	u.Cluster = New(t, func(i int, c *config.Config) {
		c.LogEngine = []string{config.LogEngineShared, config.LogEngineBoltDB, config.LogEngineShared}[i]
		c.Storage.Window = unrestWindow
		c.Storage.AntiEntropy = config.AntiEntropy{Enabled: true, Interval: unrestCheck, ScrubInterval: unrestLength, BatchSize: c.Storage.AntiEntropy.BatchSize}
	})
	u.options = func(_ int, o *node.Options) { o.GroupTimers = unhurried }
	for range 3 {
		u.Add()
	}
	u.AwaitReady()
	u.watch, u.writing = newAlarmWatch(u.Cluster), u.Client()
	ctx, cancel := context.WithTimeout(t.Context(), opTimeout)
	defer cancel()
	if _, err := u.writing.CreateDatabase(ctx, database, unrestKept.String()); err != nil {
		t.Fatal(err)
	}
	u.write(0, len(u.devices), time.Now())
	u.awaitLevel()
	return u
}

// every does something again and again until the unrest stops.
func (u *unrest) every(pause time.Duration, do func(ctx context.Context, r *rand.Rand, turn int)) {
	seed := uint64(pause)
	u.wg.Go(func() {
		r := rand.New(rand.NewPCG(seed, 4))
		for turn := 0; ; turn++ {
			select {
			case <-u.stop:
				return
			case <-time.After(pause):
			}
			ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
			do(ctx, r, turn)
			cancel()
		}
	})
}

func (u *unrest) begin() {
	const inTurns = 30 // so that each group is written every half a minute
	u.every(time.Second/time.Duration(times(u.t)), func(_ context.Context, _ *rand.Rand, turn int) {
		u.write(turn%inTurns, len(u.devices)/inTurns+1, time.Now())
	})
	u.every(7*time.Second, u.deleteRange)
	u.every(4*time.Minute, u.clearCollection)
	u.every(3*time.Second, u.flushOne)
	u.every(15*time.Second, u.flushBusy)
	u.every(20*time.Second, u.moveSome)
	u.every(150*time.Second, u.verifySome)
}

// goOnFor watches, and takes nodes down by turns.
func (u *unrest) goOnFor(length time.Duration) {
	const pause = 20 * time.Second // between two looks
	began := time.Now()
	for turn := 0; time.Since(began) < length; {
		time.Sleep(pause)
		u.watch.look()
		if time.Since(began) > length/restarts*time.Duration(turn+1) && turn+1 < restarts {
			u.restart(turn%len(u.nodes), turn%2 == 0)
			turn++
		}
	}
}

// restart takes a node down, by a crash or in order, for a quarter of a minute.
func (u *unrest) restart(i int, crash bool) {
	if crash {
		u.Crash(i)
		u.did[crashed].Add(1)
	} else {
		u.Stop(i)
		u.did[stopped].Add(1)
	}
	time.Sleep(15 * time.Second)
	u.Start(i)
	u.AwaitReady()
}

// write gives some devices, and so groups, one point more; every fifth also one of
// some minutes ago, and one in the collection that does not last.
func (u *unrest) write(from, count int, now time.Time) {
	var points []client.Point
	for i := range count {
		group := from*count + i
		if group >= len(u.devices) {
			break
		}
		device := u.devices[group]
		points = append(points, point(device, now.UnixNano(), now.Unix()))
		if group%5 == int(now.Unix())%5 {
			late := now.Add(-unrestWindow / 2).Truncate(time.Second)
			points = append(points, point(device+"-late", late.UnixNano(), now.Unix()))
			p := point(device, now.UnixNano(), 1)
			p.Collection = fleeting
			points = append(points, p)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	if _, err := u.writing.Write(ctx, points); err != nil {
		u.did[notWritten].Add(1)
		return
	}
	u.did[wrote].Add(1)
}

// deleteRange removes half a minute of what came late to some group.
func (u *unrest) deleteRange(ctx context.Context, r *rand.Rand, _ int) {
	from := time.Now().Add(-time.Duration(r.Int64N(int64(unrestWindow))))
	to := from.Add(30 * time.Second)
	device := u.devices[r.IntN(len(u.devices))] + "-late"
	if u.writing.Delete(ctx, database, collection, []string{device}, client.At(from), client.At(to)) == nil {
		u.did[deleted].Add(1)
	}
}

func (u *unrest) clearCollection(ctx context.Context, _ *rand.Rand, _ int) {
	if u.writing.Delete(ctx, database, fleeting, nil, nil, nil) == nil {
		u.did[cleared].Add(1)
	}
}

func (u *unrest) flush(ctx context.Context, node int, group uint32) {
	g, open := u.Group(node, group)
	if !open || g.Shard() == nil {
		return
	}
	if _, err := g.Shard().Flush(ctx); err != nil {
		return // its node went away
	}
	u.did[flushes].Add(1)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.flushed[flushKey{node, group, time.Now().UnixNano() / int64(unrestWindow)}]++
}

func (u *unrest) flushOne(ctx context.Context, r *rand.Rand, _ int) {
	u.flush(ctx, r.IntN(len(u.nodes)), uint32(r.IntN(len(u.devices))))
}

// flushBusy flushes one node's replicas of the busy groups, the nodes by turns.
func (u *unrest) flushBusy(ctx context.Context, _ *rand.Rand, turn int) {
	for group := range uint32(busyGroups) {
		u.flush(ctx, turn%len(u.nodes), group)
	}
}

func (u *unrest) moveSome(ctx context.Context, r *rand.Rand, _ int) {
	for range 4 {
		group := uint32(r.IntN(len(u.devices)))
		i, led := u.Leader(group)
		if g, open := u.Group(i, group); led && open && g.StepDown(ctx) == nil {
			u.did[transferred].Add(1)
		}
	}
}

// verifySome has a quarter of the groups verified on demand, with repair: what is
// judged wrong by mistake would show as a repair, too.
func (u *unrest) verifySome(_ context.Context, r *rand.Rand, turn int) {
	const quarters = 4
	var groups []uint32
	for group := turn % quarters; group < len(u.devices); group += quarters {
		groups = append(groups, uint32(group))
	}
	up := u.Up()
	deep := turn/quarters%2 == 0
	result, ended := u.verifyOn(up[r.IntN(len(up))], api.VerifyRequest{Groups: groups, Deep: deep, Repair: true})
	if !ended {
		return // with its node
	}
	for _, f := range result.Findings {
		u.t.Errorf("a false finding: %+v", f)
	}
	if result.GroupsDamaged > 0 || result.GroupsRepaired > 0 || result.GroupsEqual+result.GroupsUnchecked != len(groups) {
		u.t.Errorf("verify of %d groups: %+v", len(groups), result)
	}
	did := verified
	if deep {
		did = verifiedDeep
	}
	u.did[did].Add(int64(result.GroupsEqual))
	u.did[unverified].Add(int64(result.GroupsUnchecked))
}

// end expects that the unrest was one, that no alarm was raised, and that all is equal.
func (u *unrest) end() {
	t := u.t
	t.Helper()
	u.awaitLevel()
	u.watch.look()
	for d := range disturbances {
		t.Logf("%s: %d", d, u.did[d].Load())
		if u.did[d].Load() == 0 && d != notWritten && d != unverified {
			t.Errorf("%s: none, so the test shows nothing", d)
		}
	}
	if wrote, not := u.did[wrote].Load(), u.did[notWritten].Load(); not > wrote/4 {
		t.Errorf("%d of %d batches were not acked", not, wrote+not)
	}
	if u.watch.parts == 0 {
		t.Error("no scrub has read anything to its end")
	}
	u.watch.quiet(t, len(u.devices), int(unrestProofs*u.length/unrestLength))
	r, ended := u.verifyOn(0, api.VerifyRequest{Deep: true, Repair: true})
	if !ended || r.ExitCode() != 0 || r.GroupsEqual != len(u.devices) || len(r.Findings) != 0 {
		t.Errorf("in the end: %v, %+v", ended, r)
	}
	if groups, err := u.CompareRoots(); err != nil || groups != len(u.devices) {
		t.Errorf("%d groups: %v", groups, err)
	}
	u.retentionWasAtWork()
	u.mergesWereMade()
}

// retentionWasAtWork expects that no group has what is older than the database keeps.
func (u *unrest) retentionWasAtWork() {
	u.t.Helper()
	horizon := time.Now().Add(-time.Minute - unrestKept).Truncate(unrestWindow)
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of every bubble
	if horizon.Sub(began) < unrestWindow {
		u.t.Errorf("nothing was written before %v", horizon)
	}
	old, young := 0, make(map[uint32]bool)
	q := client.Query{Database: database, Collection: collection}
	if err := u.Client(1).Query(u.t.Context(), q, func(device string, c *client.Columns) error {
		for _, at := range c.Times {
			if at < horizon.UnixNano() {
				old++
			} else {
				young[groupOf(device)] = true
			}
		}
		return nil
	}); err != nil || old > 0 || len(young) != len(u.devices) {
		u.t.Errorf("%d points of before %v are there, %d groups have later ones, %v", old, horizon, len(young), err)
	}
}

// verifyOn has a node verify, and waits for the end; false: the job ended with its node.
func (c *Cluster) verifyOn(i int, r api.VerifyRequest) (result api.VerifyResult, ended bool) {
	n := c.nodes[i].Node()
	if n == nil {
		return result, false
	}
	job, err := n.Gateway().Verify(context.Background(), r)
	if err != nil {
		return result, false
	}
	for began := time.Now(); !job.Final(); time.Sleep(lookPause) {
		if job, err = n.Gateway().GetJob(context.Background(), job.ID); err != nil || c.nodes[i].Node() != n {
			return result, false
		}
		if time.Since(began) > 10*time.Minute {
			c.t.Errorf("a check does not end: %+v", job)
			return result, false
		}
	}
	return result, job.Status == api.StatusDone && json.Unmarshal(job.Result, &result) == nil
}

// mergesWereMade expects that parts of flushes became one when their window had
// closed: it ends the nodes, and looks into their files.
func (u *unrest) mergesWereMade() {
	u.t.Helper()
	const often = 4 // flushes of a window, of which some brought points
	u.Crash(u.Up()...)
	merged, left := 0, 0
	for i := range u.nodes {
		for group := range uint32(busyGroups) {
			parts, newest := u.partsOf(i, group)
			for window, n := range parts {
				switch {
				case window >= newest || u.flushed[flushKey{i, group, window}] < often:
				case n == 1:
					merged++
				default:
					left++
				}
			}
		}
	}
	u.t.Logf("%d windows of %d replicas were merged, %d were not", merged, busyGroups*len(u.nodes), left)
	if merged < busyGroups {
		u.t.Error("too few: the test shows nothing")
	}
}

// partsOf counts the parts of a group's device in a file, by window.
func (u *unrest) partsOf(node int, group uint32) (parts map[int64]int, newest int64) {
	u.t.Helper()
	d, err := storage.OpenReadOnly(filepath.Join(u.nodes[node].Config.DataDir, "groups", fmt.Sprint(group), "shard.db"))
	if err != nil {
		u.t.Fatal(err)
	}
	defer d.Close()
	parts = make(map[int64]int)
	if err := d.Parts(func(p storage.DumpPart) error {
		if newest = max(newest, p.Leaf.Window); p.Series == point(u.devices[group], 0, 0).Series {
			parts[p.Leaf.Window]++
		}
		return p.Err
	}); err != nil {
		u.t.Error(err)
	}
	return parts, newest
}

func (w *alarmWatch) checked() gateway.Checked {
	sum := w.ended
	for _, n := range w.now {
		sum.Made, sum.Skipped = sum.Made+n.Made, sum.Skipped+n.Skipped
	}
	return sum
}

// quiet expects that nothing was ever held against a replica, though each of so many
// groups was proven equal so often.
func (w *alarmWatch) quiet(t *testing.T, groups, least int) {
	t.Helper()
	for _, a := range w.alarms {
		t.Errorf("a false alarm: %s", a)
	}
	fewest := least + 1
	var of uint32
	var sum int
	for group, all := range w.proofs {
		if sum += len(all); len(all) < fewest {
			fewest, of = len(all), group
		}
	}
	c := w.checked()
	t.Logf("%d checks ended, %d of them without all replicas; %d proofs of %d groups, no group has fewer than %d (group %d)", c.Made, c.Skipped, sum, len(w.proofs), fewest, of)
	if len(w.proofs) != groups || fewest < least {
		t.Errorf("%d groups were proven, group %d %d times: the test shows nothing", len(w.proofs), of, fewest)
	}
}
