package client

import (
	"context"
	"encoding/json"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// jobPoll is the pause between two looks at a job that is waited for.
const jobPoll = 100 * time.Millisecond

// document makes a call that answers an object and reads it.
func document[T any](ctx context.Context, c *Client, changes bool, call func(context.Context, *conn) (*pb.Document, error)) (T, error) {
	var out T
	err := c.do(ctx, changes, func(ctx context.Context, n *conn) error {
		if changes {
			if err := n.connected(ctx); err != nil {
				return err
			}
		}
		m, err := call(ctx, n)
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(m.GetJson()), &out); err != nil {
			return api.E(api.IncompatiblePeer, "use an SDK of the node's version", "the answer cannot be read").Because(err)
		}
		return nil
	})
	return out, err
}

// Groups is the group table, all pages of it.
func (c *Client) Groups(ctx context.Context) ([]api.Group, error) {
	var out []api.Group
	token := ""
	for {
		page, err := document[api.GroupList](ctx, c, false, func(ctx context.Context, n *conn) (*pb.Document, error) {
			return n.api.ListGroups(ctx, &pb.ListRequest{PageToken: token})
		})
		out = append(out, page.Groups...)
		if token = page.NextPageToken; err != nil || token == "" {
			return out, err
		}
	}
}

// Nodes is the node table.
func (c *Client) Nodes(ctx context.Context) ([]api.Node, error) {
	list, err := document[api.NodeList](ctx, c, false, func(ctx context.Context, n *conn) (*pb.Document, error) {
		return n.api.ListNodes(ctx, &pb.ListRequest{Limit: 10_000})
	})
	return list.Nodes, err
}

// CreateDatabase makes a database; it is no error if it exists alike.
func (c *Client) CreateDatabase(ctx context.Context, name, retention string) (api.Database, error) {
	return document[api.Database](ctx, c, false, func(ctx context.Context, n *conn) (*pb.Document, error) {
		return n.api.CreateDatabase(ctx, &pb.DatabaseRequest{Name: name, Retention: retention})
	})
}

// Job looks at one job.
func (c *Client) Job(ctx context.Context, id string) (api.Job, error) {
	return document[api.Job](ctx, c, false, func(ctx context.Context, n *conn) (*pb.Document, error) {
		return n.api.GetJob(ctx, &pb.JobRequest{Id: id})
	})
}

// Verify compares the replicas of some groups (none: all) and waits for the
// result. mode "" is advanced-verify. The result's ExitCode sums it up.
func (c *Client) Verify(ctx context.Context, mode string, groups ...uint32) (api.VerifyResult, error) {
	var result api.VerifyResult
	job, err := document[api.Job](ctx, c, true, func(ctx context.Context, n *conn) (*pb.Document, error) {
		return n.api.Verify(ctx, &pb.VerifyRequest{Groups: groups, Mode: mode})
	})
	if err == nil {
		err = c.resultOf(ctx, job, &result)
	}
	return result, err
}

// await waits for the end of a job.
func (c *Client) await(ctx context.Context, job api.Job) (api.Job, error) {
	for !job.Final() {
		t := time.NewTimer(jobPoll)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return job, ctx.Err()
		}
		var err error
		if job, err = c.Job(ctx, job.ID); err != nil {
			return job, err
		}
	}
	return job, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
