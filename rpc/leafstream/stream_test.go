package leafstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/flotilla-db/flotilla/snapshot/transfer"
	"github.com/flotilla-db/flotilla/storage/digest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// both are two followers of the same zone.
func both(a, b transfer.Source) []transfer.SourceInfo {
	return []transfer.SourceInfo{{Source: a, SameZone: true}, {Source: b, SameZone: true}}
}

func TestLeavesComeFromTwoNodes(t *testing.T) {
	for _, size := range []int{100, 40_000, 1 << 20} {
		leaves, want := leavesOf(48, size)
		a, b := &replica{shard: leaves}, &replica{shard: leaves}
		sources := both(start(t, "n1", a, nil), start(t, "n2", b, nil))
		result, err := transfer.Run(t.Context(), transfer.Plan{Cut: "cut", Want: want, Sources: sources}, hashing, nil)
		if err != nil || result.Leaves != len(want) {
			t.Fatalf("leaves of %d bytes: %+v, %v", size, result, err)
		}
		for _, s := range result.Sources {
			if share := float64(s.Bytes) / float64(result.Bytes); share < 0.3 || share > 0.7 {
				t.Errorf("leaves of %d bytes: %s gave %.0f%%", size, s.Name, share*100)
			}
		}
	}
}

func TestCorruptedByteIsSeenAndTheOtherNodeGivesTheLeaf(t *testing.T) {
	leaves, want := leavesOf(64, 50_000)
	good, bad := &replica{shard: leaves}, &replica{shard: leaves, corrupt: true}
	sources := both(start(t, "bad", bad, nil), start(t, "good", good, nil))
	result, err := transfer.Run(t.Context(), transfer.Plan{Cut: "cut", Want: want, Sources: sources}, hashing, nil)
	if err != nil || result.Sources[1].Leaves != len(want) || !errors.Is(result.Sources[0].Err, transfer.ErrWrongContent) {
		t.Fatalf("%+v, %v", result, err)
	}
}

// What a server refuses means the same at the client.
func TestRefusalsKeepTheirMeaning(t *testing.T) {
	leaves, want := leavesOf(1, 100)
	q := transfer.Request{Cut: "cut", Leaves: []digest.Leaf{want[0].Leaf}, Sizes: []uint64{100}}
	for _, refusal := range []error{transfer.ErrNotPinned, transfer.ErrNotServed, transfer.ErrBusy} {
		r := &replica{shard: leaves, refuse: fmt.Errorf("group 7: %w", refusal)}
		err := start(t, "n1", r, nil).Fetch(t.Context(), q, nil)
		if !errors.Is(err, refusal) || !strings.Contains(err.Error(), "group 7") || !strings.Contains(err.Error(), "n1") {
			t.Errorf("%v came as %v", refusal, err)
		}
	}
	other := &replica{shard: leaves, refuse: errors.New("disk on fire")}
	if err := start(t, "n1", other, nil).Fetch(t.Context(), q, nil); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Error(err)
	}
	q.Leaves = nil
	if err := start(t, "n1", &replica{shard: leaves}, nil).Fetch(t.Context(), q, nil); !errors.Is(err, transfer.ErrMessage) {
		t.Error(err)
	}
}

func TestNodeThatIsKilledIsReplaced(t *testing.T) {
	leaves, want := leavesOf(200, 100_000)
	var dying *node
	var kill sync.Once
	a := &replica{shard: leaves}
	b := &replica{shard: leaves}
	b.hold = func(context.Context, digest.Leaf) error {
		if b.reads.Load() > 20 {
			kill.Do(func() { go dying.grpc.Stop() })
		}
		return nil
	}
	dying = start(t, "dying", b, nil)
	result, err := transfer.Run(t.Context(), transfer.Plan{Cut: "cut", Want: want, Sources: both(dying, start(t, "good", a, nil))}, hashing, nil)
	if err != nil || result.Leaves != len(want) || result.Sources[0].Err == nil {
		t.Fatalf("%+v, %v", result, err)
	}
}

