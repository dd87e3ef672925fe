package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// askOneByOne is up to how many open jobs are asked for one by one: of more, the list of open ones is asked for.
const askOneByOne = 3

// follow polls jobs until all have ended. Nodes that do not answer are asked again for as long as one request may take;
// a job whose own node is silent is waited for, since it goes on when that comes back.
func (s *session) follow(ctx context.Context, jobs []*finishedJob, show *jobBoard) error {
	pause, answered := firstPoll, time.Now()
	for {
		open := openJobs(jobs)
		if len(open) == 0 {
			return nil
		}
		show.show(jobs)
		select {
		case <-ctx.Done():
			return goesOn(open, ctx.Err())
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPoll)
		err := s.refresh(ctx, open)
		if err == nil {
			answered = time.Now()
			continue
		}
		if ctx.Err() != nil {
			return goesOn(open, ctx.Err())
		}
		if _, unreachable := errors.AsType[*apiclient.UnreachableError](err); !unreachable || time.Since(answered) > s.timeout {
			return goesOn(open, err)
		}
	}
}

func goesOn(open []*finishedJob, err error) error {
	if len(open) == 1 {
		return stillTrue{fmt.Sprintf("job %s goes on (flotilla job %s)", open[0].ID, open[0].ID), err}
	}
	return stillTrue{fmt.Sprintf("%d jobs go on (flotilla jobs)", len(open)), err}
}

func openJobs(jobs []*finishedJob) (open []*finishedJob) {
	for _, j := range jobs {
		if !j.Final() {
			open = append(open, j)
		}
	}
	return open
}

// refresh brings open jobs up to date.
func (s *session) refresh(ctx context.Context, open []*finishedJob) error {
	known, silent := map[string]json.RawMessage{}, []string(nil)
	if len(open) > askOneByOne {
		var err error
		if known, silent, err = s.openOnes(ctx, open); err != nil {
			return err
		}
	}
	for _, j := range open {
		body := []byte(known[j.ID])
		if body == nil && !away(&j.Job, silent) {
			var err error
			body, err = s.api.Do(ctx, apiclient.Request{Path: jobPath(j.ID)})
			if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.JobNotFound {
				if silent, err = s.silentNodes(ctx, j); err == nil && !away(&j.Job, silent) {
					err = e // its node answers, and does not know it
				}
				body = nil
			}
			if err != nil {
				return err
			}
		}
		if body == nil {
			by := fmt.Sprintf("%s, which does not answer", pointerCell(j.Target))
			j.BlockedBy, j.Status, j.Rate, j.EtaS = &by, api.StatusStalled, 0, nil
			continue
		}
		if err := j.read(body); err != nil {
			return err
		}
	}
	return nil
}

// read takes a job as the API gave it.
func (j *finishedJob) read(body []byte) error {
	next := finishedJob{body: body}
	if err := json.Unmarshal(body, &next.Job); err != nil {
		return fmt.Errorf("answer of the node: job %s: %w", j.ID, err)
	}
	*j = next
	return nil
}

// away reports whether the node of a job is among the silent ones: a job's id names the node that runs it.
func away(j *api.Job, silent []string) bool {
	return slices.ContainsFunc(silent, func(node string) bool { return strings.HasPrefix(j.ID, j.Kind+"-"+node+"-") })
}

// openOnes asks for all jobs that have not ended, of the kind of these.
func (s *session) openOnes(ctx context.Context, open []*finishedJob) (known map[string]json.RawMessage, silent []string, err error) {
	r := apiclient.Request{Path: "/v1/admin/jobs", Query: url.Values{
		"kind": {open[0].Kind}, "status": {strings.Join([]string{api.StatusQueued, api.StatusRunning, api.StatusStalled}, ",")}},
		Headers: func(h http.Header) { silent = splitNames(h.Get(api.SilentNodesHeader)) }}
	body, err := s.api.ListOf(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	bodies, err := jobBodies(body)
	if err != nil {
		return nil, nil, err
	}
	known = map[string]json.RawMessage{}
	for _, b := range bodies {
		var j api.Job
		if err := json.Unmarshal(b, &j); err != nil {
			return nil, nil, fmt.Errorf("answer of the node: %w", err)
		}
		known[j.ID] = b
	}
	return known, silent, nil
}

// silentNodes asks who does not answer for its jobs.
func (s *session) silentNodes(ctx context.Context, j *finishedJob) ([]string, error) {
	_, silent, err := s.openOnes(ctx, []*finishedJob{j})
	return silent, err
}

func splitNames(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// jobBodies takes a list of jobs apart, each as the API gave it.
func jobBodies(body []byte) ([]json.RawMessage, error) {
	var list struct {
		Jobs []json.RawMessage `json:"jobs"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("answer of the node: %w", err)
	}
	return list.Jobs, nil
}

// readJobs is jobBodies with the jobs.
func readJobs(body []byte) ([]*finishedJob, error) {
	bodies, err := jobBodies(body)
	if err != nil {
		return nil, err
	}
	jobs := make([]*finishedJob, 0, len(bodies))
	for _, b := range bodies {
		j := &finishedJob{}
		if err := j.read(b); err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// joinJobs is the list of jobs as the API would give it.
func joinJobs(jobs []*finishedJob) []byte {
	bodies := make([]json.RawMessage, 0, len(jobs))
	for _, j := range jobs {
		bodies = append(bodies, j.body)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(struct { // never fails: each was read as JSON
		Jobs          []json.RawMessage `json:"jobs"`
		NextPageToken string            `json:"next_page_token"`
	}{Jobs: bodies})
	return b.Bytes()
}
