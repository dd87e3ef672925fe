package raftgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

// fakeEntry is a raft.ApplyFuture that the test resolves.
type fakeEntry struct {
	data     []byte
	index    uint64
	done     chan struct{}
	err      error
	response any
}

func (e *fakeEntry) Error() error  { <-e.done; return e.err }
func (e *fakeEntry) Response() any { return e.response }
func (e *fakeEntry) Index() uint64 { return e.index }

// fakeRaft takes entries and answers them when the test says so.
type fakeRaft struct {
	mu      sync.Mutex
	entries []*fakeEntry
	answer  func(*fakeEntry) // nil: the test resolves
}

func (r *fakeRaft) apply(data []byte) raft.ApplyFuture {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &fakeEntry{data: data, index: uint64(len(r.entries) + 1), done: make(chan struct{})}
	r.entries = append(r.entries, e)
	if r.answer != nil {
		r.answer(e)
		close(e.done)
	}
	return e
}

func (r *fakeRaft) taken() []*fakeEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*fakeEntry(nil), r.entries...)
}

func newTestProposer(r *fakeRaft) *proposer {
	return &proposer{
		submit: newTurns(),
		apply:  r.apply, leader: func() membership.ServerID { return nodeB.Server(0) }, inFlight: DefaultInFlight,
	}
}

// frame is a delete command of about n bytes that carries a number.
func frame(i, n int) []byte {
	device := fmt.Sprintf("%06d", i) + string(bytes.Repeat([]byte("x"), n))
	return storage.AppendDelete(nil, storage.Delete{Series: storage.Series{Database: "d", Collection: "c", Device: device}})
}

func enqueue(t *testing.T, q *proposer, frames []byte) *Proposal {
	t.Helper()
	p := newProposal(frames, false)
	if err := q.enqueue(p); err != nil {
		t.Fatalf("enqueue: %v", err)
	}
	return p
}

func TestProposalsThatArriveTogetherShareAnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRaft{}
		q := newTestProposer(r)
		fence, err := q.raise("test", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		var all []*Proposal
		for i := range 10 {
			f := frame(i, 10)
			want = append(want, f...)
			all = append(all, enqueue(t, q, f))
		}
		fence.Lift()
		synctest.Wait()
		got := r.taken()
		if len(got) != 1 || !bytes.Equal(got[0].data, want) {
			t.Fatalf("%d entries, want one with the frames of all in order", len(got))
		}
		close(got[0].done)
		for _, p := range all {
			if index, err := p.Wait(context.Background()); err != nil || index != 1 {
				t.Errorf("index %d, %v", index, err)
			}
		}
		q.wg.Wait()
	})
}

func TestEntriesAreCappedInBytesAndCutsGoAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRaft{answer: func(*fakeEntry) {}}
		q := newTestProposer(r)
		fence, _ := q.raise("test", time.Second)
		for i := range 3 {
			enqueue(t, q, frame(i, 200<<10)) // two fit into 512 KiB
		}
		alone := newProposal(frame(3, 1), true)
		if err := q.enqueue(alone); err != nil {
			t.Fatal(err)
		}
		enqueue(t, q, frame(4, 1))
		fence.Lift()
		synctest.Wait()
		var sizes []int
		for _, e := range r.taken() {
			sizes = append(sizes, len(e.data))
		}
		if len(sizes) != 4 || sizes[0] < 400<<10 || sizes[0] > MaxEntryBytes || sizes[1] < 200<<10 ||
			sizes[2] != len(frame(3, 1)) || sizes[3] != len(frame(4, 1)) {
			t.Errorf("entries of %v bytes", sizes)
		}
		q.wg.Wait()
	})
}

func TestTooLargeAndTornFramesAreInvalid(t *testing.T) {
	q := newTestProposer(&fakeRaft{answer: func(*fakeEntry) {}})
	for name, frames := range map[string][]byte{
		"empty": {}, "large": frame(1, MaxEntryBytes), "torn": frame(1, 10)[:8],
	} {
		if err := q.enqueue(newProposal(frames, false)); OutcomeOf(err) != OutcomeInvalid {
			t.Errorf("%s: %v is %v", name, err, OutcomeOf(err))
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestProposer(&fakeRaft{answer: func(*fakeEntry) {}})
		fence, _ := q.raise("test", time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for i := range MaxQueuedProposals {
			p := enqueue(t, q, frame(i, 1))
			if i < 10 {
				_, err := p.Wait(ctx)
				if OutcomeOf(err) != OutcomeNotApplied {
					t.Fatalf("gave up in the queue: %v", err)
				}
			}
		}
		for i := range 10 { // the ten that gave up make room
			enqueue(t, q, frame(i, 1))
		}
		err := q.enqueue(newProposal(frame(0, 1), false))
		if !errors.Is(err, ErrBusy) || OutcomeOf(err) != OutcomeNotApplied {
			t.Errorf("beyond the bound: %v", err)
		}
		fence.Lift()
		q.wg.Wait()
	})
}

// I10: what may have reached the log is never called not applied, and what
// certainly did not is never called unknown.
func TestI10OutcomesOfRaftErrors(t *testing.T) {
	tests := []struct {
		err      error
		response any
		want     Outcome
	}{
		{nil, nil, OutcomeApplied},
		{raft.ErrNotLeader, nil, OutcomeNotApplied},
		{raft.ErrEnqueueTimeout, nil, OutcomeNotApplied},
		{raft.ErrLeadershipLost, nil, OutcomeUnknown},
		{raft.ErrRaftShutdown, nil, OutcomeUnknown},
		{raft.ErrAbortedByRestore, nil, OutcomeUnknown},
		{errors.New("write: input/output error"), nil, OutcomeUnknown},
		{nil, fmt.Errorf("entry: %w", storage.ErrBadCommand), OutcomeInvalid},
		{nil, storage.ErrClosed, OutcomeUnknown},
		{nil, &storage.DamageError{}, OutcomeUnknown},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%v/%v", tt.err, tt.response), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newTestProposer(&fakeRaft{answer: func(e *fakeEntry) { e.err, e.response = tt.err, tt.response }})
				_, err := enqueue(t, q, frame(1, 1)).Wait(context.Background())
				if OutcomeOf(err) != tt.want {
					t.Errorf("outcome of %v is %v, want %v", err, OutcomeOf(err), tt.want)
				}
				q.wg.Wait()
			})
		})
	}
}

