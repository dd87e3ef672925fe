package leafstream

import (
	"context"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/snapshot/transfer"
)

// Client asks one node for leaves.
type Client struct {
	name string
	conn func(context.Context) (grpc.ClientConnInterface, error)
}

// NewClient makes the Source of a node. conn gives the connection to it for one batch, such as raftmux's Conn; it is
// not closed here.
func NewClient(name string, conn func(context.Context) (grpc.ClientConnInterface, error)) *Client {
	return &Client{name: name, conn: conn}
}

// Name is the node's.
func (c *Client) Name() string { return c.name }

// Fetch asks for one batch.
func (c *Client) Fetch(ctx context.Context, r transfer.Request, to transfer.Receiver) error {
	return c.fetch(ctx, r, to)
}

func (c *Client) fetch(context.Context, transfer.Request, transfer.Receiver) error { return nil }
