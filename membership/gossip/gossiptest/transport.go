// Package gossiptest gives gossip a network in memory. A Transport carries what
// one node's memberlist sends over a Wire, which may lose, delay or cut it. The
// package is for tests only.
package gossiptest

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// maxPackets and maxStreams bound what waits for a memberlist: beyond them
// packets are lost, as they are by UDP, and streams wait unaccepted.
const (
	maxPackets = 1024
	maxStreams = 64
)

// Wire is how a Transport reaches others. Send may lose the packet; the other
// side's Deliver is called with a copy.
type Wire interface {
	Send(from, to string, packet []byte)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// Transport implements memberlist.Transport.
type Transport struct {
	wire    Wire
	l       net.Listener // of streams; its address is the transport's
	packets chan *memberlist.Packet
	streams chan net.Conn
	stop    chan struct{}
	once    sync.Once
	done    sync.WaitGroup
}

var _ memberlist.Transport = (*Transport)(nil)

// New serves the streams of l until Shutdown, which memberlist calls.
func New(wire Wire, l net.Listener) *Transport {
	t := &Transport{
		wire: wire, l: l, packets: make(chan *memberlist.Packet, maxPackets),
		streams: make(chan net.Conn, maxStreams), stop: make(chan struct{}),
	}
	t.done.Go(t.accept)
	return t
}

func (t *Transport) accept() {
	for {
		c, err := t.l.Accept()
		if err != nil {
			return
		}
		select {
		case t.streams <- c:
		case <-t.stop:
			_ = c.Close()
			return
		}
	}
}

// Deliver hands over a packet that has arrived.
func (t *Transport) Deliver(from net.Addr, packet []byte) {
	select {
	case <-t.stop:
	case t.packets <- &memberlist.Packet{Buf: packet, From: from, Timestamp: time.Now()}:
	default:
	}
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *Transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	host, port, err := net.SplitHostPort(t.l.Addr().String())
	if err != nil {
		return nil, 0, err
	}
	p, err := strconv.Atoi(port)
	return net.ParseIP(host).To4(), p, err
}

// WriteTo implements memberlist.Transport.
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	t.wire.Send(t.l.Addr().String(), addr, b)
	return time.Now(), nil
}

// DialTimeout implements memberlist.Transport.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return t.wire.Dial(ctx, addr)
}

// PacketCh implements memberlist.Transport.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport.
func (t *Transport) Shutdown() error {
	t.once.Do(func() {
		close(t.stop)
		_ = t.l.Close()
		t.done.Wait()
		for {
			select {
			case c := <-t.streams:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}
