package resync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// ask sends a request to a responder, after a change, and gives its answer.
func (r *rig) ask(t *testing.T, n int, from membership.NodeID, q request) (*answer, error) {
	t.Helper()
	raw, err := encode("request", q)
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.nodes[n].responder.Answer(t.Context(), from, raw)
	if err != nil {
		return nil, err
	}
	a := &answer{}
	if err := decode("answer", out, a); err != nil {
		t.Fatal(err)
	}
	return a, a.error()
}

// session is the one that n1 would agree to.
func (r *rig) session() session {
	return session{Leader: r.nodes[0].id.Server(0).String(), Term: r.term, Lineage: r.lineage, Epoch: r.epoch}
}

func (r *rig) good(o op) request {
	return request{Version: wireVersion, Op: o, Job: "job-1", Group: testGroup, Target: r.target.server.String(), Session: r.session(), CutID: "job-1.c1",
		Plan: &planAsk{Target: walgap.Target{Cluster: "c", Group: testGroup, Readable: true}}, Renew: &renewAsk{},
		Cut: &CutAsk{ID: "job-1.c1", MaxPause: time.Second, TTL: time.Minute}}
}

func TestResponderRefusesWhatItCannotTrust(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		n3, long := r.nodes[2].id, strings.Repeat("x", maxText+1)
		for name, tc := range map[string]struct {
			op     op
			from   membership.NodeID
			change func(q *request)
		}{
			"another version":        {opRenew, n3, func(q *request) { q.Version = 2 }},
			"a node for another":     {opRenew, r.nodes[1].id, func(q *request) {}},
			"no target":              {opRenew, n3, func(q *request) { q.Target = "" }},
			"no job":                 {opRenew, n3, func(q *request) { q.Job = "" }},
			"a long job":             {opRenew, n3, func(q *request) { q.Job = long }},
			"a long cut":             {opView, n3, func(q *request) { q.CutID = long }},
			"no cut":                 {opView, n3, func(q *request) { q.CutID = "" }},
			"unknown op":             {"format-disk", n3, func(q *request) {}},
			"no report":              {opPlan, n3, func(q *request) { q.Plan = nil }},
			"unknown mode":           {opPlan, n3, func(q *request) { q.Plan.Mode = 9 }},
			"terms out of order":     {opPlan, n3, func(q *request) { q.Plan.Target.Terms = []walgap.TermRun{{First: 5, Term: 2}, {First: 4, Term: 3}} }},
			"terms that fall":        {opPlan, n3, func(q *request) { q.Plan.Target.Terms = []walgap.TermRun{{First: 4, Term: 3}, {First: 5, Term: 2}} }},
			"another job's lease":    {opEnd, n3, func(q *request) { q.Drop = []string{"job-2"} }},
			"another job's cut":      {opCut, n3, func(q *request) { q.Cut.ID = "job-2.c1" }},
			"a cut named as the job": {opCut, n3, func(q *request) { q.Cut.ID = "job-1" }},
			"no pause":               {opCut, n3, func(q *request) { q.Cut.MaxPause = 0 }},
			"a long pause":           {opCut, n3, func(q *request) { q.Cut.MaxPause = time.Minute }},
			"too many leases":        {opEnd, n3, func(q *request) { q.Drop = make([]string, maxCutIDs+1) }},
			"a page before":          {opManifest, n3, func(q *request) { q.Offset = -1 }},
		} {
			q := r.good(tc.op)
			tc.change(&q)
			if _, err := r.ask(t, 0, tc.from, q); !errors.Is(err, ErrWire) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, raw := range []string{"", "{", "[]", strings.Repeat(" ", maxMessage+1)} {
			if _, err := r.nodes[0].responder.Answer(t.Context(), n3, []byte(raw)); !errors.Is(err, ErrWire) {
				t.Errorf("%.20q: %v", raw, err)
			}
		}
		if len(r.leases) != 0 {
			t.Fatalf("something was done: %v", r.leases)
		}
	})
}

func TestResponderAnswersOnlyUnderTheAgreedSession(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		n3 := r.nodes[2].id
		for name, change := range map[string]func(s *session){
			"leader": func(s *session) { s.Leader = "n2.0a1b2c3d.0" }, "term": func(s *session) { s.Term-- },
			"lineage": func(s *session) { s.Lineage = "l0" }, "epoch": func(s *session) { s.Epoch++ },
		} {
			for _, o := range []op{opRenew, opCut, opRecord, opView, opManifest, opChallenge, opProve, opHold} {
				q := r.good(o)
				change(&q.Session)
				if _, err := r.ask(t, 0, n3, q); !errors.Is(err, ErrMoved) {
					t.Errorf("%s, another %s: %v", o, name, err)
				}
			}
		}
		if _, err := r.ask(t, 1, n3, r.good(opRenew)); !errors.Is(err, ErrNotLeader) {
			t.Errorf("who does not lead: %v", err)
		}
		q := r.good(opRenew)
		q.Group = 8
		if _, err := r.ask(t, 0, n3, q); !errors.Is(err, ErrNotLeader) {
			t.Errorf("another group: %v", err)
		}
	})
}

