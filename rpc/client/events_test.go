package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

var errSeen = errors.New("enough was seen")

// seen follows events behind an id until one has a text, and gives the texts and the last id.
func seen(t *testing.T, cl *client.Client, after uint64, last string) (texts []string, id uint64) {
	t.Helper()
	err := cl.Events(t.Context(), after, func(e api.Event) error {
		if e.ID <= id {
			t.Errorf("event %d follows %d", e.ID, id)
		}
		texts, id = append(texts, e.Text), e.ID
		if e.Text == last {
			return errSeen
		}
		return nil
	})
	if !errors.Is(err, errSeen) {
		t.Fatalf("the stream ended: %v, after %q", err, texts)
	}
	return texts, id
}

func TestEventsOverGRPC(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := dial(t, c, client.Options{RetryFor: 5 * time.Second})
	g := c.Nodes[0].Gateway
	note := func(text string) { g.Note(api.EventCheck, nil, "", "%s", text) }
	note("first")
	note("second")
	all, second := seen(t, cl, 0, "second")
	note("third")
	if texts, _ := seen(t, cl, second, "third"); len(texts) != 1 {
		t.Errorf("behind the second of %q: %q", all, texts)
	}

	// From now on: what another node's id means, and what comes while the stream is open.
	followed := make(chan []string, 1)
	opened := make(chan struct{})
	go func() {
		var texts []string
		err := cl.Events(t.Context(), 1<<62, func(e api.Event) error {
			if len(texts) == 0 {
				close(opened)
			}
			if texts = append(texts, e.Text); e.Text == "last" {
				return errSeen
			}
			return nil
		})
		if !errors.Is(err, errSeen) {
			t.Errorf("the stream ended: %v", err)
		}
		followed <- texts
	}()
	for n := 0; ; n++ { // until the stream has begun
		note(fmt.Sprint("tick ", n))
		select {
		case <-opened:
			note("last")
			if texts := <-followed; texts[0] == "first" || texts[0] == "third" || texts[len(texts)-1] != "last" {
				t.Errorf("from now on: %q", texts)
			}
		case <-time.After(time.Millisecond):
			continue
		}
		break
	}

	ctx, cancel := context.WithCancel(t.Context())
	err := cl.Events(ctx, 0, func(api.Event) error { cancel(); return nil })
	if code(t, err, api.Cancelled); ctx.Err() == nil {
		t.Error("no event was given")
	}
}

// A node that stops ends its streams of events, and says that it stops.
func TestEventsEndWithTheirNode(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := dial(t, c, client.Options{RetryFor: 5 * time.Second})
	c.Nodes[0].Gateway.Note(api.EventCheck, nil, "", "something")
	err := cl.Events(t.Context(), 0, func(api.Event) error { c.Nodes[0].Server.Shutdown(); return nil })
	code(t, err, api.NotReady)
}

func TestDrillOverGRPC(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := dial(t, c, client.Options{RetryFor: 5 * time.Second})
	_, err := cl.Drill(t.Context(), 5, "n2", "flood")
	code(t, err, api.InvalidArgument)
	_, err = cl.Drill(t.Context(), 5, "n9", "")
	code(t, err, api.NodeNotFound)
	_, err = cl.Drill(t.Context(), 9999, "n2", api.DrillMissing)
	code(t, err, api.GroupNotFound)
}

// ruinMends is how long a repair takes.
const ruinMends = 2 * time.Second

// ruin damages n2 where a drill wants it, and mends what a repair is asked for.
type ruin struct {
	gateway.Examiner
	spoil, mend func()
	jobs        func() *gateway.Jobs
}

func (r *ruin) Damage(context.Context, uint32, string) (string, error) {
	r.spoil()
	return "a value is another", nil
}

func (r *ruin) Repair(context.Context, uint32, antientropy.Repair) (api.Job, bool, error) {
	row, err := r.jobs().Open(api.Job{Kind: api.JobRepair}, nil, func() {})
	if err != nil {
		return api.Job{}, false, err
	}
	row.Change(func(j *api.Job) { j.Status = api.StatusRunning })
	time.AfterFunc(ruinMends, func() {
		r.mend()
		row.End(api.StatusDone, func(*api.Job) {})
	})
	return row.Job(), true, nil
}

// A drill that is carried out tells over gRPC what was found, and when it was found and repaired. One that is not
// repaired does not hold.
func TestDrillOverGRPCHolds(t *testing.T) {
	for name, mends := range map[string]bool{"repaired": true, "not repaired": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &ruin{}
				c := fakecluster.New(t, fakecluster.Options{Configure: func(n int, cfg *gateway.Config) {
					if n == 1 {
						r.Examiner = cfg.Examiner
						cfg.Examiner, cfg.Drills = r, r
					}
				}})
				value := func(v float64) []storage.Point {
					return []storage.Point{{Series: storage.Series{Database: "db", Collection: "c", Device: "d"}, Time: 1, Fields: []storage.Field{{Name: "v", Value: blocks.Float(v)}}}}
				}
				group := storage.GroupOf("db", "c", "d", fakecluster.TotalGroups)
				c.SetLeader(group, "n1")
				if _, err := c.Nodes[0].Gateway.Write(t.Context(), value(1), 0); err != nil {
					t.Fatal(err)
				}
				r.spoil = func() { c.Damage(group, "n2", value(2)) }
				r.mend = func() { c.Damage(group, "n2", value(map[bool]float64{true: 1, false: 3}[mends])) }
				r.jobs = func() *gateway.Jobs { return c.Nodes[1].Gateway.Jobs() }
				cl := dial(t, c, client.Options{RetryFor: 5 * time.Second})
				got, err := cl.Drill(t.Context(), group, "n2", api.DrillDivergent)
				if err != nil || got.GroupID != group || got.Node != "n2" || got.Kind != api.DrillDivergent || got.Damage != "a value is another" || len(got.Findings) == 0 {
					t.Fatalf("%+v, %v", got, err)
				}
				if !got.Detected || got.DetectionMs == nil || *got.DetectionMs > 1000 || got.DetectedBy == "" {
					t.Errorf("detection: %+v", got)
				}
				if got.Held() != mends || (got.RepairMs != nil) != mends {
					t.Errorf("held: %v, repaired: %v", got.Held(), got.RepairMs)
				}
				if mends && (*got.RepairMs < ruinMends.Milliseconds() || *got.RepairMs > 2*ruinMends.Milliseconds()) {
					t.Errorf("it took %d ms", *got.RepairMs)
				}
			})
		})
	}
}
