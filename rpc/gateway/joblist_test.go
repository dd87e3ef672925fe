package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

// narrow carries no answer that a peer would not.
type narrow struct{ gateway.Peers }

func (p narrow) Call(ctx context.Context, to membership.NodeID, method gateway.Method, payload []byte) ([]byte, error) {
	b, err := p.Peers.Call(ctx, to, method, payload)
	if err == nil && len(b) > 16<<20 {
		return nil, errors.New("the answer is too large")
	}
	return b, err
}

// A node whose jobs have more to say than one message holds is not silent: all of them are listed, newest first, in
// pages that any client takes.
func TestJobsOfANodeThatDoNotFitIntoOneAnswerAreListed(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Configure: func(_ int, cfg *gateway.Config) { cfg.Peers = narrow{cfg.Peers} }})
	result, err := json.Marshal(string(bytes.Repeat([]byte("x"), 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	const jobs = 18
	began, want := time.Unix(1_700_000_000, 0), []string(nil)
	for i := range jobs {
		j := api.Job{ID: fmt.Sprintf("job-%02d", i), Kind: api.JobVerify, StartedAt: api.At(began.Add(time.Duration(i/3) * time.Second))}
		row, err := c.Nodes[1].Gateway.Jobs().Open(j, nil, func() {})
		if err != nil {
			t.Fatal(err)
		}
		row.End(api.StatusDone, func(j *api.Job) { j.Result = result })
		want = append(want, j.ID)
	}
	slices.SortFunc(want, func(a, b string) int { // newest first, and of one moment by id
		var x, y int
		_, _ = fmt.Sscanf(a+" "+b, "job-%d job-%d", &x, &y)
		if x/3 != y/3 {
			return y - x
		}
		return x - y
	})
	list, silent, err := c.Nodes[0].Gateway.ListJobs(t.Context(), gateway.JobFilter{})
	if err != nil || len(silent) > 0 {
		t.Errorf("silent: %v, %v", silent, err)
	}
	if got := idsOf(list); !slices.Equal(got, want) {
		t.Errorf("listed: %v", got)
	}
	var paged []string
	for token, pages := "", 0; ; pages++ {
		page, next, err := gateway.PageOfJobs(list, 0, token)
		b, _ := json.Marshal(page)
		if err != nil || len(b) > 4<<20 || pages > jobs {
			t.Fatalf("page %d has %d bytes, %v", pages, len(b), err)
		}
		if paged, token = append(paged, idsOf(page)...), next; next == "" {
			break
		}
	}
	if !slices.Equal(paged, want) {
		t.Errorf("in pages: %v", paged)
	}
	if _, _, err := gateway.PageOfJobs(list, 0, "nonsense"); err == nil {
		t.Error("a page behind no job")
	}
	if page, next, err := gateway.PageOfJobs(nil, 0, ""); err != nil || page == nil || next != "" {
		t.Errorf("no jobs: %v %q %v", page, next, err)
	}
}

func idsOf(jobs []api.Job) (ids []string) {
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	return ids
}
