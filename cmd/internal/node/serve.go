package node

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/flotilla-db/flotilla/rpc/httpapi"
	"github.com/flotilla-db/flotilla/rpc/metrics"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
	"github.com/flotilla-db/flotilla/rpc/server"
)

// drainLimit bounds the wait for requests under way when the node stops, of each
// server. What took longer found no leader: its outcome would not change.
const drainLimit = time.Second

// serve begins to answer on the sockets, before the node is ready: /readyz and
// the health service say what is missing.
func (n *Node) serve() error {
	s := server.New(n.gateway, n.build, n.log)
	// The socket is closed last, by the stage of listen: streams of other nodes
	// go on until ours are closed.
	n.sockets.server = s.Serve(n.sockets.rpc, raftmux.ServerOptions(), n.mux, n.syncs.Leaves())
	n.stages.add("gRPC", func(ctx context.Context) error {
		s.Shutdown()
		limited, cancel := context.WithTimeout(ctx, drainLimit)
		defer cancel()
		n.sockets.server.Drain(limited)
		return nil
	})
	n.stages.loop("gRPC health", func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-n.ready.done:
			s.SetReady(true)
		}
	})
	return n.serveHTTP()
}

// Bounds of one HTTP connection. Bodies and answers may take as long as their
// context allows: a stream has no length.
const (
	httpHeaderTimeout = 10 * time.Second
	httpIdleTimeout   = 2 * time.Minute
	httpHeaderBytes   = 64 << 10
)

// metrics is what GET /metrics answers.
func (n *Node) metrics() http.Handler {
	return metrics.New(metrics.Config{
		Source: n.gateway, Node: n.id.Name, Version: n.build, Since: n.startedAt, LogBytes: n.engine.Bytes,
		Ready: func() bool { return len(n.ready.Missing()) == 0 },
		Wire:  func() (sent, received uint64) { s := n.mux.Stats(); return s.BytesOut, s.BytesIn },
	}).Handler()
}

func (n *Node) serveHTTP() error {
	handler := httpapi.New(httpapi.Config{
		Gateway: n.gateway, Node: processAdapter{n}, Version: n.build, Logger: n.log, Metrics: n.metrics(),
		Extra: map[string]http.Handler{"/debug/pprof/": profiles()},
	})
	s := &http.Server{
		Handler: handler, ReadHeaderTimeout: httpHeaderTimeout, IdleTimeout: httpIdleTimeout, MaxHeaderBytes: httpHeaderBytes,
	}
	s.RegisterOnShutdown(handler.EndStreams)
	done := make(chan error, 1)
	go func() { done <- s.Serve(n.sockets.http) }() // ends with the stage
	n.stages.add("HTTP", func(ctx context.Context) error {
		limited, cancel := context.WithTimeout(ctx, drainLimit)
		defer cancel()
		err := s.Shutdown(limited)
		if err != nil {
			err = s.Close()
		}
		if serving := <-done; !errors.Is(serving, http.ErrServerClosed) {
			err = errors.Join(err, serving)
		}
		return err
	})
	return nil
}
