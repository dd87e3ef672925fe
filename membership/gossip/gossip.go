package gossip

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/flotilla-db/flotilla/membership"
)

// DefaultLabel separates the gossip of clusters that share a network.
const DefaultLabel = "flotilla"

const (
	streamTimeout   = 2 * time.Second // dial, read and write of a join
	pushPullEvery   = 15 * time.Second
	announceTimeout = time.Second
)

// ErrNameTaken: another incarnation of this node's name answers at another
// address. The process must not register: choose another name, or stop the
// other one.
var ErrNameTaken = errors.New("name is taken")

// ErrTwin: another process has this node's identity: its data directory is in
// use twice, as a copy. This process must end.
var ErrTwin = errors.New("identity is in use")

// twinLimit bounds the question whether a process with our identity answers.
const twinLimit = 5 * time.Second

// ErrForeign: an address belongs to another cluster. Nothing was taken from it.
var ErrForeign = errors.New("another cluster")

// Config is what gossip is made of.
type Config struct {
	Self      membership.NodeID
	BindAddr  string // host:port; port 0 takes a free one
	Advertise string // host, or host:port, that others should use; "": what is bound
	Label     string // --cluster; "": DefaultLabel
	Key       []byte // the cluster key, any length; nil: no encryption
	Seeds     []string
	Meta      Meta // ClusterID is "" for a fresh node
	// Promised is the promise that this node has kept from an earlier start.
	Promised []membership.NodeID
	// Promise writes a promise down; it is spread only when this returned nil.
	Promise func(set []membership.NodeID) error
	// Peers names gossip addresses of nodes that the node table knows. They are
	// tried like seeds. nil: none.
	Peers func() []string
	// OnChange is called from one goroutine after members came, went or
	// changed. Several changes may share a call.
	OnChange func()
	// OnForeign is called when a seed or a known peer turns out to be of another
	// cluster (ErrForeign). It must not block.
	OnForeign func(addr string, err error)
	// OnTwin is called when another process turns out to have this node's identity
	// (ErrTwin). It must not block.
	OnTwin    func(err error)
	Transport memberlist.Transport // nil: UDP and TCP at BindAddr
	Logger    *slog.Logger
}

// Gossip is this node's part in the gossip.
type Gossip struct {
	cfg      Config
	logger   *slog.Logger
	list     *memberlist.Memberlist
	addr     string // our own; memberlist writes it again at each announcement, without a lock for readers
	book     *book
	refusals *refusals
	stop     context.CancelFunc
	movedAt  atomic.Int64           // Unix ns of the last sign of an old address of ours, 0: none
	sawMove  chan struct{}          // capacity 1
	joining  atomic.Pointer[string] // the address that is being joined now
	trouble  atomic.Pointer[string] // the last reason why there is no cluster, or nobody to join
	loops    sync.WaitGroup
	asking   atomic.Bool // whether a twin answers

	mu   sync.Mutex // guards meta and promised
	meta Meta
	// promised is set once and never changed.
	promised []membership.NodeID

	closeOnce sync.Once
	closeErr  error
}

