package raftmux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

var (
	errSilent    = errors.New("peer is silent")
	errReplaced  = errors.New("replaced by a newer stream")
	errNoAddress = errors.New("no address is known")
	errNoCluster = errors.New("this node belongs to no cluster yet")
	errForgotten = errors.New("peer was forgotten")
)

// refusedPause is the pause after a refusal that only an operator can cure.
const refusedPause = time.Second

// dialWindow is how long one gRPC connection attempt, with all our tries, may
// take before gRPC begins the next.
const dialWindow = 20 * time.Second

// outLink keeps a stream to a peer open.
type outLink struct {
	peer   *peer
	conn   *grpc.ClientConn
	cancel func()        // ends run
	kick   chan struct{} // ends a pause between tries; capacity 1

	session atomic.Pointer[session] // the open stream; nil: none

	mu      sync.Mutex    // guards what follows
	dialing bool          // a try is under way
	lastErr error         // why the last try, or session, ended
	refused bool          // see PeerState
	tcp     net.Conn      // the newest connection
	logged  string        // the last refusal that was logged
	ended   error         // run has ended
	change  chan struct{} // closed at every change of the above
}

// newOutLink makes the link and starts it.
func newOutLink(p *peer) (*outLink, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &outLink{peer: p, cancel: cancel, kick: make(chan struct{}, 1), change: make(chan struct{}), dialing: true}
	t := p.mux.timings
	conn, err := grpc.NewClient("passthrough:///"+p.id.String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(l.dial),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: t.Redial, Multiplier: 1, MaxDelay: t.Redial},
			MinConnectTimeout: dialWindow,
		}),
		grpc.WithIdleTimeout(0),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithNoProxy(),
	)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("make connection to %s: %w", p.id, err)
	}
	l.conn = conn
	p.mux.goroutines.Go(func() { l.run(ctx) })
	return l, nil
}

// dial is what gRPC calls for each connection. It tries until it succeeds: the
// pauses are ours, since gRPC's cannot be cut short (ResetConnectBackoff of
// 1.85 iterates over a map without its lock).
func (l *outLink) dial(ctx context.Context, _ string) (net.Conn, error) {
	pause := l.peer.mux.timings.Redial
	for {
		conn, err := l.try(ctx)
		if err == nil {
			return conn, nil
		}
		l.pause(ctx, pause)
		if ctx.Err() != nil {
			return nil, err
		}
		pause = min(pause*3/2, l.peer.mux.timings.RedialMax)
	}
}

// pause waits; a sign of life of the peer ends it.
func (l *outLink) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.kick:
	case <-ctx.Done():
	}
}

// try dials once and notes what came of it.
func (l *outLink) try(ctx context.Context) (net.Conn, error) {
	l.update(func() { l.dialing = true })
	conn, err := l.dialOnce(ctx)
	refused := isRefused(err)
	l.update(func() {
		l.tcp = conn
		if err != nil {
			l.dialing, l.lastErr, l.refused = false, err, refused
		}
	})
	if refused {
		l.peer.refused()
	}
	if err == nil {
		// A stopped process accepts connections and says nothing.
		time.AfterFunc(l.peer.mux.timings.Hello, func() {
			if l.session.Load() == nil {
				conn.Close()
			}
		})
	}
	return conn, err
}

// dialOnce resolves the address, anew each time, and dials it.
func (l *outLink) dialOnce(ctx context.Context) (net.Conn, error) {
	addr, ok := l.peer.mux.config.Resolve(l.peer.id)
	if !ok {
		return nil, errNoAddress
	}
	ctx, cancel := context.WithTimeout(ctx, l.peer.mux.timings.DialTimeout)
	defer cancel()
	return l.peer.mux.config.Dial(ctx, addr)
}

// update changes the link's state and wakes those who wait for it.
func (l *outLink) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.change)
	l.change = make(chan struct{})
}

