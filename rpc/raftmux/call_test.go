package raftmux

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/flotilla-db/flotilla/membership"
)

const echo Method = 1

func echoHandler(_ context.Context, from membership.NodeID, payload []byte) ([]byte, error) {
	return append([]byte(from.Name+":"), payload...), nil
}

func TestCallAnswersAcrossNodesAndLocally(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		nodes[1].Handle(echo, echoHandler)
		nodes[0].Handle(echo, echoHandler)
		for _, to := range nodes {
			got, err := nodes[0].Call(t.Context(), to.id, echo, []byte("hi"))
			if err != nil || string(got) != "n1:hi" {
				t.Fatalf("call to %s: %q, %v", to.id, got, err)
			}
		}
		big := bytes.Repeat([]byte("0123456789abcdef"), MaxPayload/16-16)
		got, err := nodes[0].Call(t.Context(), nodes[1].id, echo, big)
		if err != nil || !bytes.Equal(got[3:], big) {
			t.Fatalf("large call: %d bytes, %v", len(got), err)
		}
	})
}

func TestCallToADeadNodeIsUnreachable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, nodes := cluster(t, 1)
		defer closeAll(nodes)
		_ = n
		begin := time.Now()
		_, err := nodes[0].Call(t.Context(), nodeID("n9"), echo, nil)
		if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrBroken) {
			t.Fatalf("call: %v", err)
		}
		if d := time.Since(begin); d > 10*time.Millisecond {
			t.Fatalf("took %v", d)
		}
	})
}

// hangingCall makes a call whose handler has begun and ends only with the call.
func hangingCall(t *testing.T, from, to *node) (done <-chan error) {
	t.Helper()
	entered := make(chan struct{})
	to.Handle(echo, func(ctx context.Context, _ membership.NodeID, _ []byte) ([]byte, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ended := make(chan error, 1)
	go func() {
		_, err := from.Call(t.Context(), to.id, echo, nil)
		ended <- err
	}()
	<-entered
	return ended
}

// The node that asks closes: what the peer's handler may have seen is broken,
// and no error that promises the opposite.
func TestCallUnderWayAtTheOwnCloseIsBrokenNotClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		wait(t, "streams", time.Second, connected(nodes...))
		done := hangingCall(t, nodes[0], nodes[1])
		nodes[0].Close()
		err := <-done
		if !errors.Is(err, ErrBroken) || errors.Is(err, ErrClosed) || errors.Is(err, ErrUnreachable) {
			t.Errorf("executed call: %v", err)
		}
		if _, err := nodes[0].Call(t.Context(), nodes[1].id, echo, nil); !errors.Is(err, ErrClosed) || errors.Is(err, ErrBroken) {
			t.Errorf("call after the close: %v", err)
		}
	})
}

// What the peer's handler may have seen is broken, what never left is not.
func TestLostAnswerIsBrokenNotUnreachable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, nodes := cluster(t, 2)
		defer func() { closeAll(nodes) }()
		wait(t, "streams", time.Second, connected(nodes...))
		done := hangingCall(t, nodes[0], nodes[1])
		nodes[1].kill()
		if err := <-done; !errors.Is(err, ErrBroken) || errors.Is(err, ErrUnreachable) {
			t.Errorf("executed call: %v", err)
		}
		nodes[1] = n.start(t, "n2")
		wait(t, "stream", time.Second, func() bool { return nodes[0].Peer(nodes[1].id).Connected })

		// Behind a cut the stream takes some bytes and no more: what stays in
		// the queue was never handed out.
		n.cut("n1", "n2")
		const calls = 40
		results := make(chan error, calls)
		for range calls {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				_, err := nodes[0].Call(ctx, nodes[1].id, echo, make([]byte, 1<<20))
				results <- err
			}()
		}
		unreachable, broken := 0, 0
		for range calls {
			switch err := <-results; {
			case errors.Is(err, ErrBroken):
				broken++
			case errors.Is(err, ErrUnreachable):
				unreachable++
			default:
				t.Errorf("got %v", err)
			}
		}
		if unreachable < calls-10 {
			t.Errorf("%d unreachable, %d broken", unreachable, broken)
		}
		n.heal("n1", "n2")
	})
}

func TestDeadlineAndCancellationReachTheHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		wait(t, "streams", time.Second, connected(nodes...))
		ended := make(chan time.Duration, 1)
		left := make(chan time.Duration, 1)
		nodes[1].Handle(echo, func(ctx context.Context, _ membership.NodeID, _ []byte) ([]byte, error) {
			begin := time.Now()
			deadline, _ := ctx.Deadline()
			left <- deadline.Sub(begin)
			<-ctx.Done()
			ended <- time.Since(begin)
			return nil, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := nodes[0].Call(ctx, nodes[1].id, echo, nil); !errors.Is(err, ErrBroken) {
			t.Errorf("call: %v", err)
		}
		if d := <-left; d < 2900*time.Millisecond || d > 3*time.Second {
			t.Errorf("the handler had %v", d)
		}
		<-ended

		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			<-left
			cancel()
		}()
		if _, err := nodes[0].Call(ctx, nodes[1].id, echo, nil); !errors.Is(err, ErrBroken) || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled call: %v", err)
		}
		if d := <-ended; d > 50*time.Millisecond {
			t.Errorf("the handler went on for %v", d)
		}
	})
}

