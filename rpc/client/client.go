package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// The nouns of a point.
type (
	Point   = storage.Point
	Series  = storage.Series
	Field   = storage.Field
	Value   = blocks.Value
	Columns = blocks.Columns
)

// The five kinds of values.
var (
	Float   = blocks.Float
	Int     = blocks.Int
	Uint    = blocks.Uint
	Boolean = blocks.Boolean
	Text    = blocks.Text
)

// NoTime as the Time of a point lets the node that accepts it stamp it.
const NoTime = api.NoTime

// Defaults of Options.
const (
	DefaultRetryFor = 30 * time.Second
	maxReplyBytes   = 256 << 20
)

// Options of New.
type Options struct {
	Addrs []string // host:port of --rpc-addr; at least one
	// Connections is how many connections a Client holds to each address. 0: 1.
	Connections int
	// RetryFor bounds all attempts of one call, as far as the context allows.
	// 0: DefaultRetryFor. Negative: one attempt.
	RetryFor time.Duration
	// NoRetryUnknown reports a write whose outcome is unknown at once instead
	// of repeating it with the same timestamps. The name is such that the zero
	// value is the default: RetryUnknown is on.
	NoRetryUnknown bool
	// OnlyAddrs keeps to Addrs, in turn. Otherwise reads go to the node that leads
	// their group once answers have told which that is, even to one that is not in
	// Addrs if it can be reached at the address that it advertises.
	OnlyAddrs bool
	// Connect opens a connection to an address. nil: TCP.
	Connect func(ctx context.Context, addr string) (net.Conn, error)
	// Dial are further options, credentials for instance. None: no TLS.
	Dial []grpc.DialOption
}

// Client talks to a cluster. It is safe for concurrent use; Close it.
type Client struct {
	o      Options
	scheme string // of addresses
	dial   []grpc.DialOption
	conns  []*conn // to the addresses that were given
	turn   atomic.Uint64
	large  largeAnswers
	routes routes

	closeOnce sync.Once
	closeErr  error
}

// conn is one connection with its streams of writes and of small reads.
type conn struct {
	addr    string
	cc      *grpc.ClientConn
	api     pb.FlotillaClient
	writes  streams[pb.WriteRequest, pb.WriteResult, pb.WriteResults]
	queries streams[pb.QueryCall, pb.QueryAnswer, pb.QueryAnswers]
	// oldNode is set for good when the node turns out not to know QueryStream.
	oldNode atomic.Bool
	heard   atomic.Bool            // its stream of reads has answered once
	at      atomic.Pointer[member] // of a given one: the node at its end, nil unknown
}

// New makes a Client. Connections are opened when they are needed, so a node
// that is down is no error here.
func New(o Options) (*Client, error) {
	if len(o.Addrs) == 0 {
		return nil, errors.New("new client: no address")
	}
	if o.Connections <= 0 {
		o.Connections = 1
	}
	if o.RetryFor == 0 {
		o.RetryFor = DefaultRetryFor
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// A node comes back within seconds: never wait much longer for it.
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 2 * time.Second,
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReplyBytes)),
	}
	c := &Client{o: o}
	if o.Connect != nil {
		c.scheme = "passthrough:///"
		dial = append(dial, grpc.WithContextDialer(o.Connect))
	}
	c.dial = append(dial, o.Dial...)
	for range o.Connections { // the addresses in turn, so that calls go round them
		for _, addr := range o.Addrs {
			if err := c.checkAddr(addr); err != nil {
				return nil, errors.Join(fmt.Errorf("new client: %w", err), c.Close())
			}
			n, err := c.newConn(addr)
			if err != nil {
				return nil, errors.Join(err, c.Close())
			}
			if !o.OnlyAddrs {
				n.queries.kind.open = c.announcing(n)
			}
			c.conns = append(c.conns, n)
		}
	}
	return c, nil
}

// checkAddr refuses what no node can be reached at; gRPC would try it until the
// caller's time is over. Addresses of another kind are gRPC's, and Connect's its
// own.
func (c *Client) checkAddr(addr string) error {
	scheme, _, other := strings.Cut(addr, "://")
	if c.o.Connect != nil || strings.HasPrefix(addr, "unix:") || (other && scheme != "http" && scheme != "https") {
		return nil
	}
	return api.CheckHostPort(addr)
}

func (c *Client) newConn(addr string) (*conn, error) {
	cc, err := grpc.NewClient(c.scheme+addr, c.dial...)
	if err != nil {
		return nil, fmt.Errorf("new client: address %q: %w", addr, err)
	}
	n := &conn{addr: addr, cc: cc, api: pb.NewFlotillaClient(cc)}
	n.writes.kind, n.queries.kind = writeStream(n.api), queryStream(n.api)
	return n, nil
}

func (n *conn) close() error {
	n.writes.close()
	n.queries.close()
	return n.cc.Close()
}

// Close ends all connections and waits for the Client's goroutines. Writes on
// their way end with an unknown outcome.
func (c *Client) Close() error {
	c.closeOnce.Do(func() {
		var errs []error
		c.routes.close()
		for _, n := range c.conns {
			errs = append(errs, n.close())
		}
		c.closeErr = errors.Join(errs...)
	})
	return c.closeErr
}

// next gives the connection whose turn it is.
func (c *Client) next() *conn { return c.conns[int(c.turn.Add(1)-1)%len(c.conns)] }

// nextAwake is next for reads: a node that was silent of late is passed by,
// unless all were.
func (c *Client) nextAwake() *conn {
	for range c.conns {
		n := c.next()
		if m := n.at.Load(); m == nil || !m.rests() {
			return n
		}
	}
	return c.next()
}

// bounded limits a call with its repetitions.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.o.RetryFor < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.o.RetryFor)
}

// answerTime is what the node gives up early, so that its word (what a write came
// to, why a read failed) is here before the caller's time is over.
const answerTime = 500 * time.Millisecond

// nodeTimeoutMs is how long the node may take for a call, 0 where the caller sets
// no bound.
func nodeTimeoutMs(ctx context.Context) uint32 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(deadline)
	left -= min(answerTime, left/4)
	return uint32(max(1, min(left.Milliseconds(), 1<<31)))
}
