package gateway

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// A node that stays away for a day, with checks tried all the time, is told of seldom; one that goes again, soon.
func TestCrowdsAreToldOfEverMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var all []crowd // guarded by mu
		s := newSkips(func(c crowd) { mu.Lock(); defer mu.Unlock(); all = append(all, c) })
		heard := func() []crowd { mu.Lock(); defer mu.Unlock(); return slices.Clone(all) }
		defer s.close()
		skip := func(group uint32, missing string) {
			s.add(&antientropy.Report{Group: group, Missing: []string{missing}, Unchecked: missing + ": its node is down"})
		}
		for i := range uint32(24 * 60) {
			skip(i%256, "n3")
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		told := heard()
		if len(told) < 24*60/10 || len(told) > 24*60/10+20 {
			t.Errorf("told %d times in a day", len(told))
		}
		if first := told[0]; len(first.groups) != 1 || first.names() != "0" {
			t.Errorf("the first time of %s", first.names())
		}
		if late := told[len(told)-2]; len(late.groups) < 9 {
			t.Errorf("late of %d groups", len(late.groups))
		}
		time.Sleep(time.Hour) // it is back
		synctest.Wait()
		n := len(heard())
		skip(7, "n3")
		time.Sleep(skipGather)
		synctest.Wait()
		if told = heard(); len(told) != n+1 {
			t.Errorf("told %d times when it went again", len(told)-n)
		}
		if len(s.crowds) > 1 {
			t.Errorf("%d crowds are kept", len(s.crowds))
		}
		for i := range uint32(10 * maxCrowds) {
			s.add(&antientropy.Report{Group: i, Unchecked: time.Duration(i).String()})
		}
		if len(s.crowds) > maxCrowds+1 {
			t.Errorf("%d crowds are kept", len(s.crowds))
		}
	})
}

// Who waits for a job hears of its next stage, of its end, and of the end of the node, at once.
func TestAWaitForAJobEndsWithItsStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := openedJobs(t, "")
		r := openRow(t, js, 3, func() {})
		wait := func(seen string, limit time.Duration) chan time.Duration {
			took := make(chan time.Duration, 1)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			go func() {
				defer cancel()
				js.await(ctx, r.ID(), seen)
				took <- time.Since(began)
			}()
			return took
		}
		if took := <-wait("", time.Minute); took != time.Minute {
			t.Errorf("with no change after %v", took)
		}
		if took := <-wait("other", time.Minute); took != 0 {
			t.Errorf("in another stage after %v", took)
		}
		for _, change := range []func(){
			func() { stage := "fetch"; r.Change(func(j *api.Job) { j.Stage = &stage }) },
			func() { r.End(api.StatusDone, func(*api.Job) {}) },
		} {
			seen := ""
			if j := r.Job(); j.Stage != nil {
				seen = *j.Stage
			}
			took := wait(seen, time.Minute)
			time.Sleep(time.Second)
			r.Progress(func(j *api.Job) { j.BytesDone++ }) // no stage
			time.Sleep(time.Second)
			change()
			if took := <-took; took != 2*time.Second {
				t.Errorf("after %v", took)
			}
		}
		js.await(t.Context(), "unknown", "")
		other := openRow(t, js, 4, func() {})
		done := make(chan struct{})
		go func() { js.await(t.Context(), other.ID(), ""); close(done) }()
		synctest.Wait()
		if err := js.close(); err != nil {
			t.Fatal(err)
		}
		<-done
	})
}
