package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/flotilla-db/flotilla/membership"
)

// Questions of checks about many groups share calls: what is asked of one node
// within a moment goes in one, and the answers come packed in one. Only questions
// may be gathered that change nothing: one that is not answered soon is asked
// again by itself, so that nobody waits for the slowest replica of others.
const (
	// gatherPause is how long a question waits for others.
	gatherPause = 2 * time.Millisecond
	// maxGathered bounds the questions of one call.
	maxGathered = 512
	// gatherPatience is how long a node waits for its slower answers.
	gatherPatience = time.Second
	// gatherTimeout bounds one call.
	gatherTimeout = gatherPatience + 2*time.Second
	// gatheredAtOnce bounds the questions of one call that a node works on at once.
	gatheredAtOnce = 16
	// packFrom is from what size on a call, or its answer, is packed.
	packFrom = 1 << 10
	// maxUnpacked bounds what is unpacked.
	maxUnpacked = 64 << 20
)

// gatherable are the methods that change nothing.
var gatherable = []Method{MethodReport, MethodRoots}

type gatheredQuestion struct {
	Method  Method          `json:"method"`
	Payload json.RawMessage `json:"payload"`
}

type gatheredAnswer struct {
	Answer json.RawMessage `json:"answer"`
	Error  string          `json:"error,omitempty"`
	Late   bool            `json:"late,omitempty"` // ask again
}

// gather gathers the questions of this node.
type gather struct {
	g     *Gateway
	begin func(to membership.NodeID, w *gathering) // sends, beside, until end
	end   context.CancelFunc
	wg    sync.WaitGroup

	packer   func() (*zstd.Encoder, error) // made at first need
	unpacker func() (*zstd.Decoder, error)

	mu      sync.Mutex
	waiting map[membership.NodeID]*gathering // guarded by mu
	closed  bool                             // guarded by mu
}

// gathering are the questions for one node that wait.
type gathering struct {
	questions []*question
	full      chan struct{} // closed when no more fit
}

type question struct {
	gatheredQuestion
	done   chan struct{}
	answer []byte // valid after done, as are the others
	err    error
	alone  bool // it was not answered: ask by itself
}

func newGather(g *Gateway) *gather {
	life, end := context.WithCancel(context.Background())
	x := &gather{g: g, end: end, waiting: map[membership.NodeID]*gathering{},
		packer: sync.OnceValues(newPacker), unpacker: sync.OnceValues(newUnpacker)}
	x.begin = func(to membership.NodeID, w *gathering) { x.wg.Go(func() { x.send(life, to, w) }) }
	return x
}

// close ends the calls under way, and waits for them.
func (x *gather) close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.end()
	x.wg.Wait()
}

// call is Gateway.call for one of the gatherable methods.
func (x *gather) call(ctx context.Context, to membership.NodeID, method Method, payload []byte) ([]byte, error) {
	if to == x.g.cfg.Self {
		return x.g.Serve(ctx, to, method, payload)
	}
	q := &question{gatheredQuestion: gatheredQuestion{method, payload}, done: make(chan struct{})}
	x.add(to, q)
	select {
	case <-q.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if q.alone {
		return x.g.cfg.Peers.Call(ctx, to, method, payload)
	}
	return q.answer, q.err
}

func (x *gather) add(to membership.NodeID, q *question) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		q.alone = true
		close(q.done)
		return
	}
	w := x.waiting[to]
	if w == nil {
		w = &gathering{full: make(chan struct{})}
		x.waiting[to] = w
		x.begin(to, w)
	}
	w.questions = append(w.questions, q)
	if len(w.questions) == maxGathered {
		delete(x.waiting, to)
		close(w.full)
	}
}

