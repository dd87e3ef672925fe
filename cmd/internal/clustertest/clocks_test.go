package clustertest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
)

// stampsAt writes a point without a time through one node by gRPC and one by
// HTTP. It returns how far their stamps are from the true time, or the problem.
func (c *Cluster) stampsAt(t *testing.T, i int) (off [2]time.Duration, refused [2]*api.Error) {
	t.Helper()
	p := point("stamped", 0, 1)
	p.Time = client.NoTime
	w, err := c.Client(i).Write(t.Context(), []client.Point{p})
	if err != nil {
		refused[0] = api.AsError(err)
	} else {
		off[0] = time.Duration(w.Stamps[0].Time - time.Now().UnixNano())
	}
	k := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: c.Dial}}
	r, err := k.Post("http://"+c.nodes[i].Config.HTTPAddr+"/v1/databases/"+database+"/collections/"+collection+"/write", "application/json",
		strings.NewReader(`{"id":"by-http","f":1}`))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		refused[1] = &api.Error{}
		err = json.NewDecoder(r.Body).Decode(&refused[1].Problem)
	} else {
		var reply api.WriteReply
		if err = json.NewDecoder(r.Body).Decode(&reply); err == nil {
			off[1] = time.Until(reply.Stamped[0].Time.Time)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return off, refused
}

// stamps expects a node to give right times to points.
func (c *Cluster) stamps(t *testing.T, i int, when string) {
	t.Helper()
	off, refused := c.stampsAt(t, i)
	for k, face := range []string{"gRPC", "HTTP"} {
		if refused[k] != nil || off[k].Abs() > 500*time.Millisecond {
			t.Errorf("%s: %s by %s: %v off, %v", when, c.nodes[i].Name, face, off[k], refused[k])
		}
	}
}

// clockIs finds in a refusal how far a node's clock is, and on which side.
var clockIs = regexp.MustCompile(`node (\S+): its clock is (\S+) (ahead of|behind)`)

// refusesToStamp expects a node to say that its clock is off by about as much: links take time, and half of it may
// count as the clock's.
func (c *Cluster) refusesToStamp(t *testing.T, i int, when string, off time.Duration) {
	t.Helper()
	side := "ahead of"
	if off < 0 {
		side = "behind"
	}
	_, refused := c.stampsAt(t, i)
	for k, face := range []string{"gRPC", "HTTP"} {
		e := refused[k]
		if e == nil || e.Code != api.ClockOff || !strings.Contains(e.Hint, "give timestamps") {
			t.Errorf("%s: %s by %s: %v", when, c.nodes[i].Name, face, e)
			continue
		}
		said := clockIs.FindStringSubmatch(e.Detail)
		if said == nil || said[1] != c.nodes[i].Name || said[3] != side {
			t.Errorf("%s: %s by %s: %v", when, c.nodes[i].Name, face, e)
			continue
		}
		if by, err := time.ParseDuration(said[2]); err != nil || (by-off.Abs()).Abs() > 50*time.Millisecond {
			t.Errorf("%s: %s by %s says %s, its clock is %v off", when, c.nodes[i].Name, face, said[2], off)
		}
	}
}

// A node whose clock is further than max_clock_offset from the majority gives
// no times to points, from its first moment on, whoever else is down; points
// with times pass, and the table of nodes tells.
func TestNodeWithAClockThatIsOffGivesNoTimes(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := New(t, func(i int, cfg *config.Config) { cfg.Replication.Factor = 3 })
		c.Add()
		c.Add()
		c.Add()
		c.AwaitReady()
		for i := range c.nodes {
			c.stamps(t, i, "all clocks agree")
		}

		c.SetClock(2, time.Hour) // between two comparisons
		c.refusesToStamp(t, 2, "set an hour ahead", time.Hour)
		if _, err := c.Client(2).Write(t.Context(), batch("dev", 10, 1, 1)); err != nil {
			t.Errorf("points with times need no clock: %v", err)
		}
		c.stamps(t, 0, "another's clock is off")
		nodes, err := c.nodes[0].Node().Gateway().Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if at := nodes[2].ClockOffsetMs; at == nil || *at < 3_599_000 || *at > 3_601_000 {
			t.Errorf("the table of nodes gives n3's clock as %v", at)
		}
		if at := nodes[0].ClockOffsetMs; at == nil || *at < -100 || *at > 100 {
			t.Errorf("the table of nodes gives n1's clock as %v", at)
		}

		c.Crash(1) // two are left, one against one
		time.Sleep(30 * time.Second)
		c.refusesToStamp(t, 2, "with n2 down", time.Hour)
		c.stamps(t, 0, "with n2 down")
		c.Start(1)
		c.AwaitReady()

		c.Crash(2)
		c.SetClock(2, -time.Minute)
		c.Start(2)
		c.Await("n3 knows the groups", 30*time.Second, func() string {
			if len(c.nodes[2].Node().Meta().Table().Assignments) == 0 {
				return "no group"
			}
			return ""
		})
		c.refusesToStamp(t, 2, "in its first moments", -time.Minute)

		c.SetClock(2, 0)
		c.stamps(t, 2, "set right again")
		c.SetClock(2, 400*time.Millisecond)
		c.stamps(t, 2, "within max_clock_offset")
	})
}
