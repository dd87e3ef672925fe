package gateway_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
)

// calls counts those between nodes by their method.
func calls(c *fakecluster.Cluster, fails func(m gateway.Method) error) (count func(gateway.Method) int) {
	var mu sync.Mutex
	by := map[gateway.Method]int{}
	c.OnCall(func(_, _ string, m gateway.Method) (before, after error) {
		mu.Lock()
		defer mu.Unlock()
		by[m]++
		return fails(m), nil
	})
	return func(m gateway.Method) int {
		mu.Lock()
		defer mu.Unlock()
		return by[m]
	}
}

func noFailure(gateway.Method) error { return nil }

// What a check of many groups asks of one node goes in few calls.
func TestQuestionsAboutManyGroupsShareCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakecluster.New(t, fakecluster.Options{})
		fill(t, c, 20, 10)
		count := calls(c, noFailure)
		for _, mode := range []string{api.ModeAdvancedVerify, api.ModeVerify} {
			if _, r := verifyResult(t, c, mode); r.GroupsEqual != fakecluster.TotalGroups {
				t.Fatalf("%s: %+v", mode, r)
			}
		}
		alone, together := count(gateway.MethodRoots)+count(gateway.MethodReport), count(gateway.MethodMany)
		if questions := 2 * 2 * 2 * fakecluster.TotalGroups; together == 0 || alone+together > questions/4 {
			t.Errorf("%d questions by themselves and %d calls with many, of %d questions", alone, together, questions)
		}
	})
}

// A replica that does not get to its cut holds up nobody else.
func TestGatheredQuestionsDoNotWaitForTheSlowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakecluster.New(t, fakecluster.Options{})
		c.Damage(3, "", []storage.Point{point("a", 1, 1)})
		c.SetStuck(3, "n3")
		c.Damage(3, "", []storage.Point{point("a", 2, 1)})
		begin := time.Now()
		job, err := c.Nodes[0].Gateway.Verify(t.Context(), api.VerifyRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for n := c.Nodes[0].Gateway; len(n.Proofs()) < fakecluster.TotalGroups-1; time.Sleep(10 * time.Millisecond) { // virtual
			if time.Since(begin) > 5*time.Second {
				t.Fatalf("%d groups are proven after %v", len(n.Proofs()), time.Since(begin))
			}
		}
		job = finished(t, c.Nodes[0].Gateway, job.ID)
		if !strings.Contains(string(job.Result), `"groups_equal":15`) {
			t.Errorf("%s", job.Result)
		}
	})
}

// A node of an earlier version is asked one by one; one that breaks off is not asked twice.
func TestGatheredQuestionsOfANodeThatDoesNotKnowThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakecluster.New(t, fakecluster.Options{})
		fill(t, c, 20, 10)
		count := calls(c, func(m gateway.Method) error {
			if m == gateway.MethodMany {
				return errors.New("method 52 is not known")
			}
			return nil
		})
		if _, r := verifyResult(t, c, ""); r.GroupsEqual != fakecluster.TotalGroups {
			t.Fatalf("%+v", r)
		}
		if n := count(gateway.MethodRoots); n != 2*fakecluster.TotalGroups {
			t.Errorf("%d roots were asked for one by one", n)
		}
	})
}

// What may change something is never asked with others, and what cannot be read is refused.
func TestGatheredQuestionsAreQuestions(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	g := c.Nodes[0].Gateway
	for _, payload := range []string{"", "\x00", "\x01not zstd", "\x02[]", "\x00{}",
		"\x00[{\"method\":" + string(rune('0'+int(gateway.MethodCut)/10)) + string(rune('0'+int(gateway.MethodCut)%10)) + ",\"payload\":{\"group\":3}}]"} {
		if _, err := g.Serve(t.Context(), c.Nodes[1].ID(), gateway.MethodMany, []byte(payload)); err == nil {
			t.Errorf("%q was answered", payload)
		}
	}
	if n := c.Proposals(3); n != 0 {
		t.Errorf("%d entries", n)
	}
	if b, err := g.Serve(t.Context(), c.Nodes[1].ID(), gateway.MethodMany, []byte("\x00[]")); err != nil || string(b) != "\x00[]" {
		t.Errorf("nothing was asked: %q, %v", b, err)
	}
}

// One event tells of all groups that a node is missing in.
func TestAJobTellsOnceOfANodeThatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakecluster.New(t, fakecluster.Options{})
		fill(t, c, 20, 10)
		c.SetDown("n3", true)
		job, err := c.Nodes[0].Gateway.Verify(t.Context(), api.VerifyRequest{Mode: api.ModeVerify})
		if err != nil {
			t.Fatal(err)
		}
		job = finished(t, c.Nodes[0].Gateway, job.ID)
		var r api.VerifyResult
		if err := json.Unmarshal(job.Result, &r); err != nil || r.GroupsUnchecked != fakecluster.TotalGroups {
			t.Fatalf("%+v %v", r, err)
		}
		events, _ := c.Nodes[0].Gateway.Events(0)
		var told []api.Event
		for _, e := range events {
			if e.Kind == api.EventCheck {
				told = append(told, e)
			}
		}
		if len(told) != 1 || told[0].Node != "n3" || told[0].GroupID != nil || !strings.Contains(told[0].Text, "16 groups were not fully checked (0, 1, 2, 3, 4, 5, 6, 7 and 8 more)") {
			t.Errorf("%+v", told)
		}
	})
}
