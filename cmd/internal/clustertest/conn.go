package clustertest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// maxInFlight bounds the bytes that one direction of a connection holds.
const maxInFlight = 4 << 20

// conn is one end of a connection in memory; each direction is a stream.
type conn struct {
	in, out       *stream
	local, remote net.Addr
	once          sync.Once
	closed        func() // told the network, once

	mu       sync.Mutex
	deadline time.Time     // guarded by mu: of reads
	moved    chan struct{} // guarded by mu: closed and replaced when deadline moves
}

func newConns(k *link, from, to net.Addr) (near, far *conn) {
	there, back := newStream(k), newStream(k)
	near = &conn{in: back, out: there, local: from, remote: to, moved: make(chan struct{})}
	far = &conn{in: there, out: back, local: to, remote: from, moved: make(chan struct{})}
	return near, far
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) Close() error {
	c.once.Do(func() {
		c.in.close(func(s *stream) { s.readerGone = true })
		c.out.close(func(s *stream) { s.writerGone = true })
		if c.closed != nil {
			c.closed()
		}
	})
	return nil
}

func (c *conn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(time.Time) error { return nil } // writes wait for room only
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.moved)
	c.moved = make(chan struct{})
	return nil
}

// Write fails once the other end is known to be gone; from then on reads fail
// too, as behind a TCP reset. gRPC relies on that: it would open streams on a
// connection that cannot be written, without a pause, until a read fails.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	if err != nil {
		c.in.close(func(s *stream) { s.reset = true })
	}
	return n, err
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		got, wait := c.in.read(b)
		if got.n > 0 || got.err != nil {
			return got.n, got.err
		}
		until := wait.until
		c.mu.Lock()
		deadline, moved := c.deadline, c.moved
		c.mu.Unlock()
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		if !deadline.IsZero() && (until.IsZero() || deadline.Before(until)) {
			until = deadline
		}
		waitFor(until, wait.written, wait.healed, moved)
	}
}

// waitFor returns at a time (zero: never) or when one of the channels is closed.
func waitFor(until time.Time, a, b, c <-chan struct{}) {
	var at <-chan time.Time
	if !until.IsZero() {
		left := time.Until(until)
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		at = timer.C
	}
	select {
	case <-a:
	case <-b:
	case <-c:
	case <-at:
	}
}

// stream is one direction: chunks arrive in order, each after the link's delay.
type stream struct {
	link *link

	mu         sync.Mutex
	chunks     []chunk       // guarded by mu
	bytes      int           // guarded by mu
	writerGone bool          // guarded by mu: what was written before is still read
	readerGone bool          // guarded by mu: the writer learns of it unless the link is cut
	reset      bool          // guarded by mu: nothing is read any more
	changed    chan struct{} // guarded by mu: closed and replaced at each change
}

type chunk struct {
	data []byte
	at   time.Time
}

func newStream(k *link) *stream { return &stream{link: k, changed: make(chan struct{})} }

func (s *stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) close(end func(*stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end(s)
	s.notify()
}

func (s *stream) write(b []byte) (int, error) {
	for {
		cut, delay, healed := s.link.state()
		s.mu.Lock()
		if s.writerGone || s.readerGone && !cut {
			s.mu.Unlock()
			return 0, io.ErrClosedPipe
		}
		if s.bytes < maxInFlight {
			s.chunks = append(s.chunks, chunk{append([]byte(nil), b...), time.Now().Add(delay)})
			s.bytes += len(b)
			s.notify()
			s.mu.Unlock()
			return len(b), nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-healed:
		}
	}
}

// taken is what a read got, awaited what the next one should wait for.
type taken struct {
	n   int
	err error
}

type awaited struct {
	written, healed <-chan struct{}
	until           time.Time // zero: no chunk is on its way
}

// read takes what has arrived; otherwise it says what to wait for.
func (s *stream) read(b []byte) (taken, awaited) {
	cut, _, healed := s.link.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := awaited{written: s.changed, healed: healed}
	switch {
	case s.readerGone || s.reset:
		return taken{err: net.ErrClosed}, wait
	case cut:
		return taken{}, wait
	case len(s.chunks) == 0 && s.writerGone:
		return taken{err: io.EOF}, wait
	case len(s.chunks) == 0:
		return taken{}, wait
	case time.Now().Before(s.chunks[0].at):
		wait.until = s.chunks[0].at
		return taken{}, wait
	}
	c := &s.chunks[0]
	n := copy(b, c.data)
	if c.data = c.data[n:]; len(c.data) == 0 {
		s.chunks = s.chunks[1:]
	}
	s.bytes -= n
	s.notify()
	return taken{n: n}, wait
}
