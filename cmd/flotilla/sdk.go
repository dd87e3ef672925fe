package main

import (
	"context"
	"slices"

	"github.com/flotilla-db/flotilla/cmd/internal/bench"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
)

// stateUp is the state of a node that can be asked.
const stateUp = "up"

// rpcAddresses asks the node table where gRPC is served: --addr names HTTP addresses only.
func (s *session) rpcAddresses(ctx context.Context) ([]string, error) {
	var l api.NodeList
	if _, err := s.api.Get(ctx, "/v1/admin/nodes", nil, &l); err != nil {
		return nil, err
	}
	var addresses []string
	for _, n := range l.Nodes {
		if n.State == stateUp && n.RPCAddr != "" {
			addresses = append(addresses, n.RPCAddr)
		}
	}
	if len(addresses) == 0 {
		return nil, api.E(api.NotReady, "wait until /readyz answers 200", "the node that was asked is not part of a cluster yet")
	}
	return addresses, nil
}

// sdk returns a client of all nodes. A call may take --timeout, repetitions included.
func (s *session) sdk(ctx context.Context) (*client.Client, error) {
	addresses, err := s.rpcAddresses(ctx)
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{Addrs: addresses, RetryFor: s.timeout})
}

// sdkWriter is a client as the loader sees it.
type sdkWriter struct{ *client.Client }

func (w sdkWriter) Write(ctx context.Context, points []storage.Point) (written int, err error) {
	done, err := w.Client.Write(ctx, points)
	return done.Points, err
}

// benchWriteConnections are how many connections writers use unless they are told.
const benchWriteConnections = 16

// benchWriters opens n connections, node after node, each a client of its own: what the callers of two connections
// write can meet only inside a node.
func (s *session) benchWriters(ctx context.Context, n int) (conns []bench.Conn, closeAll func(), err error) {
	if n == 0 {
		n = benchWriteConnections
	}
	addresses, err := s.rpcAddresses(ctx)
	if err != nil {
		return nil, nil, err
	}
	var clients []*client.Client
	closeAll = func() {
		for _, c := range clients {
			c.Close()
		}
	}
	for i := range n {
		c, err := client.New(client.Options{Addrs: addresses[i%len(addresses) : i%len(addresses)+1], RetryFor: s.timeout})
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		clients, conns = append(clients, c), append(conns, benchConn{c})
	}
	return conns, closeAll, nil
}

// benchReader opens one client with n connections, spread over all nodes (0: one a node, as clients have unless they
// are told): callers that only read are one program, and its reads go to the node that leads.
func (s *session) benchReader(ctx context.Context, n int) (conns []bench.Conn, closeAll func(), err error) {
	addresses, err := s.rpcAddresses(ctx)
	if err != nil {
		return nil, nil, err
	}
	each := max(1, (n+len(addresses)-1)/len(addresses))
	c, err := client.New(client.Options{Addrs: addresses, Connections: each, RetryFor: s.timeout})
	if err != nil {
		return nil, nil, err
	}
	return slices.Repeat([]bench.Conn{benchConn{c}}, each*len(addresses)), func() { c.Close() }, nil
}

// benchConn is a client as a benchmark sees it.
type benchConn struct{ c *client.Client }

func (b benchConn) Write(ctx context.Context, points []storage.Point) error {
	_, err := b.c.Write(ctx, points)
	return err
}

func (b benchConn) Range(ctx context.Context, s storage.Series, from, to int64) (int, error) {
	points := 0
	err := b.c.Query(ctx, client.Query{Database: s.Database, Collection: s.Collection, Devices: []string{s.Device}, From: &from, To: &to},
		func(_ string, columns *client.Columns) error { points += columns.Len(); return nil })
	return points, err
}

func (b benchConn) Last(ctx context.Context, s storage.Series) (int, error) {
	_, ok, err := b.c.Last(ctx, s, client.Linearizable)
	if !ok {
		return 0, err
	}
	return 1, err
}