// The answer to a claim reveals the leader's sum: it must not serve as a claim.
func TestOneChallengeJudgesOneClaim(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		n3 := r.nodes[2].id
		for _, o := range []op{opCut, opView, opChallenge} {
			if _, err := r.ask(t, 0, n3, r.good(o)); err != nil {
				t.Fatal(o, err)
			}
		}
		q := r.good(opProve)
		q.Sum = digest.ID{1}
		a, err := r.ask(t, 0, n3, q)
		if err != nil || a.Equal {
			t.Fatal(a, err)
		}
		if again, err := r.ask(t, 0, n3, q); err != nil || again.Equal { // its answer may have been lost
			t.Fatal(again, err)
		}
		q.Sum = a.Sum
		if a, err := r.ask(t, 0, n3, q); !errors.Is(err, ErrUnproven) || len(r.sums) != 0 {
			t.Fatalf("the leader's own sum was taken: %+v, %v, %v", a, err, r.sums)
		}
		first, _ := r.ask(t, 0, n3, r.good(opChallenge))
		second, _ := r.ask(t, 0, n3, r.good(opChallenge))
		if len(first.Key) != keyBytes || bytes.Equal(first.Key, second.Key) {
			t.Fatal("a key was used twice")
		}
	})
}

func TestResponderGivesBackWhatAJobThatAsksNoMoreHeld(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		n3 := r.nodes[2].id
		a, err := r.ask(t, 0, n3, r.good(opRecord))
		if err != nil {
			t.Fatal(err)
		}
		q := r.good(opHold)
		holds := func(n int) (so bool) {
			r.set(func() { so = len(r.held) == n && len(r.pinned) == n })
			return so
		}
		if q.CutID = "another"; !errors.Is(second(r.ask(t, 0, n3, q)), storage.ErrNotPinned) {
			t.Fatal("a record of somebody else's was held")
		}
		q.CutID = a.Cut.ID
		if _, err := r.ask(t, 0, n3, q); err != nil || !holds(1) {
			t.Fatal(err)
		}
		alive := r.good(opRenew)
		alive.Renew.Record = true
		for range 5 {
			_ = pause.For(t.Context(), leaseTTL-time.Second)
			if _, err := r.ask(t, 0, n3, alive); err != nil || !holds(1) {
				t.Fatal("it still asked: ", err)
			}
		}
		_ = pause.For(t.Context(), leaseTTL+time.Second)
		responder := r.nodes[0].responder
		responder.mu.Lock()
		defer responder.mu.Unlock()
		if !holds(0) || len(responder.visits) != 0 {
			t.Fatalf("%d visits", len(responder.visits))
		}
	})
}

// A renewal that was under way when the job ended, or that comes late, does not bring the lease back.
func TestRenewalBehindTheEndIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		n3 := r.nodes[2].id
		slow := make(chan struct{})
		r.set(func() { r.faults.lease = func() { <-slow } })
		late := make(chan error)
		renew := r.good(opRenew)
		renew.CutID = ""
		go func() { late <- second(r.ask(t, 0, n3, renew)) }()
		synctest.Wait()
		end := r.good(opEnd)
		end.Drop = []string{"job-1"}
		if err := second(r.ask(t, 0, n3, end)); !errors.Is(err, errPending) {
			t.Fatalf("ended beside a renewal: %v", err)
		}
		if err := second(r.ask(t, 0, n3, renew)); !errors.Is(err, ErrMoved) {
			t.Fatalf("renewed behind the end: %v", err)
		}
		close(slow)
		if err := <-late; err != nil {
			t.Fatal(err)
		}
		if err := second(r.ask(t, 0, n3, end)); err != nil || len(r.leases) != 0 {
			t.Fatal(err, r.leases)
		}
		_ = pause.For(t.Context(), 2*leaseTTL)
	})
}

func second(_ *answer, err error) error { return err }

func TestResponderIsBounded(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		for i := range maxVisits + 1 {
			q := r.good(opRenew)
			q.CutID = ""
			q.Job, q.Renew.Record = strings.Repeat("j", 1+i/64)+string(rune('A'+i%64)), true
			if _, err := r.ask(t, 0, r.nodes[2].id, q); (err != nil) != (i == maxVisits) || err != nil && !errors.Is(err, ErrBusy) {
				t.Fatal(i, err)
			}
		}
	})
}

