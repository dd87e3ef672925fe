package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
)

// attemptLimit bounds one attempt of a write; a node answers within its
// write_timeout (5 s), so only one that hangs is given up here.
const attemptLimit = 8 * time.Second

// Remote is a node, or several in turn, as a Sink and a Source. A write is one
// attempt: repeating it is Load's, which measures how long that takes.
type Remote struct {
	Attempt time.Duration // bounds one write

	writer, reader *client.Client
}

// Dial makes a Remote of nodes by their RPC addresses; nothing is connected yet.
func Dial(addrs ...string) (*Remote, error) {
	writer, err := client.New(client.Options{Addrs: addrs, RetryFor: -1, OnlyAddrs: true})
	if err != nil {
		return nil, fmt.Errorf("dial %v: %w", addrs, err)
	}
	reader, err := client.New(client.Options{Addrs: addrs, OnlyAddrs: true})
	if err != nil {
		_ = writer.Close()
		return nil, fmt.Errorf("dial %v: %w", addrs, err)
	}
	return &Remote{Attempt: attemptLimit, writer: writer, reader: reader}, nil
}

// DialEach makes one Remote a node.
func DialEach(addrs []string) ([]*Remote, error) {
	remotes := make([]*Remote, 0, len(addrs))
	for _, a := range addrs {
		r, err := Dial(a)
		if err != nil {
			return nil, err // what was made before holds no connection yet
		}
		remotes = append(remotes, r)
	}
	return remotes, nil
}

// Sinks are remotes as a Load takes them.
func Sinks(remotes []*Remote) []Sink {
	sinks := make([]Sink, len(remotes))
	for i, r := range remotes {
		sinks[i] = r
	}
	return sinks
}

// Client is the one that reads: it repeats what failed for a while.
func (r *Remote) Client() *client.Client { return r.reader }

// Write is one attempt.
func (r *Remote) Write(ctx context.Context, points []storage.Point) error {
	ctx, cancel := context.WithTimeout(ctx, r.Attempt)
	defer cancel()
	_, err := r.writer.Write(ctx, points)
	return err
}

// Read reads a whole series at the default, linearizable level.
func (r *Remote) Read(ctx context.Context, s storage.Series, yield func(storage.Point) error) error {
	q := client.Query{Database: s.Database, Collection: s.Collection, Devices: []string{s.Device}}
	return r.reader.Query(ctx, q, func(device string, c *client.Columns) error {
		for row := range c.Times {
			p := storage.Point{Series: s, Time: c.Times[row]}
			p.Device = device
			for name, v := range c.Row(row) {
				p.Fields = append(p.Fields, storage.Field{Name: name, Value: v})
			}
			if err := yield(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close ends the connections.
func (r *Remote) Close() error {
	err := r.writer.Close()
	if e := r.reader.Close(); err == nil {
		err = e
	}
	return err
}
