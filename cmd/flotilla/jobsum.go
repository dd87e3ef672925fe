package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// jobSum is many jobs as one.
type jobSum struct {
	jobs, waiting, running, stalled, done, failed int

	bytes, total int64         // moved, and to be moved as far as that is known
	rate         float64       // bytes/s, of those that run
	eta          time.Duration // negative: not known
}

// sumJobs adds jobs up. Those that wait do not know yet what they will move: they are taken for the average of the
// others. since is how long the jobs have been watched.
func sumJobs(jobs []*finishedJob, since time.Duration) jobSum {
	s := jobSum{jobs: len(jobs), eta: -1}
	known := 0
	for _, j := range jobs {
		switch {
		case j.Status == api.StatusDone:
			s.done++
		case j.Final():
			s.failed++
		case j.Status == api.StatusQueued:
			s.waiting++
		case j.Status == api.StatusStalled:
			s.stalled++
		default:
			s.running++
		}
		if j.Final() || j.BytesTotal > 0 {
			known++
		}
		s.bytes += j.BytesDone
		if j.Final() { // what a failed one left will not come
			s.total += j.BytesDone
			continue
		}
		s.total += max(j.BytesTotal, j.BytesDone)
		s.rate += j.Rate
	}
	s.eta = s.remaining(jobs, known, since)
	return s
}

// remaining is how long all of it will still take, negative where nothing tells.
func (s *jobSum) remaining(jobs []*finishedJob, known int, since time.Duration) time.Duration {
	if s.jobs == 1 {
		if j := jobs[0]; j.EtaS != nil && !j.Final() {
			return time.Duration(*j.EtaS * float64(time.Second))
		}
		return -1
	}
	ended := s.done + s.failed
	if ended == 0 || since <= 0 || s.stalled > 0 && s.running == 0 { // or nothing moves: nobody can tell
		return -1
	}
	if ended == s.jobs {
		return 0
	}
	if s.bytes > 0 && known > 0 {
		all := float64(s.total) / float64(known) * float64(s.jobs)
		return time.Duration(float64(since) * max(0, all-float64(s.bytes)) / float64(s.bytes))
	}
	return time.Duration(float64(since) * float64(s.jobs-ended) / float64(ended))
}

// String is the sum as one line says it.
func (s *jobSum) String() string {
	parts := []string{fmt.Sprintf("%d/%d done", s.done, s.jobs)}
	for _, p := range []struct {
		count int
		word  string
	}{{s.failed, "failed"}, {s.running, "running"}, {s.stalled, "stalled"}, {s.waiting, "waiting"}} {
		if p.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.count, p.word))
		}
	}
	if s.total > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s", bytesCell(s.bytes), bytesCell(s.total)))
	}
	if s.rate > 0 {
		parts = append(parts, byteRate(s.rate))
	}
	if s.eta >= 0 {
		parts = append(parts, "ETA "+secondsCell(s.eta.Seconds()))
	}
	return strings.Join(parts, ", ")
}
