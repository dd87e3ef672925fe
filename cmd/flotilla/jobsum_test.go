package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"

	"github.com/flotilla-db/flotilla/rpc/api"
)

func watched(jobs ...api.Job) []*finishedJob {
	var out []*finishedJob
	for _, j := range jobs {
		out = append(out, &finishedJob{Job: j})
	}
	return out
}

func TestTheSumOfManyJobs(t *testing.T) {
	all := watched(copyJob(1, api.StatusDone), copyJob(2, api.StatusDone), copyJob(3, api.StatusRunning), copyJob(4, api.StatusQueued), copyJob(5, api.StatusFailed))
	s := sumJobs(all, 10*time.Second)
	// 2.5 MiB came in 10 s; three of four that tell have 1 MiB, the failed one none, so that the fifth is taken for 0.75.
	if want := "2/5 done, 1 failed, 1 running, 1 waiting, 2.50 MiB of 3.00 MiB, 256 KiB/s, ETA 5s"; s.String() != want {
		t.Errorf("got  %s\nwant %s", s.String(), want)
	}
	one := sumJobs(watched(copyJob(1, api.StatusRunning)), time.Second)
	if one.eta != 3*time.Second {
		t.Errorf("one job: %s", one.eta)
	}
	if s := sumJobs(watched(copyJob(1, api.StatusQueued), copyJob(2, api.StatusQueued)), time.Second); s.eta >= 0 || s.String() != "0/2 done, 2 waiting" {
		t.Errorf("nothing is known: %s", s.String())
	}
	if s := sumJobs(watched(copyJob(1, api.StatusDone), copyJob(2, api.StatusDone)), time.Second); s.eta != 0 {
		t.Errorf("all ended: %s", s.eta)
	}
	if s := sumJobs(watched(copyJob(1, api.StatusDone), copyJob(2, api.StatusStalled), copyJob(3, api.StatusQueued)), time.Second); s.eta >= 0 {
		t.Errorf("nothing moves: %s", s.String())
	}
	if s := sumJobs(nil, 0); s.String() != "0/0 done" {
		t.Errorf("none: %s", s.String())
	}
}

func TestProgressInWords(t *testing.T) {
	j := copyJob(42, api.StatusRunning)
	if got, want := progressOf(&j), "group 42: fetch, 512 KiB of 1.00 MiB (50%), 256 KiB/s, ETA 3s"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	by := "the leader is changing"
	j.BlockedBy = &by
	if got, want := progressOf(&j), "group 42: fetch, blocked by the leader is changing, 512 KiB of 1.00 MiB (50%), 256 KiB/s"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	j.Status, j.Attempt, j.EtaS, j.Rate = api.StatusStalled, 2, nil, 0
	if got, want := progressOf(&j), "group 42: fetch, stalled, attempt 2, blocked by the leader is changing, 512 KiB of 1.00 MiB (50%)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for s, want := range map[float64]string{0: "0s", -3: "0s", 0.0123: "12ms", 2.345: "2.3s", 59.6: "1m0s", 1e300: "0s"} {
		if got := secondsCell(s); got != want {
			t.Errorf("%v s is %s, want %s", s, got, want)
		}
	}
	if percent(999_999, 1_000_000) != 99 || percent(5, 0) != 0 || percent(1<<62, 1<<62) != 100 || percent(9, 4) != 100 {
		t.Error("percent")
	}
}

func TestPlainLinesWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	b := newJobBoard(&out, "resync", true, time.Hour)
	jobs := watched(copyJob(1, api.StatusRunning), copyJob(2, api.StatusQueued))
	if b.show(jobs); out.Len() > 0 {
		t.Errorf("too early: %s", &out)
	}
	b.every = 0
	b.show(jobs)
	if got := out.String(); got != "resync: 0/2 done, 1 running, 1 waiting, 512 KiB of 1.00 MiB, 256 KiB/s; group 1: fetch, 512 KiB of 1.00 MiB (50%), 256 KiB/s, ETA 3s\n" {
		t.Errorf("got %s", got)
	}
	out.Reset()
	b.show(jobs[:1])
	if got := out.String(); got != "resync group 1: fetch, 512 KiB of 1.00 MiB (50%), 256 KiB/s, ETA 3s\n" {
		t.Errorf("got %s", got)
	}
	b.end()
}

func TestABarForEachGroupThatRunsAndOneOfAll(t *testing.T) {
	var out bytes.Buffer
	b := newJobBoard(&out, "resync", true, time.Hour)
	refresh := make(chan any)
	b.draw(true, mpb.WithManualRefresh(refresh), mpb.WithWidth(160))
	jobs := watched(copyJob(1, api.StatusRunning), copyJob(2, api.StatusQueued), copyJob(3, api.StatusDone))
	b.show(jobs)
	refresh <- time.Now()
	refresh <- time.Now()
	if len(b.byJob) != 1 {
		t.Errorf("%d bars of jobs", len(b.byJob))
	}
	*jobs[0] = finishedJob{Job: copyJob(1, api.StatusDone)}
	b.show(jobs)
	if len(b.byJob) != 0 {
		t.Error("the bar of a job that has ended stays")
	}
	refresh <- time.Now() // taken once the one before is under way: the first of a pair is drawn
	refresh <- time.Now()
	b.end()
	for _, want := range []string{"group 1", "fetch, 512 KiB of 1.00 MiB (50%), 256 KiB/s, ETA 3s", "2/3 done, 1 waiting"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}

func TestRootsAreComparedAtOneIndex(t *testing.T) {
	root := func(r string, at uint64) api.Replica {
		return api.Replica{Root: &r, RootIndex: &at, State: api.ReplicaReady}
	}
	started, offline := api.Replica{Node: "n3", State: api.ReplicaReady}, api.Replica{Node: "n2", State: api.ReplicaOffline}
	for want, replicas := range map[string][]api.Replica{
		"roots equal on all 3 replicas at 9":  {root("a", 9), root("a", 9), root("a", 9)},
		"roots DIFFER at 9":                   {root("a", 9), root("b", 9), root("a", 3)},
		"roots equal on 2 of 3 replicas at 9": {root("b", 3), root("a", 9), root("a", 9)},
		"roots equal on 1 of 2 replicas at 5": {root("b", 5), offline},
		"roots equal on 1 of 3 replicas at 5, none told since its start by n3 (flotilla verify 7 compares them)": {root("b", 5), offline, started},
		"no roots yet (flotilla verify 7 compares them)":                                                         {{}, {}},
	} {
		if got := rootsOf(&api.Group{GroupID: 7, Replicas: replicas}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
