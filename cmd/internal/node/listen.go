package node

import (
	"context"
	"fmt"
	"net"

	"github.com/flotilla-db/flotilla/rpc/server"
)

// listen takes the node's ports; one that is in use is refused in one line.
func (n *Node) listen() error {
	open := n.opts.Listen
	if open == nil {
		open = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	for _, p := range []struct {
		what, addr string
		socket     *net.Listener
		public     *string
	}{
		{"rpc", n.cfg.RPCAddr, &n.sockets.rpc, &n.addrs.rpc},
		{"http", n.cfg.HTTPAddr, &n.sockets.http, &n.addrs.http},
	} {
		l, err := open(p.addr)
		if err != nil {
			return fmt.Errorf("listen for %s at %s: %w (hint: --%s-addr HOST:PORT takes another)", p.what, p.addr, err, p.what)
		}
		*p.socket, *p.public = l, n.advertised(l)
		n.stages.add(p.what+" socket", func(ctx context.Context) error {
			if l != n.sockets.rpc || n.sockets.server == nil {
				_ = l.Close() // closed by its server before, as a rule
				return nil
			}
			// The server closes it, and takes that for the end that it is.
			ended, cancel := context.WithCancel(ctx)
			cancel() // clients were waited for before
			return n.sockets.server.Close(ended)
		})
	}
	return nil
}

// sockets are what the node listens on.
type sockets struct {
	rpc, http net.Listener
	server    *server.Listener // on rpc; nil until it serves
}