func TestI10OwnTimeoutIsUnknownOnceProposed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRaft{}
		q := newTestProposer(r)
		p := enqueue(t, q, frame(1, 1))
		p.expireAt(time.Now().Add(time.Second))
		<-p.Done()
		if OutcomeOf(p.Err()) != OutcomeUnknown {
			t.Errorf("timeout on the future: %v", p.Err())
		}
		close(r.taken()[0].done)
		q.wg.Wait()
	})
}

func TestProposalIsHeldThroughATransferOfRaft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := 3
		r := &fakeRaft{}
		r.answer = func(e *fakeEntry) {
			if refuse > 0 {
				refuse--
				e.err = raft.ErrLeadershipTransferInProgress
			}
		}
		q := newTestProposer(r)
		p := enqueue(t, q, frame(1, 1))
		if index, err := p.Wait(context.Background()); err != nil || index != 4 {
			t.Errorf("after three refusals: index %d, %v", index, err)
		}
		q.wg.Wait()
	})
}

// I8: a fence ends by its deadline whatever becomes of its owner; what waited
// goes on, in order.
func TestI8FenceLiftsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRaft{answer: func(*fakeEntry) {}}
		q := newTestProposer(r)
		start := time.Now()
		fence, err := q.raise("a dead owner", 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.raise("another", time.Second); !errors.Is(err, ErrFenced) {
			t.Errorf("second fence: %v", err)
		}
		a, b := enqueue(t, q, frame(1, 1)), enqueue(t, q, frame(2, 1))
		synctest.Wait()
		if len(r.taken()) != 0 {
			t.Fatal("a fenced group proposes")
		}
		for _, p := range []*Proposal{a, b} {
			if _, err := p.Wait(context.Background()); err != nil {
				t.Errorf("a write that waited failed: %v", err)
			}
		}
		if waited := time.Since(start); waited != 100*time.Millisecond {
			t.Errorf("writes waited %v", waited)
		}
		if !bytes.Equal(r.taken()[0].data, append(frame(1, 1), frame(2, 1)...)) {
			t.Error("writes left the fence out of order")
		}
		if !errors.Is(fence.Err(), ErrFenceExpired) || fence.Lift() != 100*time.Millisecond {
			t.Errorf("fence ended with %v after %v", fence.Err(), fence.Lift())
		}
		if _, err := q.raise("next", MaxFence+1); err == nil {
			t.Error("a fence without bound is allowed")
		}
		q.wg.Wait()
	})
}

func TestFenceDrainsWhatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRaft{}
		q := newTestProposer(r)
		before := enqueue(t, q, frame(1, 1))
		synctest.Wait()
		fence, _ := q.raise("test", time.Second)
		behind := enqueue(t, q, frame(2, 1))
		drained := make(chan error, 1)
		go func() { drained <- fence.Drain(context.Background()) }()
		synctest.Wait()
		select {
		case err := <-drained:
			t.Fatalf("drained with an entry on its way: %v", err)
		default:
		}
		close(r.taken()[0].done)
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		<-before.Done()
		if len(r.taken()) != 1 {
			t.Fatal("a write passed the fence")
		}
		fence.Lift()
		synctest.Wait()
		close(r.taken()[1].done)
		<-behind.Done()
		q.wg.Wait()
	})
}

func TestCloseFailsWhatWaitsAsNotApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestProposer(&fakeRaft{})
		_, _ = q.raise("test", time.Second)
		p := enqueue(t, q, frame(1, 1))
		q.close()
		if _, err := p.Wait(context.Background()); OutcomeOf(err) != OutcomeNotApplied {
			t.Errorf("waiting at close: %v", err)
		}
		if err := q.enqueue(newProposal(frame(1, 1), false)); !errors.Is(err, ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}
