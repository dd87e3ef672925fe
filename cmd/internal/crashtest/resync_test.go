package crashtest

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// pausesTag builds a binary whose resync jobs stop at points that a test names: see pauses.
const pausesTag = "flotilla_pauses"

// pauses is the folder that tells the jobs of that binary where to wait. Each point is for one job: the first that gets
// there.
type pauses struct {
	t   *testing.T
	dir string
}

func newPauses(t *testing.T) pauses { return pauses{t, t.TempDir()} }

func (p pauses) env() []string { return []string{"FLOTILLA_PAUSES=" + p.dir} }

func (p pauses) path(name string) string { return filepath.Join(p.dir, name) }

// set begins anew, with these points.
func (p pauses) set(points ...stop) {
	p.t.Helper()
	files, err := os.ReadDir(p.dir)
	must(p.t, err)
	for _, f := range files {
		must(p.t, os.Remove(p.path(f.Name())))
	}
	for _, at := range points {
		must(p.t, os.WriteFile(p.path(at.String()), nil, 0o640))
	}
}

// waiting reports whether a job waits at a point.
func (p pauses) waiting(at stop) bool {
	_, err := os.Stat(p.path(at.String() + ".reached"))
	return err == nil
}

// lift lets all jobs go on, and none wait.
func (p pauses) lift() {
	p.t.Helper()
	must(p.t, os.WriteFile(p.path("lifted"), nil, 0o640))
}

// stop is a point of the stage table.
type stop struct {
	stage resync.Stage
	point string
}

func (s stop) String() string { return s.stage.String() + " " + s.point }

// stops are all of the table. A stage without one would never be killed in.
func stops(t *testing.T) (all []stop) {
	t.Helper()
	for _, s := range resync.Stages {
		if len(s.Points) == 0 {
			t.Errorf("stage %s has no point: nothing is killed in it", s.Stage)
		}
		for _, p := range s.Points {
			all = append(all, stop{s.Stage, p})
		}
	}
	return all
}

// Each point of the stage table is reached by the job of a group of its own, all at the same time; then the target,
// the leader or a source is killed, and everything converges, with nothing acked missing and nothing left behind.
func TestKillAtEveryPointOfAResync(t *testing.T) {
	points := stops(t)
	p := newPauses(t)
	r := newRig(t, plan{nodes: 3, tag: pausesTag, devices: 900, rate: 300, env: p.env(),
		args: []string{"--storage-sync-max-concurrent-syncs", strconv.Itoa(len(points))}})
	leader, source, target := r.Processes[0], r.Processes[1], r.Processes[2]
	for range rounds(1) {
		for _, round := range []struct {
			name   string
			victim *fleet.Process
		}{{"target", target}, {"leader", leader}, {"source", source}} {
			r.killAt(p, points, round.name, leader, target, round.victim)
		}
	}
}

// killAt copies as many groups into target as there are points, and kills the victim when a job stands at each.
func (r *rig) killAt(p pauses, points []stop, name string, leader, target, victim *fleet.Process) {
	r.t.Helper()
	p.set(points...)
	r.resume()
	r.awaitSettled()
	groups := r.ledBy(leader, len(points))
	before := r.jobIDs()
	args := []string{"resync", "--target", target.Name, "--mode", "full-sync", "--detach", "--yes"}
	for _, g := range groups {
		args = append(args, strconv.Itoa(int(g)))
	}
	if out, code := r.flotilla(args...); code != 0 {
		r.t.Fatalf("resync: exit code %d\n%s", code, out)
	}
	for _, at := range points {
		r.until(fmt.Sprintf("a job stands at %q", at), func() bool { return p.waiting(at) })
	}
	must(r.t, victim.Kill())
	p.lift()
	r.start()
	jobs := r.finalJobs(target, before, len(groups))
	r.awaitSettled()
	r.check("after the kill of the "+name, target)
	r.verify()
	r.t.Logf("kill -9 of the %s with a job at each of %d points: %v", name, len(points), outcomes(jobs))
	r.sweptClean(target, groups)
}

// ledBy gives some groups that a node leads.
func (r *rig) ledBy(p *fleet.Process, n int) (groups []uint32) {
	r.t.Helper()
	for _, g := range r.groups() {
		if g.Leader != nil && *g.Leader == p.Name && len(groups) < n {
			groups = append(groups, g.GroupID)
		}
	}
	if len(groups) < n {
		r.t.Fatalf("%s leads %d groups, %d are needed", p.Name, len(groups), n)
	}
	return groups
}

// jobIDs are those of the jobs that there are.
func (r *rig) jobIDs() map[string]bool {
	known := map[string]bool{}
	for _, j := range r.jobs() {
		known[j.ID] = true
	}
	return known
}

func (r *rig) jobs() []api.Job {
	r.t.Helper()
	var l api.JobList
	_, err := r.admin.Get(r.t.Context(), "/v1/admin/jobs", url.Values{"limit": {"10000"}}, &l)
	must(r.t, err)
	return l.Jobs
}

// finalJobs waits until the new jobs of a target are final, at least so many.
func (r *rig) finalJobs(target *fleet.Process, before map[string]bool, least int) (jobs []api.Job) {
	r.t.Helper()
	r.until("all jobs are final", func() bool {
		jobs = slices.DeleteFunc(r.jobs(), func(j api.Job) bool {
			return j.Kind != api.JobResync || j.Target == nil || *j.Target != target.Name || before[j.ID]
		})
		return len(jobs) >= least && !slices.ContainsFunc(jobs, func(j api.Job) bool { return !j.Final() })
	})
	return jobs
}

// outcomes counts jobs by what they came to.
func outcomes(jobs []api.Job) map[string]int {
	n := map[string]int{}
	for _, j := range jobs {
		key := j.Status
		if j.Error != nil {
			key += ": " + *j.Error
		}
		n[key]++
	}
	return n
}

// sweptClean fails the test where a job has left something behind.
func (r *rig) sweptClean(p *fleet.Process, groups []uint32) {
	r.t.Helper()
	for _, g := range groups {
		dir := filepath.Join(p.DataDir, "groups", strconv.Itoa(int(g)))
		for _, name := range []string{"staging", "install"} {
			if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
				r.t.Errorf("%s is left in %s: %v", name, dir, err)
			}
		}
	}
}
