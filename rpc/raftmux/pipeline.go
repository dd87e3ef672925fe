package raftmux

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var errPipelineClosed = errors.New("pipeline closed")

// pipeline keeps up to maxPipelined AppendEntries of a group on their way to
// one peer. It implements raft.AppendPipeline.
//
// An AppendEntries that fails is never given to Consumer: Raft takes whatever
// comes from there for a sign of life of the peer and renews its lease
// (pipelineDecode, raft 1.7.3). Instead the next AppendEntries fails, and Raft
// goes back to single requests; it asks again at the next entry, or after its
// commit timeout.
type pipeline struct {
	transport *Transport
	route     *route
	session   *session
	slots     chan struct{} // holds one element for each request on its way
	results   chan raft.AppendFuture
	broken    chan struct{} // closed when err is set

	once sync.Once
	err  error // why broken was closed
}

// AppendEntriesPipeline implements raft.Transport. A peer that may be behind gets
// none: see late.go.
func (t *Transport) AppendEntriesPipeline(_ raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	r, s, err := t.begin(target, time.Now().Add(t.mux.timings.RaftDeadline))
	if err != nil {
		return nil, err
	}
	if r.behind.Swap(false) {
		return nil, raft.ErrPipelineReplicationNotSupported
	}
	return &pipeline{
		transport: t, route: r, session: s,
		slots:   make(chan struct{}, maxPipelined),
		results: make(chan raft.AppendFuture, pipelineResults),
		broken:  make(chan struct{}),
	}, nil
}

// AppendEntries implements raft.AppendPipeline. It waits while the pipeline is
// full.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if err := checkAppend(args); err != nil {
		return nil, err
	}
	if len(args.Entries) >= fullAppend && p.transport.group != MetaGroup {
		p.fail(errBehind) // the meta group has that many on their way at times
		return nil, errBehind
	}
	clock := reading(p.session.lastReading.Load()) // before anything waits: args are as old as this
	select {
	case <-p.broken:
		return nil, p.err
	default:
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.broken:
		return nil, p.err
	}
	now := time.Now()
	future := &appendFuture{start: now, args: args, resp: resp, done: make(chan struct{})}
	request := &pending{
		owner: p.transport, answer: resp, from: p.route.address,
		deadline: now.Add(p.transport.mux.timings.RaftDeadline), pipe: p, future: future,
	}
	_, err := p.session.request(request, p.transport.appendFrameOf(args), func(dst []byte, id uint64) []byte {
		return appendAppend(dst, p.transport.header(p.route, id), clock, args)
	})
	if err != nil {
		p.fail(err)
		return nil, err
	}
	return future, nil
}

// finish takes an answer, from the session's reader: it must not block.
func (p *pipeline) finish(f *appendFuture, err error) {
	f.err = err
	close(f.done)
	if err != nil {
		p.fail(err)
		<-p.slots
		return
	}
	select {
	case <-p.broken:
	case p.results <- f:
	default:
		p.fail(errors.New("answers are not taken"))
	}
	<-p.slots
}

// fail lets the next AppendEntries fail, with the first reason.
func (p *pipeline) fail(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.broken)
	})
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.results }

// Close implements raft.AppendPipeline. What is on its way is answered, and
// ignored.
func (p *pipeline) Close() error {
	p.fail(errPipelineClosed)
	return nil
}

// appendFuture implements raft.AppendFuture.
type appendFuture struct {
	start time.Time
	args  *raft.AppendEntriesRequest
	resp  *raft.AppendEntriesResponse
	done  chan struct{} // closed when err is set
	err   error
}

func (f *appendFuture) Error() error {
	<-f.done
	return f.err
}

func (f *appendFuture) Start() time.Time                      { return f.start }
func (f *appendFuture) Request() *raft.AppendEntriesRequest   { return f.args }
func (f *appendFuture) Response() *raft.AppendEntriesResponse { return f.resp }
