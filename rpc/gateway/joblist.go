package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
)

type jobRequest struct {
	ID   string    `json:"id"`
	Only JobFilter `json:"only"`
	// WaitMs, with an ID, is how long the answer waits for the job to be in another
	// stage than Seen, or at its end.
	WaitMs int64  `json:"wait_ms,omitempty"`
	Seen   string `json:"seen,omitempty"`
	// Paged: whoever asks goes on behind After where the answer has More. An asker of
	// an earlier version wants all at once.
	Paged bool      `json:"paged,omitempty"`
	After *jobPlace `json:"after,omitempty"`
}

// jobPlace is where a job is in a list, newest first.
type jobPlace struct {
	Started time.Time `json:"started"`
	ID      string    `json:"id"`
}

func placeOf(j *api.Job) jobPlace { return jobPlace{j.StartedAt.Time, j.ID} }

func (p jobPlace) compare(o jobPlace) int {
	return cmp.Or(o.Started.Compare(p.Started), strings.Compare(p.ID, o.ID))
}

func newestFirst(jobs []api.Job) {
	slices.SortFunc(jobs, func(a, b api.Job) int { return placeOf(&a).compare(placeOf(&b)) })
}

type jobReply struct {
	Jobs  []api.Job `json:"jobs"`
	Known bool      `json:"known"`
	More  bool      `json:"more,omitempty"` // the list goes on behind the last of Jobs
}

const (
	// maxJobsAnswer bounds about the bytes of one answer of a node about its jobs: half
	// of what a peer takes. One job is always given.
	maxJobsAnswer = 8 << 20
	// maxJobsPage does for a page of a list: a gRPC client takes 4 MiB if it says
	// nothing.
	maxJobsPage = 2 << 20
	// maxJobAnswers bounds how many of them a node is asked for.
	maxJobAnswers = 32
)

// jobBytes is about what a job takes in an answer.
func jobBytes(j *api.Job) int {
	const row, source = 1 << 10, 128
	n := row + source*len(j.Sources) + len(j.Result)
	for _, text := range []*string{j.Reason, j.Error, j.BlockedBy} {
		if text != nil {
			n += len(*text)
		}
	}
	return n
}

// firstJobs gives as many of a list as an answer may hold, one at least.
func firstJobs(jobs []api.Job, most int) []api.Job {
	for i := range jobs {
		if most -= jobBytes(&jobs[i]); most < 0 && i > 0 {
			return jobs[:i]
		}
	}
	return jobs
}

// PageOfJobs is Page for jobs, whose results may be long: a page of those holds fewer.
func PageOfJobs(jobs []api.Job, limit int, token string) (page []api.Job, next string, err error) {
	page, next, err = Page(jobs, limit, token, func(j api.Job) string { return j.ID })
	if some := firstJobs(page, maxJobsPage); len(some) < len(page) {
		page, next = some, some[len(some)-1].ID
	}
	return page, next, err
}

// maxJobWait bounds WaitMs.
const maxJobWait = 10 * time.Second

func (g *Gateway) serveJobs(ctx context.Context, m jobRequest) ([]byte, error) {
	if m.ID != "" && m.WaitMs > 0 {
		limited, cancel := context.WithTimeout(ctx, min(time.Duration(m.WaitMs)*time.Millisecond, maxJobWait))
		g.jobs.await(limited, m.ID, m.Seen)
		cancel()
	}
	list := g.jobs.asked(m.ID, m.Only)
	if !m.Paged {
		return json.Marshal(jobReply{Jobs: list})
	}
	newestFirst(list)
	if m.After != nil {
		at, found := slices.BinarySearchFunc(list, *m.After, func(j api.Job, after jobPlace) int { return placeOf(&j).compare(after) })
		if found {
			at++
		}
		list = list[at:]
	}
	page := firstJobs(list, maxJobsAnswer)
	return json.Marshal(jobReply{Jobs: page, More: len(page) < len(list)})
}

func (g *Gateway) serveCancel(_ context.Context, m jobRequest) ([]byte, error) {
	return json.Marshal(jobReply{Known: g.jobs.cancel(m.ID)})
}

// askJobs asks all nodes for their jobs. Nodes that do not answer are named:
// what they ran is known to nobody else.
func (g *Gateway) askJobs(ctx context.Context, method Method, request jobRequest) (jobs []api.Job, known bool, silent []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, node := range g.cfg.Directory.Table().Nodes {
		if state, _ := g.seen(node); state == membership.NodeDown {
			mu.Lock()
			silent = append(silent, node.Name)
			mu.Unlock()
			continue
		}
		wg.Go(func() {
			reply, err := g.askNodeJobs(ctx, node.NodeID, method, request)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				g.logger.Debug("a node gave not all of its jobs", "peer", node.Name, "error", err)
				silent = append(silent, node.Name)
			}
			jobs = append(jobs, reply.Jobs...)
			known = known || reply.Known
		})
	}
	wg.Wait()
	slices.Sort(silent)
	newestFirst(jobs)
	return jobs, known, silent
}

// askNodeJobs asks one node, answer after answer. What it gave is valid with an error
// too.
func (g *Gateway) askNodeJobs(ctx context.Context, to membership.NodeID, method Method, q jobRequest) (all jobReply, err error) {
	if method == MethodJobs && to == g.cfg.Self { // its own are not sent through JSON and back
		return jobReply{Jobs: g.jobs.asked(q.ID, q.Only)}, nil
	}
	q.Paged = true
	for range maxJobAnswers {
		limited, cancel := context.WithTimeout(ctx, reportTimeout)
		var reply jobReply
		err := g.askJSON(limited, to, method, q, &reply)
		cancel()
		if err != nil {
			return all, err
		}
		all.Jobs, all.Known = append(all.Jobs, reply.Jobs...), all.Known || reply.Known
		if !reply.More || len(reply.Jobs) == 0 {
			return all, nil
		}
		last := placeOf(&reply.Jobs[len(reply.Jobs)-1])
		q.After = &last
	}
	return all, fmt.Errorf("node %s has more than %d answers about its jobs", to.Name, maxJobAnswers)
}

// ListJobs gives the jobs of every node that answers, newest first, and names
// the nodes that did not give all of theirs.
func (g *Gateway) ListJobs(ctx context.Context, only JobFilter) (jobs []api.Job, silent []string, err error) {
	jobs, _, silent = g.askJobs(ctx, MethodJobs, jobRequest{Only: only})
	jobs = only.of(jobs) // a node of an earlier version gives all
	if jobs == nil {
		jobs = []api.Job{}
	}
	return jobs, silent, nil
}