func TestRemoteErrorsSayWhetherTheHandlerRan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		own := &RemoteError{Code: CodeUser + 3, Text: "own"}
		for _, nd := range nodes {
			nd.Handle(2, func(context.Context, membership.NodeID, []byte) ([]byte, error) { return nil, errors.New("no") })
			nd.Handle(3, func(context.Context, membership.NodeID, []byte) ([]byte, error) { return nil, own })
			nd.Handle(4, func(context.Context, membership.NodeID, []byte) ([]byte, error) {
				return nil, &RemoteError{CodeBusy, "of a third"}
			})
		}
		for _, to := range nodes {
			for _, c := range []struct {
				method   Method
				code     Code
				executed bool
			}{{2, CodeHandler, true}, {3, own.Code, true}, {4, CodeHandler, true}, {9, CodeNoMethod, false}} {
				_, err := nodes[0].Call(t.Context(), to.id, c.method, nil)
				var remote *RemoteError
				if !errors.As(err, &remote) || remote.Code != c.code || remote.Executed() != c.executed {
					t.Errorf("method %d at %s: %v", c.method, to.id.Name, err)
				}
			}
		}
		if _, err := nodes[0].Call(t.Context(), nodes[1].id, 2, make([]byte, MaxPayload+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
	})
}

func TestHandlersAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		wait(t, "streams", time.Second, connected(nodes...))
		var running, most atomic.Int32
		release := make(chan struct{})
		nodes[1].Handle(echo, func(context.Context, membership.NodeID, []byte) ([]byte, error) {
			n := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-release
			return nil, nil
		})
		const calls = maxHandlers + handlerQueue + 100
		results := make(chan error, calls)
		for range calls {
			go func() {
				_, err := nodes[0].Call(t.Context(), nodes[1].id, echo, nil)
				results <- err
			}()
		}
		for range 100 {
			var remote *RemoteError
			if err := <-results; !errors.Is(err, ErrBusy) || !errors.As(err, &remote) || remote.Executed() {
				t.Errorf("got %v", err)
			}
		}
		synctest.Wait() // all that may run do
		close(release)
		for range calls - 100 {
			if err := <-results; err != nil {
				t.Errorf("got %v", err)
			}
		}
		if most.Load() != maxHandlers {
			t.Errorf("%d handlers at once", most.Load())
		}
		h := &nodes[1].handlers
		wait(t, "rest", time.Second, func() bool {
			h.mu.RLock()
			defer h.mu.RUnlock()
			return h.running == idleHandlers && len(h.parked) == idleHandlers
		})
	})
}

// While an urgent call waits even heartbeats leave at once.
func TestUrgentCallLetsNothingWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		defer b.Close()
		b.SetHeartbeatHandler(func(rpc raft.RPC) { rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil) })
		beat := func() time.Duration {
			begin := time.Now()
			if err := a.AppendEntries("", addr, &raft.AppendEntriesRequest{Term: 1}, &raft.AppendEntriesResponse{}); err != nil {
				t.Error(err)
			}
			return time.Since(begin)
		}
		if d := beat(); d < 15*time.Millisecond {
			t.Errorf("a heartbeat took only %v", d)
		}
		entered, release := make(chan struct{}), make(chan struct{})
		nodes[1].Handle(echo, func(context.Context, membership.NodeID, []byte) ([]byte, error) {
			close(entered)
			<-release
			return nil, nil
		})
		done := make(chan error, 1)
		go func() {
			_, err := nodes[0].Call(t.Context(), nodes[1].id, echo, nil, Urgent)
			done <- err
		}()
		<-entered
		if d := beat(); d > 500*time.Microsecond {
			t.Errorf("beside an urgent call it took %v", d)
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := beat(); d < 15*time.Millisecond {
			t.Errorf("after the urgent call it took only %v", d)
		}
	})
}

func TestConnServesBesideTheStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		conn, err := nodes[0].Conn(t.Context(), nodes[1].id)
		if err != nil {
			t.Fatal(err)
		}
		err = conn.Invoke(t.Context(), "/nothing.Here/Method", &emptypb.Empty{}, &emptypb.Empty{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("got %v", err)
		}
		if _, err := nodes[0].Conn(t.Context(), nodeID("n9")); !errors.Is(err, ErrUnreachable) {
			t.Errorf("got %v", err)
		}
	})
}
