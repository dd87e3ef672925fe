package client

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// Events hands what happens in the cluster to a function, as the node at the
// first address sees it: what it remembers behind an id (0: all), then what
// comes. Ids are that node's own, and rise over its restarts too; one that it has
// not given yet means from now on. It returns the function's error, or why the
// stream has ended: there is no repetition, take it up again behind the last id.
func (c *Client) Events(ctx context.Context, after uint64, each func(api.Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.conns[0].api.Events(ctx, &pb.EventsRequest{After: after})
	if err != nil {
		return errorOf(err, false)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return errorOf(err, false)
		}
		var e api.Event
		if err := json.Unmarshal([]byte(m.GetJson()), &e); err != nil {
			return api.E(api.IncompatiblePeer, "use an SDK of the node's version", "the answer cannot be read").Because(err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// Drill damages one replica on purpose (kind "": a bit flips) and waits for what
// came of it: DrillResult.Held says whether the damage was found and repaired. It
// is refused unless the group has three replicas that are all well.
func (c *Client) Drill(ctx context.Context, group uint32, node, kind string) (api.DrillResult, error) {
	var result api.DrillResult
	job, err := document[api.Job](ctx, c, true, func(ctx context.Context, n *conn) (*pb.Document, error) {
		return n.api.Drill(ctx, &pb.DrillRequest{Group: group, Node: node, Kind: kind})
	})
	if err == nil {
		err = c.resultOf(ctx, job, &result)
	}
	return result, err
}

// resultOf waits for the end of a job and reads its result.
func (c *Client) resultOf(ctx context.Context, job api.Job, result any) error {
	job, err := c.await(ctx, job)
	if err != nil {
		return err
	}
	if job.Status != api.StatusDone {
		return fmt.Errorf("job %s %s: %s", job.ID, job.Status, deref(job.Error))
	}
	if err := json.Unmarshal(job.Result, result); err != nil {
		return fmt.Errorf("result of job %s: %w", job.ID, err)
	}
	return nil
}
