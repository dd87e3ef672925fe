package client

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// Resync says which replicas are brought to equality, and how. The zero value
// of each choice is the default.
type Resync struct {
	Target      string        // name of the node whose replicas it is about
	Groups      []uint32      // none: all that the target holds
	From        string        // copy from this node only; "": from every replica that can
	Mode        string        // api.ModeAuto, api.ModeFullSync, api.ModePartialSync
	MaxPause    time.Duration // of a group's writes, rounded up to milliseconds
	Rate        int64         // bytes/s of each job
	LeaderShare *float64      // 0 to 1 of the bytes that the leader may give
}

func (r Resync) options() *pb.ResyncOptions {
	return &pb.ResyncOptions{Mode: r.Mode, MaxPauseMs: uint32((r.MaxPause + time.Millisecond - 1) / time.Millisecond), Rate: uint64(r.Rate), LeaderShare: r.LeaderShare}
}

func (r Resync) request() *pb.ResyncRequest {
	return &pb.ResyncRequest{Groups: r.Groups, Target: r.Target, From: r.From, Options: r.options()}
}

// Resync brings replicas to equality and waits for the jobs, one a group. A job
// that failed is no error here: its Status says so. When ctx ends the jobs go
// on; those given then are as they were last seen.
func (c *Client) Resync(ctx context.Context, r Resync) ([]api.Job, error) {
	list, err := document[api.JobList](ctx, c, true, func(ctx context.Context, n *conn) (*pb.Document, error) {
		return n.api.Resync(ctx, r.request())
	})
	for i := range list.Jobs {
		if err != nil {
			break
		}
		var job api.Job
		if job, err = c.await(ctx, list.Jobs[i]); job.ID != "" {
			list.Jobs[i] = job
		}
	}
	return list.Jobs, err
}

// PlanResync says what Resync would do now; nothing is done.
func (c *Client) PlanResync(ctx context.Context, r Resync) (api.Plan, error) {
	return document[api.Plan](ctx, c, false, func(ctx context.Context, n *conn) (*pb.Document, error) {
		return n.api.PlanResync(ctx, r.request())
	})
}

// Move gives the place of a replica to another node, and waits for the job: the
// new replica is copied, proven and gets its vote before the old one goes. The
// choices are those of a Resync but for Target, Groups and From.
func (c *Client) Move(ctx context.Context, group uint32, from, to string, choices Resync) (api.Job, error) {
	job, err := document[api.Job](ctx, c, true, func(ctx context.Context, n *conn) (*pb.Document, error) {
		return n.api.Move(ctx, &pb.MoveRequest{Group: group, From: from, To: to, Options: choices.options()})
	})
	if err != nil {
		return job, err
	}
	return c.await(ctx, job)
}

// PlanMove says what Move would do now; nothing is done.
func (c *Client) PlanMove(ctx context.Context, group uint32, from, to string, choices Resync) (api.Plan, error) {
	return document[api.Plan](ctx, c, false, func(ctx context.Context, n *conn) (*pb.Document, error) {
		return n.api.PlanMove(ctx, &pb.MoveRequest{Group: group, From: from, To: to, Options: choices.options()})
	})
}