// run opens streams, one after the other, until the link is cancelled.
func (l *outLink) run(ctx context.Context) {
	pause := l.peer.mux.timings.Redial
	for ctx.Err() == nil {
		opened, err := l.serve(ctx)
		var refused *refusedError
		lasting := errors.As(err, &refused) && refused.lasting()
		wrongNode := refused != nil && refused.code == refuseNode
		l.update(func() { l.dialing, l.lastErr, l.refused = opened, err, wrongNode })
		if wrongNode {
			l.peer.refused()
		}
		l.log(opened, err, refused)
		switch {
		case opened: // at once: a refusal now says that the process is dead
			pause = l.peer.mux.timings.Redial
		case lasting:
			l.pause(ctx, refusedPause)
		default:
			l.pause(ctx, pause)
			pause = min(pause*3/2, l.peer.mux.timings.RedialMax)
		}
	}
	l.update(func() { l.ended, l.dialing = ErrClosed, false })
	l.conn.Close()
}

// log tells the operator of changes, not of every try.
func (l *outLink) log(opened bool, err error, refused *refusedError) {
	logger := l.peer.mux.log
	switch {
	case opened:
		logger.Info("stream to peer ended", "peer", l.peer.id.String(), "error", err)
	case refused != nil && refused.lasting() && refused.text != l.logged:
		logger.Warn("stream to peer refused", "peer", l.peer.id.String(), "reason", refused.text)
		l.logged = refused.text
	default:
		logger.Debug("no stream to peer", "peer", l.peer.id.String(), "error", err)
	}
}

// serve opens one stream and serves it to its end.
func (l *outLink) serve(ctx context.Context) (opened bool, err error) {
	if l.peer.mux.config.ClusterID() == "" {
		return false, errNoCluster
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.update(func() { l.dialing = true })
	st, err := l.conn.NewStream(ctx, &streamDesc, streamMethod,
		grpc.WaitForReady(true), grpc.CallContentSubtype(codecName), grpc.MaxCallRecvMsgSize(2*maxMessage))
	if err != nil {
		return false, err
	}
	timer := time.AfterFunc(l.peer.mux.timings.Hello, cancel)
	err = l.peer.mux.openHandshake(st, l.peer.id)
	timer.Stop()
	if err != nil {
		return false, fmt.Errorf("open stream to %s: %w", l.peer.id, err)
	}
	s := newSession(l.peer, cancel)
	l.peer.heardNow(0)
	l.session.Store(s)
	l.update(func() { l.dialing, l.lastErr, l.refused, l.logged = false, nil, false, "" })
	l.peer.isUp()
	l.peer.mux.log.Info("stream to peer opened", "peer", l.peer.id.String())

	writer := make(chan struct{})
	go func() {
		defer close(writer)
		s.fail(s.sender.run(func(m *outMessage) error { return st.SendMsg(m) }))
	}()
	err = s.read(st)
	l.session.CompareAndSwap(s, nil)
	s.fail(err)
	<-writer
	return true, err
}

// open gives the session, waiting for one until the deadline (zero: none) or
// stop. Impatient callers do not wait behind a try that failed.
func (l *outLink) open(stop <-chan struct{}, deadline time.Time, patient bool) (*session, error) {
	if s := l.session.Load(); s != nil {
		return s, nil
	}
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	for {
		l.mu.Lock()
		change, ended, lastErr, dialing := l.change, l.ended, l.lastErr, l.dialing
		l.mu.Unlock()
		s := l.session.Load()
		switch {
		case s != nil:
			return s, nil
		case ended != nil:
			return nil, unreachable(l.peer, ended)
		case !patient && !dialing && lastErr != nil:
			return nil, unreachable(l.peer, lastErr)
		}
		select {
		case <-change:
		case <-stop:
			return nil, unreachable(l.peer, errGivenUp)
		case <-expired:
			return nil, unreachable(l.peer, errDeadline)
		}
	}
}

var errGivenUp = errors.New("the caller gave up before a stream was open")

// isEnded reports whether the link will never open again.
func (l *outLink) isEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended != nil
}

// redialNow ends a pause between tries: the peer was just heard.
func (l *outLink) redialNow() {
	if l.session.Load() != nil {
		return
	}
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// breakConn ends the session and its connection: gRPC would open the next
// stream on the same dead connection.
func (l *outLink) breakConn(why error) {
	l.mu.Lock()
	tcp := l.tcp
	l.mu.Unlock()
	if s := l.session.Load(); s != nil {
		s.fail(why)
	}
	if tcp != nil {
		tcp.Close()
	}
}