func TestManifestComesInPages(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		for i := range 2*pageLeaves + 5 {
			r.entries = append(r.entries, entry{r.term, digest.Leaf{Window: int64(i) - 5000, Slot: uint8(i % 16)}, []byte{byte(i), byte(i >> 8)}})
		}
		r.wiped()
		if result := r.run(request7()); result.Status != Done || result.Row.LeavesTotal != int64(len(r.dataAt(r.last()))) {
			t.Fatalf("%s, %d leaves, %v", result.Status, result.Row.LeavesTotal, result.Err)
		}
	})
}

func TestManifestThatIsNotTheRootsIsRefused(t *testing.T) {
	list := []digest.Entry{leafEntry(1, 1, 10), leafEntry(2, 2, 20)}
	page := func(list ...digest.Entry) (b []byte) {
		for _, e := range list {
			b = appendEntry(b, e)
		}
		return b
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "half an entry": page(list...)[:90], "out of order": page(list[1], list[0]), "twice": page(list[0], list[0]),
		"slot": page(digest.Entry{Leaf: digest.Leaf{Slot: 16}, LeafDigest: list[0].LeafDigest}), "no points": page(leafEntry(1, 1, 0)),
		"too long": make([]byte, (pageLeaves+1)*entryBytes),
	} {
		if got, err := readPage(nil, bad); !errors.Is(err, ErrWire) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	caller := callerFunc(func(q request) *answer { return &answer{Version: wireVersion, Page: page(list...)} })
	rem := &remote{caller: caller, job: "j"}
	if got, err := rem.manifest(t.Context(), "c", &viewAnswer{Root: digest.Root(list), Leaves: 2}, nil, func(string) {}); err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	if _, err := rem.manifest(t.Context(), "c", &viewAnswer{Root: digest.ID{1}, Leaves: 2}, nil, func(string) {}); !errors.Is(err, ErrWire) {
		t.Fatal(err)
	}
	if _, err := rem.manifest(t.Context(), "c", &viewAnswer{Root: digest.Root(list), Leaves: 1}, nil, func(string) {}); !errors.Is(err, ErrWire) {
		t.Fatal("more leaves than were said: ", err)
	}
}

type callerFunc func(q request) *answer

func (f callerFunc) Call(_ context.Context, _ uint32, raw []byte) ([]byte, membership.NodeID, error) {
	var q request
	if err := json.Unmarshal(raw, &q); err != nil {
		return nil, membership.NodeID{}, err
	}
	out, err := json.Marshal(f(q))
	return out, membership.NodeID{Name: "n1"}, err
}

func TestErrorsComeThroughTheWire(t *testing.T) {
	for _, known := range []error{ErrMoved, ErrNotLeader, ErrRefused, ErrBusy, ErrAborted, storage.ErrNotPinned, errPending, ErrUnproven, ErrLeads} {
		a := failure(errors.Join(errors.New("x"), known))
		if err := a.error(); !errors.Is(err, known) {
			t.Errorf("%v came as %v", known, err)
		}
	}
	var own *leaderError
	if err := failure(errors.New(strings.Repeat("é", maxErrorText))).error(); !errors.As(err, &own) || len(own.text) > maxErrorText {
		t.Errorf("%.100v", err)
	}
}

func FuzzRequest(f *testing.F) {
	r := &rig{world: newWorld(f)}
	for _, o := range []op{opPlan, opRenew, opCut, opRecord, opView, opManifest, opChallenge, opProve, opHold, opEnd} {
		raw, _ := json.Marshal(r.good(o))
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var q request
		if decode("request", raw, &q) != nil {
			return
		}
		if target, err := q.check(r.nodes[2].id); err == nil && (target.NodeID != r.nodes[2].id || q.Job == "" || len(q.Drop) > maxCutIDs) {
			t.Fatalf("%+v", q)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	list := []digest.Entry{leafEntry(1, 1, 10)}
	for _, a := range []answer{{Page: appendEntry(nil, list[0])}, {Plan: &planAnswer{}}, {View: &viewAnswer{State: []byte{1}}}, {Cut: &cutAnswer{ID: "x"}}} {
		a.Version = wireVersion
		raw, _ := json.Marshal(a)
		f.Add(raw, uint8(0))
	}
	ops := []op{opPlan, opRenew, opCut, opRecord, opView, opManifest, opChallenge, opProve, opHold, opEnd}
	f.Fuzz(func(t *testing.T, raw []byte, which uint8) {
		a := &answer{}
		o := ops[int(which)%len(ops)]
		if decode("answer", raw, a) != nil || a.check(o) != nil || a.error() != nil {
			return
		}
		if o == opPlan && a.Plan == nil || o == opCut && a.Cut == nil || o == opView && len(a.View.State) == 0 || o == opChallenge && len(a.Key) != keyBytes {
			t.Fatalf("%+v", a)
		}
		if entries, err := readPage(list, a.Page); err == nil && len(entries) > pageLeaves+1 {
			t.Fatal(len(entries))
		}
	})
}

func (callerFunc) Elsewhere(uint32, membership.NodeID) {}