// Start binds the addresses and begins to gossip. Seeds that are down are
// tried for ever.
func Start(cfg Config) (*Gossip, error) {
	if err := cfg.Self.Validate(); err != nil {
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	if cfg.Label == "" {
		cfg.Label = DefaultLabel
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	logger := cfg.Logger.With("part", "gossip")
	g := &Gossip{cfg: cfg, logger: logger, book: newBook(), refusals: newRefusals(logger), sawMove: make(chan struct{}, 1), meta: cfg.Meta, promised: cfg.Promised}
	if len(cfg.Promised) > 0 {
		g.meta.Promise = DigestOf(cfg.Promised)
	}
	if _, err := g.meta.encode(); err != nil {
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	mc, err := g.memberlistConfig()
	if err != nil {
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	if g.list, err = memberlist.Create(mc); err != nil {
		return nil, fmt.Errorf("start gossip at %s: %w", cfg.BindAddr, err)
	}
	g.addr = g.list.LocalNode().Address()
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.loops.Go(func() { g.tell(ctx) })
	g.loops.Go(func() { g.rejoin(ctx) })
	return g, nil
}

func (g *Gossip) memberlistConfig() (*memberlist.Config, error) {
	mc := memberlist.DefaultLANConfig()
	mc.Name = g.cfg.Self.String()
	mc.Label = g.cfg.Label
	mc.Logger = newLogger(g.logger)
	mc.Transport = g.cfg.Transport
	mc.TCPTimeout = streamTimeout
	mc.PushPullInterval = pushPullEvery
	mc.DeadNodeReclaimTime = time.Second // a restart at another address
	mc.EnableCompression = false
	mc.Delegate, mc.Events, mc.Merge, mc.Alive, mc.Conflict = g, events{g}, g, g, g
	if len(g.cfg.Key) > 0 {
		key := sha256.Sum256(append([]byte("flotilla gossip key\n"), g.cfg.Key...))
		mc.SecretKey = key[:]
	}
	if g.cfg.Transport != nil {
		return mc, nil
	}
	host, port, err := splitAddr(g.cfg.BindAddr)
	if err != nil {
		return nil, fmt.Errorf("bind address: %w", err)
	}
	mc.BindAddr, mc.BindPort, mc.AdvertisePort = host, port, port
	if g.cfg.Advertise == "" {
		return mc, nil
	}
	host = g.cfg.Advertise
	if h, p, err := splitAddr(g.cfg.Advertise); err == nil {
		host, mc.AdvertisePort = h, p
	}
	if mc.AdvertiseAddr, err = resolve(host); err != nil {
		return nil, fmt.Errorf("advertised host %q: %w", host, err)
	}
	return mc, nil
}

func splitAddr(addr string) (string, int, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is no number up to 65535", text)
	}
	if host, err = resolve(host); err != nil {
		return "", 0, err
	}
	return host, int(port), nil
}

// resolve gives an IP address: memberlist takes no names.
func resolve(host string) (string, error) {
	if host == "" {
		return "0.0.0.0", nil
	}
	if net.ParseIP(host) != nil {
		return host, nil
	}
	ips, err := net.LookupIP(host)
	if err != nil {
		return "", err
	}
	for _, ip := range ips {
		if ip.To4() != nil {
			return ip.String(), nil
		}
	}
	return ips[0].String(), nil
}

// Addr is the gossip address that others use for this node.
func (g *Gossip) Addr() string { return g.addr }

// Members lists all nodes that gossip knows, this one included, by id. Nodes
// that left or failed are in it, as down, for a while.
func (g *Gossip) Members() []Member { return g.book.list() }

// Member finds one incarnation.
func (g *Gossip) Member(id membership.NodeID) (Member, bool) { return g.book.get(id) }

// Alive reports whether a node seems to answer.
func (g *Gossip) Alive(id membership.NodeID) bool {
	m, ok := g.book.get(id)
	return ok && m.State == membership.NodeUp
}

// SetClusterID spreads the cluster that this node belongs to. Write it down
// first. From then on other clusters are refused.
func (g *Gossip) SetClusterID(id string) error {
	g.mu.Lock()
	g.meta.ClusterID, g.meta.Expect, g.meta.Promise = id, 0, Digest{}
	_, err := g.meta.encode()
	g.mu.Unlock()
	if err != nil {
		return fmt.Errorf("set cluster id: %w", err)
	}
	g.announce()
	return nil
}

// announce spreads changed metadata. That nobody has it yet is no error: it
// goes on being spread.
func (g *Gossip) announce() {
	if err := g.list.UpdateNode(announceTimeout); err != nil {
		g.logger.Debug("nobody has taken the new metadata yet", "error", err)
	}
}

// clusterID is our own cluster, or the one that a fresh node has seen first.
func (g *Gossip) clusterID() string {
	g.mu.Lock()
	own := g.meta.ClusterID
	g.mu.Unlock()
	if own != "" {
		return own
	}
	return g.book.observedCluster()
}

// CheckName asks the other incarnations of this node's name, as far as gossip
// knows any at another address, whether they are there: ErrNameTaken if one is.
func (g *Gossip) CheckName(ctx context.Context) error {
	for _, m := range g.Members() {
		if m.Name != g.cfg.Self.Name || m.NodeID == g.cfg.Self || m.State != membership.NodeUp || m.Addr == g.Addr() {
			continue
		}
		host, port, err := splitAddr(m.Addr)
		if err != nil {
			continue
		}
		for range 3 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if _, err := g.list.Ping(m.NodeID.String(), &net.UDPAddr{IP: net.ParseIP(host), Port: port}); err == nil {
				return fmt.Errorf("%w: %s answers at %s, and this node is %s: stop it, or choose another --name", ErrNameTaken, m.NodeID, m.Addr, g.cfg.Self)
			}
		}
	}
	return nil
}

// CheckTwin asks whether a process answers at one of the addresses under this
// node's own id: ErrTwin if one does. That of this process is not asked.
func (g *Gossip) CheckTwin(ctx context.Context, addrs ...string) error {
	for _, addr := range addrs {
		host, port, err := splitAddr(addr)
		if err != nil || addr == g.Addr() {
			continue
		}
		for range 2 { // a datagram may be lost
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if _, err := g.list.Ping(g.cfg.Self.String(), &net.UDPAddr{IP: net.ParseIP(host), Port: port}); err == nil {
				return fmt.Errorf("%w: %s answers at %s, and this process has the same identity: one data directory is a copy of the other", ErrTwin, g.cfg.Self, addr)
			}
		}
	}
	return nil
}

// askTwin looks, beside memberlist, whether an old address of ours answers.
func (g *Gossip) askTwin(addr string) {
	if g.cfg.OnTwin == nil || !g.asking.CompareAndSwap(false, true) {
		return
	}
	g.loops.Go(func() {
		defer g.asking.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), twinLimit)
		defer cancel()
		if err := g.CheckTwin(ctx, addr); errors.Is(err, ErrTwin) {
			g.cfg.OnTwin(err)
		}
	})
}

// Trouble says, after a colon, what this node waits for to find the others, or
// why it could not join them; "" if it is not known to lack anything.
func (g *Gossip) Trouble() string {
	if why := g.trouble.Load(); why != nil && g.alone() {
		return ": " + *why
	}
	return ""
}

// Leave tells the others that this node goes on purpose.
func (g *Gossip) Leave(timeout time.Duration) error {
	if err := g.list.Leave(timeout); err != nil {
		return fmt.Errorf("leave the gossip: %w", err)
	}
	return nil
}

// Close stops the gossip and waits for its own goroutines.
func (g *Gossip) Close() error {
	g.closeOnce.Do(func() {
		g.stop()
		if err := g.list.Shutdown(); err != nil {
			g.closeErr = fmt.Errorf("stop the gossip: %w", err)
		}
		g.loops.Wait()
	})
	return g.closeErr
}

// tell calls OnChange behind changes.
func (g *Gossip) tell(ctx context.Context) {
	for {
		changed := g.book.changes()
		select {
		case <-ctx.Done():
			return
		case <-changed:
			if g.cfg.OnChange != nil {
				g.cfg.OnChange()
			}
		}
	}
}
