package demo

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// moved is one line of the table of copies: what it took to make a node equal again.
type moved struct {
	story    string
	verdicts map[string]int   // groups by verdict
	sources  map[string]int64 // bytes by node
	bytes    int64            // moved
	shards   int64            // held by the node afterwards
	took     time.Duration
	fence    float64 // ms, the longest that any group's writes were held for a cut
	wait     time.Duration
}

// equalAgain waits until a node has every group, ready, and no job for it is open. The jobs are those begun since.
func (s *stage) equalAgain(ctx context.Context, target *fleet.Process, since time.Time, enough func([]api.Job) bool) ([]api.Job, error) {
	var jobs []api.Job
	var err error
	open, well := 0, 0
	reached := s.until(ctx, func() string {
		return fmt.Sprintf("%d jobs for %s, %d of them open; %d of %d groups healthy; %s", len(jobs), target.Name, open, well, totalGroups, progressOf(jobs))
	}, func() bool {
		if jobs, err = s.resyncs(ctx, target.Name, since); err != nil {
			return false
		}
		open = len(slices.DeleteFunc(slices.Clone(jobs), func(j api.Job) bool { return j.Final() }))
		groups, e := s.groups(ctx)
		if err = e; err != nil {
			return false
		}
		_, well = leaders(groups)
		return open == 0 && well == totalGroups && enough(jobs)
	})
	if err != nil {
		return nil, err
	}
	if !reached {
		s.say.line("%s is not equal in time: %d jobs, %d open, %d groups healthy", target.Name, len(jobs), open, well)
	}
	return jobs, nil
}

// resyncs are the copies into a target that began since a moment: resyncs and moves.
func (s *stage) resyncs(ctx context.Context, target string, since time.Time) ([]api.Job, error) {
	var l api.JobList
	if _, err := s.admin.Get(ctx, "/v1/admin/jobs", url.Values{"limit": {"10000"}}, &l); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(l.Jobs, func(j api.Job) bool {
		return j.Kind != api.JobResync && j.Kind != api.JobMove || j.Target == nil || *j.Target != target || j.StartedAt.Before(since)
	}), nil
}

// progressOf adds the bytes of jobs up.
func progressOf(jobs []api.Job) string {
	var done, total int64
	for _, j := range jobs {
		done += j.BytesDone
		total += j.BytesTotal
	}
	return fmt.Sprintf("%s of %s", size(done), size(total))
}

// account sums jobs up, tells it, and adds a line to the table.
func (s *stage) account(ctx context.Context, story string, target *fleet.Process, jobs []api.Job, took time.Duration) (moved, error) {
	m := moved{story: story, verdicts: map[string]int{}, sources: map[string]int64{}, took: took}
	for _, j := range jobs {
		verdict := "none"
		if j.Verdict != nil {
			verdict = *j.Verdict
		}
		m.verdicts[verdict]++
		for _, from := range j.Sources {
			m.sources[from.Node] += from.Bytes
		}
		m.bytes += j.BytesDone
		m.fence = max(m.fence, j.FenceMs)
	}
	longest, _ := s.devices.ledger.LongestWait()
	m.wait = longest.Duration
	groups, err := s.groups(ctx)
	if err != nil {
		return m, err
	}
	for i := range groups {
		for _, r := range groups[i].Replicas {
			if r.Node == target.Name {
				m.shards += r.Bytes
			}
		}
	}
	s.moves = append(s.moves, m)
	s.say.line("%s: %s; %s moved, shards hold %s; from %s", target.Name, m.verdictsText(), size(m.bytes), size(m.shards), m.sourcesText())
	return m, nil
}

func (m moved) verdictsText() string {
	var parts []string
	for _, verdict := range sortedByCount(m.verdicts) {
		parts = append(parts, fmt.Sprintf("%d %s", m.verdicts[verdict], verdict))
	}
	if len(parts) == 0 {
		return "no job"
	}
	return strings.Join(parts, ", ")
}

func (m moved) sourcesText() string {
	var parts []string
	for _, node := range sortedByCount(m.sources) {
		parts = append(parts, fmt.Sprintf("%s %s", node, size(m.sources[node])))
	}
	if len(parts) == 0 {
		return "the log"
	}
	return strings.Join(parts, ", ")
}

// sortedByCount are the keys of a map, the largest value first.
func sortedByCount[N int | int64](counts map[string]N) []string {
	var keys []string
	for k := range counts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	return keys
}

// allDone reports whether jobs exist and each of them is done.
func allDone(jobs []api.Job) bool {
	return len(jobs) > 0 && !slices.ContainsFunc(jobs, func(j api.Job) bool { return j.Status != "done" })
}

// failures names the first jobs that are not done.
func failures(jobs []api.Job) string {
	for _, j := range jobs {
		if j.Status == "done" {
			continue
		}
		text := j.Status
		if j.Error != nil {
			text += ": " + *j.Error
		}
		return fmt.Sprintf("; %s %s", j.ID, text)
	}
	return ""
}

// exceptions says which groups got another verdict than most, and why.
func (s *stage) exceptions(jobs []api.Job, most string) {
	for _, j := range jobs {
		if j.Verdict == nil || *j.Verdict == most || j.GroupID == nil || j.Reason == nil {
			continue
		}
		s.say.line("group %d: %s, %s", *j.GroupID, *j.Verdict, *j.Reason)
	}
}

// printMoves writes the table of copies.
func (s *stage) printMoves() {
	if len(s.moves) == 0 {
		return
	}
	fmt.Fprintf(s.Out, "\n  %-34s %-26s %10s %10s %8s %12s %12s\n", "how a replica became equal", "verdicts", "moved", "shards", "time", "fence max", "write pause")
	for _, m := range s.moves {
		fmt.Fprintf(s.Out, "  %-34s %-26s %10s %10s %8s %9.1f ms %12s\n", m.story, m.verdictsText(), size(m.bytes), size(m.shards), seconds(m.took), m.fence, seconds(m.wait))
	}
}

// size prints bytes as people read them.
func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
