package leafstream

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/snapshot/transfer"
)

// Client asks one node for leaves. It is a transfer.Source.
type Client struct {
	name string
	conn func(context.Context) (grpc.ClientConnInterface, error)
}

// NewClient makes the Source of a node. conn gives the connection to it for one batch, such as raftmux's Conn; it is
// not closed here. Its flow control windows bound the speed: a stream's should hold what the link carries in the time
// of a round trip.
func NewClient(name string, conn func(context.Context) (grpc.ClientConnInterface, error)) *Client {
	return &Client{name: name, conn: conn}
}

// Dialer gives the connection to a node. *raftmux.Mux is one.
type Dialer interface {
	Conn(ctx context.Context, to membership.NodeID) (*grpc.ClientConn, error)
}

// NewPeer makes the Source of a node that a Dialer reaches. Conn is called for each batch: it says soon that a node is
// gone.
func NewPeer(id membership.NodeID, dialer Dialer) *Client {
	return NewClient(id.Name, func(ctx context.Context) (grpc.ClientConnInterface, error) {
		conn, err := dialer.Conn(ctx, id)
		if err != nil {
			return nil, err // not a nil connection in an interface
		}
		return conn, nil
	})
}

// Name is the node's.
func (c *Client) Name() string { return c.name }

// Fetch asks for one batch.
func (c *Client) Fetch(ctx context.Context, r transfer.Request, to transfer.Receiver) error {
	request, err := transfer.AppendRequest(nil, r)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.name, err)
	}
	conn, err := c.conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", c.name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := conn.NewStream(ctx, &fetchDesc, fetchMethod,
		grpc.CallContentSubtype(codecName), grpc.MaxCallRecvMsgSize(transfer.MaxMessageWire))
	if err == nil {
		err = stream.SendMsg(&outMessage{slices: [][]byte{request}})
	}
	if err == nil || errors.Is(err, io.EOF) { // the reason is in RecvMsg
		err = stream.CloseSend()
	}
	if err != nil {
		return fmt.Errorf("ask %s for leaves: %w", c.name, errorOf(err))
	}
	leaves := transfer.NewAssembler(r, to)
	defer leaves.Close()
	for {
		var m inMessage
		err := stream.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return leaves.End()
		}
		if err != nil {
			return fmt.Errorf("leaves from %s: %w", c.name, errorOf(err))
		}
		if err := receive(ctx, leaves, &m); err != nil {
			return fmt.Errorf("leaves from %s: %w", c.name, err)
		}
	}
}

// receive gives one message to the Assembler.
func receive(ctx context.Context, leaves *transfer.Assembler, m *inMessage) error {
	size := m.buffers.Len()
	reader := m.buffers.Reader() // has references of its own, and gives each back when it was read
	m.free()
	defer reader.Close()
	return leaves.Message(ctx, reader, size)
}