// send waits for others, and asks.
func (x *gather) send(life context.Context, to membership.NodeID, w *gathering) {
	timer := time.NewTimer(gatherPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.full:
	case <-life.Done():
	}
	x.mu.Lock()
	if x.waiting[to] == w {
		delete(x.waiting, to)
	}
	list := w.questions
	x.mu.Unlock()
	answers, err := x.ask(life, to, list)
	for i, q := range list {
		switch {
		case err != nil:
			q.err = err
			q.alone = errors.Is(err, errAlone)
		case answers[i].Late:
			q.alone = true
		case answers[i].Error != "":
			q.err = errors.New(answers[i].Error)
		default:
			q.answer = answers[i].Answer
		}
		close(q.done)
	}
}

// errAlone: the questions are to be asked one by one.
var errAlone = errors.New("not gathered")

func (x *gather) ask(life context.Context, to membership.NodeID, list []*question) ([]gatheredAnswer, error) {
	if len(list) == 1 {
		return nil, errAlone
	}
	questions := make([]gatheredQuestion, len(list))
	for i, q := range list {
		questions[i] = q.gatheredQuestion
	}
	b, err := json.Marshal(questions)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(life, gatherTimeout)
	defer cancel()
	b, err = x.g.cfg.Peers.Call(ctx, to, MethodMany, x.pack(b))
	var answers []gatheredAnswer
	switch {
	case errors.Is(err, ErrUnreachable), errors.Is(err, ErrBroken):
		return nil, err
	case err != nil: // an earlier version, or too much at once
		return nil, fmt.Errorf("%w: %w", errAlone, err)
	}
	if b, err = x.unpack(b); err == nil {
		err = json.Unmarshal(b, &answers)
	}
	if err != nil || len(answers) != len(list) {
		return nil, fmt.Errorf("%w: %w", errAlone, errPayload)
	}
	return answers, nil
}

// serveMany answers as many of the questions as it can soon.
func (g *Gateway) serveMany(ctx context.Context, from membership.NodeID, payload []byte) ([]byte, error) {
	var list []gatheredQuestion
	b, err := g.gather.unpack(payload)
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	forbidden := slices.ContainsFunc(list, func(q gatheredQuestion) bool { return !slices.Contains(gatherable, q.Method) })
	if err != nil || len(list) > maxGathered || forbidden {
		return nil, fmt.Errorf("gathered questions: %w", errPayload)
	}
	ctx, cancel := context.WithTimeout(ctx, gatherPatience)
	defer cancel()
	answers := make([]gatheredAnswer, len(list))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(gatheredAtOnce, len(list)) {
		wg.Go(func() {
			for i := range next {
				answers[i] = g.answer(ctx, from, list[i])
			}
		})
	}
	for i := range list {
		next <- i
	}
	close(next)
	wg.Wait()
	if b, err = json.Marshal(answers); err != nil {
		return nil, err
	}
	return g.gather.pack(b), nil
}

func (g *Gateway) answer(ctx context.Context, from membership.NodeID, q gatheredQuestion) (a gatheredAnswer) {
	if ctx.Err() != nil {
		return gatheredAnswer{Late: true}
	}
	b, err := g.Serve(ctx, from, q.Method, q.Payload)
	switch {
	case ctx.Err() != nil:
		a.Late = true // it may be the answer to having no more time
	case err != nil:
		a.Error = err.Error()
	default:
		a.Answer = b
	}
	return a
}

// A payload that may be packed begins with one byte that says whether it is.
const (
	asItIs byte = iota
	zstdPacked
)

func newPacker() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
}

func newUnpacker() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderLowmem(true))
}

func (x *gather) pack(b []byte) []byte {
	if len(b) >= packFrom {
		if p, err := x.packer(); err == nil {
			return p.EncodeAll(b, []byte{zstdPacked})
		}
	}
	return append([]byte{asItIs}, b...)
}

func (x *gather) unpack(b []byte) ([]byte, error) {
	switch {
	case len(b) > 0 && b[0] == asItIs:
		return b[1:], nil
	case len(b) > 0 && b[0] == zstdPacked:
		u, err := x.unpacker()
		if err != nil {
			return nil, err
		}
		return u.DecodeAll(b[1:], nil)
	}
	return nil, errPayload
}
