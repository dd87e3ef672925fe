package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shard is a cut's leaves in memory.
type shard map[digest.Leaf][]byte

// shardOf makes leaves of random bytes, newest last, and their manifest.
func shardOf(sizes ...int) (shard, []digest.Entry) {
	s, random := shard{}, rand.NewChaCha8([32]byte{1})
	var want []digest.Entry
	for i, size := range sizes {
		b := make([]byte, size)
		_, _ = random.Read(b)
		leaf := digest.Leaf{Window: int64(i/digest.Slots) - 2, Slot: uint8(i % digest.Slots)}
		s[leaf] = b
		want = append(want, entryOf(leaf, b))
	}
	return s, want
}

func entryOf(leaf digest.Leaf, b []byte) digest.Entry {
	return digest.Entry{Leaf: leaf, LeafDigest: digest.LeafDigest{ID: sha256.Sum256(b), Points: 1, Bytes: uint64(len(b))}}
}

// A cut of a real shard can be served.
var _ LeafReader = (*storage.View)(nil)

// replica serves a shard through a Server and is its own Source: messages are encoded and decoded, but no byte leaves
// the process. Time is virtual.
type replica struct {
	name   string
	shard  shard
	speed  float64       // bytes/s that it sends; 0: at once
	refuse error         // of View
	flip   int           // this byte of every message, counted from its end, is another one; 0: none
	dies   int32         // it fails after so many messages; 0: never
	hangs  int32         // it says nothing after so many messages; 0: never
	pause  time.Duration // before each message
	out    *Limiter

	once     sync.Once
	server   *Server
	messages atomic.Int32
	open     atomic.Int32 // views that were not released
}

func (r *replica) View(context.Context, uint32, string) (LeafReader, func(), error) {
	if r.refuse != nil {
		return nil, nil, r.refuse
	}
	r.open.Add(1)
	return r, func() { r.open.Add(-1) }, nil
}

func (r *replica) AppendLeaf(_ context.Context, dst []byte, leaf digest.Leaf) ([]byte, error) {
	b, ok := r.shard[leaf]
	if !ok {
		return nil, fmt.Errorf("no leaf %v", leaf)
	}
	return append(dst, b...), nil
}

func (r *replica) Name() string { return r.name }

func (r *replica) Fetch(ctx context.Context, q Request, to Receiver) error {
	r.once.Do(func() { r.server = NewServer(ServerOptions{Views: r, Out: r.out}) })
	raw, err := AppendRequest(nil, q)
	if err != nil {
		return err
	}
	asked, err := ParseRequest(raw)
	if err != nil {
		return err
	}
	leaves := NewAssembler(q, to)
	defer leaves.Close()
	err = r.server.Serve(ctx, asked, func(m Message) error {
		count := r.messages.Add(1)
		if r.dies > 0 && count > r.dies {
			return fmt.Errorf("%s died", r.name)
		}
		if r.hangs > 0 && count > r.hangs {
			<-ctx.Done()
			return ctx.Err()
		}
		b := bytes.Join(append([][]byte{m.Head}, m.Payload...), nil)
		m.Sent()
		if r.flip > 0 {
			b[len(b)-r.flip] ^= 1
		}
		wait := r.pause
		if r.speed > 0 {
			wait += time.Duration(float64(len(b)) / r.speed * 1e9)
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
		return leaves.Message(ctx, bytes.NewReader(b), len(b))
	})
	if err != nil {
		return err
	}
	return leaves.End()
}

// stage is a sink that verifies, as storage's does.
type stage struct {
	mu    sync.Mutex
	inUse atomic.Int32
	got   map[digest.Leaf]string // by whom
	fails error                  // instead of storing
	slow  time.Duration
	t     testing.TB
}

func (s *stage) put(source string, e digest.Entry, b []byte) error {
	if s.inUse.Add(1) != 1 {
		s.t.Error("the sink is called by two goroutines at once")
	}
	defer s.inUse.Add(-1)
	if s.slow > 0 {
		time.Sleep(s.slow)
	}
	if s.fails != nil {
		return s.fails
	}
	if entryOf(e.Leaf, b).ID != e.ID {
		return fmt.Errorf("verify: %w", ErrWrongContent)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if by, ok := s.got[e.Leaf]; ok {
		s.t.Errorf("leaf %v came from %s and from %s", e.Leaf, by, source)
	}
	s.got[e.Leaf] = source
	return nil
}

func newStage(t testing.TB) *stage { return &stage{got: map[digest.Leaf]string{}, t: t} }

// virtual runs a test in virtual time.
func virtual(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// sourcesOf makes followers of the same zone.
func sourcesOf(replicas ...*replica) (sources []SourceInfo) {
	for _, r := range replicas {
		sources = append(sources, SourceInfo{Source: r, SameZone: true})
	}
	return sources
}

// complete fails the test unless every leaf is in the stage and no view is open.
func complete(t *testing.T, s *stage, want []digest.Entry, replicas ...*replica) {
	t.Helper()
	if len(s.got) != len(want) {
		t.Errorf("%d of %d leaves arrived", len(s.got), len(want))
	}
	for _, r := range replicas {
		if n := r.open.Load(); n != 0 {
			t.Errorf("%s: %d views were not released", r.name, n)
		}
	}
}
