package leafstream

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/flotilla-db/flotilla/snapshot/transfer"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// shard is a cut's leaves in memory.
type shard map[digest.Leaf][]byte

// leavesOf makes n leaves of so many random bytes, and their manifest.
func leavesOf(n, size int) (shard, []digest.Entry) {
	s, want := shard{}, []digest.Entry{}
	random := rand.NewChaCha8([32]byte{1})
	for i := range n {
		b := make([]byte, size)
		_, _ = random.Read(b)
		leaf := digest.Leaf{Window: int64(i / digest.Slots), Slot: uint8(i % digest.Slots)}
		s[leaf] = b
		want = append(want, digest.Entry{Leaf: leaf, LeafDigest: digest.LeafDigest{ID: sha256.Sum256(b), Points: 1, Bytes: uint64(size)}})
	}
	return s, want
}

// replica serves a shard, and may misbehave.
type replica struct {
	shard   shard
	refuse  error
	corrupt bool                                     // one byte of each leaf is another one
	hold    func(context.Context, digest.Leaf) error // called before a leaf is read; nil: nothing
	open    atomic.Int32                             // views that were not released
	reads   atomic.Int32
}

func (r *replica) View(_ context.Context, _ uint32, cut string) (transfer.LeafReader, func(), error) {
	if r.refuse != nil {
		return nil, nil, r.refuse
	}
	if cut != "cut" {
		return nil, nil, transfer.ErrNotPinned
	}
	r.open.Add(1)
	return r, func() { r.open.Add(-1) }, nil
}

func (r *replica) AppendLeaf(ctx context.Context, dst []byte, leaf digest.Leaf) ([]byte, error) {
	r.reads.Add(1)
	if r.hold != nil {
		if err := r.hold(ctx, leaf); err != nil {
			return nil, err
		}
	}
	b, ok := r.shard[leaf]
	if !ok {
		return nil, fmt.Errorf("no leaf %v", leaf)
	}
	from := len(dst)
	dst = append(dst, b...)
	if r.corrupt {
		dst[from+len(b)/2] ^= 1
	}
	return dst, nil
}

// node is a gRPC server on loopback with a Client for it.
type node struct {
	*Client
	server *Server
	grpc   *grpc.Server
	conn   *grpc.ClientConn
}

// start serves a replica on loopback.
func start(t testing.TB, name string, views transfer.Views, out *transfer.Limiter) *node {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{server: NewServer(transfer.NewServer(transfer.ServerOptions{Views: views, Out: out})), grpc: grpc.NewServer()}
	n.server.Register(n.grpc)
	serving := make(chan struct{})
	go func() { _ = n.grpc.Serve(socket); close(serving) }()
	n.conn, err = grpc.NewClient("passthrough:///"+socket.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(16<<20)) // as raftmux has them
	if err != nil {
		t.Fatal(err)
	}
	n.Client = NewClient(name, func(context.Context) (grpc.ClientConnInterface, error) { return n.conn, nil })
	t.Cleanup(func() {
		_ = n.conn.Close()
		_ = n.server.Close()
		n.grpc.Stop()
		<-serving
	})
	return n
}

// hashing is a sink that keeps content ids, as a stage does.
func hashing(_ string, e digest.Entry, b []byte) error {
	if digest.ID(sha256.Sum256(b)) != e.ID {
		return transfer.ErrWrongContent
	}
	return nil
}