// A node that stops ends its answers; views are released whoever ends first.
func TestCloseEndsAnswersAndReleasesViews(t *testing.T) {
	leaves, want := leavesOf(64, 50_000)
	for name, end := range map[string]func(*node, context.CancelFunc){
		"server closes":   func(n *node, _ context.CancelFunc) { _ = n.server.Close() },
		"client cancels":  func(_ *node, cancel context.CancelFunc) { cancel() },
		"connection ends": func(n *node, _ context.CancelFunc) { _ = n.conn.Close() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r := &replica{shard: leaves}
		n := start(t, "n1", r, nil)
		var once sync.Once
		r.hold = func(ctx context.Context, _ digest.Leaf) error {
			if r.reads.Load() < 30 {
				return nil
			}
			once.Do(func() { go end(n, cancel) })
			<-ctx.Done()
			return ctx.Err()
		}
		_, err := transfer.Run(ctx, transfer.Plan{Cut: "cut", Want: want, Sources: both(n, n)[:1]}, hashing, nil)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		cancel()
		_ = n.server.Close() // waits for the answers
		if open := r.open.Load(); open != 0 {
			t.Errorf("%s: %d views are open", name, open)
		}
		if err := n.Fetch(t.Context(), transfer.Request{Cut: "cut", Leaves: []digest.Leaf{want[0].Leaf}, Sizes: []uint64{1}}, nil); err == nil {
			t.Errorf("%s: a closed server answers", name)
		}
	}
}

// stopped is a Receiver that takes one message and no more.
type stopped struct{ messages atomic.Int32 }

func (s *stopped) Arrived(ctx context.Context, _ transfer.Arrival) error {
	s.messages.Add(1)
	<-ctx.Done()
	return ctx.Err()
}

func (s *stopped) Leaf(context.Context, digest.Leaf, []byte) error { return nil }

// A client that takes nothing any more does not keep a cut pinned: its answer is ended. In virtual time.
func TestClientThatTakesNothingIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leaves, want := leavesOf(64, 1<<20)
		r := &replica{shard: leaves}
		server := NewServer(transfer.NewServer(transfer.ServerOptions{Views: r}))
		listener, registrar := bufconn.Listen(64<<10), grpc.NewServer()
		server.Register(registrar)
		serving := make(chan struct{})
		go func() { _ = registrar.Serve(listener); close(serving) }()
		conn, err := grpc.NewClient("passthrough:///n1", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		q := transfer.Request{Cut: "cut", MessageBytes: 1 << 20}
		for _, e := range want {
			q.Leaves, q.Sizes = append(q.Leaves, e.Leaf), append(q.Sizes, e.Bytes)
		}
		ctx, cancel := context.WithCancel(t.Context())
		client, s := NewClient("n1", func(context.Context) (grpc.ClientConnInterface, error) { return conn, nil }), &stopped{}
		done := make(chan error, 1)
		go func() { done <- client.Fetch(ctx, q, s) }()
		time.Sleep(sendDeadline - time.Second)
		synctest.Wait()
		if r.open.Load() != 1 || s.messages.Load() != 1 {
			t.Errorf("%d views open after %d messages, before the deadline", r.open.Load(), s.messages.Load())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.open.Load() != 0 {
			t.Error("the view is still open")
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		_ = conn.Close()
		_ = server.Close()
		registrar.Stop()
		<-serving
	})
}

// The rate out of a node holds over all that it serves.
func TestRateOutHoldsOverGRPC(t *testing.T) {
	leaves, want := leavesOf(16, 64<<10)
	out := transfer.NewLimiter(4 << 20)
	began := time.Now()
	n := start(t, "n1", &replica{shard: leaves}, out)
	if _, err := transfer.Run(t.Context(), transfer.Plan{Cut: "cut", Want: want, Sources: both(n, n)[:1]}, hashing, nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 150*time.Millisecond { // 1 MiB, less a burst, at 4 MiB/s: never faster, however busy the machine
		t.Errorf("took %v", took)
	}
}
