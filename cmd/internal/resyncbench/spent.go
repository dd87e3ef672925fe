package resyncbench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// spent is what all nodes together have used since they began.
type spent struct {
	began   time.Time // zero: it is a difference
	seconds float64   // between two looks
	wire    float64   // bytes that nodes have sent each other, but for leaves
	cpu     float64   // seconds
	entries float64   // that all groups have committed
}

// less is what was used between two looks.
func (s spent) less(before spent) spent {
	return spent{seconds: s.began.Sub(before.began).Seconds(), wire: s.wire - before.wire, cpu: s.cpu - before.cpu, entries: s.entries - before.entries}
}

// net is a difference less what an idle cluster uses in that time.
func (s spent) net(idle spent) spent {
	k := s.seconds / idle.seconds
	return spent{seconds: s.seconds, wire: max(0, s.wire-k*idle.wire), cpu: max(0, s.cpu-k*idle.cpu), entries: max(0, s.entries-k*idle.entries)}
}

// spent looks at /metrics of every node, each by itself.
func (r *rig) spent(ctx context.Context) (sum spent, err error) {
	sum.began = time.Now()
	for i, p := range r.fleet.Processes {
		body, err := metrics(ctx, p)
		if err != nil {
			return sum, err
		}
		sum.wire += sample(body, "flotilla_peer_sent_bytes_total")
		sum.cpu += sample(body, cpuMetric)
		if i == 0 { // every node holds every group
			sum.entries = sampleSum(body, "flotilla_replica_applied_index{")
		}
	}
	return sum, nil
}

const cpuMetric = "process_cpu_seconds_total"

// cpuOf is what these nodes have used of the processor since they started, in seconds.
func (r *rig) cpuOf(ctx context.Context, which ...*fleet.Process) (seconds float64, err error) {
	for _, p := range which {
		body, err := metrics(ctx, p)
		if err != nil {
			return 0, err
		}
		seconds += sample(body, cpuMetric)
	}
	return seconds, nil
}

// metrics is what /metrics of a node says.
func metrics(ctx context.Context, p *fleet.Process) ([]byte, error) {
	c, err := apiclient.New([]string{p.HTTPAddr}, requestLimit)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	body, err := c.Do(ctx, apiclient.Request{Path: "/metrics", Accept: "text/plain"})
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", p.Name, err)
	}
	return body, nil
}

// sample is the value of a metric without labels; 0 if there is none.
func sample(body []byte, name string) float64 { return sampleSum(body, name+" ") }

// sampleSum adds up the values of all lines that begin so.
func sampleSum(body []byte, begin string) (sum float64) {
	for lines := bufio.NewScanner(strings.NewReader(string(body))); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, begin) {
			if v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64); err == nil {
				sum += v
			}
		}
	}
	return sum
}

// job starts a job and waits for its result.
func (r *rig) job(ctx context.Context, path string, query url.Values, body, result any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var job api.Job
	if _, err := r.admin.Post(ctx, path, query, body, &job); err != nil {
		return err
	}
	for !job.Final() {
		if err := pause.For(ctx, poll); err != nil {
			return err
		}
		if _, err := r.admin.Get(ctx, "/v1/admin/jobs/"+job.ID, nil, &job); err != nil {
			return err
		}
	}
	if job.Error != nil {
		return errors.New(*job.Error)
	}
	return json.Unmarshal(job.Result, result)
}

func (r *rig) verifyWith(ctx context.Context, q api.VerifyRequest) (result api.VerifyResult, err error) {
	return result, r.job(ctx, "/v1/admin/verify", nil, map[string]any{"mode": q.Mode, "deep": q.Deep, "repair": q.Repair}, &result)
}

// set changes a setting of the whole cluster.
func (r *rig) set(ctx context.Context, key, value string) error {
	_, err := r.admin.Do(ctx, apiclient.Request{Method: "PUT", Path: "/v1/admin/settings/" + key, Body: map[string]string{"value": value}})
	if err != nil {
		return fmt.Errorf("set %s: %w", key, err)
	}
	return nil
}
