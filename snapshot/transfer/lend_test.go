package transfer

import (
	"bytes"
	"context"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// asked is a replica with a shard of n leaves, and the request for all of them.
func asked(n, bytes int) (*replica, Request) {
	r, q := &replica{name: "n1", shard: shard{}}, Request{Cut: "cut", MessageBytes: MinMessageBytes}
	random := rand.NewChaCha8([32]byte{2})
	for i := range n {
		leaf := digest.Leaf{Window: int64(i)}
		b := make([]byte, bytes)
		_, _ = random.Read(b)
		r.shard[leaf] = b
		q.Leaves, q.Sizes = append(q.Leaves, leaf), append(q.Sizes, uint64(bytes))
	}
	return r, q
}

// The memory of a leaf is not used for another one before every message with a piece of it was sent.
func TestMemoryOfLeavesIsUsedAgainOnceTheyAreSent(t *testing.T) {
	r, q := asked(64, 100_000) // a leaf lies in two messages mostly, a message has two leaves
	server := NewServer(ServerOptions{Views: r})
	serve := func(late int) (all []byte) {
		var waiting []Message
		sent := func(n int) {
			for ; len(waiting) > n; waiting = waiting[1:] {
				for _, b := range waiting[0].Payload {
					all = append(all, b...)
				}
				waiting[0].Sent()
			}
		}
		err := server.Serve(context.Background(), q, func(m Message) error {
			waiting = append(waiting, m)
			sent(late)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		sent(0)
		return all
	}
	var want []byte
	for _, leaf := range q.Leaves {
		want = append(want, r.shard[leaf]...)
	}
	for _, late := range []int{0, 1, 3, 1000} {
		if !bytes.Equal(serve(late), want) {
			t.Errorf("messages that are sent %d late are not the leaves", late)
		}
	}
}

func TestGivingLeavesTakesLittleMemory(t *testing.T) {
	r, q := asked(64, 100_000)
	server := NewServer(ServerOptions{Views: r})
	give := func() {
		if err := server.Serve(context.Background(), q, func(m Message) error { m.Sent(); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	give()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	give()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64*100_000/2 { // the race detector has pools forget some
		t.Errorf("%d bytes were made to give 6.4 MB", n)
	}
}
