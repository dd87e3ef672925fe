package gateway_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// mender has repairs of a node be jobs that a test drives.
type mender struct {
	gateway.Examiner
	jobs  func() *gateway.Jobs
	drive func(row *gateway.Row)
}

func (x *mender) Repair(context.Context, uint32, antientropy.Repair) (api.Job, bool, error) {
	row, err := x.jobs().Open(api.Job{Kind: api.JobRepair}, nil, func() {})
	if err != nil {
		return api.Job{}, false, err
	}
	x.drive(row)
	return row.Job(), true, nil
}

// mending is a cluster with points, in which the repairs of n3 are driven. checks: at once; 0: as many as elsewhere.
func mending(t *testing.T, checks int, drive func(row *gateway.Row)) (c *fakecluster.Cluster) {
	t.Helper()
	c = fakecluster.New(t, fakecluster.Options{Configure: func(n int, cfg *gateway.Config) {
		if cfg.ChecksAtOnce = checks; n == 2 {
			cfg.Examiner = &mender{cfg.Examiner, func() *gateway.Jobs { return c.Nodes[2].Gateway.Jobs() }, drive}
		}
	}})
	fill(t, c, 20, 10)
	return c
}

// The wait for a repair's job ends when that comes no further, and says why; one that does is waited for, and one that
// waits for its turn.
func TestARepairThatHangsIsNotWaitedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		drive           func(row *gateway.Row)
		atLeast, atMost time.Duration
		says            string
	}{
		"hangs": {func(row *gateway.Row) {
			row.Change(func(j *api.Job) {
				stage, by := "fetch", "n1 does not answer"
				j.Status, j.Stage, j.BlockedBy = api.StatusStalled, &stage, &by
			})
		}, 5 * time.Minute, 6 * time.Minute, "no further for 5m1s: n1 does not answer"},
		"is slow": {func(row *gateway.Row) {
			row.Change(func(j *api.Job) { j.Status = api.StatusRunning })
			for range 15 {
				time.Sleep(time.Minute)
				row.Progress(func(*api.Job) {})
			}
			row.End(api.StatusFailed, func(*api.Job) {})
		}, 15 * time.Minute, 16 * time.Minute, "failed"},
		"waits for its turn": {func(row *gateway.Row) {
			time.Sleep(20 * time.Minute)
			row.End(api.StatusFailed, func(*api.Job) {})
		}, 20 * time.Minute, 21 * time.Minute, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := mending(t, 0, func(row *gateway.Row) { go tt.drive(row) })
				c.Damage(3, "n3", []storage.Point{point("a", 1, 77)})
				began := time.Now()
				r, err := c.Nodes[0].Gateway.CheckGroup(t.Context(), 3, antientropy.Options{Repair: true})
				if took := time.Since(began); err != nil || r.Repaired || took < tt.atLeast || took > tt.atMost {
					t.Errorf("after %v: %+v, %v", took, r, err)
				}
				failed := false
				events, _ := c.Nodes[0].Gateway.Events(0)
				for _, e := range events {
					failed = failed || e.Kind == api.EventRepair && strings.Contains(e.Text, tt.says)
				}
				if !failed {
					t.Errorf("no event says %q", tt.says)
				}
			})
		})
	}
}

// A verify job whose repairs hang, more of them than it has groups in work, checks the other groups meanwhile; so does a
// second job, which waits for the first one's checks of these.
func TestHangingRepairsStarveNoVerify(t *testing.T) {
	for name, deep := range map[string]bool{"by roots": false, "deep": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := mending(t, 2, func(row *gateway.Row) { row.Change(func(j *api.Job) { j.Status = api.StatusStalled }) })
				hangs := map[uint32]bool{0: true, 1: true, 3: true, 4: true}
				for group := range hangs { // none that n3 leads
					c.Damage(group, "n3", []storage.Point{point("a", 1, 77)})
				}
				g := c.Nodes[0].Gateway
				began := time.Now()
				first, err := g.Verify(t.Context(), api.VerifyRequest{Deep: deep, Repair: true})
				if err != nil {
					t.Fatal(err)
				}
				proven := func(after time.Time) {
					t.Helper()
					time.Sleep(time.Minute)
					for group := range uint32(fakecluster.TotalGroups) {
						if at := g.Proofs()[group].Time; hangs[group] == at.After(after) {
							t.Errorf("group %d was proven equal at %v", group, at)
						}
					}
				}
				proven(began.Add(-time.Nanosecond))
				second, err := g.Verify(t.Context(), api.VerifyRequest{Deep: deep})
				if err != nil {
					t.Fatal(err)
				}
				proven(began.Add(time.Minute - time.Nanosecond))
				for _, id := range []string{first.ID, second.ID} { // two repairs of a node at a time, 5 min each
					for j, err := g.GetJob(t.Context(), id); !j.Final(); j, err = g.GetJob(t.Context(), id) {
						if time.Sleep(time.Second); err != nil || time.Since(began) > 15*time.Minute {
							t.Fatalf("%+v, %v", j, err)
						}
					}
				}
			})
		})
	}
}
